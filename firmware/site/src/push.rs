//! The pusher: exports to the policy's collector, each by one `PUT` (RFC 9110, section 9.3.4) under its own name, so that one that is sent
//! again is the same resource.
//!
//! Started by the keeper with a connection to the collector as its standard input and the line to the keeper as its standard output; it
//! ends when there is nothing more to push, or with the first failure. What it sends is signed already: it holds nothing of the ring's.

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aegis_bundle::Collector;
use futures_rustls::TlsConnector;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smol::{Async, LocalExecutor, Timer, future};

use crate::figures::Reason;
use crate::io::Io;
use crate::wire::{self, Failure, Setup};
use crate::{confine, limits, tls};

/// Pushes until the keeper has no more, or something fails.
pub fn run() -> ExitCode {
    let (stream, line) = match wire::stdio() {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!("site: {error} (the keeper starts this; by hand: aegis-site keep)");
            return ExitCode::from(2);
        }
    };
    match begin(stream, &line).and_then(|push| push.run(&line)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Who is to be told may be gone.
            let _ = wire::send(&line, &failure.encode(), None);
            ExitCode::FAILURE
        }
    }
}

struct Push {
    setup: Setup,
    stream: Async<TcpStream>,
    tls: Arc<ClientConfig>,
}

/// All privileges are gone before anything is read.
fn begin(stream: OwnedFd, line: &OwnedFd) -> Result<Push, Failure> {
    let failed =
        |what: &'static str| move |error: io::Error| Failure::new(Reason::Pusher, format!("{what}: {error}"));
    confine::bound().map_err(failed("confinement: limits"))?;
    confine::drop_privileges().map_err(failed("confinement: privileges"))?;
    let setup = Setup::receive(line).map_err(failed("setup"))?;
    let tls = {
        let site = setup.offer.site();
        let collector =
            site.collector.as_ref().ok_or_else(|| Failure::new(Reason::Pusher, "no collector"))?;
        tls::client(&site, collector, &setup.key, setup.offer.time())
            .map_err(|why| Failure::new(Reason::Pusher, why))?
    };
    let stream = Async::new(TcpStream::from(stream)).map_err(failed("connection"))?;
    confine::restrict_calls().map_err(failed("confinement: system calls"))?;
    Ok(Push { setup, stream, tls })
}

impl Push {
    fn run(self, line: &OwnedFd) -> Result<(), Failure> {
        let Self { setup, stream, tls } = self;
        let site = setup.offer.site();
        let Some(collector) = &site.collector else { return Ok(()) };
        let executor = LocalExecutor::new();
        smol::block_on(executor.run(async {
            let mut sender =
                in_time(limits::PUSH_CONNECT, connect(&executor, stream, tls, collector)).await?;
            let line = Async::new(line.try_clone().map_err(|error| Failure::new(Reason::Pusher, error))?)
                .map_err(|error| Failure::new(Reason::Pusher, error))?;
            loop {
                // The first says that the collector is there.
                let told = line.write_with(|line| wire::send(line, &[0], None)).await;
                told.map_err(|error| Failure::new(Reason::Pusher, error))?;
                let Some(piece) = next(&line).await.map_err(|error| Failure::new(Reason::Pusher, error))?
                else {
                    return Ok(());
                };
                in_time(limits::PUSH_WHOLE, put(&mut sender, collector, piece)).await?;
            }
        }))
    }
}

async fn in_time<T>(within: Duration, what: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    future::or(what, async {
        Timer::after(within).await;
        Err(Failure::new(Reason::Late, format!("not done within {} s", within.as_secs())))
    })
    .await
}

async fn connect(
    executor: &LocalExecutor<'_>,
    stream: Async<TcpStream>,
    tls: Arc<ClientConfig>,
    collector: &Collector<'_>,
) -> Result<Sender, Failure> {
    let name =
        ServerName::try_from(collector.name.to_owned()).map_err(|error| Failure::new(Reason::Tls, error))?;
    let stream = TlsConnector::from(tls).connect_with(name, stream, |session| {
        session.set_buffer_limit(Some(limits::TLS_BYTES));
    });
    let stream = stream.await.map_err(|error| broken(&error))?;
    let (sender, connection) = Builder::new()
        .max_buf_size(limits::HEAD_BYTES)
        .max_headers(limits::HEADERS)
        .handshake(Io::server(stream))
        .await
        .map_err(|error| failed(&error))?;
    let ended = Rc::new(RefCell::new(None));
    let its = Rc::clone(&ended);
    let connection = async move {
        if let Err(error) = connection.await {
            *its.borrow_mut() = Some(failed(&error));
        }
    };
    executor.spawn(connection).detach();
    Ok(Sender { sender, ended })
}

