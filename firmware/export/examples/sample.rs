//! Writes an export of a sealed ring in memory to stdout: something to try a reader on.
//!
//! `cargo run -p aegis-export --example sample [EVENTS] > sample.cbor`, then `aegisctl export verify sample.cbor` or
//! `python3 firmware/export/tests/stranger.py sample.cbor`.

use std::io::Write;

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/sealed.rs"]
mod sealed;

/// Events between two checkpoints.
const EPOCH: usize = 700;

fn main() -> std::io::Result<()> {
    let events: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut device = sealed::Sealed::new(16 << 20);
    let mut running = device.boot(1);
    running.checkpoint();
    for n in 0..40 {
        running.append(&common::sample(n));
    }
    running.checkpoint();
    running.stop();
    let mut running = device.boot(2);
    for n in 0..events {
        running.append(&common::sample(n as u64));
        if n % EPOCH == EPOCH - 1 {
            running.checkpoint();
        }
    }
    running.append(&common::accounts(events as u64 + 3, events as u64, 3));
    let stop = aegis_event::Event { time: 2, subject: None, body: aegis_event::Body::Stop { signal: 15 } };
    running.append(&common::bytes_of(&stop));
    running.checkpoint();
    running.stop();
    let mut out = std::io::stdout().lock();
    for item in device.export(aegis_export::Request::from(1), 0).0 {
        out.write_all(&item)?;
    }
    out.flush()
}
