//! Ways to open a file: directly, by `openat2`, by handle, by `O_PATH`, to cut it, by a descriptor that was open before.

use std::os::fd::AsRawFd as _;

use super::{READ, WRITE, open, read, take};
use crate::outside;
use crate::scenario::{Control, Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys::{self, call, n};

pub(super) const ALL: &[Scenario] = &[
    denied("direct", "open-read", READ, |side| read(&side.at("secret"))),
    denied("direct", "open-write", READ, |side| open(&side.at("secret"), libc::O_WRONLY)),
    denied("direct", "open-both", READ, |side| open(&side.at("secret"), libc::O_RDWR)),
    denied("direct", "open-append", READ, |side| open(&side.at("secret"), libc::O_WRONLY | libc::O_APPEND)),
    denied("direct", "open-relative", READ, |side| {
        std::env::set_current_dir(side.root()).step("chdir")?;
        read("secret")
    }),
    denied("direct", "open-dots", READ, |side| read(&side.at("folder/../nest/.././secret"))),
    denied("direct", "open-openat", READ, |side| {
        let folder = sys::open(side.root(), libc::O_RDONLY | libc::O_DIRECTORY).step("the folder")?;
        take(sys::openat(folder.as_raw_fd(), "secret", libc::O_RDONLY, 0)?)
    }),
    denied("direct", "open-thread", READ, |side| sys::in_thread(|| read(&side.at("secret")))),
    denied("direct", "open-nonblock", READ, |side| {
        take(sys::open(&side.at("secret"), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOATIME)?)
    }),
    denied("direct", "write-only", WRITE, |side| {
        read(&side.at("config")).step("it may be read")?;
        open(&side.at("config"), libc::O_WRONLY)
    }),
    denied("direct", "write-both", WRITE, |side| open(&side.at("config"), libc::O_RDWR)),
    denied("direct", "image-file", ("suite-image", "open", "file_open"), |side| {
        read(if side.protected { "/etc/shadow" } else { "/etc/group" })
    }),
    denied("direct", "device-node", ("suite-node", "open", "file_open"), |side| {
        open(if side.protected { "/dev/full" } else { "/dev/zero" }, libc::O_RDWR)
    }),
    denied("direct", "device-copy", ("suite-node", "open", "file_open"), |side| {
        // Another node of the same number, made by the workload itself.
        let path = format!("/dev/suite-{}", side.letter());
        let _ = std::fs::remove_file(&path);
        let number = libc::makedev(1, if side.protected { 7 } else { 5 });
        sys::mknod(&path, libc::S_IFCHR | 0o600, number).step("mknod")?;
        let done = open(&path, libc::O_RDWR);
        let _ = std::fs::remove_file(&path);
        done
    }),
    denied("direct", "too-deep", ("aegis-depth", "open", "file_open"), |side| {
        read(&crate::fixture::deep_file(side))
    }),
    denied("tmpfs", "tmp-read", READ, |side| read(&side.at("secret"))).in_memory(),
    denied("tmpfs", "tmp-write", READ, |side| open(&side.at("secret"), libc::O_WRONLY)).in_memory(),
    denied("tmpfs", "tmp-only-write", WRITE, |side| open(&side.at("config"), libc::O_WRONLY)).in_memory(),
    denied("tmpfs", "tmp-creat", ("suite-read", "create", "inode_create"), |side| {
        open(&side.at("pending"), libc::O_WRONLY | libc::O_CREAT)
    })
    .in_memory(),
    denied("tmpfs", "tmp-nested", READ, |side| read(&side.at("nest/inner/secret"))).in_memory(),
    denied("openat2", "oa2-plain", READ, |side| by_openat2(side, 0)),
    denied("openat2", "oa2-in-root", READ, |side| by_openat2(side, libc::RESOLVE_IN_ROOT)),
    denied("openat2", "oa2-beneath", READ, |side| by_openat2(side, libc::RESOLVE_BENEATH)),
    denied("openat2", "oa2-no-links", READ, |side| by_openat2(side, libc::RESOLVE_NO_SYMLINKS)),
    denied("openat2", "oa2-no-magic", READ, |side| by_openat2(side, libc::RESOLVE_NO_MAGICLINKS)),
    denied("openat2", "oa2-no-xdev", READ, |side| by_openat2(side, libc::RESOLVE_NO_XDEV)),
    denied("openat2", "oa2-cached", READ, |side| {
        // Only what is in memory already: it is, its status was just asked for.
        std::fs::metadata(side.at("secret")).step("its status")?;
        match by_openat2(side, 0x20) {
            Err(Stop::Errno(libc::EINVAL)) => Err(Stop::Skip("no RESOLVE_CACHED".to_owned())),
            other => other,
        }
    }),
    denied("handle", "handle-read", READ, |side| by_handle(side, "nest/inner/secret", false)),
    denied("handle", "handle-tmpfs", READ, |side| by_handle(side, "nest/inner/secret", false)).in_memory(),
    denied("handle", "handle-tree", ("suite-tree|aegis-depth", "open", "file_open"), |side| {
        by_handle(side, "tree/deep/er/file", false)
    }),
    // Out of the kernel's memory first: then the file hangs in the air, and nobody knows what is above it.
    denied("handle", "handle-cold", ("suite-read|aegis-depth", "open", "file_open"), |side| {
        cold(side, "nest/inner/secret")
    })
    // Whatever hangs in the air is denied, the twin too.
    .control(Control::Absent),
    denied("handle", "handle-cold-dir", ("suite-tree|aegis-depth", "open", "file_open"), |side| {
        cold(side, "tree/deep/er/file")
    })
    .control(Control::Absent),
    denied("handle", "handle-folder", READ, |side| {
        let handle = sys::handle_of(side.root()).offered("name_to_handle_at")?;
        let mount = sys::open("/data", libc::O_RDONLY).step("the mount")?;
        let folder = sys::open_by_handle(&mount, &handle, libc::O_RDONLY).step("the folder")?;
        take(sys::openat(folder.as_raw_fd(), "secret", libc::O_RDONLY, 0)?)
    }),
    denied("O_PATH", "opath-reopen", READ, |side| {
        let fd = sys::open(&side.at("secret"), libc::O_PATH).step("O_PATH is no open")?;
        read(&format!("/proc/self/fd/{}", fd.as_raw_fd()))
    })
    .allows("a descriptor that can neither read nor write"),
    denied("O_PATH", "opath-folder", READ, |side| {
        let folder = sys::open(side.root(), libc::O_PATH | libc::O_DIRECTORY).step("the folder")?;
        take(sys::openat(folder.as_raw_fd(), "secret", libc::O_RDONLY, 0)?)
    }),
    denied("O_PATH", "opath-nofollow", READ, |side| {
        let link = sys::open(&side.at("link"), libc::O_PATH | libc::O_NOFOLLOW).step("the link itself")?;
        drop(link);
        read(&side.at("link"))
    }),
    denied("O_PATH", "opath-chmod", ("suite-read", "setattr", "inode_setattr"), |side| {
        let fd = sys::open(&side.at("secret"), libc::O_PATH).step("O_PATH is no open")?;
        sys::path_at_call(
            libc::SYS_fchmodat,
            sys::HERE,
            &format!("/proc/self/fd/{}", fd.as_raw_fd()),
            &[0o666],
        )
    }),
    denied("O_PATH", "opath-link", ("suite-read", "link", "inode_link"), |side| {
        let fd = sys::open(&side.at("secret"), libc::O_PATH).step("O_PATH is no open")?;
        let to = side.at("linked");
        sys::linkat(fd.as_raw_fd(), "", &to, libc::AT_EMPTY_PATH)?;
        std::fs::remove_file(to).step("remove")
    }),
    denied("truncate", "trunc-open", WRITE, |side| open(&side.at("config"), libc::O_WRONLY | libc::O_TRUNC)),
    denied(
        "truncate",
        "trunc-read-open",
        ("suite-write", "open|setattr", "file_open|inode_setattr"),
        |side| open(&side.at("config"), libc::O_RDONLY | libc::O_TRUNC),
    ),
    denied("truncate", "trunc-creat", WRITE, |side| sys::creat(&side.at("config"))),
    denied("truncate", "trunc-call", ("suite-write", "setattr", "inode_setattr"), |side| {
        sys::path_call(libc::SYS_truncate, &side.at("config"), &[0])
    }),
    denied("truncate", "trunc-secret", ("suite-read", "setattr", "inode_setattr"), |side| {
        sys::path_call(libc::SYS_truncate, &side.at("secret"), &[0])
    }),
    denied("truncate", "trunc-longer", ("suite-write", "setattr", "inode_setattr"), |side| {
        sys::path_call(libc::SYS_truncate, &side.at("config"), &[8192])
    }),
    // A descriptor writes on, but it can't cut the file: that is a change of the file, not of the descriptor.
    denied("truncate", "trunc-by-fd", ("suite-write", "setattr", "inode_setattr"), |side| {
        let fd = outside::opened(&side.at("config"), libc::O_RDWR)?;
        call(libc::SYS_ftruncate, &[n(fd.as_raw_fd()), 0])?;
        Ok(())
    }),
    denied("pre-opened", "pre-read", READ, |side| {
        let fd = outside::opened(&side.at("secret"), libc::O_RDONLY)?;
        take(fd).step("a descriptor that was open before reads on")?;
        read(&side.at("secret"))
    })
    .allows("reading by a descriptor that was open before"),
    denied("pre-opened", "pre-write", WRITE, |side| {
        let fd = outside::opened(&side.at("config"), libc::O_WRONLY)?;
        sys::write(fd.as_raw_fd(), b"plain\n").step("a descriptor that was open before writes on")?;
        open(&side.at("config"), libc::O_WRONLY)
    })
    .allows("writing by a descriptor that was open before"),
    denied("pre-opened", "pre-reopen", READ, |side| {
        let fd = outside::opened(&side.at("secret"), libc::O_RDONLY)?;
        read(&format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }),
    denied("pre-opened", "pre-folder", READ, |side| {
        let folder = outside::opened(side.root(), libc::O_RDONLY | libc::O_DIRECTORY)?;
        take(sys::openat(folder.as_raw_fd(), "secret", libc::O_RDONLY, 0)?)
    }),
    denied("pre-opened", "pre-map", READ, |side| {
        let fd = outside::opened(&side.at("secret"), libc::O_RDONLY)?;
        sys::map(&fd, libc::PROT_READ, libc::MAP_PRIVATE).step("it can be mapped")?;
        read(&side.at("secret"))
    })
    .allows("mapping, to read, a descriptor that was open before"),
];

fn by_openat2(side: Side, resolve: u64) -> Done {
    let folder = sys::open(side.root(), libc::O_RDONLY | libc::O_DIRECTORY).step("the folder")?;
    match sys::openat2(folder.as_raw_fd(), "secret", libc::O_RDONLY, resolve) {
        Err(libc::ENOSYS) => Err(Stop::Skip("openat2".to_owned())),
        other => take(other?),
    }
}

fn by_handle(side: Side, name: &str, cold: bool) -> Done {
    let handle = sys::handle_of(&side.at(name)).offered("name_to_handle_at")?;
    let mount = sys::open(side.root(), libc::O_RDONLY | libc::O_DIRECTORY).step("the mount")?;
    if cold {
        std::fs::write("/proc/sys/vm/drop_caches", "2").step("drop_caches")?;
    }
    take(sys::open_by_handle(&mount, &handle, libc::O_RDONLY)?)
}

/// Twice: what was looked at just now may still be in use the first time.
fn cold(side: Side, name: &str) -> Done {
    std::fs::write("/proc/sys/vm/drop_caches", "3").step("drop_caches")?;
    by_handle(side, name, true)
}