/// A connection that requests go over.
struct Sender {
    sender: SendRequest<Piece>,
    /// Why it ended, when it did: of a request that waits hyper says no more than that.
    ended: Rc<RefCell<Option<Failure>>>,
}

impl Sender {
    async fn send(&mut self, request: Request<Piece>) -> Result<Response<Incoming>, Failure> {
        let Self { sender, ended } = self;
        let sent = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        sent.await.map_err(|error| ended.take().unwrap_or_else(|| failed(&error)))
    }
}

/// An export that is to go out.
async fn next(line: &Async<OwnedFd>) -> io::Result<Option<Piece>> {
    let damaged = || io::Error::from(io::ErrorKind::InvalidData);
    let mut message = [0; 8 + limits::PUSH_NAME_BYTES];
    let (length, file) = line.read_with(|line| wire::receive(line, &mut message)).await?;
    if length == 0 {
        return Ok(None);
    }
    let (size, name) = message[..length].split_first_chunk::<8>().ok_or_else(damaged)?;
    let name = str::from_utf8(name).map_err(|_| damaged())?.to_owned();
    let file = File::from(file.ok_or_else(damaged)?);
    Ok(Some(Piece { name, file, left: u64::from_le_bytes(*size) }))
}

/// It is taken when the collector says that it has it, and no earlier.
async fn put(sender: &mut Sender, collector: &Collector<'_>, piece: Piece) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| Failure::new(Reason::Pusher, error);
    // Encrypted to somebody, it is a sequence of bytes to everybody else.
    let is_cbor = piece.name.as_bytes().ends_with(b".cbor");
    let kind = if is_cbor { crate::request::CBOR_SEQUENCE } else { "application/octet-stream" };
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{}{}", collector.path, piece.name))
        .header(header::HOST, format!("{}:{}", collector.name, collector.port))
        .header(header::CONTENT_TYPE, kind)
        .body(piece)
        .map_err(|error| bad(&error))?;
    let response = sender.send(request).await?;
    let (status, after) = (response.status(), retry_after(&response));
    read_over(response.into_body()).await?;
    if status.is_success() {
        return Ok(());
    }
    Err(Failure { after, ..Failure::new(Reason::Refused, format!("it answers {status}")) })
}

/// When it wants to be asked again (RFC 9110, section 10.2.3), if it says so in seconds.
fn retry_after(response: &Response<Incoming>) -> Duration {
    let value =
        response.headers().get(header::RETRY_AFTER).and_then(|value: &HeaderValue| value.to_str().ok());
    let seconds = value.and_then(|text| text.parse().ok()).map_or(Duration::ZERO, Duration::from_secs);
    seconds.min(limits::PUSH_OPEN)
}

/// What it says otherwise: nobody reads it, and another request can follow.
async fn read_over(mut body: Incoming) -> Result<(), Failure> {
    let mut bytes = 0;
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes += frame.map_err(|error| failed(&error))?.data_ref().map_or(0, Bytes::len);
        if bytes > limits::PUSH_ANSWER_BYTES {
            let text = format!("it answers more than {} bytes", limits::PUSH_ANSWER_BYTES);
            return Err(Failure::new(Reason::Refused, text));
        }
    }
    Ok(())
}

/// hyper's error, by what is behind it.
fn failed(error: &hyper::Error) -> Failure {
    match std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(source) => broken(source),
        None => Failure::new(Reason::Cut, error),
    }
}

fn broken(error: &io::Error) -> Failure {
    let is_tls = error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
    let reason = match error.kind() {
        io::ErrorKind::TimedOut => Reason::Late,
        _ if is_tls => Reason::Tls,
        _ => Reason::Cut,
    };
    let text = match reason {
        Reason::Late => format!("it took and said nothing for {} s", limits::STILL.as_secs()),
        _ => error.to_string(),
    };
    Failure::new(reason, text)
}

/// One export. Its file is in /run: it is there at once, and no waiting for it can be told (epoll(7)).
struct Piece {
    name: String,
    file: File,
    /// Bytes that are still to be read.
    left: u64,
}

impl Body for Piece {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let most = this.left.min(limits::PIECE as u64) as usize;
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut bytes = vec![0; most];
        this.file.read_exact(&mut bytes)?;
        this.left -= most as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
