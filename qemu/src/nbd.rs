//! Serves a guest's disks to QEMU from this process, by NBD on a Unix socket, so that their power can be cut.
//!
//! Source: the NBD protocol (github.com/NetworkBlockDevice/nbd, doc/proto.md): fixed newstyle negotiation with
//! `NBD_OPT_GO`, simple replies, reads, writes and flushes. One client, one request at a time, in the order they come.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::limits;
use crate::platter::{Off, Power};

const MAGIC: &[u8; 8] = b"NBDMAGIC";
const OPTION: &[u8; 8] = b"IHAVEOPT";
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
/// Fixed newstyle, no zeroes.
const HANDSHAKE: u16 = 3;
/// Has flags, takes flushes.
const EXPORT_FLAGS: u16 = 1 | 4;
const OPT_ABORT: u32 = 2;
const OPT_INFO: u32 = 6;
const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_UNSUPPORTED: u32 = (1 << 31) + 1;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const EIO: u32 = 5;
const EINVAL: u32 = 22;

/// Serves disk number `disk` at `socket` until QEMU hangs up or the power is off.
pub(crate) fn serve(power: &Power, disk: usize, socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    // A QEMU that never comes is no reason to wait for ever.
    listener.set_nonblocking(true)?;
    let power = power.clone();
    thread::spawn(move || {
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock && power.is_on() => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return,
            }
        };
        drop(listener);
        // Whatever ends it, QEMU finds its disk gone: there is nobody else to tell.
        let _ = stream.set_nonblocking(false).and_then(|()| answer(&power, disk, stream));
    });
    Ok(())
}

fn answer(power: &Power, disk: usize, mut stream: UnixStream) -> io::Result<()> {
    if negotiate(&mut stream, power.bytes(disk))? {
        transmit(power, disk, &mut stream)?;
    }
    Ok(())
}

fn bytes<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).map(|()| bytes)
}

fn number(stream: &mut impl Read) -> io::Result<u32> {
    bytes(stream).map(u32::from_be_bytes)
}

/// Agrees on what is served. False when the client wants nothing.
fn negotiate(stream: &mut (impl Read + Write), size: u64) -> io::Result<bool> {
    stream.write_all(&[MAGIC.as_slice(), OPTION, &HANDSHAKE.to_be_bytes()].concat())?;
    number(stream)?;
    loop {
        if bytes(stream)? != *OPTION {
            return Err(ErrorKind::InvalidData.into());
        }
        let (option, length) = (number(stream)?, number(stream)?);
        if u64::from(length) > limits::NBD_OPTION_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        io::copy(&mut stream.take(length.into()), &mut io::sink())?;
        let mut reply = |kind: u32, data: &[u8]| {
            let length = (data.len() as u32).to_be_bytes();
            let head = [option.to_be_bytes(), kind.to_be_bytes(), length].concat();
            stream.write_all(&[&OPTION_REPLY.to_be_bytes(), head.as_slice(), data].concat())
        };
        match option {
            OPT_GO | OPT_INFO => {
                // Whatever was asked for, the one thing that must be said: size and flags.
                let export = [&[0, 0], size.to_be_bytes().as_slice(), &EXPORT_FLAGS.to_be_bytes()].concat();
                reply(REP_INFO, &export)?;
                reply(REP_ACK, &[])?;
                if option == OPT_GO {
                    return Ok(true);
                }
            }
            OPT_ABORT => {
                reply(REP_ACK, &[])?;
                return Ok(false);
            }
            _ => reply(REP_UNSUPPORTED, &[])?,
        }
    }
}

