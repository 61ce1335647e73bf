//! A ring in memory, and an export of it in one go.
#![allow(dead_code)] // each test binary uses its part

use aegis_cose::{KeyPair, Seed};
use aegis_event::{Accounts, Body, Decision, Event, File, Process, Subject, Verdict};
use aegis_export::{
    Created, Exporter, Fault, Frame, Frames, Hash, Id, Request, first_head, limits, next_head,
};

pub(crate) const RING: Id = [7; 16];
pub(crate) const VERSION: &str = "0.1.0";

/// The device of all tests.
pub(crate) fn device() -> KeyPair {
    KeyPair::from_seed(Seed::new([42; 32]))
}

pub(crate) fn created() -> Created {
    Created { boot: [9; 16], boottime: 12_345, clock: 1_800_000_000, clock_trusted: false }
}

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) boot: Id,
    pub(crate) previous: Hash,
    pub(crate) head: Hash,
    pub(crate) event: Vec<u8>,
}

/// A ring as a list. `overwritten` frames at its beginning are gone.
#[derive(Clone)]
pub(crate) struct MemoryRing {
    pub(crate) frames: Vec<Stored>,
    pub(crate) overwritten: usize,
    pub(crate) at: usize,
    /// Reading these indices fails.
    pub(crate) broken: Vec<(usize, Fault)>,
}

/// Frames in a segment of this ring: what a skip goes past.
pub(crate) const SEGMENT: usize = 4;

impl MemoryRing {
    pub(crate) fn new() -> Self {
        Self { frames: Vec::new(), overwritten: 0, at: 0, broken: Vec::new() }
    }

    pub(crate) fn push(&mut self, boot: Id, event: &[u8]) {
        let previous = self.frames.last().map_or_else(|| first_head(&RING), |frame| frame.head);
        let sequence = self.frames.len() as u64 + 1;
        let head = next_head(&previous, sequence, event);
        self.frames.push(Stored { boot, previous, head, event: event.to_vec() });
    }

    fn fault_at(&self, index: usize) -> Option<Fault> {
        self.broken.iter().find(|broken| broken.0 == index).map(|broken| broken.1)
    }

    /// `boots` lists how many events each boot has; what they are depends on their sequence.
    pub(crate) fn with_boots(boots: &[usize]) -> Self {
        let mut ring = Self::new();
        for (boot, count) in boots.iter().enumerate() {
            for _ in 0..*count {
                let event = sample(ring.frames.len() as u64);
                ring.push([boot as u8 + 1; 16], &event);
            }
        }
        ring
    }
}

impl Frames for MemoryRing {
    type Error = Fault;

    fn ring(&self) -> Id {
        RING
    }

    fn first_sequence(&self) -> u64 {
        self.overwritten as u64 + 1
    }

    fn next_sequence(&self) -> u64 {
        self.frames.len() as u64 + 1
    }

    fn seek(&mut self, sequence: u64) -> Result<(), Fault> {
        let index = usize::try_from(sequence).expect("small") - 1;
        assert!(self.overwritten <= index && index < self.frames.len(), "only what is there is asked for");
        // Like the real ring: through the segment, up to the first damaged frame.
        self.at = index - index % SEGMENT;
        while self.at < index {
            if self.fault_at(self.at).is_some() {
                return Err(Fault::Damaged);
            }
            self.at += 1;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Fault> {
        let index = self.at;
        if let Some(fault) = self.fault_at(index) {
            return Err(fault);
        }
        let Some(frame) = self.frames.get(index) else { return Ok(None) };
        self.at += 1;
        Ok(Some(Frame {
            sequence: index as u64 + 1,
            boot: frame.boot,
            previous: frame.previous,
            head: frame.head,
            event: &frame.event,
        }))
    }

    fn skip(&mut self) -> Result<Option<u64>, Fault> {
        self.at = (self.at + 1).next_multiple_of(SEGMENT);
        Ok((self.at < self.frames.len()).then_some(self.at as u64 + 1))
    }

    fn fault(error: &Fault) -> Fault {
        *error
    }
}

/// An event's bytes: opens and execs in turn, some denied.
pub(crate) fn sample(n: u64) -> Vec<u8> {
    let path = format!("/srv/data/file-{n}");
    let process = Process { pid: 100, tgid: 100, ppid: 1, uid: 1000, comm: b"worker" };
    let subject = Some(Subject { workload: b"agent-7", cgroup: 77, process });
    let file = File { device: 8 << 20 | 1, inode: n, path: path.as_bytes(), truncated: false };
    let body = if n.is_multiple_of(3) {
        Body::Exec { file, argv: b"sh\0-c\0true\0", argv_truncated: false }
    } else {
        let decision = if n % 3 == 1 {
            Decision::allowed(4)
        } else {
            Decision { verdict: Verdict::Denied, rule: b"no-secrets", ..Decision::allowed(4) }
        };
        Body::Open { file, flags: 0, decision }
    };
    bytes_of(&Event { time: n * 1000, subject, body })
}

pub(crate) fn bytes_of(event: &Event<'_>) -> Vec<u8> {
    let mut out = [0; limits::EVENT_BYTES];
    let length = event.encode(&mut out).expect("test events fit");
    out[..length].to_vec()
}

pub(crate) fn accounts(seen: u64, written: u64, lost: u64) -> Vec<u8> {
    let mut books = Accounts { seen, written, ..Accounts::default() };
    books.lost[0] = lost;
    bytes_of(&Event { time: 1, subject: None, body: Body::Accounts(books) })
}

/// The items of an export, in order.
pub(crate) fn export(ring: MemoryRing, request: Request) -> Vec<Vec<u8>> {
    let key = device();
    let mut scratch = vec![0; limits::PAYLOAD_BYTES];
    let mut out = vec![0; limits::ITEM_BYTES];
    let mut exporter =
        Exporter::new(&key.sk, ring, request, created(), VERSION, &mut scratch).expect("request");
    let mut items = Vec::new();
    while let Some(length) = exporter.next_item(&mut out).expect("buffers suffice") {
        items.push(out[..length].to_vec());
    }
    items
}

/// Room for one item.
pub(crate) fn buffer() -> Box<[u8; limits::ITEM_BYTES]> {
    vec![0; limits::ITEM_BYTES].into_boxed_slice().try_into().expect("it is as long as asked for")
}
