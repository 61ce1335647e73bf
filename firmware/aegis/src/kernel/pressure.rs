//! How full the kernel's maps are.

use std::fs;
use std::path::Path;

use super::{KernelError, PINS, sys};
use crate::limits;

/// One map that fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapFill {
    pub(crate) name: String,
    pub(crate) used: u32,
    pub(crate) most: u32,
}

/// All of ours that fill, in no order.
pub(crate) fn map_fills() -> Result<Vec<MapFill>, KernelError> {
    let pins = Path::new(PINS);
    let mut fills = Vec::new();
    for entry in fs::read_dir(pins).map_err(KernelError::file(pins))?.take(limits::PINS) {
        let Ok(name) = entry.map_err(KernelError::file(pins))?.file_name().into_string() else { continue };
        if name.starts_with("prog_") || name.starts_with("link_") {
            continue;
        }
        let fill = sys::obj_get(&pins.join(&name)).and_then(sys::fill);
        if let Some(sys::Fill { used, most }) = fill.map_err(KernelError::object(&name))? {
            fills.push(MapFill { name, used, most });
        }
    }
    Ok(fills)
}
