//! What was measured and what the disk went through in this boot, said by the agent as events, once; and which ring is known from then on.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use aegis_event::Body;

use super::books::Entry;
use super::reader::Reader;
use crate::storage::device::hex;
use crate::storage::known::{self, Keeper};
use crate::storage::report::{Code, Report};
use crate::storage::{DATA, RUN};
use crate::tpm::found::Found;

/// In `/run/aegis`: not empty once all of this boot was said, and is on disk.
const SAID: &str = "storage.said";

/// What is to be said, and the files that remember that it was: open before privileges are dropped.
pub(super) struct Ledger {
    report: Report,
    found: Found,
    ring: [u8; 16],
    /// None when all was said by an agent before this one.
    said: Option<File>,
    /// None when the ring is known already.
    keeper: Option<Keeper>,
}

impl Ledger {
    /// Looks at what was done in this boot, and whether this ring is the one that is known.
    pub(super) fn open(ring: [u8; 16]) -> Self {
        let mut report = Report::load();
        let known = known::ring().unwrap_or_else(|error| {
            log::error!("{DATA}: {error}");
            // Nothing follows from what can't be read.
            Some(ring)
        });
        if let Some(known) = known.filter(|known| *known != ring) {
            let (was, is) = (hex(&known), hex(&ring));
            report.tell(Code::RingLost, format!("the ring {was} is gone; this one is {is}"));
            if let Err(error) = report.save() {
                log::error!("{RUN}: {error}");
            }
        }
        let said = said().unwrap_or_else(|error| {
            log::error!("{RUN}/{SAID}: {error}");
            None
        });
        let keeper = (known != Some(ring))
            .then(Keeper::open)
            .and_then(|keeper| keeper.map_err(|error| log::error!("{DATA}: {error}")).ok());
        Self { report, found: Found::load(), ring, said, keeper }
    }

    /// Says it, unless it was said.
    pub(super) fn say(&self, reader: &mut Reader<'_>) {
        if self.said.is_some() {
            if let Some(measured) = self.found.measured() {
                reader.say(measured, Entry::Nothing);
            }
            for told in self.report.entries() {
                reader.say(Body::Storage { code: told.code.name(), detail: &told.detail }, Entry::Nothing);
            }
        }
    }

    /// What was said is on disk. What can't be remembered is said again: by the next agent, or in the next boot.
    pub(super) fn is_durable(&self) {
        let said = self.said.as_ref().map_or(Ok(()), |file| file.write_all_at(b"1", 0));
        let kept = self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.keep(&self.ring));
        for error in [said, kept].into_iter().filter_map(Result::err) {
            super::console::warn(format_args!(
                "storage: {error}; what was said of the disk will be said again"
            ));
        }
    }
}

/// The file to be marked; none when it is.
fn said() -> io::Result<Option<File>> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(Path::new(RUN).join(SAID))?;
    Ok((file.metadata()?.len() == 0).then_some(file))
}
