//! Exports that someone cut, changed, mixed up or forged: each is found, none breaks the reader.

#[allow(clippy::wildcard_imports)] // the shared half of these tests
use super::super::Keys;
use super::*;

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let stick = Stick::new();
    let mut ring = Ring::new();
    ring.boot(1, 1);
    ring.boot(2, 1);
    let bytes = items(&ring, Request::from(1)).concat();
    let found = |bytes: &[u8], what: &str| {
        let path = stick.put("changed", bytes);
        if let Ok(report) = verify(std::slice::from_ref(&path), &Keys::default()) {
            assert!(!report.whole(), "{what}");
            // Whatever it is, both reports can be made.
            report::json(&report);
            report::person(&report);
        }
    };
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        found(&changed, &format!("byte {at} changed"));
        found(&bytes[..at], &format!("cut at {at}"));
    }
    found(&[&bytes[..], &[0]].concat(), "a byte more");
    found(&[&bytes[..], &bytes[..]].concat(), "twice");
}

#[test]
fn moved_dropped_and_repeated_items_are_found_by_name() {
    let good = items(&three_boots(), Request::from(1));
    assert_eq!(good.len(), 4);
    let cases: &[(&[usize], &[&str])] = &[
        (&[0, 1, 2, 3], &[]),
        (&[0, 2, 3], &["items-changed", "manifest-mismatch", "segment-missing"]),
        (&[1, 2, 3], &["items-changed", "manifest-mismatch", "segment-missing"]),
        (&[0, 1, 3], &["items-changed", "manifest-mismatch"]),
        (&[0, 1, 2], &["manifest-missing", "unchecked-signature"]),
        (&[1, 0, 2, 3], &["out-of-order", "items-changed"]),
        (&[0, 0, 1, 2, 3], &["out-of-order", "items-changed", "manifest-mismatch"]),
        (&[0, 1, 2, 3, 3], &["after-manifest"]),
        (&[0, 1, 2, 3, 0], &["after-manifest"]),
        (&[3, 0, 1, 2], &["after-manifest", "manifest-mismatch"]),
        (&[3], &["items-changed", "manifest-mismatch"]),
    ];
    let stick = Stick::new();
    for (order, expected) in cases {
        let bytes: Vec<u8> = order.iter().flat_map(|index| good[*index].clone()).collect();
        let found = codes(&check(&[stick.put("a", &bytes)]));
        for code in *expected {
            assert!(found.contains(code), "{order:?}: {code} not in {found:?}");
        }
        assert_eq!(found.is_empty(), expected.is_empty(), "{order:?}: {found:?}");
    }
    // Every other order and choice of up to five of the four items.
    for number in 0..5usize.pow(5) {
        let order: Vec<usize> =
            (0..5).map(|place| number / 5usize.pow(place) % 5).filter(|item| *item < 4).collect();
        let bytes: Vec<u8> = order.iter().flat_map(|index| good[*index].clone()).collect();
        // The signatures are not the point here: a sample of them is checked, all orders of the bounds are.
        if number % 7 == 0 && !bytes.is_empty() {
            let whole = check(&[stick.put("a", &bytes)]).whole();
            assert_eq!(whole, order == [0, 1, 2, 3], "{order:?}");
        }
    }
}

#[test]
fn segments_of_another_device_or_forged_are_found() {
    let good = items(&three_boots(), Request::from(1));
    let stick = Stick::new();
    // The middle segment signed again by someone else.
    let (message, _) = aegis_cose::Sign1::take(&good[1]).expect("own item");
    let mut out = vec![0; limits::ITEM_BYTES];
    let other = KeyPair::from_seed(Seed::new([1; 32]));
    let length = sign1(message.unverified_payload(), Domain::Export, &other.sk, &mut out).expect("fits");
    let report = check(&[stick.put("a", &[&good[0], &out[..length], &good[2], &good[3]].concat())]);
    assert!(codes(&report).contains(&"bad-signature"));
    assert_eq!(report::json(&report)["signatures"], "bad");
}

