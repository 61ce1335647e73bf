//! Bytes read from and written to files, by every way there is.

use std::fs::{File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use super::{FOLDER, LENGTH, flows};
use crate::scenario::{Done, Step as _, Stop};
use crate::sys::{self, call, n};

/// What is done to one file, and what must be told of it.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// The file's name.
    pub name: &'static str,
    /// Bytes read and written: an event each.
    pub told: &'static [(u64, u64)],
    act: fn(&str) -> Done,
}

impl Volume {
    pub(super) fn path(&self) -> String {
        format!("{FOLDER}/{}", self.name)
    }
}

const fn volume(name: &'static str, told: &'static [(u64, u64)], act: fn(&str) -> Done) -> Volume {
    Volume { name, told, act }
}

/// All of them, in this order.
pub const VOLUMES: &[Volume] = &[
    volume("read", &[(600, 0)], |path| {
        let mut file = open(path)?;
        file.read_exact(&mut [0; 100]).step("read")?;
        file.read_exact(&mut [0; 500]).step("read")
    }),
    volume("pread", &[(300, 0)], |path| {
        let file = open(path)?;
        file.read_exact_at(&mut [0; 100], 4000).step("pread")?;
        file.read_exact_at(&mut [0; 200], 0).step("pread")
    }),
    volume("readv", &[(90, 0)], |path| {
        let (mut one, mut other) = ([0; 40], [0; 50]);
        let mut pieces = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut other)];
        all_of(90, open(path)?.read_vectored(&mut pieces).step("readv")?)
    }),
    volume("preadv", &[(70, 0)], |path| in_pieces(libc::SYS_preadv, path, &[30, 40])),
    volume("preadv2", &[(35, 0)], |path| in_pieces(libc::SYS_preadv2, path, &[30, 5])),
    volume("write", &[(0, 1024)], |path| {
        let mut file = open(path)?;
        file.write_all(&[0; 1000]).step("write")?;
        file.write_all(&[0; 24]).step("write")
    }),
    volume("pwrite", &[(0, 250)], |path| {
        let file = open(path)?;
        file.write_all_at(&[0; 200], 4000).step("pwrite")?;
        file.write_all_at(&[0; 50], 0).step("pwrite")
    }),
    volume("writev", &[(0, 110)], |path| {
        let pieces = [IoSlice::new(&[0; 50]), IoSlice::new(&[0; 60])];
        all_of(110, open(path)?.write_vectored(&pieces).step("writev")?)
    }),
    volume("pwritev", &[(0, 130)], |path| in_pieces(libc::SYS_pwritev, path, &[30, 100])),
    volume("pwritev2", &[(0, 55)], |path| in_pieces(libc::SYS_pwritev2, path, &[50, 5])),
    volume("mixed", &[(450, 600)], |path| {
        let mut file = open(path)?;
        file.read_exact(&mut [0; 100]).step("read")?;
        file.write_all(&[0; 200]).step("write")?;
        file.read_exact_at(&mut [0; 300], 0).step("pread")?;
        pieces(libc::SYS_pwritev, &file, &[150, 250])?;
        pieces(libc::SYS_readv, &file, &[20, 30])
    }),
    volume("append", &[(0, 30)], |path| {
        let file = OpenOptions::new().append(true).open(path).step("open")?;
        (&file).write_all(&[0; 30]).step("write")
    }),
    // What is asked for is not what there is.
    volume("short", &[(LENGTH, 0)], |path| {
        let mut file = open(path)?;
        all_of(LENGTH as usize, file.read(&mut [0; 10_000]).step("read")?)?;
        all_of(0, file.read(&mut [0; 10_000]).step("read")?)
    }),
    volume("failed", &[], |path| {
        let file = open(path)?;
        match call(libc::SYS_read, &[n(file.as_raw_fd()), 0, 100]) {
            Err(libc::EFAULT) => Ok(()),
            other => Err(Stop::Broken(format!("read into nothing: {other:?}"))),
        }
    }),
    volume("untouched", &[], |path| open(path).map(drop)),
    volume("dup", &[(10, 300)], |path| {
        let mut file = open(path)?;
        let mut other = file.try_clone().step("dup")?;
        file.write_all(&[0; 100]).step("write")?;
        drop(file);
        other.write_all(&[0; 200]).step("write")?;
        other.read_exact(&mut [0; 10]).step("read")
    }),
    volume("forked", &[(10, 20)], |path| {
        let mut file = open(path)?;
        file.write_all(&[0; 20]).step("write")?;
        sys::in_child(|| {
            let mut file = &file;
            file.read_exact(&mut [0; 10]).step("read")
        })
    }),
    volume("twice", &[(7, 0), (0, 5)], |path| {
        let (mut one, mut other) = (open(path)?, open(path)?);
        other.write_all(&[0; 5]).step("write")?;
        one.read_exact(&mut [0; 7]).step("read")?;
        drop(one);
        drop(other);
        Ok(())
    }),
    // Not summed: no call says how many bytes those of a mapping were, and those that the kernel moves itself come to
    // other functions (docs/policy-semantics.md).
    volume("mapped", &[], |path| {
        let file = open(path)?;
        sys::map(&OwnedFd::from(file), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).step("mmap")?;
        Ok(())
    }),
    volume("sent", &[], |path| {
        let file = open(path)?;
        let (client, mut server) = flows::stream("127.0.0.1:7003", "127.0.0.1:7103", "127.0.0.1:7003")?;
        let sent = call(libc::SYS_sendfile, &[n(client.as_raw_fd()), n(file.as_raw_fd()), 0, 3000])
            .step("sendfile")?;
        all_of(3000, sent)?;
        drop(client);
        server.read_exact(&mut [0; 3000]).step("receive")
    }),
    volume("spliced", &[], |path| {
        let file = open(path)?;
        let (reader, writer) = sys::pipe()?;
        let splice =
            |from: i32, to: i32| call(libc::SYS_splice, &[n(from), 0, n(to), 0, 2000, 0]).step("splice");
        all_of(2000, splice(file.as_raw_fd(), writer.as_raw_fd())?)?;
        all_of(2000, splice(reader.as_raw_fd(), file.as_raw_fd())?)
    }),
    volume("copied", &[], |path| {
        let (from, mut to) = (open(path)?, open(path)?);
        to.seek(std::io::SeekFrom::End(0)).step("seek")?;
        let list = [n(from.as_raw_fd()), 0, n(to.as_raw_fd()), 0, 2000, 0];
        all_of(2000, call(libc::SYS_copy_file_range, &list).step("copy_file_range")?)
    }),
];

