//! `state`: the two copies of what a device remembers, as they are after a power cut.

use aegis_bundle::limits::{STATE_BYTES, TRIES};
use aegis_bundle::{ImageState, Trial, TrustState};
use minicbor::Encoder;

use crate::Seed;
use crate::input::{Input, put_block};

/// First byte of an input whose rest are two copies as they come.
const RAW: u8 = 0;
/// First byte of an input whose rest are two states, to be given their checksums.
const MADE: u8 = 1;

/// A copy has one encoding; of two the newer good one counts, in whichever place, and a torn one never.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let made = input.u8() & 1 == MADE;
    let torn = usize::from(input.u8());
    let (a, b) = (input.block(), input.rest());
    let (a, b) = if made { (summed(a), summed(b)) } else { (a.to_vec(), b.to_vec()) };
    let states = [&a, &b].map(|copy| TrustState::decode(copy));
    for (state, copy) in states.iter().zip([&a, &b]) {
        let Some(state) = state else { continue };
        assert!(copy.len() <= STATE_BYTES);
        assert_eq!(&*state.encode(), &copy[..], "two encodings of {state:?}");
        let next = state.next();
        assert_eq!(TrustState::decode(&next.encode()), Some(next));
        assert!(next.generation > state.generation || state.generation == u64::MAX);
        check_trials(state);
        // The writer of the next one was cut off, or had not begun.
        let torn = &next.encode()[..torn.min(next.encode().len() - 1)];
        assert_eq!(TrustState::decode(torn), None, "half a copy");
        assert_eq!(TrustState::pick(copy, torn), Some(*state));
        assert_eq!(TrustState::pick(copy, &next.encode()), Some(next));
    }
    let picked = TrustState::pick(&a, &b);
    assert_eq!(picked.is_some(), states.iter().any(Option::is_some));
    if let Some(picked) = picked {
        assert!(states.contains(&Some(picked)));
        let rank = |state: &TrustState| (state.generation, state.epoch, state.sequence);
        assert!(states.iter().flatten().all(|state| rank(state) <= rank(&picked)));
        assert_eq!(TrustState::pick(&b, &a).as_ref().map(rank), Some(rank(&picked)));
    }
    picked.is_some()
}

/// However far it is, a few more failed trials end them; something newer may be tried, and is the newest then.
fn check_trials(state: &TrustState) {
    let (manifest, epoch, sequence) = (state.tried, state.tried_epoch, state.tried_sequence);
    let mut trying = *state;
    for _ in 0..TRIES {
        trying = trying.trying(manifest, epoch, sequence);
    }
    assert!(trying.holds_back(&manifest, epoch, sequence) && trying.tries >= state.tries.min(TRIES));
    assert!(trying.holds_back(&[1; 32], epoch, sequence), "another one takes its turn");
    if let Some(newer) = sequence.checked_add(1).filter(|_| state.left != manifest) {
        assert!(!trying.holds_back(&manifest, epoch, newer));
        let newer = trying.trying(manifest, epoch, newer);
        assert_eq!((newer.tries, newer.tried_sequence), (1, sequence + 1));
    }
}

/// A copy of any bytes.
fn summed(state: &[u8]) -> Vec<u8> {
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(state);
    let mut out = Encoder::new(Vec::new());
    out.array(2)
        .and_then(|out| out.bytes(state))
        .and_then(|out| out.u32(sum))
        .expect("memory takes everything");
    out.into_writer()
}

/// New, old, and both.
pub fn seeds() -> Vec<Seed> {
    let new = TrustState::default();
    let old =
        TrustState {
            generation: 300,
            epoch: 2,
            sequence: 70_000,
            time: 1_800_000_000,
            manifest: [1; 32],
            bundle: [2; 32],
            previous: [3; 32],
            tried: [4; 32],
            tries: 3,
            tried_epoch: 2,
            tried_sequence: 70_001,
            left: [5; 32],
            root_version: 2,
            token_sequence: 1,
            image: ImageState { epoch: 2, sequence: 9, manifest: [6; 32], ..ImageState::default() }
                .with_trial(Trial::Written, (2, 10), [7; 32]),
            counter: 0,
            workloads: 0,
        };
    let counted = TrustState { counter: 77, ..old };
    let with_workloads = TrustState { workloads: 5, ..counted };
    let inside = |state: &TrustState| {
        let copy = state.encode();
        let mut reader = minicbor::Decoder::new(&copy);
        reader.array().and_then(|_| reader.bytes()).expect("it was written just now").to_vec()
    };
    let two = |mode, a: &[u8], b: &[u8]| {
        let mut out = vec![mode, 90];
        put_block(&mut out, a);
        out.extend(b);
        out
    };
    vec![
        ("raw-new", two(RAW, &new.encode(), b"")),
        ("raw-both", two(RAW, &old.encode(), &old.next().encode())),
        ("made", two(MADE, &inside(&new), &inside(&old))),
        ("made-counted", two(MADE, &inside(&old), &inside(&counted))),
        ("made-workloads", two(MADE, &inside(&counted), &inside(&with_workloads))),
    ]
}
