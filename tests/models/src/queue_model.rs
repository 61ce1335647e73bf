//! Reader and writer of the agent beside one another: nothing is lost, nothing is read before it is there, nobody sleeps on.

use std::sync::Arc;

use loom::sync::atomic::AtomicBool;
use loom::sync::atomic::Ordering::{Acquire, Release};

use crate::Event;
use crate::run::books::Entry;
use crate::run::queue::{Events, In, Out, Slot, peek};
use crate::run::threads::{Thread, park};

fn slot(number: u64) -> Slot {
    Slot::encode(&Event { time: number, of: std::marker::PhantomData }, Entry::Counted).expect("it fits")
}

/// As `Writer::work` of `firmware/aegis/src/run/writer.rs`: what is there is taken, dequeued, the reader woken; then closed and
/// empty is the end; else it sleeps, without a time.
fn write(queue: &mut Out<'_>, closed: &AtomicBool, reader: &Thread) -> Vec<u64> {
    let mut written = Vec::new();
    loop {
        while let Some(slot) = peek(queue) {
            written.push(u64::from_le_bytes(slot.payload().try_into().expect("eight bytes")));
            queue.dequeue();
            reader.unpark();
        }
        if closed.load(Acquire) && !queue.ready() {
            return written;
        }
        if !queue.ready() {
            park();
        }
    }
}

fn model(events: u64, switches: usize) {
    let mut builder = loom::model::Builder::new();
    // Of the interleavings those with so many switches that nobody asked for.
    builder.preemption_bound = Some(switches);
    builder.check(move || {
        let queue: &'static Events = Box::leak(Box::default());
        let closed = Arc::new(AtomicBool::new(false));
        let (producer, mut out) = queue.split();
        let [reader, writer] = [(); 2].map(|()| Thread::new());
        reader.is_me();
        let ends = loom::thread::spawn({
            let (closed, reader, writer) = (Arc::clone(&closed), reader.clone(), writer.clone());
            move || {
                writer.is_me();
                write(&mut out, &closed, &reader)
            }
        });
        let mut queue = In { producer, writer: writer.clone(), turns: None };
        // A batch, as the reader takes one, of which the writer is told once; and a word of its own.
        for number in 0..events - 1 {
            assert!(queue.add(slot(number), || false));
        }
        writer.unpark();
        assert!(queue.push(slot(events - 1), || false));
        // The last one, too, is taken without another word.
        while !queue.is_empty() {
            park();
        }
        closed.store(true, Release);
        writer.unpark();
        let written = ends.join().expect("no panic");
        assert!(written.into_iter().eq(0..events), "in order, each once");
    });
}

/// One place in the queue: with each event it is full, and empty.
#[test]
fn what_is_queued_is_written_in_order_and_both_come_to_their_end() {
    if std::env::var_os("AEGIS_MODELS").is_some() {
        model(3, 4);
    } else {
        model(2, 3);
    }
}

/// The writer gives up: who waits for room hears of it, and keeps what was not taken.
#[test]
fn who_waits_for_a_writer_that_gave_up_is_told() {
    loom::model(|| {
        let queue: &'static Events = Box::leak(Box::default());
        let failed = Arc::new(AtomicBool::new(false));
        let (producer, _out) = queue.split();
        let [reader, writer] = [(); 2].map(|()| Thread::new());
        reader.is_me();
        let ends = loom::thread::spawn({
            let failed = Arc::clone(&failed);
            move || {
                failed.store(true, Release);
                reader.unpark();
            }
        });
        let mut queue = In { producer, writer, turns: None };
        let abandon = || failed.load(Acquire);
        let taken = (0..2).filter(|number| queue.push(slot(*number), abandon)).count();
        assert_eq!(taken, 1, "one place, and nobody takes");
        ends.join().expect("no panic");
    });
}
