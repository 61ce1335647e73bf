//! Other names for the same file: symbolic and hard links, /proc, renamed parents, replaced files.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use super::{READ, TREE, WRITE, open, read, take};
use crate::outside;
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys;

const PLANTED: super::Expected = ("suite-read", "create", "inode_create");

pub(super) const ALL: &[Scenario] = &[
    denied("symlink", "sym-direct", READ, |side| read(&side.at("link"))),
    denied("symlink", "sym-chain", READ, |side| read(&side.at("link-to-link"))),
    denied("symlink", "sym-folder", READ, |side| read(&side.at("link-folder/link-folder/secret"))),
    denied("symlink", "sym-tree", TREE, |side| read(&side.at("link-tree/deep/er/file"))),
    denied("symlink", "sym-own", READ, |side| through_own_link(side, &side.at("secret"))),
    denied("symlink", "sym-write", READ, |side| open(&side.at("link"), libc::O_WRONLY)),
    denied("symlink", "sym-proc", READ, |side| {
        through_own_link(side, &format!("/proc/self/root{}", side.at("secret")))
    }),
    denied("symlink", "sym-tmpfs", READ, |side| {
        // From one file system into the other.
        let disk = Side { place: crate::Place::Disk, ..side };
        through_own_link(Side { place: crate::Place::Memory, ..side }, &disk.at("secret"))
    }),
    // At the next boot the links are there before the policy is taken; what is put in their place stays.
    denied("symlink", "sym-planted", PLANTED, |side| in_place_of(side, "planted")).by_object(),
    denied("symlink", "sym-mid", PLANTED, |side| in_place_of(side, "mid")).by_object(),
    denied("symlink", "sym-swap", READ, |side| {
        // What the link led to when it was looked at is not what it leads to when it is opened.
        let link = side.free("folder/swap");
        let _ = fs::remove_file(&link);
        symlink(side.free("plain"), &link).step("symlink")?;
        read(&link).step("what it led to")?;
        fs::remove_file(&link).step("remove")?;
        symlink(side.at("secret"), &link).step("symlink")?;
        let done = read(&link);
        let _ = fs::remove_file(&link);
        done
    }),
    denied("hard link", "hard-make", ("suite-read", "link", "inode_link"), |side| {
        let to = side.at("linked");
        sys::linkat(sys::HERE, &side.at("secret"), &to, 0)?;
        fs::remove_file(to).step("remove")
    }),
    denied("hard link", "hard-exec", ("suite-exec", "link", "inode_link"), |side| {
        let to = side.at("linked");
        sys::linkat(sys::HERE, &side.at("tool"), &to, 0)?;
        fs::remove_file(to).step("remove")
    })
    .in_memory(),
    denied("hard link", "hard-onto", ("suite-read", "link", "inode_link"), |side| {
        // An unprotected file under a protected name.
        let to = side.at("pending");
        sys::linkat(sys::HERE, &side.at("plain"), &to, 0)?;
        fs::remove_file(to).step("remove")
    }),
    denied("hard link", "hard-follow", ("suite-read", "link", "inode_link"), |side| {
        let to = side.at("linked");
        sys::linkat(sys::HERE, &side.at("link"), &to, libc::AT_SYMLINK_FOLLOW)?;
        fs::remove_file(to).step("remove")
    }),
    // Made by the one outside before: another name of the same object.
    denied("hard link", "hard-other", READ, |side| read(&hard_link(side)?)).by_object(),
    denied("hard link", "hard-other-w", READ, |side| open(&hard_link(side)?, libc::O_RDWR)).by_object(),
    denied("rename", "ren-away", ("suite-read", "rename", "inode_rename"), |side| {
        there_and_back(side, "secret")
    }),
    denied("rename", "ren-held", ("suite-keep", "rename", "inode_rename"), |side| {
        there_and_back(side, "kept")
    }),
    denied("rename", "ren-folder", ("suite-keep", "rename", "inode_rename"), |side| {
        there_and_back(side, "kept-folder")
    }),
    denied("rename", "ren-over", ("suite-read", "rename", "inode_rename"), |side| {
        let from = own_file(side)?;
        fs::rename(from, side.at("secret")).map_err(Stop::from)
    }),
    denied("rename", "ren-onto", ("suite-read", "rename", "inode_rename"), |side| {
        let (from, to) = (own_file(side)?, side.at("pending"));
        fs::rename(from, &to)?;
        fs::remove_file(to).step("remove")
    }),
    denied("rename", "ren-exchange", ("suite-read", "rename", "inode_rename"), |side| {
        let from = own_file(side)?;
        exchange(&from, &side.at("secret"))?;
        exchange(&from, &side.at("secret"))
    }),
    denied("rename", "ren-exchanged", ("suite-read", "rename", "inode_rename"), |side| {
        // The other way round: the protected one is called first.
        let other = own_file(side)?;
        exchange(&side.at("secret"), &other)?;
        exchange(&side.at("secret"), &other)
    }),
    denied("rename", "ren-noreplace", ("suite-read", "rename", "inode_rename"), |side| {
        let to = side.at("moved");
        sys::rename2(&side.at("secret"), &to, libc::RENAME_NOREPLACE)?;
        fs::rename(to, side.at("secret")).step("back")
    }),
    denied("rename", "ren-across", ("suite-read", "rename", "inode_rename"), |side| {
        let to = side.free("folder/moved");
        fs::rename(side.at("secret"), &to)?;
        fs::rename(to, side.at("secret")).step("back")
    }),
    denied("rename", "ren-tmpfs", ("suite-read", "rename", "inode_rename"), |side| {
        there_and_back(side, "secret")
    })
    .in_memory(),
    // The folder above it is nobody's, but under another name it must not lead to what is protected.
    denied("rename", "ren-parent", ("suite-read", "rename|open", "inode_rename|file_open"), |side| {
        let (from, to) = (side.at("nest"), side.at("nest.moved"));
        fs::rename(&from, &to)?;
        let done = read(&format!("{to}/inner/secret"));
        fs::rename(to, from).step("back")?;
        done
    }),
    denied("rename", "ren-free", READ, |side| {
        // It came after the policy and was moved away by the one outside: it was known by that name only.
        let (from, to) = (side.at("pending"), side.free("folder/away"));
        outside::put(&from)?;
        outside::rename(&from, &to)?;
        read(&to).step("by the name that it has now")?;
        fs::remove_file(&to).step("remove")?;
        read(&side.at("secret"))
    })
    .allows("what came after the policy, under the name that somebody free gave it"),
    denied("procfs", "proc-root", READ, |side| read(&format!("/proc/self/root{}", side.at("secret")))),
    denied("procfs", "proc-cwd", READ, |side| {
        std::env::set_current_dir(side.root()).step("chdir")?;
        read("/proc/self/cwd/secret")
    }),
    denied("procfs", "proc-fd", READ, |side| {
        let folder = sys::open(side.root(), libc::O_RDONLY | libc::O_DIRECTORY).step("the folder")?;
        read(&format!("/proc/self/fd/{}/secret", folder.as_raw_fd()))
    }),
    denied("procfs", "proc-thread", READ, |side| {
        read(&format!("/proc/thread-self/root{}", side.at("secret")))
    }),
    denied("procfs", "proc-pid-root", READ, |side| {
        // Of another process: init's root.
        match read(&format!("/proc/1/root{}", side.at("secret"))) {
            Err(Stop::Errno(libc::EACCES)) => Err(Stop::Skip("/proc/1/root is closed".to_owned())),
            other => other,
        }
    }),
    denied("procfs", "proc-pid-cwd", READ, |side| {
        let victim = in_folder(side)?;
        let done = read(&format!("/proc/{}/cwd/secret", victim.pid()));
        drop(victim);
        done
    }),
    denied("procfs", "proc-map-files", WRITE, |side| {
        // A mapped file can be opened again by its addresses.
        let fd = sys::open(&side.at("config"), libc::O_RDONLY).step("to read")?;
        let start = sys::map(&fd, libc::PROT_READ, libc::MAP_SHARED).step("mmap")?;
        let path = format!("/proc/self/map_files/{start:x}-{:x}", start + 4096);
        match open(&path, libc::O_WRONLY) {
            Err(Stop::Errno(libc::ENOENT)) => Err(Stop::Skip("no /proc/self/map_files".to_owned())),
            other => other,
        }
    }),
    denied("procfs", "proc-fd-write", WRITE, |side| {
        let fd = sys::open(&side.at("config"), libc::O_RDONLY).step("to read")?;
        open(&format!("/proc/self/fd/{}", fd.as_raw_fd()), libc::O_WRONLY)
    }),
    denied("procfs", "proc-dev-fd", WRITE, |side| {
        let fd = sys::open(&side.at("config"), libc::O_RDONLY).step("to read")?;
        open(&format!("/dev/fd/{}", fd.as_raw_fd()), libc::O_RDWR)
    }),
    // A file put in another's place, by whoever is free to: covered from its first instant, by its name.
    denied("unlink/recreate", "re-unlink", ("suite-read", "unlink", "inode_unlink"), |side| {
        fs::remove_file(side.at("secret")).map_err(Stop::from)
    }),
    denied("unlink/recreate", "re-unlinkat", ("suite-keep", "unlink", "inode_unlink"), |side| {
        sys::path_at_call(libc::SYS_unlinkat, sys::HERE, &side.at("kept"), &[0])
    }),
    denied("unlink/recreate", "re-rmdir", ("suite-keep", "unlink", "inode_unlink"), |side| {
        fs::remove_dir(side.at("kept-folder")).map_err(Stop::from)
    }),
    denied("unlink/recreate", "re-create", ("suite-read", "create", "inode_create"), |side| {
        open(&side.at("pending"), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)
    }),
    denied("unlink/recreate", "re-mkdir", ("suite-read", "create", "inode_create"), |side| {
        sys::mkdir(&side.at("pending"))?;
        fs::remove_dir(side.at("pending")).step("remove")
    }),
    denied("unlink/recreate", "re-symlink", ("suite-read", "create", "inode_create"), |side| {
        symlink("plain", side.at("pending")).map_err(Stop::from)
    }),
    denied("unlink/recreate", "re-mknod", ("suite-read", "create", "inode_create"), |side| {
        sys::mknod(&side.at("pending"), libc::S_IFIFO | 0o644, 0)
    }),
    denied("unlink/recreate", "re-replaced", READ, |side| {
        outside::replace(&side.at("swapped"))?;
        read(&side.at("swapped"))
    }),
    denied("unlink/recreate", "re-replaced-w", READ, |side| {
        outside::replace(&side.at("swapped"))?;
        open(&side.at("swapped"), libc::O_WRONLY | libc::O_TRUNC)
    })
    .in_memory(),
    denied("unlink/recreate", "re-number", READ, |side| {
        // Another file that got the number of one that the one outside removed: taken for that.
        let (old, new) = (side.at("numbered"), side.free("numbered-again"));
        outside::renumber(&old, &new)?;
        let done = read(&new);
        outside::remove(&new)?;
        outside::put(&old)?;
        done
    })
    .by_object(),
    denied("unlink/recreate", "re-reader", READ, |side| {
        // The old object is still open somewhere: that name leads to the new one now.
        let old = outside::opened(&side.at("swapped"), libc::O_RDONLY)?;
        outside::replace(&side.at("swapped"))?;
        take(old).step("the old one")?;
        read(&side.at("swapped"))
    }),
];

