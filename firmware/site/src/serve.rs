//! The server: everything that is read from the network is read here, by a process that may do nothing else.
//!
//! Started by the keeper with the listening socket as its standard input and the line to the keeper as its standard output.

mod answer;
mod clients;

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_rustls::TlsAcceptor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use smol::{Async, LocalExecutor, Timer, future};

use self::answer::Answers;
use self::clients::{Peers, Who};
use crate::wire::{self, Setup};
use crate::{confine, io, limits, tls};

/// Serves until the keeper is gone, or ends it.
pub fn run() -> ExitCode {
    let (listener, line) = match wire::stdio() {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!("site: {error} (the keeper starts this; by hand: aegis-site keep)");
            return ExitCode::from(2);
        }
    };
    match begin(listener, &line) {
        Ok((server, listener)) => {
            if wire::send(&line, &[0], None).is_err() {
                return ExitCode::FAILURE;
            }
            server.run(listener, line)
        }
        Err(why) => {
            // Who is to be told may be gone.
            let _ = wire::send(&line, &[&[1][..], wire::short(&why)].concat(), None);
            ExitCode::FAILURE
        }
    }
}

/// All privileges are gone before anything is read.
fn begin(listener: OwnedFd, line: &OwnedFd) -> Result<(Server, TcpListener), String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("confinement: {what}: {error}");
    confine::bound().map_err(failed("limits"))?;
    confine::drop_privileges().map_err(failed("privileges"))?;
    let setup = Setup::receive(line).map_err(|error| format!("setup: {error}"))?;
    let site = setup.offer.site();
    let tls = tls::server(&site, &setup.key, setup.offer.time())?;
    let listener = TcpListener::from(listener);
    let server = Server { tls: TlsAcceptor::from(tls), who: Who::of(&site) };
    confine::restrict_calls().map_err(failed("system calls"))?;
    Ok((server, listener))
}

struct Server {
    tls: TlsAcceptor,
    who: Who,
}

/// What all connections share.
struct Shared {
    tls: TlsAcceptor,
    who: RefCell<Who>,
    peers: RefCell<Peers>,
    answers: Answers,
    refused: Refused,
    begun: Instant,
}

/// Connections that came to nothing, by why: said once a minute at most.
#[derive(Default)]
struct Refused {
    many: Cell<u64>,
    handshakes: Cell<u64>,
    said: Cell<Option<Instant>>,
}

impl Refused {
    fn count(&self, which: &Cell<u64>) {
        which.set(which.get().saturating_add(1));
        if self.said.get().is_none_or(|said| said.elapsed() >= Duration::from_mins(1)) {
            self.said.set(Some(Instant::now()));
            let (many, handshakes) = (self.many.take(), self.handshakes.take());
            eprintln!("site: refused {many} connections for their number, {handshakes} for their handshake");
        }
    }
}

impl Server {
    fn run(self, listener: TcpListener, line: OwnedFd) -> ExitCode {
        let (listener, line) =
            match Async::new(listener).and_then(|listener| Ok((listener, Async::new(line)?))) {
                Ok(both) => both,
                Err(error) => {
                    eprintln!("site: {error}");
                    return ExitCode::FAILURE;
                }
            };
        let shared = Rc::new(Shared {
            tls: self.tls,
            who: RefCell::new(self.who),
            peers: RefCell::default(),
            answers: Answers::new(line),
            refused: Refused::default(),
            begun: Instant::now(),
        });
        let executor = LocalExecutor::new();
        let error = smol::block_on(executor.run(accept(&executor, &listener, &shared)));
        eprintln!("site: {error}");
        ExitCode::FAILURE
    }
}

/// Until the keeper is gone.
async fn accept(
    executor: &LocalExecutor<'_>,
    listener: &Async<TcpListener>,
    shared: &Rc<Shared>,
) -> std::io::Error {
    loop {
        if let Some(error) = shared.answers.is_over() {
            return error;
        }
        match listener.accept().await {
            Ok((stream, peer)) => match Place::take(shared, peer) {
                Some(place) => executor.spawn(connection(stream, place)).detach(),
                // Closed as it is: a handshake would be what it wants.
                None => shared.refused.count(&shared.refused.many),
            },
            // One that is gone again, or no descriptor left: the next may be better, a little later.
            Err(_) => drop(Timer::after(Duration::from_millis(50)).await),
        }
    }
}

/// A connection that is counted.
struct Place {
    shared: Rc<Shared>,
    peer: SocketAddr,
}

impl Place {
    fn take(shared: &Rc<Shared>, peer: SocketAddr) -> Option<Self> {
        let taken = shared.peers.borrow_mut().take(peer.ip(), shared.begun.elapsed());
        taken.then(|| Self { shared: Rc::clone(shared), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.peers.borrow_mut().give_back(self.peer.ip());
    }
}

/// One connection, to its end or its time's.
async fn connection(stream: Async<TcpStream>, place: Place) {
    let shared = &place.shared;
    let handshake =
        shared.tls.accept_with(stream, |session| session.set_buffer_limit(Some(limits::TLS_BYTES)));
    let in_time = future::or(async { handshake.await.ok() }, async {
        Timer::after(limits::HANDSHAKE).await;
        None
    });
    let Some(stream) = in_time.await else { return shared.refused.count(&shared.refused.handshakes) };
    let client = shared.who.borrow().client(stream.get_ref().1.peer_certificates());
    let service = service_fn(|request| {
        let granted = shared.who.borrow_mut().take(&client, shared.begun.elapsed());
        let (answers, role) = (&shared.answers, client.role());
        async move { Ok::<_, std::convert::Infallible>(answers.answer(request, role, granted).await) }
    });
    let served = http1::Builder::new()
        .timer(io::Timers)
        .header_read_timeout(limits::HEAD)
        .max_buf_size(limits::HEAD_BYTES)
        .max_headers(limits::HEADERS)
        .serve_connection(io::Io::client(stream), service);
    // Whatever became of it, there is nobody to be told.
    future::or(async { drop(served.await) }, async {
        let _ = Timer::after(limits::CONNECTION).await;
    })
    .await;
}
