//! Writes an export of a ring in memory to stdout: something to try a reader on.
//!
//! `cargo run -p aegis-export --example sample [EVENTS] > sample.cbor`, then `aegisctl export verify sample.cbor` or
//! `python3 firmware/export/tests/stranger.py sample.cbor`.

use std::io::Write;

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> std::io::Result<()> {
    let events = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1000);
    let mut ring = common::MemoryRing::with_boots(&[40, events]);
    ring.push([2; 16], &common::accounts(events as u64 + 3, events as u64, 3));
    let stop = aegis_event::Event { time: 2, subject: None, body: aegis_event::Body::Stop { signal: 15 } };
    ring.push([2; 16], &common::bytes_of(&stop));
    let mut out = std::io::stdout().lock();
    for item in common::export(ring, aegis_export::Request::from(1)) {
        out.write_all(&item)?;
    }
    out.flush()
}
