//! The figures that the alerts' watcher leaves every few seconds (`/run/aegis/metrics.prom`): to gather them anew costs a process, and a
//! third of a second.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::limits;

const FILE: &str = "metrics.prom";

/// The file, and how old it is; `None`: it is not there, too old, of the future (the clock was set), or no such file.
pub(super) fn left(run: &Path) -> Option<(File, Duration)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(run.join(FILE)).ok()?;
    let found = file.metadata().ok()?;
    let age = SystemTime::now().duration_since(found.modified().ok()?).ok()?;
    let good = found.is_file() && found.len() > 0 && found.len() <= limits::METRICS_BYTES as u64;
    (good && age <= limits::METRICS_OLD).then_some((file, age))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_file_of_now_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (run, path) = (folder.path(), folder.path().join(FILE));
        assert!(left(run).is_none(), "nothing is there");
        fs::write(&path, "x 1\n").unwrap();
        assert!(left(run).is_some_and(|(_, age)| age < Duration::from_secs(5)));
        let set = |at: SystemTime| File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        set(SystemTime::now() - limits::METRICS_OLD - Duration::from_secs(1));
        assert!(left(run).is_none(), "too old");
        set(SystemTime::now() + Duration::from_mins(1));
        assert!(left(run).is_none(), "of the future");
        fs::write(&path, "").unwrap();
        assert!(left(run).is_none(), "empty");
        fs::write(&path, vec![b'x'; limits::METRICS_BYTES + 1]).unwrap();
        assert!(left(run).is_none(), "too long");
        fs::remove_file(&path).unwrap();
        fs::write(run.join("other"), "x 1\n").unwrap();
        std::os::unix::fs::symlink(run.join("other"), &path).unwrap();
        assert!(left(run).is_none(), "a link");
    }
}
