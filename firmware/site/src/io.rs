//! hyper's words for smol's things: a stream, and timers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Sleep, Timer, Write};
use smol::io::{AsyncRead, AsyncWrite};

use crate::limits;

/// Who is at the other end. One that takes nothing of what is sent for too long is given up.
pub(crate) struct Io<S> {
    stream: S,
    piece: Box<[u8]>,
    /// Since it took nothing.
    still: Option<smol::Timer>,
    /// It is to say something, too.
    answers: bool,
}

impl<S> Io<S> {
    /// A client: when it has to ask is for who serves it to say.
    pub(crate) fn client(stream: S) -> Self {
        Self { stream, piece: vec![0; 4096].into(), still: None, answers: false }
    }

    /// A server, which is given up also when it says nothing while nothing is sent.
    pub(crate) fn server(stream: S) -> Self {
        Self { answers: true, ..Self::client(stream) }
    }

    fn taken<T>(&mut self, cx: &mut Context<'_>, what: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if what.is_ready() {
            match &mut self.still {
                // Whoever waits for it is woken by it still.
                Some(still) if self.answers => still.set_after(limits::STILL),
                still => *still = None,
            }
            return what;
        }
        let still = self.still.get_or_insert_with(|| smol::Timer::after(limits::STILL));
        ready!(Pin::new(still).poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Read for Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = into.remaining().min(this.piece.len());
        let read = Pin::new(&mut this.stream).poll_read(cx, &mut this.piece[..most]);
        let read = ready!(if this.answers { this.taken(cx, read) } else { read })?;
        into.put_slice(&this.piece[..read]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Write for Io<S> {
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
pub(crate) struct Timers;

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
