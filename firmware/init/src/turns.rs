//! That the agent's loops turn: each writes the time of its last turn to one file, now and then, and init reads it before it feeds the
//! watchdog. A loop that waits for a disk that only fails turns still, and the agent says what fails; one that hangs in the kernel, or is
//! stopped, does not.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{STATE, limits};

/// A loop of the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// From the kernel to the queue.
    Reader,
    /// From the queue to the ring.
    Writer,
}

impl Loop {
    /// Every one, in the file's order.
    const ALL: [Self; 2] = [Self::Reader, Self::Writer];

    const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
        }
    }
}

/// Where a loop says that it turns. Writes eight bytes every ten seconds, and else costs a comparison.
#[derive(Clone, Debug)]
pub struct Turns {
    file: Arc<File>,
    which: Loop,
    /// `CLOCK_BOOTTIME` ns.
    said: u64,
}

/// The file, made anew: until a loop says that it turned, its time is 0. `now`: `CLOCK_BOOTTIME` ns.
///
/// # Errors
/// The file can't be made.
pub fn begin() -> io::Result<[Turns; 2]> {
    begin_at(&path())
}

fn path() -> PathBuf {
    Path::new(STATE).join("turns")
}

fn begin_at(path: &Path) -> io::Result<[Turns; 2]> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let file = Arc::new(file);
    Ok(Loop::ALL.map(|which| Turns { file: Arc::clone(&file), which, said: 0 }))
}

impl Turns {
    /// It turned. `now`: `CLOCK_BOOTTIME` ns.
    pub fn turned(&mut self, now: u64) {
        if self.left(now).is_zero() {
            self.said = now;
            // Who can't write there for a minute does not get the watchdog fed, as it should be.
            let _ = self.file.write_all_at(&now.to_le_bytes(), 8 * self.which as u64);
        }
    }

    /// How long it may rest until it has to turn again.
    pub fn left(&self, now: u64) -> Duration {
        match self.said {
            0 => Duration::ZERO,
            said => Duration::from_nanos(said)
                .saturating_add(limits::TURN)
                .saturating_sub(Duration::from_nanos(now)),
        }
    }
}

/// The loop that did not turn for too long, by the file. `now`: `CLOCK_BOOTTIME` ns. A file that is not whole says that none did.
pub(crate) fn still(now: u64) -> Option<&'static str> {
    let mut bytes = [0; 8 * Loop::ALL.len()];
    let read = File::open(path()).and_then(|file| file.read_at(&mut bytes, 0)).unwrap_or_default();
    still_in(bytes.get(..read).unwrap_or_default(), now)
}

fn still_in(file: &[u8], now: u64) -> Option<&'static str> {
    let since = Duration::from_nanos(now).saturating_sub(limits::STILL);
    let turned = |which: Loop| {
        let bytes = file.get(8 * which as usize..)?.first_chunk()?;
        (Duration::from_nanos(u64::from_le_bytes(*bytes)) >= since).then_some(())
    };
    Loop::ALL.into_iter().find(|which| turned(*which).is_none()).map(Loop::name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_does_not_turn_for_long_is_found() {
        let folder = std::env::temp_dir().join(format!("aegis-turns-{}", std::process::id()));
        let second = 1_000_000_000;
        let [mut reader, mut writer] = begin_at(&folder).expect("made");
        let look = |now| still_in(&fs::read(&folder).expect("there"), now);
        assert_eq!(look(1000 * second), Some("reader"), "nobody turned yet");
        assert_eq!(reader.left(1000 * second), Duration::ZERO);
        reader.turned(1000 * second);
        assert_eq!(look(1000 * second), Some("writer"));
        writer.turned(1001 * second);
        assert_eq!(look(1001 * second), None);
        // Written every ten seconds, not at every turn.
        assert_eq!(reader.left(1004 * second), Duration::from_secs(6));
        reader.turned(1009 * second);
        assert_eq!(look(1060 * second), None);
        assert_eq!(look(1061 * second), Some("reader"));
        reader.turned(1061 * second);
        assert_eq!(look(1062 * second), Some("writer"));
        for torn in [&[][..], &[0xff; 8], &[0xff; 15]] {
            assert!(still_in(torn, 1000 * second).is_some(), "{torn:?}");
        }
        fs::remove_file(folder).expect("there");
    }
}
