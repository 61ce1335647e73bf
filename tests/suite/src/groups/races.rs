//! Races: a name that leads here and there while it is opened. What must not be read is not read once.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{READ, is_secret};
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys;

/// So often the name is flipped, while another task opens it as fast as it can.
const FLIPS: usize = 200;

pub(super) const ALL: &[Scenario] = &[
    denied("races", "race-symlink", READ, |side| {
        let (one, other) = (side.free("folder/race"), side.free("folder/race-other"));
        make_link(&side.free("plain"), &one)?;
        make_link(&side.at("secret"), &other)?;
        race(side, &one, || sys::rename2(&one, &other, libc::RENAME_EXCHANGE))
    })
    .seconds(120),
    denied("races", "race-folder", READ, |side| {
        // The folder changes, not the name in it.
        let (one, other) = (side.free("folder/race-dir"), side.free("folder/race-dir-other"));
        let decoy = side.free("folder/decoy");
        fs::create_dir_all(&decoy).step("a folder")?;
        fs::write(format!("{decoy}/secret"), b"plain\n").step("a decoy")?;
        make_link(&decoy, &one)?;
        make_link(side.root(), &other)?;
        race(side, &format!("{one}/secret"), || sys::rename2(&one, &other, libc::RENAME_EXCHANGE))
    })
    .seconds(120),
    denied("races", "race-rename", READ, |side| {
        // A file of one's own is moved to and fro between a free name and a protected one: the second is refused.
        let own = side.free("folder/race-own");
        fs::write(&own, b"plain\n").step("a file")?;
        let moved = sys::rename2(&own, &side.at("pending"), 0);
        if side.protected && !side.absent && !matches!(moved, Err(Stop::Errno(libc::EPERM))) {
            return Err(Stop::Broken("moved to a protected name".to_owned()));
        }
        if moved.is_ok() {
            fs::rename(side.at("pending"), &own).step("back")?;
        }
        let link = side.free("folder/race-own-link");
        make_link(&side.at("secret"), &link)?;
        let spare = side.free("folder/race-own-spare");
        make_link(&own, &spare)?;
        race(side, &link, || sys::rename2(&link, &spare, libc::RENAME_EXCHANGE))
    })
    .seconds(120),
    denied("races", "race-unlink", READ, |side| {
        // The link is gone and there again.
        let link = side.free("folder/race-gone");
        make_link(&side.free("plain"), &link)?;
        let mut at = 0_usize;
        let targets = [side.at("secret"), side.free("plain")];
        race(side, &link, || {
            at += 1;
            fs::remove_file(&link).step("remove")?;
            symlink(&targets[at % 2], &link).step("symlink")
        })
    })
    .seconds(120),
];

fn make_link(target: &str, link: &str) -> Done {
    let _ = fs::remove_file(link);
    symlink(target, link).step("symlink")
}

/// Flips in a child, reads in this task until the child is done. What came through is told apart by what was read.
fn race(side: Side, path: &str, mut flip: impl FnMut() -> Done) -> Done {
    let pid = sys::fork()?;
    if pid == 0 {
        for _ in 0..FLIPS {
            if flip().is_err() {
                sys::leave(1);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        sys::leave(0);
    }
    let (mut leaks, mut denials, mut reads) = (0, 0, 0);
    let mut refused = 0;
    loop {
        // Both at once would flood the kernel's ring buffer: every second look is at the child.
        match fs::read(path) {
            Ok(bytes) if is_secret(&bytes) => leaks += 1,
            Ok(_) => reads += 1,
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM) => denials += 1,
                // Nothing there just now, or a link that is being freed: read as no name at all.
                Some(libc::ENOENT | libc::EINVAL | libc::EISDIR | libc::ESTALE) => {}
                other => refused = other.unwrap_or(libc::EIO),
            },
        }
        std::thread::sleep(Duration::from_micros(300));
        let mut status = 0_i32;
        let list = [sys::n(pid), std::ptr::from_mut(&mut status) as usize, sys::n(libc::WNOHANG), 0];
        if sys::call(libc::SYS_wait4, &list).is_ok_and(|ended| ended != 0) {
            if status != 0 {
                return Err(Stop::Broken("the name could not be flipped".to_owned()));
            }
            break;
        }
    }
    if reads == 0 || refused != 0 {
        return Err(Stop::Broken(format!(
            "{reads} reads, {leaks} leaks, {denials} denials, errno {refused}"
        )));
    }
    match (leaks, denials) {
        (0, 1..) => Err(Stop::Errno(libc::EPERM)),
        (1.., 0) => Ok(()),
        _ => Err(Stop::Broken(format!(
            "{leaks} leaks, {denials} denials in {FLIPS} flips; protected: {}",
            side.protected
        ))),
    }
}
