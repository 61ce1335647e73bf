//! `seal`: what proves a ring to the office, and what a device keeps for the next proof.

use aegis_cose::{Domain, device_id};
use aegis_ring::{Books, Closed, Leaves};
use aegis_seal::limits::{RECORD_BYTES, STATE_BYTES};
use aegis_seal::{CERTIFICATE, CHECKPOINT, Certificate, Chain, Checkpoint, Hash, Open, State};
use minicbor::Encoder;
use sha2::{Digest, Sha256};

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_block, put_changes};
use crate::keys::{self, KEYS, pair, public};

/// The device whose certificates are believed.
const DEVICE: usize = 3;
/// First byte of an input whose rest is a record as it comes.
const RAW: u8 = 0;
/// First byte of an input that has payloads of records, to be signed and followed.
const CHAIN: u8 = 1;
/// First byte of an input that has a state, to be given its checksum.
const STATE: u8 = 2;

/// A record has one encoding, a chain one way on, a state one meaning.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    match input.u8() % 3 {
        RAW => {
            let bytes = input.rest();
            let (checkpoint, certificate) = (checkpoint(bytes), certificate(bytes));
            assert!(checkpoint.is_none() || certificate.is_none(), "both at once");
            checkpoint.is_some() || certificate.is_some()
        }
        CHAIN => chain(&mut input),
        _ => state(&mut input),
    }
}

/// Checkpoint that is whole.
fn checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let peeked = Checkpoint::peek(bytes);
    let opened = Checkpoint::open(bytes);
    if let Ok(checkpoint) = &peeked {
        assert!(bytes.len() <= RECORD_BYTES);
        let (message, _) = aegis_cose::Sign1::take(bytes).expect("it was read");
        assert_eq!(checkpoint_payload(checkpoint), message.unverified_payload(), "two encodings");
    }
    assert!(opened.is_err() || opened == peeked);
    opened.ok()
}

/// Certificate by the device.
fn certificate(bytes: &[u8]) -> Option<Certificate> {
    let peeked = Certificate::peek(bytes);
    let opened = Certificate::open(bytes, &pair(DEVICE).pk);
    if let Ok(certificate) = &peeked {
        let (message, _) = aegis_cose::Sign1::take(bytes).expect("it was read");
        assert_eq!(certificate_payload(certificate), message.unverified_payload(), "two encodings");
    }
    if let Ok(certificate) = &opened {
        assert_eq!((Ok(*certificate), certificate.device_key), (peeked, public(DEVICE)));
    }
    opened.ok()
}

/// Records, one behind the other: the first certificate begins, and every checkpoint goes on or does not.
fn chain(input: &mut Input<'_>) -> bool {
    let mut chain: Option<Chain> = None;
    let mut followed = false;
    while !input.is_empty() {
        let number = usize::from(input.u8()) % KEYS;
        let changes = changes(input);
        let record = keys::single(&changed(input.block(), &changes), Domain::Seal, number);
        if let Some(certificate) = certificate(&record) {
            assert_eq!(number, DEVICE);
            chain = Some(Chain::begin(&certificate, &record));
        } else if let Some(checkpoint) = checkpoint(&record) {
            assert_eq!(checkpoint.key, public(number));
            let Some(chain) = &mut chain else { continue };
            let before = *chain;
            match chain.follow(&checkpoint, &record) {
                Ok(()) => {
                    let of = (checkpoint.device, checkpoint.ring, checkpoint.epoch);
                    assert_eq!(of, (before.device, before.ring, before.next_epoch));
                    assert_eq!((checkpoint.key, checkpoint.previous), (before.next_key, before.previous));
                    let hash: Hash = Sha256::digest(&record).into();
                    assert_eq!((chain.next_epoch, chain.previous), (before.next_epoch + 1, hash));
                    assert!(chain.follow(&checkpoint, &record).is_err(), "twice");
                    followed = true;
                }
                Err(_) => assert_eq!(*chain, before, "moved by what it refused"),
            }
        }
    }
    followed
}

