//! Answers: what the agent's commands print, kept for a moment; events as they come.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use rustix::io::Errno;
use smol::lock::Mutex;
use smol::{Async, Timer, future};

use crate::items::Items;
use crate::limits;
use crate::request::{Asked, CBOR_SEQUENCE, LINES, Role};
use crate::wire::{self, Question};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What was answered last to a question, and until when that is good.
struct Kept {
    until: Instant,
    status: StatusCode,
    bytes: Bytes,
}

/// The line to the keeper, and what came over it.
pub(super) struct Answers {
    line: Mutex<Async<OwnedFd>>,
    over: RefCell<Option<io::Error>>,
    /// By question.
    kept: [Mutex<Option<Kept>>; 5],
    events: Rc<Cell<usize>>,
}

/// Not now.
const BUSY: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "not now: ask again in a moment\n");

impl Answers {
    pub(super) fn new(line: Async<OwnedFd>) -> Self {
        Self {
            line: Mutex::new(line),
            over: RefCell::new(None),
            kept: Default::default(),
            events: Rc::default(),
        }
    }

    /// The keeper is gone, and why that is known.
    pub(super) fn is_over(&self) -> Option<io::Error> {
        self.over.borrow_mut().take()
    }

    /// Answers one request. `granted`: else after how many seconds it would be.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        role: Role,
        granted: Result<(), u64>,
    ) -> Response<Answer> {
        if let Err(seconds) = granted {
            let mut response = said((StatusCode::TOO_MANY_REQUESTS, "more than the policy grants\n"));
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            return response;
        }
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        // Of an absolute target the rest would be somebody else's.
        let target = if request.uri().authority().is_some() { "" } else { target };
        let asked = match Asked::read(role, request.method().as_str(), target) {
            Ok(asked) => asked,
            Err(refused) => {
                let (status, text) = refused.status();
                return said((StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), text));
            }
        };
        if !request.body().is_end_stream() {
            let mut response = said((StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here\n"));
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let asked = accept.fold(asked, Asked::accepting);
        let answered = match asked.question() {
            question @ (Question::Events | Question::EventsCbor) => {
                self.events(question, asked.since()).await
            }
            question => self.whole(question).await,
        };
        answered.unwrap_or_else(|| {
            let mut response = said(BUSY);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        })
    }

    /// One that is kept, or made now: whoever asks meanwhile waits for it and gets the same.
    async fn whole(&self, question: Question) -> Option<Response<Answer>> {
        let (kind, most, kept_for) = match question {
            Question::Metrics => (METRICS, limits::METRICS_BYTES, limits::METRICS_KEPT),
            _ => (JSON, limits::HEALTH_BYTES, limits::HEALTH_KEPT),
        };
        let mut kept = self.kept.get(question as usize - 1)?.lock().await;
        if kept.as_ref().is_none_or(|kept| kept.until <= Instant::now()) {
            *kept = None;
            let told = self.ask(question, 0).await?;
            let (mut bytes, text) = told.all(most).await?;
            // A command that ends with nothing to say is one that could not.
            let good = !bytes.is_empty() && !is_bad(question, &bytes);
            let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            if !bytes.is_empty() {
                bytes.extend(text);
            } else if question == Question::Metrics {
                bytes.extend(NO_METRICS);
            }
            *kept = Some(Kept { until: Instant::now() + kept_for, status, bytes: bytes.into() });
        }
        let kept = kept.as_ref()?;
        Some(response(kept.status, kind, Answer::Whole(Some(kept.bytes.clone()))))
    }

    async fn events(&self, question: Question, since: u64) -> Option<Response<Answer>> {
        if self.events.get() >= limits::EVENTS_AT_ONCE {
            return None;
        }
        self.events.set(self.events.get() + 1);
        let place = Place(Rc::clone(&self.events));
        let Told::Pipe(pipe, _) = self.ask(question, since).await? else { return None };
        let until = Timer::after(limits::EVENTS);
        let (kind, ends) = match question {
            Question::EventsCbor => (CBOR_SEQUENCE, Ends::Items(Items::default())),
            _ => (LINES, Ends::Lines),
        };
        let cut = Cut { ends, events: limits::EVENTS_MOST, bytes: limits::EVENTS_BYTES, over: false };
        let events = Events { pipe, until, cut, piece: vec![0; limits::PIECE].into(), _place: place };
        let mut response = response(StatusCode::OK, kind, Answer::Events(Box::new(events)));
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        Some(response)
    }

    /// Asks the keeper; `None`: not now.
    async fn ask(&self, question: Question, since: u64) -> Option<Told> {
        let line = self.line.lock().await;
        let message = question.encode(since);
        let asked = async {
            line.write_with(|line| wire::send(line, &message, None)).await?;
            let mut answer = [0; 1 + limits::FIGURES_BYTES];
            let (length, with) = line.read_with(|line| wire::receive(line, &mut answer)).await?;
            match answer[..length].split_first() {
                None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Some((how, text)) => Ok(with.map(|with| (*how, text.to_vec(), with))),
            }
        };
        let late = async {
            Timer::after(limits::ANSWER).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        match future::or(asked, late).await {
            Ok(told) => match told? {
                (2, text, file) => Some(Told::File(file, text)),
                (_, text, pipe) => Some(Told::Pipe(Async::new(pipe).ok()?, text)),
            },
            Err(error) => {
                eprintln!("site: keeper: {error}");
                // Whatever comes over that line now is the answer to another question.
                std::process::exit(1);
            }
        }
    }
}

/// Figures are neither where the alerts' watcher leaves them nor to be had by asking.
const NO_METRICS: &[u8] =
    b"no figures: those of the alerts' watcher are not there or too old, and `aegis metrics` says nothing\n";

/// Where an answer is, and what is put behind it.
enum Told {
    Pipe(Async<OwnedFd>, Vec<u8>),
    /// A regular file, in memory: it is read as it is, and can't be waited for (epoll(7)).
    File(OwnedFd, Vec<u8>),
}

impl Told {
    /// All of it; `None`: it is late, or longer than it may be.
    async fn all(self, most: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        match self {
            Self::Pipe(pipe, text) => Some((read_all(&pipe, most).await?, text)),
            Self::File(file, text) => {
                let mut all = Vec::new();
                std::fs::File::from(file).take(most as u64 + 1).read_to_end(&mut all).ok()?;
                (all.len() <= most).then_some((all, text))
            }
        }
    }
}

/// What a command prints, to its end; `None`: it is late, or longer than it may be.
async fn read_all(pipe: &Async<OwnedFd>, most: usize) -> Option<Vec<u8>> {
    let all = async {
        let (mut all, mut piece) = (Vec::new(), vec![0; limits::PIECE]);
        loop {
            let read = pipe.read_with(|pipe| Ok(rustix::io::read(pipe, &mut piece)?)).await.ok()?;
            if read == 0 {
                return Some(all);
            }
            if all.len() + read > most {
                return None;
            }
            all.extend_from_slice(&piece[..read]);
        }
    };
    future::or(all, async {
        Timer::after(limits::ANSWER).await;
        None
    })
    .await
}

/// By its verdict (`aegis health --json`). Inside a text of JSON its quotes would be escaped.
fn is_bad(question: Question, answer: &[u8]) -> bool {
    let word: &[u8] = match question {
        Question::Health => b"\"verdict\":\"unhealthy\"",
        Question::Live => b"\"verdict\":\"not-live\"",
        Question::Ready => b"\"verdict\":\"not-ready\"",
        Question::Stats | Question::Metrics | Question::Events | Question::EventsCbor => return false,
    };
    answer.windows(word.len()).any(|part| part == word)
}

fn said((status, text): (StatusCode, &'static str)) -> Response<Answer> {
    response(status, TEXT, Answer::Whole(Some(Bytes::from_static(text.as_bytes()))))
}

fn response(status: StatusCode, kind: &'static str, answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One of the few answers of events.
struct Place(Rc<Cell<usize>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The body of an answer.
pub(super) enum Answer {
    Whole(Option<Bytes>),
    Events(Box<Events>),
}

/// Lines or items as the agent's command prints them: it waits while the client takes none.
pub(super) struct Events {
    pipe: Async<OwnedFd>,
    until: Timer,
    cut: Cut,
    piece: Box<[u8]>,
    _place: Place,
}

/// What tells one event from the next.
#[derive(Debug)]
enum Ends {
    Lines,
    Items(Items),
}

impl Ends {
    /// How many bytes of this piece there are up to an event's end; `None`: none ends in it.
    fn end(&mut self, piece: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Lines => Ok(piece.iter().position(|byte| *byte == b'\n').map(|at| at + 1)),
            Self::Items(items) => items.end(piece).map_err(|_| io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Where an answer of events ends: after one.
#[derive(Debug)]
struct Cut {
    ends: Ends,
    events: usize,
    bytes: usize,
    over: bool,
}

impl Cut {
    /// How much of this piece is of the answer still.
    fn take(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut at = 0;
        while let Some(end) = self.ends.end(&piece[at..])? {
            at += end;
            self.events = self.events.saturating_sub(1);
            if self.events == 0 || at > self.bytes {
                self.over = true;
                return Ok(at);
            }
        }
        self.bytes = self.bytes.saturating_sub(piece.len());
        Ok(piece.len())
    }
}

impl Events {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        while !self.cut.over {
            if Pin::new(&mut self.until).poll(cx).is_ready() {
                // In the middle of one maybe: the client is to see that it was cut.
                self.cut.over = true;
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            match rustix::io::read(&self.pipe, &mut self.piece[..]) {
                Ok(0) => self.cut.over = true,
                Ok(read) => {
                    let whole = self.cut.take(&self.piece[..read])?;
                    return Poll::Ready(Some(Ok(Bytes::copy_from_slice(&self.piece[..whole]))));
                }
                Err(Errno::AGAIN) => ready!(self.pipe.poll_readable(cx))?,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
        Poll::Ready(None)
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Events(events) => events.poll(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_lines_ends_behind_one() {
        let begin = |ends, events, bytes| Cut { ends, events, bytes, over: false };
        let taken = |cut: &mut Cut, piece: &[u8]| (cut.take(piece).expect("items"), cut.over);
        let cut = |events, bytes, piece: &[u8]| taken(&mut begin(Ends::Lines, events, bytes), piece);
        assert_eq!(cut(2, 100, b"a\nb\nc\n"), (4, true));
        assert_eq!(cut(3, 100, b"a\nb\nc\nd"), (6, true));
        assert_eq!(cut(9, 100, b"a\nb\nc"), (5, false));
        assert_eq!(cut(9, 2, b"a\nbb\nc\n"), (5, true), "so many bytes are there, and a line is whole");
        let mut long = begin(Ends::Lines, 9, 4);
        assert_eq!(taken(&mut long, b"aaaaaaaa"), (8, false), "no line ends there");
        assert_eq!(taken(&mut long, b"a\nb\n"), (2, true));
        let items = |events, bytes| begin(Ends::Items(Items::default()), events, bytes);
        assert_eq!(taken(&mut items(2, 100), b"\x41\n\x01\x02"), (3, true));
        assert_eq!(taken(&mut items(9, 1), b"\x41\n\x01\x02"), (2, true));
        assert!(items(9, 9).take(b"\xff").is_err());
    }

    #[test]
    fn a_verdict_is_read_where_it_stands() {
        let bad = b"{\"findings\":[],\"verdict\":\"unhealthy\"}";
        assert!(
            is_bad(Question::Health, bad) && !is_bad(Question::Ready, bad) && !is_bad(Question::Stats, bad)
        );
        assert!(
            is_bad(Question::Ready, b"{\"verdict\":\"not-ready\"}")
                && is_bad(Question::Live, b"{\"verdict\":\"not-live\"}")
        );
        let quoted = br#"{"meaning":"\"verdict\":\"unhealthy\"","verdict":"healthy"}"#;
        assert!(!is_bad(Question::Health, quoted));
    }
}
