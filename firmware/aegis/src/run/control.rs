//! The control socket: one request, one reply, postcard, root only. Its own thread, so that a slow client
//! delays no event.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol::Async;
use smol::future::FutureExt;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::status::Status;
use crate::limits;
use crate::storage::RUN;

/// What can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The agent's status now.
    Status,
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
pub(crate) fn serve(listener: UnixListener, warm: &Barrier, status: impl Fn() -> Status) {
    smol::block_on(async {
        let listener = Async::new(listener);
        smol::Timer::after(Duration::from_millis(1)).await;
        warm.wait();
        let Ok(listener) = listener else {
            log::error!("control socket: can't be polled; status is not available");
            return;
        };
        loop {
            let Ok((client, _)) = listener.accept().await else {
                // Out of descriptors or memory for the moment: don't spin.
                smol::Timer::after(Duration::from_millis(limits::CONTROL_MILLIS)).await;
                continue;
            };
            let late = async {
                smol::Timer::after(Duration::from_millis(limits::CONTROL_MILLIS)).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            if let Err(error) = answer(client, &status).or(late).await {
                log::debug!("control socket: {error}");
            }
        }
    });
}

async fn answer(mut client: Async<UnixStream>, status: &impl Fn() -> Status) -> io::Result<()> {
    // The socket's mode says the same; a descriptor passed on does not get past this.
    if !rustix::net::sockopt::socket_peercred(&client)?.uid.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut request = [0; 16];
    let length = client.read(&mut request).await?;
    let mut reply = [0; limits::CONTROL_BYTES];
    let reply = match strict::<Request>(&request[..length]) {
        Some(Request::Status) => postcard::to_slice(&status(), &mut reply).map_err(io::Error::other)?,
        None => return Err(io::ErrorKind::InvalidData.into()),
    };
    client.write_all(reply).await
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
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(socket_path())?;
    let timeout = Some(Duration::from_millis(2 * limits::CONTROL_MILLIS));
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    let mut request = [0; 16];
    let request = postcard::to_slice(&Request::Status, &mut request).map_err(io::Error::other)?;
    stream.write_all(request)?;
    let mut reply = Vec::with_capacity(limits::CONTROL_BYTES);
    stream.take(limits::CONTROL_BYTES as u64).read_to_end(&mut reply)?;
    strict(&reply)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the agent's reply is not a status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_requests_are_read() {
        assert!(matches!(strict::<Request>(&[0]), Some(Request::Status)));
        for bad in [&[][..], &[1], &[0, 0], &[0xff; 16]] {
            assert!(strict::<Request>(bad).is_none(), "{bad:?}");
        }
    }
}
