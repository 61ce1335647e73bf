//! `receipt`: what a device says, as the office reads it.

use aegis_bundle::limits::{CODE_BYTES, RECEIPT_BYTES};
use aegis_bundle::{Answer, Receipt, What, encode_receipt, open_receipt};
use aegis_cose::{Domain, device_id};
use aegis_event::Mode;

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_changes};
use crate::keys::{self, pair, public};

/// The device that receipts are signed by.
const DEVICE: usize = 3;
/// First byte of an input whose rest is a receipt as it comes.
const RAW: u8 = 0;
/// First byte of an input that has changes, and a payload to sign.
const MADE: u8 = 1;

/// What opens is what its own key signed, in one encoding.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    if input.u8() & 1 == RAW {
        return open(input.rest());
    }
    let changes = changes(&mut input);
    let whole = keys::single(input.rest(), Domain::Receipt, DEVICE);
    let changed = changed(&whole, &changes);
    assert!(changed == whole || open_receipt(&changed).is_err(), "changed, and still good");
    open(&whole)
}

fn open(bytes: &[u8]) -> bool {
    let Ok(receipt) = open_receipt(bytes) else { return false };
    assert!(bytes.len() <= RECEIPT_BYTES && receipt.code.len() <= CODE_BYTES);
    assert_eq!(receipt.device(), device_id(&receipt.public_key));
    if receipt.public_key == public(DEVICE) {
        let mut again = [0; RECEIPT_BYTES + 96];
        let length = encode_receipt(&receipt, &pair(DEVICE).sk, &mut again).expect("it was read");
        assert_eq!(&again[..length], bytes, "two encodings of {receipt:?}");
    }
    true
}

/// Of each answer.
pub fn seeds() -> Vec<Seed> {
    let nothing = Receipt {
        public_key: public(DEVICE),
        what: What::Nothing,
        seen: None,
        answer: Answer::None,
        code: "",
        epoch: 0,
        sequence: 0,
        mode: Mode::AuditOnly,
        ring_head: None,
        boot_id: [9; 16],
        boot_time: 1 << 40,
        clock: 1_800_000_000,
        clock_trusted: false,
        root_version: 1,
    };
    let refused = Receipt {
        what: What::Bundle,
        seen: Some([1; 32]),
        answer: Answer::Refused,
        code: "bad-signature",
        epoch: 2,
        sequence: 300,
        mode: Mode::Enforcing,
        ring_head: Some([2; 32]),
        clock_trusted: true,
        root_version: 70_000,
        ..nothing
    };
    let payload = |receipt: &Receipt<'_>| {
        let mut out = [0; RECEIPT_BYTES];
        let length = encode_receipt(receipt, &pair(DEVICE).sk, &mut out).expect("a seed fits");
        let (message, _) = aegis_cose::Sign1::take(&out[..length]).expect("it was written just now");
        (message.unverified_payload().to_vec(), out[..length].to_vec())
    };
    let (short, whole) = payload(&nothing);
    let (long, _) = payload(&refused);
    let made = |changes: &[Told], payload: &[u8]| {
        let mut out = vec![MADE];
        put_changes(&mut out, changes);
        out.extend(payload);
        out
    };
    vec![
        ("raw", [vec![RAW], whole].concat()),
        ("nothing", made(&[], &short)),
        ("refused", made(&[(20, Change::WIDEN, 0)], &long)),
    ]
}