/// What is not torn is read as it was written, and not otherwise.
fn state(input: &mut Input<'_>) -> bool {
    let (torn, zeros) = (usize::from(input.u16()), usize::from(input.u8()));
    let changes = changes(input);
    let inner = changed(input.rest(), &changes);
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&inner);
    let mut out = Encoder::new(Vec::new());
    out.array(2)
        .and_then(|out| out.bytes(&inner))
        .and_then(|out| out.u32(sum))
        .expect("memory takes everything");
    let mut copy = out.into_writer();
    let Some(state) = State::decode(&copy) else { return false };
    assert!(copy.len() <= STATE_BYTES);
    assert_eq!(&*state.encode(), &copy[..], "two encodings");
    assert_eq!(State::decode(&copy[..torn % copy.len()]), None, "half a copy");
    assert_eq!(State::newer(Some(state.clone()), None).as_ref(), Some(&state));
    // A place is larger than a copy, and blank behind it.
    copy.extend(vec![0; zeros]);
    assert_eq!(State::decode(&copy).as_ref(), Some(&state));
    copy.push(1);
    assert_eq!(State::decode(&copy), None, "something else behind it");
    true
}

type Plain = Encoder<Vec<u8>>;
type Written = Result<(), minicbor::encode::Error<core::convert::Infallible>>;

fn written(write: impl FnOnce(&mut Plain) -> Written) -> Vec<u8> {
    let mut out = Plain::new(Vec::new());
    write(&mut out).expect("memory takes everything");
    out.into_writer()
}

fn hash_or_null(out: &mut Plain, hash: Option<&Hash>) -> Written {
    match hash {
        Some(hash) => out.bytes(hash).map(drop),
        None => out.null().map(drop),
    }
}

/// A checkpoint as `docs/formats/export.cddl` has it, by another hand than the sealer's.
pub fn checkpoint_payload(of: &Checkpoint) -> Vec<u8> {
    written(|out| {
        out.map(20)?.u8(0)?.str(CHECKPOINT)?.u8(1)?.u8(1)?;
        out.u8(2)?.bytes(&of.device)?.u8(3)?.bytes(&of.ring)?.u8(4)?.bytes(&of.boot)?;
        out.u8(5)?.u64(of.epoch)?.u8(6)?.bytes(&of.key)?.u8(7)?.bytes(&of.next_key)?;
        out.u8(8)?.bytes(&of.previous)?.u8(9)?.u64(of.sequence)?.u8(10)?.bytes(&of.head)?;
        let leaves = &of.open.leaves;
        out.u8(11)?
            .array(4)?
            .u64(of.open.segment)?
            .u64(of.open.first)?
            .u64(leaves.events)?
            .bytes(&leaves.root)?;
        out.u8(12)?.array(3)?.u64(of.closed.first)?.u64(of.closed.count)?;
        hash_or_null(out, of.closed.root.as_ref())?;
        let books = &of.books;
        let (first, last) = books.overwritten_range;
        out.u8(13)?.u64(of.retained)?.u8(14)?.u64(books.exported)?;
        out.u8(15)?.array(3)?.u64(books.overwritten)?.u64(first)?.u64(last)?;
        out.u8(16)?.array(2)?.u64(books.cuts)?.u64(books.cut_at)?.u8(17)?.u64(books.damaged)?;
        out.u8(18)?.u64(of.boottime)?.u8(19)?.u32(of.period)?;
        Ok(())
    })
}

