//! hyper's words for smol's things: a stream, and timers.

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_rustls::server::TlsStream;
use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use smol::Async;
use smol::io::{AsyncRead as _, AsyncWrite as _};

use crate::limits;

/// A client. One that takes nothing of its answer for too long is given up.
pub(super) struct Io {
    stream: TlsStream<Async<TcpStream>>,
    piece: Box<[u8]>,
    /// Since it took nothing.
    still: Option<smol::Timer>,
}

impl Io {
    pub(super) fn new(stream: TlsStream<Async<TcpStream>>) -> Self {
        Self { stream, piece: vec![0; 4096].into(), still: None }
    }

    fn taken<T>(&mut self, cx: &mut Context<'_>, what: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if what.is_ready() {
            self.still = None;
            return what;
        }
        let still = self.still.get_or_insert_with(|| smol::Timer::after(limits::STILL));
        ready!(Pin::new(still).poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = into.remaining().min(this.piece.len());
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut this.piece[..most]))?;
        into.put_slice(&this.piece[..read]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.taken(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.taken(cx, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let closed = Pin::new(&mut this.stream).poll_close(cx);
        this.taken(cx, closed)
    }
}

/// smol's timers.
#[derive(Clone, Copy)]
pub(super) struct Timers;

struct Sleeps(smol::Timer);

impl Future for Sleeps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Sleep for Sleeps {}

impl Timer for Timers {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeps(smol::Timer::after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Sleeps(smol::Timer::at(deadline)))
    }
}
