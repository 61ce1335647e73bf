//! The control socket: one request, one reply, postcard, root only. Its own thread, so that a slow client
//! delays no event.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::thread::{Thread, sleep};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::seal::Seal;
use super::shared::Shared;
use super::status::{Measures, Status};
use crate::limits;
use crate::storage::RUN;
use crate::storage::device::boottime;

/// How often it is looked whether a checkpoint was made, ms.
const LOOK_MILLIS: u64 = 5;

/// What can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The agent's status now.
    Status,
    /// Flush the ring and end the epoch.
    Checkpoint,
    /// Everything up to this sequence was exported.
    Exported(u64),
    /// What is counted for metrics alone.
    Measures,
}

/// Who answers.
pub(super) struct Agent<'a, S> {
    pub(super) status: S,
    pub(super) shared: &'a Shared,
    pub(super) writer: Thread,
}

/// Where the socket is.
pub(crate) fn socket_path() -> PathBuf {
    Path::new(RUN).join("control.sock")
}

/// Binds the socket, in place of one that a killed agent left.
pub(crate) fn bind() -> io::Result<UnixListener> {
    let path = socket_path();
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests, one at a time, until the process ends. Meets at `warm` once it is past its own start-up.
pub(super) fn serve<S: Fn() -> Status>(listener: &UnixListener, warm: &Barrier, agent: &Agent<'_, S>) {
    warm.wait();
    let rest = Duration::from_millis(limits::CONTROL_REST_MILLIS);
    let mut last = None;
    loop {
        let Ok((client, _)) = listener.accept() else {
            // Out of descriptors or memory for the moment: don't spin.
            sleep(Duration::from_millis(limits::CONTROL_MILLIS));
            continue;
        };
        // Whoever asks without a rest takes no more of the host than that; who asks once in a while wakes this once.
        if let Some(left) = last.and_then(|at: Instant| rest.checked_sub(at.elapsed())) {
            sleep(left);
        }
        if let Err(error) = answer(&client, agent) {
            log::debug!("control socket: {error}");
        }
        last = Some(Instant::now());
    }
}

/// What was asked, which is mostly there by now; else it is waited for. Fails when that takes too long.
fn receive(client: &UnixStream, request: &mut [u8]) -> io::Result<usize> {
    let read = |request: &mut [u8]| recv(client, request, RecvFlags::DONTWAIT).map(|(length, _)| length);
    match read(request) {
        Err(Errno::AGAIN) => {}
        done => return Ok(done?),
    }
    let limit = Timespec { tv_sec: 0, tv_nsec: limits::CONTROL_MILLIS.cast_signed() * 1_000_000 };
    poll(&mut [PollFd::new(client, PollFlags::IN)], Some(&limit))?;
    Ok(read(request)?)
}

fn answer<S: Fn() -> Status>(client: &UnixStream, agent: &Agent<'_, S>) -> io::Result<()> {
    // The socket's mode says the same; a descriptor passed on does not get past this.
    if !rustix::net::sockopt::socket_peercred(client)?.uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut request = [0; 16];
    let length = receive(client, &mut request)?;
    let mut reply = [0; limits::CONTROL_BYTES];
    let reply = match strict::<Request>(&request[..length]) {
        Some(Request::Status) => postcard::to_slice(&(agent.status)(), &mut reply),
        Some(Request::Checkpoint) => postcard::to_slice(&agent.checkpoint(), &mut reply),
        Some(Request::Exported(sequence)) => {
            agent.shared.exported.fetch_max(sequence, Relaxed);
            agent.writer.unpark();
            postcard::to_slice(&true, &mut reply)
        }
        Some(Request::Measures) => postcard::to_slice(&Measures::of(agent.shared), &mut reply),
        None => return Err(io::ErrorKind::InvalidData.into()),
    };
    let reply = reply.map_err(io::Error::other)?;
    // All of it has room where nothing was written yet: nobody who does not read is waited for.
    match send(client, reply, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)? {
        length if length == reply.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

impl<S> Agent<'_, S> {
    /// Has the writer end the epoch, and waits for it, for a time.
    fn checkpoint(&self) -> CheckpointReply {
        let shared = self.shared;
        let begun = boottime();
        let number = shared.asked.fetch_add(1, AcqRel) + 1;
        self.writer.unpark();
        for _ in 0..limits::CHECKPOINT_MILLIS / LOOK_MILLIS {
            if shared.answered.load(Acquire) >= number {
                break;
            }
            sleep(Duration::from_millis(LOOK_MILLIS));
        }
        let acked = shared.acked.load(Relaxed);
        let (at, sequence) = (shared.sealing.at.load(Relaxed), shared.sealing.sequence.load(Relaxed));
        // There was nothing new to be sealed, or what is new by now came behind it.
        let covered = at > 0 && (at >= begun || sequence >= acked);
        let sealed = covered && matches!(shared.seal(), Seal::Sealed | Seal::Unwiped | Seal::Full);
        CheckpointReply { sealed, epoch: shared.sealing.epoch.load(Relaxed), acked }
    }
}

/// What came of an asked-for checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointReply {
    /// A checkpoint covers everything up to `acked`.
    pub(crate) sealed: bool,
    /// The epoch that runs now.
    pub(crate) epoch: u64,
    /// The last sequence that is durable.
    pub(crate) acked: u64,
}

/// Has the running agent flush its ring and end the epoch. `None`: no agent runs.
pub(crate) fn ask_checkpoint() -> io::Result<Option<CheckpointReply>> {
    unless_gone(ask(Request::Checkpoint))
}

/// Tells the running agent that everything up to this sequence was exported. `false`: no agent runs; the next one reads it
/// from the cursor.
pub(crate) fn tell_exported(sequence: u64) -> io::Result<bool> {
    unless_gone(ask::<bool>(Request::Exported(sequence))).map(|told| told.is_some())
}

/// That no agent listens is no error.
fn unless_gone<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads exactly one value: trailing bytes are refused, which postcard alone does not do.
pub(crate) fn strict<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// Asks the running agent for its status.
pub(crate) fn ask_status() -> io::Result<Status> {
    ask(Request::Status)
}

/// Asks the running agent for what it counts for metrics alone.
pub(crate) fn ask_measures() -> io::Result<Measures> {
    ask(Request::Measures)
}

/// The process that made the socket, as the kernel has it: the agent's.
pub(crate) fn agent() -> io::Result<u32> {
    let peer = rustix::net::sockopt::socket_peercred(UnixStream::connect(socket_path())?)?;
    Ok(peer.pid.as_raw_nonzero().get().cast_unsigned())
}

fn ask<T: DeserializeOwned>(request: Request) -> io::Result<T> {
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(socket_path())?;
    // One client after the other: the one before may have asked for a checkpoint.
    let timeout = Some(Duration::from_millis(2 * (limits::CONTROL_MILLIS + limits::CHECKPOINT_MILLIS)));
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    let mut bytes = [0; 16];
    stream.write_all(postcard::to_slice(&request, &mut bytes).map_err(io::Error::other)?)?;
    let mut reply = Vec::with_capacity(limits::CONTROL_BYTES);
    stream.take(limits::CONTROL_BYTES as u64).read_to_end(&mut reply)?;
    strict(&reply)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the agent's reply is not an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_requests_are_read() {
        assert!(matches!(strict::<Request>(&[0]), Some(Request::Status)));
        assert!(matches!(strict::<Request>(&[1]), Some(Request::Checkpoint)));
        assert!(matches!(strict::<Request>(&[2, 0x80, 1]), Some(Request::Exported(128))));
        assert!(matches!(strict::<Request>(&[3]), Some(Request::Measures)));
        for bad in [&[][..], &[2], &[4], &[0, 0], &[3, 0], &[1, 0], &[2, 0, 0], &[0xff; 16]] {
            assert!(strict::<Request>(bad).is_none(), "{bad:?}");
        }
    }
}