/// A certificate as `docs/formats/export.cddl` has it, by another hand than the sealer's.
pub fn certificate_payload(of: &Certificate) -> Vec<u8> {
    written(|out| {
        out.map(10)?.u8(0)?.str(CERTIFICATE)?.u8(1)?.u8(1)?;
        out.u8(2)?.bytes(&device_id(&of.device_key))?.u8(3)?.bytes(&of.ring)?.u8(4)?.bytes(&of.boot)?;
        out.u8(5)?.u64(of.epoch)?.u8(6)?.bytes(&of.key)?.u8(7)?.bytes(&of.device_key)?.u8(8)?;
        hash_or_null(out, of.previous.as_ref())?;
        out.u8(9)?.u64(of.boottime)?;
        Ok(())
    })
}

const RING: [u8; 16] = [7; 16];

fn first() -> Certificate {
    Certificate {
        device_key: public(DEVICE),
        ring: RING,
        epoch: 0,
        key: public(0),
        previous: None,
        boot: [1; 16],
        boottime: 9,
    }
}

/// By key `epoch`, which names the next one.
fn next(epoch: usize, previous: &[u8]) -> Checkpoint {
    Checkpoint {
        device: device_id(&public(DEVICE)),
        ring: RING,
        boot: [1; 16],
        epoch: epoch as u64,
        key: public(epoch),
        next_key: public(epoch + 1),
        previous: Sha256::digest(previous).into(),
        sequence: 40,
        head: [2; 32],
        open: Open { segment: 5, first: 31, leaves: Leaves { events: 10, root: [3; 32] } },
        closed: Closed { first: 2, count: 3, root: Some([4; 32]) },
        retained: 4,
        books: Books {
            exported: 20,
            overwritten: 3,
            overwritten_range: (1, 3),
            cuts: 1,
            cut_at: 12,
            damaged: 2,
        },
        boottime: 1 << 40,
        period: 3600,
    }
}

/// A certificate, and the checkpoint that follows it.
pub fn records() -> (Vec<u8>, Vec<u8>) {
    let begun = keys::single(&certificate_payload(&first()), Domain::Seal, DEVICE);
    let sealed = keys::single(&checkpoint_payload(&next(0, &begun)), Domain::Seal, 0);
    (begun, sealed)
}

/// A record of each kind, a chain, a state.
pub fn seeds() -> Vec<Seed> {
    let begins = certificate_payload(&first());
    let (begun, sealed) = records();
    let zero = checkpoint_payload(&next(0, &begun));
    let one = checkpoint_payload(&next(1, &sealed));
    let chain = |records: &[(u8, &[u8], &[Told])]| {
        let mut out = vec![CHAIN];
        for (number, payload, changes) in records {
            out.push(*number);
            put_changes(&mut out, changes);
            put_block(&mut out, payload);
        }
        out
    };
    // Of format 1 with the secret as it is, of format 2 with one that is locked.
    let state = |format, secret: &[u8]| {
        let inner = written(|out| {
            out.map(9)?.u8(1)?.u8(format)?.u8(2)?.bytes(&device_id(&public(DEVICE)))?.u8(3)?.bytes(&RING)?;
            out.u8(4)?.u8(2)?.u8(5)?.u8(1)?.u8(6)?.bytes(secret)?.u8(7)?.bytes(&begun)?;
            out.u8(8)?.bytes(&sealed)?.u8(9)?.u8(5)?;
            Ok(())
        });
        let mut state = vec![STATE, 30, 1, 8];
        put_changes(&mut state, &[]);
        state.extend(inner);
        state
    };
    vec![
        ("raw-certificate", [vec![RAW], begun.clone()].concat()),
        ("raw-checkpoint", [vec![RAW], sealed.clone()].concat()),
        ("chain", chain(&[(DEVICE as u8, &begins, &[]), (0, &zero, &[]), (1, &one, &[])])),
        (
            "chain-widened",
            chain(&[(DEVICE as u8, &begins, &[]), (0, &zero, &[]), (1, &one, &[(15, Change::WIDEN, 0)])]),
        ),
        ("state", state(1, &[9; 32])),
        ("state-locked", state(2, &[9; 60])),
    ]
}
