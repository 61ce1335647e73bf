//! All that is below a directory, and whatever comes into being there.

use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use super::{TREE, open, read, take};
use crate::scenario::{Scenario, Step as _, Stop, denied};
use crate::sys;

const MADE: super::Expected = ("suite-tree", "create", "inode_create");
const MOVED: super::Expected = ("suite-tree", "rename", "inode_rename");

pub(super) const ALL: &[Scenario] = &[
    denied("subtree", "tree-read", TREE, |side| read(&side.at("tree/file"))),
    denied("subtree", "tree-deep", TREE, |side| read(&side.at("tree/deep/er/file"))),
    denied("subtree", "tree-write", TREE, |side| open(&side.at("tree/file"), libc::O_WRONLY)),
    denied("subtree", "tree-list", TREE, |side| open(&side.at("tree"), libc::O_RDONLY | libc::O_DIRECTORY)),
    denied("subtree", "tree-list-deep", TREE, |side| {
        open(&side.at("tree/deep"), libc::O_RDONLY | libc::O_DIRECTORY)
    }),
    denied("subtree", "tree-tmpfs", TREE, |side| read(&side.at("tree/deep/er/file"))).in_memory(),
    denied("subtree", "tree-from-below", TREE, |side| {
        std::env::set_current_dir(side.at("tree/deep/er")).step("chdir")?;
        read("file")
    }),
    denied("subtree", "tree-by-opath", TREE, |side| {
        let folder =
            sys::open(&side.at("tree/deep"), libc::O_PATH | libc::O_DIRECTORY).step("O_PATH is no open")?;
        take(sys::openat(folder.as_raw_fd(), "er/file", libc::O_RDONLY, 0)?)
    }),
    denied("subtree creation", "tree-create", MADE, |side| {
        open(&side.at("tree/new"), libc::O_WRONLY | libc::O_CREAT)
    }),
    denied("subtree creation", "tree-create-dp", MADE, |side| {
        open(&side.at("tree/deep/er/new"), libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)
    }),
    denied("subtree creation", "tree-create-tmp", MADE, |side| {
        open(&side.at("tree/new"), libc::O_WRONLY | libc::O_CREAT)
    })
    .in_memory(),
    denied("subtree creation", "tree-tmpfile", TREE, |side| {
        open(&side.at("tree/deep"), libc::O_RDWR | libc::O_TMPFILE)
    }),
    denied("subtree creation", "tree-mkdir", MADE, |side| {
        sys::mkdir(&side.at("tree/new"))?;
        fs::remove_dir(side.at("tree/new")).step("remove")
    }),
    denied("subtree creation", "tree-symlink", MADE, |side| {
        symlink("../plain", side.at("tree/new")).map_err(Stop::from)
    }),
    denied("subtree creation", "tree-fifo", MADE, |side| {
        sys::mknod(&side.at("tree/new"), libc::S_IFIFO | 0o644, 0)
    }),
    denied("subtree creation", "tree-node", MADE, |side| {
        sys::mknod(&side.at("tree/new"), libc::S_IFCHR | 0o644, libc::makedev(1, 5))
    }),
    denied("subtree creation", "tree-regular", MADE, |side| {
        sys::mknod(&side.at("tree/new"), libc::S_IFREG | 0o644, 0)
    }),
    denied("subtree creation", "tree-socket", MADE, |side| {
        let socket = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM).step("a socket")?;
        sys::bind(&socket, &sys::unix_address(&side.at("tree/new")))
    }),
    denied("subtree creation", "tree-link-in", ("suite-tree", "link", "inode_link"), |side| {
        let to = side.at("tree/linked");
        sys::linkat(sys::HERE, &side.at("plain"), &to, 0)
    }),
    denied("subtree creation", "tree-link-out", ("suite-tree", "link", "inode_link"), |side| {
        let to = side.at("linked");
        sys::linkat(sys::HERE, &side.at("tree/file"), &to, 0)
    }),
    denied("subtree creation", "tree-tmpfile-in", ("suite-tree", "link", "inode_link"), |side| {
        // A file without a name, given one in the tree.
        let fd =
            sys::open(&side.at("folder"), libc::O_RDWR | libc::O_TMPFILE).step("a file without a name")?;
        sys::linkat(fd.as_raw_fd(), "", &side.at("tree/new"), libc::AT_EMPTY_PATH)
    }),
    denied("subtree rename", "tree-move-in", MOVED, |side| {
        let from = side.free("folder/own");
        fs::write(&from, b"mine\n").step("a file")?;
        fs::rename(from, side.at("tree/moved")).map_err(Stop::from)
    }),
    denied("subtree rename", "tree-move-out", MOVED, |side| {
        fs::rename(side.at("tree/file"), side.at("moved"))?;
        fs::rename(side.at("moved"), side.at("tree/file")).step("back")
    }),
    denied("subtree rename", "tree-move-dir", MOVED, |side| {
        fs::rename(side.at("tree/deep"), side.at("moved"))?;
        fs::rename(side.at("moved"), side.at("tree/deep")).step("back")
    }),
    denied("subtree rename", "tree-move-self", MOVED, |side| {
        fs::rename(side.at("tree/deep/er/file"), side.at("tree/deep/er/new"))?;
        fs::rename(side.at("tree/deep/er/new"), side.at("tree/deep/er/file")).step("back")
    }),
    denied("subtree rename", "tree-move-root", MOVED, |side| {
        fs::rename(side.at("tree"), side.at("tree.moved"))?;
        fs::rename(side.at("tree.moved"), side.at("tree")).step("back")
    }),
    denied("subtree rename", "tree-exchange", MOVED, |side| {
        let swap = || sys::rename2(&side.at("tree/file"), &side.at("plain"), libc::RENAME_EXCHANGE);
        swap()?;
        swap()
    }),
    denied("subtree", "tree-unlink", ("suite-tree", "unlink", "inode_unlink"), |side| {
        fs::remove_file(side.at("tree/file")).map_err(Stop::from)
    }),
    denied("subtree", "tree-rmdir", ("suite-tree", "unlink", "inode_unlink"), |side| {
        fs::remove_dir(side.at("tree/empty")).map_err(Stop::from)
    }),
    denied("subtree", "tree-unlink-sym", ("suite-tree", "unlink", "inode_unlink"), |side| {
        fs::remove_file(side.at("tree/out")).map_err(Stop::from)
    }),
    denied("subtree", "tree-link-from", TREE, |side| {
        // A symbolic link that is itself below the tree leads out of it: what it leads to is no part of the tree.
        read(&side.at("tree/out")).step("what it leads to")?;
        read(&side.at("tree/file"))
    })
    .allows("following a link from below the tree to what is not below it"),
];
