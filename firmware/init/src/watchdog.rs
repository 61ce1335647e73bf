//! The watchdog: while init and the agent's loops get to their work it is fed; when they do not any more (a kernel or a disk that
//! stands still), the board starts the machine again, which takes a try from an image on trial.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::sync::OnceLock;

use crate::console::say;

/// The board's, where the kernel knows it; else the kernel's own (`softdog`), which registers last.
const DEVICE: &str = "/dev/watchdog0";

static OPENED: OnceLock<File> = OnceLock::new();

/// From now on it counts down. It stays open, and nobody else can open it.
pub(crate) fn start() {
    match File::options().write(true).open(DEVICE) {
        Ok(file) => {
            say(&format!("watchdog: {}", driver().unwrap_or_else(|| "the kernel's own".to_owned())));
            let _ = OPENED.set(file);
            feed();
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            say("watchdog: none: a system that stands still is not started again");
        }
        Err(error) => say(&format!("watchdog: {DEVICE}: {error}")),
    }
}

/// Of the board's; the kernel's own hangs on no device.
fn driver() -> Option<String> {
    let driver = fs::read_link("/sys/class/watchdog/watchdog0/device/driver").ok()?;
    Some(driver.file_name()?.to_string_lossy().into_owned())
}

/// True when there is one to be fed.
pub(crate) fn is_on() -> bool {
    OPENED.get().is_some()
}

/// Any byte but `V`, which would let it go (Documentation/watchdog/watchdog-api.rst).
pub(crate) fn feed() {
    if let Some(mut file) = OPENED.get() {
        // One that takes nothing any more starts the machine again, as it should.
        let _ = file.write(&[0]);
    }
}