pub(super) fn all() -> Done {
    VOLUMES.iter().try_for_each(|volume| {
        (volume.act)(&volume.path()).map_err(|stop| Stop::Broken(format!("{}: {stop:?}", volume.name)))
    })
}

fn open(path: &str) -> Result<File, Stop> {
    OpenOptions::new().read(true).write(true).open(path).step("open")
}

/// The call did as much as it shall.
fn all_of(expected: usize, done: usize) -> Done {
    if done == expected { Ok(()) } else { Err(Stop::Broken(format!("{done} of {expected} bytes"))) }
}

fn in_pieces(number: libc::c_long, path: &str, lengths: &[usize]) -> Done {
    pieces(number, &open(path)?, lengths)
}

/// A call with pieces of these lengths, at offset 0 where it takes one.
fn pieces(number: libc::c_long, file: &File, lengths: &[usize]) -> Done {
    let mut buffers: Vec<Vec<u8>> = lengths.iter().map(|length| vec![0; *length]).collect();
    let vectors: Vec<[usize; 2]> =
        buffers.iter_mut().map(|buffer| [buffer.as_mut_ptr() as usize, buffer.len()]).collect();
    let list = [n(file.as_raw_fd()), sys::at(&vectors[..]), vectors.len(), 0, 0, 0];
    all_of(lengths.iter().sum(), call(number, &list).step("a call with pieces")?)
}
