//! Other views of the file system: bind mounts, mounts in a tree, namespaces, another root.

use std::fs;
use std::os::fd::AsRawFd as _;

use super::{EXEC, READ, TREE, WRITE, open, read};
use crate::fixture::SECRET;
use crate::outside;
use crate::scenario::{Done, Scenario, Step as _, Stop, denied};
use crate::side::Side;
use crate::sys::{self, call, n};

/// `include/uapi/linux/mount.h`.
const OPEN_TREE_CLONE: usize = 1;

pub(super) const ALL: &[Scenario] = &[
    denied("bind mount", "bind-folder", READ, |side| {
        read(&format!("/scratch/m/folder-{}/secret", side.letter()))
    }),
    denied("bind mount", "bind-write", WRITE, |side| {
        open(&format!("/scratch/m/folder-{}/config", side.letter()), libc::O_WRONLY)
    }),
    denied("bind mount", "bind-file", READ, |side| read(&format!("/scratch/m/file-{}", side.letter()))),
    denied("bind mount", "bind-tree", TREE, |side| {
        read(&format!("/scratch/m/folder-{}/tree/deep/er/file", side.letter()))
    }),
    denied("bind mount", "bind-image", ("suite-image", "open", "file_open"), |side| {
        read(&format!("/scratch/m/root/etc/{}", if side.protected { "shadow" } else { "group" }))
    }),
    denied("bind mount", "bind-exec", EXEC, |side| {
        let name = if side.protected { "nc" } else { "true" };
        // Without arguments nc says how it is used, and ends with 1.
        sys::run_program(side.protected.into(), || {
            sys::execve(&format!("/scratch/m/root/usr/bin/{name}"), &[name])
        })
    }),
    denied("bind mount", "bind-unlink", ("suite-read", "unlink", "inode_unlink"), |side| {
        fs::remove_file(format!("/scratch/m/folder-{}/secret", side.letter())).map_err(Stop::from)
    }),
    denied("bind mount", "bind-create", ("suite-tree", "create", "inode_create"), |side| {
        let path = format!("/scratch/m/folder-{}/tree/new", side.letter());
        open(&path, libc::O_WRONLY | libc::O_CREAT)
    }),
    // A file system mounted below a protected directory is below it too.
    denied("bind mount", "bind-below", TREE, |side| read(&side.at("tree/mnt/file"))).in_memory(),
    // Its names are held by where it was mounted first, not by where it was mounted last.
    denied("bind mount", "bind-below-rm", ("suite-tree", "unlink", "inode_unlink"), |side| {
        let path = format!("/scratch/m/inner-{}/file", side.letter());
        fs::remove_file(&path)?;
        fs::write(path, SECRET).step("back")
    })
    .in_memory(),
    denied("bind mount", "bind-below-mv", ("suite-tree", "rename", "inode_rename"), |side| {
        let folder = format!("/scratch/m/inner-{}", side.letter());
        let (path, to) = (format!("{folder}/file"), format!("{folder}/moved"));
        fs::rename(&path, &to)?;
        fs::rename(to, path).step("back")
    })
    .in_memory(),
    denied("bind mount", "bind-elsewhere", TREE, |side| {
        // One that was mounted elsewhere before it was mounted below the tree: its names are held by that other place.
        let path = side.at("tree/later/file");
        fs::remove_file(&path).step("by its name")?;
        fs::write(format!("/scratch/m/first-{}/file", side.letter()), SECRET).step("back")?;
        read(&path)
    })
    .in_memory()
    .allows("names in a file system that was mounted elsewhere before it was mounted below a tree"),
    denied("bind mount", "mount-many", ("suite-tree|aegis-depth", "unlink", "inode_unlink"), |side| {
        // Mounted so often that nobody can say where first.
        let path = side.at("tree/many/file");
        fs::remove_file(&path)?;
        fs::write(path, SECRET).step("back")
    })
    .in_memory(),
    denied("mount namespace", "ns-unshare", READ, |side| {
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        read(&side.at("secret"))
    }),
    denied("mount namespace", "ns-tmpfs", READ, |side| {
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        read(&side.at("secret"))
    })
    .in_memory(),
    denied("mount namespace", "ns-exec", EXEC, |side| {
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        sys::run_program(sys::TOOL_EXIT, || sys::execve(&side.at("tool"), &["tool"]))
    })
    .in_memory(),
    denied("mount namespace", "ns-other-view", READ, |side| in_view(side, "secret")),
    denied("mount namespace", "ns-other-tree", TREE, |side| in_view(side, "tree/file")),
    denied("mount namespace", "ns-detached", READ, |side| {
        // A copy of a mount that is mounted nowhere: only its descriptor leads into it.
        let folder = sys::c(side.root());
        let tree = call(libc::SYS_open_tree, &[n(sys::HERE), folder.as_ptr() as usize, OPEN_TREE_CLONE]);
        let tree = sys::fd_of(tree).offered("open_tree")?;
        super::take(sys::openat(tree.as_raw_fd(), "secret", libc::O_RDONLY, 0)?)
    }),
    denied("mount namespace", "root-change", READ, |side| {
        sys::path_call(libc::SYS_chroot, side.root(), &[]).step("chroot")?;
        read("/secret")
    }),
    denied("mount namespace", "root-deeper", READ, |side| {
        sys::path_call(libc::SYS_chroot, &side.at("nest"), &[]).step("chroot")?;
        std::env::set_current_dir("/inner").step("chdir")?;
        read("secret")
    }),
    denied("user namespace", "user-read", READ, |side| {
        user_namespace()?;
        read(&side.at("secret"))
    }),
    denied("user namespace", "user-write", WRITE, |side| {
        user_namespace()?;
        open(&side.at("config"), libc::O_WRONLY)
    }),
    denied("user namespace", "user-exec", EXEC, |side| {
        user_namespace()?;
        sys::run_program(sys::TOOL_EXIT, || sys::execve(&side.at("tool"), &["tool"]))
    })
    .in_memory(),
    denied("user namespace", "user-mounts", READ, |side| {
        user_namespace()?;
        sys::unshare(libc::CLONE_NEWNS).step("unshare")?;
        read(&side.at("secret"))
    }),
    denied("user namespace", "user-net", ("suite-net", "connect", "socket_connect"), |side| {
        user_namespace()?;
        std::net::UdpSocket::bind("127.0.0.1:0").step("a socket")?.connect(side.net4()).map_err(Stop::from)
    }),
    denied("other namespaces", "pid-namespace", READ, |side| {
        sys::unshare(libc::CLONE_NEWPID).step("unshare")?;
        sys::in_child(|| read(&side.at("secret")))
    }),
    denied("other namespaces", "uts-namespace", READ, |side| {
        sys::unshare(libc::CLONE_NEWUTS).step("unshare")?;
        read(&side.at("secret"))
    }),
    denied("other namespaces", "cg-namespace", READ, |side| {
        sys::unshare(libc::CLONE_NEWCGROUP).step("unshare")?;
        read(&side.at("secret"))
    }),
    denied("other namespaces", "net-namespace", ("suite-net", "connect", "socket_connect"), |side| {
        sys::unshare(libc::CLONE_NEWNET).offered("CLONE_NEWNET")?;
        let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
        up.step("lo")?;
        std::net::UdpSocket::bind("127.0.0.1:0").step("a socket")?.connect(side.net4()).map_err(Stop::from)
    }),
    denied("other namespaces", "no-privileges", READ, |side| {
        // Another user, with the capability to read anything: rules are not permissions.
        call(libc::SYS_prctl, &[n(libc::PR_SET_NO_NEW_PRIVS), 1, 0, 0, 0]).step("no_new_privs")?;
        call(libc::SYS_setresgid, &[65534, 65534, 65534]).step("setresgid")?;
        call(libc::SYS_setresuid, &[65534, 65534, 65534]).step("setresuid")?;
        read(&side.at("secret"))
    }),
];

/// By a mount namespace of the one outside, where this side's folder is mounted elsewhere.
fn in_view(side: Side, name: &str) -> Done {
    let view = outside::mount_namespace()?;
    call(libc::SYS_setns, &[n(view.as_raw_fd()), n(libc::CLONE_NEWNS)]).step("setns")?;
    read(&format!("/scratch/m/empty-{}/{name}", side.letter()))
}

/// A user namespace whose root is ours.
fn user_namespace() -> Done {
    sys::unshare(libc::CLONE_NEWUSER).offered("CLONE_NEWUSER")?;
    fs::write("/proc/self/uid_map", "0 0 1").step("uid_map")
}
