//! What is denied is held in place: mode, owner, times. What a descriptor, or an attribute of other kinds, may do.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown};
use std::time::{Duration, SystemTime};

use super::{READ, open, read};
use crate::scenario::{Scenario, Step as _, Stop, denied};
use crate::sys::{self, HERE, call, n};

const HELD: super::Expected = ("suite-keep", "setattr", "inode_setattr");
const SET: super::Expected = ("suite-read", "setattr", "inode_setattr");

pub(super) const ALL: &[Scenario] = &[
    denied("attributes", "set-chmod", SET, |side| {
        fs::set_permissions(side.at("secret"), fs::Permissions::from_mode(0o666)).map_err(Stop::from)
    }),
    denied("attributes", "set-chmod-held", HELD, |side| {
        fs::set_permissions(side.at("kept"), fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    }),
    denied("attributes", "set-fchmod", HELD, |side| {
        let file = fs::File::open(side.at("kept")).step("it may be read")?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    }),
    denied("attributes", "set-chmod-exec", ("suite-exec", "setattr", "inode_setattr"), |side| {
        fs::set_permissions(side.at("tool"), fs::Permissions::from_mode(0o700)).map_err(Stop::from)
    })
    .in_memory(),
    denied("attributes", "set-chown", SET, |side| {
        chown(side.at("secret"), Some(65534), None).map_err(Stop::from)
    }),
    denied("attributes", "set-lchown", SET, |side| {
        lchown(side.at("secret"), Some(65534), Some(65534)).map_err(Stop::from)
    }),
    denied("attributes", "set-fchown", HELD, |side| {
        let file = fs::File::open(side.at("kept")).step("it may be read")?;
        call(libc::SYS_fchown, &[n(file.as_raw_fd()), 65534, 65534])?;
        Ok(())
    }),
    denied("attributes", "set-times", SET, |side| {
        let times = [libc::timespec { tv_sec: 1, tv_nsec: 0 }, libc::timespec { tv_sec: 1, tv_nsec: 0 }];
        sys::path_at_call(libc::SYS_utimensat, HERE, &side.at("secret"), &[sys::at(&times), 0])
    }),
    denied("attributes", "set-now", SET, |side| {
        sys::path_at_call(libc::SYS_utimensat, HERE, &side.at("secret"), &[0, 0])
    }),
    denied("attributes", "set-ftimes", HELD, |side| {
        let file = fs::File::open(side.at("kept")).step("it may be read")?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).map_err(Stop::from)
    }),
    denied("attributes", "set-folder", HELD, |side| {
        fs::set_permissions(side.at("kept-folder"), fs::Permissions::from_mode(0o700)).map_err(Stop::from)
    }),
    denied("attributes", "set-in-tree", ("suite-tree", "setattr", "inode_setattr"), |side| {
        fs::set_permissions(side.at("tree/deep/er/file"), fs::Permissions::from_mode(0o666))
            .map_err(Stop::from)
    }),
    denied("attributes", "held-is-usable", HELD, |side| {
        // What is held only in place can be read and written.
        read(&side.at("kept")).step("read")?;
        open(&side.at("kept"), libc::O_RDWR).step("opened to write")?;
        fs::set_permissions(side.at("kept"), fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    })
    .allows("reading and writing what only `change` is denied of"),
    denied("attributes", "flags-set", HELD, |side| {
        // Flags of the inode (chattr): they change neither content nor, by our rules, who may have it.
        const GET: usize = 0x8008_6601; // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_NODUMP_FL
        const SET: usize = 0x4008_6602;
        const NO_DUMP: u64 = 0x40;
        let path = side.at("kept");
        let file = fs::File::open(&path).step("it may be read")?;
        let mut flags = 0_u64;
        call(libc::SYS_ioctl, &[n(file.as_raw_fd()), GET, std::ptr::from_mut(&mut flags) as usize])
            .offered("flags")?;
        for now in [flags | NO_DUMP, flags] {
            call(libc::SYS_ioctl, &[n(file.as_raw_fd()), SET, sys::at(&now)]).step("flags")?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    })
    .allows("flags of a protected file's inode"),
    denied("attributes", "acl-set", HELD, |side| {
        // Whom it lets in: the file's owner and root can say so, rules are no permissions.
        const ENTRIES: [(u16, u16, i32); 5] =
            [(1, 6, -1), (2, 4, 65534), (4, 4, -1), (16, 4, -1), (32, 4, -1)];
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, may, who) in ENTRIES {
            list.extend([tag.to_le_bytes(), may.to_le_bytes()].concat());
            list.extend(who.to_le_bytes());
        }
        let (path, name) = (sys::c(&side.at("kept")), sys::c("system.posix_acl_access"));
        let what = [path.as_ptr() as usize, name.as_ptr() as usize, sys::at(&list[..]), list.len(), 0];
        call(libc::SYS_setxattr, &what).offered("ACLs")?;
        call(libc::SYS_removexattr, &what[..2]).step("back")?;
        fs::set_permissions(side.at("kept"), fs::Permissions::from_mode(0o600)).map_err(Stop::from)
    })
    .allows("ACLs of a protected file"),
    denied("attributes", "xattr-set", READ, |side| {
        // No rule speaks of extended attributes: they change neither content nor who may have it, by our rules.
        let (path, name) = (sys::c(&side.at("secret")), sys::c("user.suite"));
        let list = [path.as_ptr() as usize, name.as_ptr() as usize, sys::at(b"x"), 1, 0];
        match call(libc::SYS_setxattr, &list) {
            Ok(_) => {}
            Err(libc::EOPNOTSUPP) => return Err(Stop::Skip("no extended attributes here".to_owned())),
            Err(number) => return Err(Stop::Broken(format!("setxattr: errno {number}"))),
        }
        read(&side.at("secret"))
    })
    .allows("extended attributes of a protected file"),
];
