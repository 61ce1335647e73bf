//! `record`: bytes of the kernel ring buffer. They come from our own probes; that others can't get in is not relied on.

use aegis_event::{Event, Kind, limits};
use aegis_probes::{Raw, Record, abi};

use crate::Seed;

/// What is read as a record is an event that can be written: what the kernel says is never lost for its form.
pub fn run(data: &[u8]) -> bool {
    // The ring buffer aligns its records to 8 bytes. A page has room for the longest.
    let mut room = [0u64; 512];
    let length = data.len().min(room.len() * 8);
    for (word, bytes) in room.iter_mut().zip(data.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_ne_bytes(padded);
    }
    let Ok(record) = Record::parse(&zerocopy::IntoBytes::as_bytes(&room)[..length]) else { return false };
    assert!(record.comm().len() <= limits::COMM_BYTES);
    match record.raw {
        Raw::Note(note) => assert!(note.len() <= abi::NOTE_MAX),
        Raw::Seen(body) => {
            assert_eq!(u16::from(body.kind().number()), record.head.kind);
            let event = Event { time: record.head.time, subject: None, body };
            let mut bytes = [0; limits::EVENT_BYTES];
            let length = event.encode(&mut bytes).expect("a record is an event");
            assert_eq!(Event::decode(&bytes[..length]), Ok(event));
        }
    }
    true
}

/// A record of each kind: zeros are good for most of it.
pub fn seeds() -> Vec<Seed> {
    let seed = |kind: u16, length: usize| {
        let mut bytes = vec![0; length];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[2..4].copy_from_slice(&(length as u16).to_le_bytes());
        bytes
    };
    let length = |kind: &Kind| match kind {
        Kind::Fork => size_of::<abi::Fork>(),
        Kind::Exec => size_of::<abi::Exec>(),
        Kind::Exit => size_of::<abi::Exit>(),
        Kind::Rename | Kind::Link => size_of::<abi::Rename>(),
        Kind::Connect | Kind::Socket | Kind::Bind | Kind::Listen | Kind::Accept => size_of::<abi::Network>(),
        Kind::Ptrace | Kind::Module | Kind::BpfCall | Kind::Mount | Kind::Signal | Kind::Escape => {
            size_of::<abi::Surface>()
        }
        Kind::Privilege => size_of::<abi::Privilege>(),
        Kind::Volume => size_of::<abi::Volume>(),
        Kind::Flow => size_of::<abi::Flow>(),
        _ => size_of::<abi::Access>(),
    };
    let mut seeds: Vec<Seed> = Kind::ALL
        .iter()
        .filter(|kind| kind.number() < 32)
        .map(|kind| (kind.name(), seed(kind.number().into(), length(kind))))
        .collect();
    seeds.push(("note", seed(abi::NOTE, size_of::<abi::NoteRecord>())));
    // By a rule that matched a directory above, passed only because the glass was broken.
    let (_, mut matched) = seeds[3].clone();
    matched[4..6].copy_from_slice(&[abi::AUDITED, abi::GLASS_BROKEN]);
    let rule = std::mem::offset_of!(abi::Head, rule);
    matched[rule] = 1;
    let decision = std::mem::offset_of!(abi::Access, decision);
    matched[decision..decision + 4].copy_from_slice(b"keep");
    matched[decision + std::mem::offset_of!(abi::Decision, matched)] = abi::MATCH_TREE;
    seeds.push(("matched", matched));
    seeds
}
