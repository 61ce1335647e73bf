//! What the tests of exports share: a ring as a list, and a folder of exports.

mod again;
mod histories;
mod honest;
mod hostile;
mod sealed;

use std::path::{Path, PathBuf};

use aegis_cose::{Domain, KeyPair, Seed, sign1};
use aegis_event::{Accounts, Body, Cause, Decision, Event, File, Process, Subject, Verdict};
use aegis_export::{
    Created, Exporter, Fault, Frame, Frames, Hash, Id, Request, first_head, limits, next_head,
};
use tempfile::TempDir;

use super::check::{Report, verify};
use super::{Keys, report, show};

const RING: Id = [7; 16];

fn device() -> KeyPair {
    KeyPair::from_seed(Seed::new([42; 32]))
}

/// What the ring of a device holds, one entry an event.
#[derive(Clone)]
struct Ring {
    id: Id,
    frames: Vec<(Id, Hash, Hash, Vec<u8>)>,
    overwritten: usize,
    damaged: Vec<usize>,
    /// Where reading ends, and how.
    fault: Option<(usize, Fault)>,
    at: usize,
}

impl Ring {
    fn new() -> Self {
        Self { id: RING, frames: Vec::new(), overwritten: 0, damaged: Vec::new(), fault: None, at: 0 }
    }

    fn push(&mut self, boot: u8, body: Body<'_>) {
        let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 0, comm: b"worker" };
        let subject = Subject { workload: b"agent-7", cgroup: 1, process };
        let own =
            matches!(body, Body::Start { .. } | Body::Stop { .. } | Body::Accounts(_) | Body::Loss { .. });
        let event = Event { time: 1_500_000_000, subject: (!own).then_some(subject), body };
        let mut bytes = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).expect("test events fit");
        self.push_bytes(boot, &bytes[..length]);
    }

    fn push_bytes(&mut self, boot: u8, bytes: &[u8]) {
        let previous = self.frames.last().map_or_else(|| first_head(&self.id), |frame| frame.2);
        let sequence = self.frames.len() as u64 + 1;
        self.frames.push(([boot; 16], previous, next_head(&previous, sequence, bytes), bytes.to_vec()));
    }

    /// Work of a boot: `opens`, every second one denied.
    fn work(&mut self, boot: u8, opens: usize) {
        for n in 0..opens {
            let file = File { device: 1, inode: n as u64, path: b"/srv/secret", truncated: false };
            let decision = if n % 2 == 1 {
                Decision { verdict: Verdict::Denied, rule: b"no-secrets", ..Decision::allowed(4) }
            } else {
                Decision::allowed(4)
            };
            self.push(boot, Body::Open { file, flags: 0, decision });
        }
    }

    /// A denied open.
    fn denied(&mut self, boot: u8, workload: &[u8], rule: &[u8]) {
        let process = Process { pid: 7, tgid: 7, ppid: 1, uid: 0, comm: b"worker" };
        let file = File { device: 1, inode: 1, path: b"/srv/secret", truncated: false };
        let decision = Decision { verdict: Verdict::Denied, rule, ..Decision::allowed(4) };
        let event = Event {
            time: 1_500_000_000,
            subject: Some(Subject { workload, cgroup: 1, process }),
            body: Body::Open { file, flags: 0, decision },
        };
        let mut bytes = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut bytes).expect("test events fit");
        self.push_bytes(boot, &bytes[..length]);
    }

    fn start(&mut self, boot: u8) {
        self.push(boot, Body::Start { version: "0.1.0", clean: true });
    }

    fn close(&mut self, boot: u8, seen: u64, written: u64, lost: u64) {
        let mut books = Accounts { seen, written, ..Accounts::default() };
        books.lost[0] = lost;
        self.push(boot, Body::Accounts(books));
        self.push(boot, Body::Stop { signal: 15 });
    }

    /// A boot from start to stop with honest books.
    fn boot(&mut self, boot: u8, opens: usize) {
        self.start(boot);
        self.work(boot, opens);
        self.close(boot, opens as u64, opens as u64, 0);
    }
}

impl Frames for Ring {
    type Error = Fault;

    fn ring(&self) -> Id {
        self.id
    }

    fn first_sequence(&self) -> u64 {
        self.overwritten as u64 + 1
    }

    fn next_sequence(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Fault> {
        self.at = usize::try_from(sequence).expect("small") - 1;
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        if let Some((at, fault)) = self.fault
            && self.at >= at
        {
            return Err(fault);
        }
        if self.damaged.contains(&self.at) {
            return Err(Fault::Damaged);
        }
        let sequence = self.at as u64 + 1;
        self.at += 1;
        Ok(self.frames.get(self.at - 1).map(|(boot, previous, head, event)| Frame {
            sequence,
            boot: *boot,
            previous: *previous,
            head: *head,
            event,
        }))
    }

    fn skip(&mut self) -> Result<Option<u64>, Fault> {
        self.at += 1;
        Ok((self.at < self.frames.len()).then_some(self.at as u64 + 1))
    }

    fn fault(error: &Fault) -> Fault {
        *error
    }
}

fn items(ring: &Ring, request: Request) -> Vec<Vec<u8>> {
    let key = device();
    let created = Created { boot: [9; 16], boottime: 1, clock: 1_800_000_000, clock_trusted: false };
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let mut out = vec![0; limits::ITEM_BYTES];
    let mut exporter =
        Exporter::new(&key.sk, ring.clone(), request, created, "0.1.0", &mut scratch).expect("good request");
    let mut items = Vec::new();
    while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
        items.push(out[..length].to_vec());
    }
    items
}

/// A folder of exports.
struct Stick(TempDir);

impl Stick {
    fn new() -> Self {
        Self(TempDir::new().expect("temporary folder"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("temporary file");
        path
    }

    fn export(&self, name: &str, ring: &Ring, request: Request) -> PathBuf {
        self.put(name, &items(ring, request).concat())
    }
}

fn check(paths: &[PathBuf]) -> Report {
    verify(paths, &Keys::default()).unwrap_or_else(|failure| panic!("{}", failure.message()))
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.problems.iter().map(|problem| problem.code).collect()
}

fn notes(report: &Report) -> Vec<&'static str> {
    report.findings.notes.iter().map(|note| note.code).collect()
}

/// Three boots, three segments.
fn three_boots() -> Ring {
    let mut ring = Ring::new();
    for boot in 1..=3 {
        ring.boot(boot, 2 * usize::from(boot));
    }
    ring
}