#[test]
fn what_is_no_export_is_refused_in_one_line() {
    let stick = Stick::new();
    let refused = |path: &Path| {
        let failure = verify(&[path.into()], &Keys::default()).expect_err("refused");
        assert!(!failure.message().contains('\n'));
        // Content is refused; what can't be read at all is an error.
        assert_eq!(failure.is_refusal(), path.is_file());
        failure.message().to_owned()
    };
    assert!(refused(&stick.0.path().join("none")).contains("none"));
    assert!(refused(&stick.put("empty", b"")).contains("empty file"));
    assert!(refused(&stick.put("garbage", &[0x5a; 4000])).contains("byte 0: not an export"));
    assert!(refused(&stick.put("bomb", &[0xd2, 0x84, 0x5b, 0xff, 0xff, 0xff])).contains("not an export"));
    let mut out = vec![0; limits::ITEM_BYTES];
    let length = sign1(b"\xa0", Domain::Receipt, &device().sk, &mut out).expect("fits");
    assert!(refused(&stick.put("receipt", &out[..length])).contains("a receipt?"));
    assert!(refused(stick.0.path()).contains("a directory; name the export's file"));
}

#[test]
fn a_lying_device_can_not_break_the_reader() {
    let good = items(&three_boots(), Request::from(1));
    let stick = Stick::new();
    let mut out = vec![0; limits::ITEM_BYTES];
    for (index, item) in good.iter().enumerate() {
        let (message, _) = aegis_cose::Sign1::take(item).expect("own item");
        let payload = message.unverified_payload().to_vec();
        for at in (0..payload.len()).step_by(if index == 3 { 1 } else { 5 }) {
            let mut changed = payload.clone();
            changed[at] ^= 0x11;
            let length = sign1(&changed, Domain::Export, &device().sk, &mut out).expect("fits");
            let mut file = good.clone();
            file[index] = out[..length].to_vec();
            if let Ok(report) = verify(&[stick.put("a", &file.concat())], &Keys::default()) {
                report::json(&report);
                report::person(&report);
            }
        }
    }
}

/// An export signed again after a change, with a manifest that has the right hash over the items: what someone with the
/// device's key can make. Only the chain tells.
fn signed_again(mut items: Vec<Vec<u8>>, change: impl Fn(usize, &mut Vec<u8>)) -> Vec<u8> {
    use sha2::Digest;
    let last = items.len() - 1;
    let mut hasher = sha2::Sha256::new();
    for (index, item) in items.iter_mut().enumerate() {
        let (message, _) = aegis_cose::Sign1::take(item).expect("own item");
        let mut payload = message.unverified_payload().to_vec();
        change(index, &mut payload);
        if index == last {
            // Behind the hash: no policies, no seals.
            let end = payload.len() - [0x14, 0x83, 0xf6, 0, 0x80, 0x15, 0xf6].len();
            payload[end - 32..end].copy_from_slice(&hasher.clone().finalize());
        }
        let mut out = vec![0; limits::ITEM_BYTES];
        let length = sign1(&payload, Domain::Export, &device().sk, &mut out).expect("fits");
        *item = out[..length].to_vec();
        hasher.update(&*item);
    }
    items.concat()
}

#[test]
fn what_the_right_key_signed_wrongly_is_found_by_the_chain() {
    let stick = Stick::new();
    let good = items(&three_boots(), Request::from(1));
    assert!(check(&[stick.put("same", &signed_again(good.clone(), |_, _| ()))]).whole());
    // The head after a segment does not follow from its events.
    let changed = signed_again(good.clone(), |index, payload| {
        if index == 0 {
            // Behind the head: no number of a segment.
            let end = payload.len() - [9, 0xf6].len();
            payload[end - 1] ^= 1;
        }
    });
    assert!(codes(&check(&[stick.put("head", &changed)])).contains(&"chain-broken"));
    // An event changed: here a byte of a path.
    let changed = signed_again(good.clone(), |_, payload| {
        if let Some(at) = payload.windows(6).position(|window| window == b"secret") {
            payload[at] ^= 1;
        }
    });
    let report = check(&[stick.put("event", &changed)]);
    assert_eq!(codes(&report), ["chain-broken"; 3]);
    assert_eq!(report::json(&report)["chain"], "broken");
    // The first segment of one history before the rest of another: each holds together, they don't join.
    let mut other = Ring::new();
    other.boot(1, 2);
    let first = other.frames[1].3.len() - 1;
    other.frames.truncate(1);
    let mut event = three_boots().frames[1].3.clone();
    event[first] ^= 1;
    other.push_bytes(1, &event);
    for frame in &three_boots().frames[2..] {
        other.push_bytes(frame.0[0], &frame.3);
    }
    let mut mixed = items(&other, Request::from(1));
    mixed[0].clone_from(&good[0]);
    assert!(codes(&check(&[stick.put("mixed", &signed_again(mixed, |_, _| ()))])).contains(&"chain-broken"));
}