fn transmit(power: &Power, disk: usize, stream: &mut UnixStream) -> io::Result<()> {
    let size = power.bytes(disk);
    loop {
        if number(stream)? != REQUEST {
            return Err(ErrorKind::InvalidData.into());
        }
        let [_, _, kind @ ..] = bytes::<4>(stream)?;
        let kind = u16::from_be_bytes(kind);
        let handle: [u8; 8] = bytes(stream)?;
        let (at, length) = (u64::from_be_bytes(bytes(stream)?), number(stream)?);
        if kind == DISCONNECT {
            return Ok(());
        }
        if u64::from(length) > limits::NBD_REQUEST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut data = vec![0; if matches!(kind, READ | WRITE) { length as usize } else { 0 }];
        if kind == WRITE {
            stream.read_exact(&mut data)?;
        }
        // The other disk goes on meanwhile, and this one is mended at any time: QEMU does not end while it waits.
        let begun = Instant::now();
        while begun.elapsed() < power.delay(disk) {
            thread::sleep(Duration::from_millis(5));
        }
        let inside = at.checked_add(data.len() as u64).is_some_and(|end| end <= size);
        let done = match kind {
            READ if inside => power.read(disk, at, &mut data),
            WRITE if inside => power.write(disk, at, std::mem::take(&mut data)),
            FLUSH => power.flush(disk),
            _ => Ok(Err(ErrorKind::InvalidInput.into())),
        };
        let code = match done {
            // Nobody is answered any more, and nobody is told so: until QEMU is killed its guest waits.
            Err(Off) => return io::copy(stream, &mut io::sink()).map(drop),
            Ok(Ok(())) => 0,
            Ok(Err(error)) if error.kind() == ErrorKind::InvalidInput => EINVAL,
            Ok(Err(_)) => EIO,
        };
        if code != 0 {
            data.clear();
        }
        stream.write_all(&[REPLY.to_be_bytes(), u32::to_be_bytes(code)].concat())?;
        stream.write_all(&handle)?;
        stream.write_all(&data)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platter::Cache;
    use std::fs::File;

    const SIZE: u64 = 1 << 20;

    /// What an option is answered.
    fn reply(stream: &mut UnixStream, kind: u32) -> Vec<u8> {
        assert_eq!(u64::from_be_bytes(bytes(stream).expect("answered")), OPTION_REPLY);
        number(stream).expect("the option");
        assert_eq!(number(stream).expect("answered"), kind);
        let mut data = vec![0; number(stream).expect("answered") as usize];
        stream.read_exact(&mut data).expect("answered");
        data
    }

    /// A client that has agreed on the disk, as QEMU does.
    fn client(socket: &Path) -> UnixStream {
        let mut stream = UnixStream::connect(socket).expect("it is served");
        assert_eq!(&bytes::<8>(&mut stream).expect("greeted"), MAGIC);
        assert_eq!(&bytes::<8>(&mut stream).expect("greeted"), OPTION);
        assert_eq!(u16::from_be_bytes(bytes(&mut stream).expect("greeted")), HANDSHAKE);
        let option = |kind: u32, data: &[u8]| {
            [OPTION.as_slice(), &kind.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat()
        };
        stream.write_all(&[&3u32.to_be_bytes(), option(8, &[]).as_slice()].concat()).expect("said");
        reply(&mut stream, REP_UNSUPPORTED);
        stream.write_all(&option(OPT_GO, b"\0\0\0\x04disk\0\0")).expect("said");
        assert_eq!(reply(&mut stream, REP_INFO), [&[0, 0], SIZE.to_be_bytes().as_slice(), &[0, 5]].concat());
        reply(&mut stream, REP_ACK);
        stream
    }

    fn ask(stream: &mut UnixStream, kind: u16, at: u64, length: u32, data: &[u8]) {
        let head = [REQUEST.to_be_bytes().as_slice(), &[0, 0], &kind.to_be_bytes(), b"a handle"].concat();
        let rest = [at.to_be_bytes().as_slice(), &length.to_be_bytes(), data].concat();
        stream.write_all(&[head, rest].concat()).expect("asked");
    }

    fn answered(stream: &mut UnixStream, length: usize) -> (u32, Vec<u8>) {
        assert_eq!(number(stream).expect("answered"), REPLY);
        let code = number(stream).expect("answered");
        assert_eq!(&bytes::<8>(stream).expect("answered"), b"a handle");
        let mut data = vec![0; if code == 0 { length } else { 0 }];
        stream.read_exact(&mut data).expect("answered");
        (code, data)
    }

    #[test]
    fn a_disk_is_written_flushed_read_and_switched_off() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(SIZE).expect("sized");
        let copy: File = file.try_clone().expect("cloned");
        let power = Power::new(Cache::Lossy(1), vec![file]).expect("made").expect("lossy");
        let socket = folder.path().join("disk.sock");
        serve(&power, 0, &socket).expect("served");
        let mut stream = client(&socket);

        ask(&mut stream, WRITE, 4096, 512, &[7; 512]);
        assert_eq!(answered(&mut stream, 0).0, 0);
        ask(&mut stream, READ, 4096, 512, &[]);
        assert_eq!(answered(&mut stream, 512), (0, vec![7; 512]));
        ask(&mut stream, FLUSH, 0, 0, &[]);
        assert_eq!(answered(&mut stream, 0).0, 0);
        let mut platter = [0; 512];
        std::os::unix::fs::FileExt::read_exact_at(&copy, &mut platter, 4096).expect("read");
        assert_eq!(platter, [7; 512]);
        for (kind, at, data) in [(READ, SIZE - 100, [0; 0].as_slice()), (WRITE, u64::MAX - 5, &[1; 512])] {
            ask(&mut stream, kind, at, 512, data);
            assert_eq!(answered(&mut stream, 512).0, EINVAL, "beyond its end");
        }
        ask(&mut stream, 4, 0, 512, &[]);
        assert_eq!(answered(&mut stream, 0).0, EINVAL, "trim is not offered");

        power.cut().expect("cut");
        ask(&mut stream, READ, 0, 512, &[]);
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
        assert!(number(&mut stream).is_err(), "no answer");
    }
}