/// A directory in the place of the link that is there, and the secret in it.
fn in_place_of(side: Side, name: &str) -> Done {
    if crate::fixture::is_fresh() && !side.absent {
        return Err(Stop::Skip("the links are there before the policy at the next boot only".to_owned()));
    }
    let place = side.at(name);
    fs::remove_file(&place).step("remove the link")?;
    fs::create_dir(&place).step("mkdir")?;
    open(&format!("{place}/secret"), libc::O_CREAT | libc::O_RDWR)
}

fn through_own_link(side: Side, target: &str) -> Done {
    let link = side.free("folder/own-link");
    let _ = fs::remove_file(&link);
    symlink(target, &link).step("symlink")?;
    let done = read(&link);
    let _ = fs::remove_file(&link);
    done
}

/// A file of the workload's own.
fn own_file(side: Side) -> Result<String, Stop> {
    let path = side.free("folder/own");
    fs::write(&path, b"mine\n").step("a file")?;
    Ok(path)
}

fn exchange(one: &str, other: &str) -> Done {
    sys::rename2(one, other, libc::RENAME_EXCHANGE)
}

fn there_and_back(side: Side, name: &str) -> Done {
    let to = side.at("moved");
    fs::rename(side.at(name), &to)?;
    fs::rename(to, side.at(name)).step("back")
}

/// Another name of `secret`, in an unprotected folder, made by the one who prepares.
fn hard_link(side: Side) -> Result<String, Stop> {
    let path = format!("/data/suite/links/secret-{}", side.letter());
    fs::symlink_metadata(&path).step("the other name")?;
    Ok(path)
}

/// A process whose current directory is this side's.
fn in_folder(side: Side) -> Result<sys::Victim, Stop> {
    std::env::set_current_dir(side.root()).step("chdir")?;
    let victim = sys::Victim::start()?;
    std::env::set_current_dir("/").step("chdir")?;
    Ok(victim)
}
