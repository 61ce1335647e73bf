//! Against a TPM: Debian's `swtpm`.
#![allow(clippy::unwrap_used)]

mod common;

use aegis_tpm::{Counter, MEASURED, Sealed, Tpm};
use common::Swtpm;

#[test]
fn a_key_is_given_back_by_the_tpm_that_sealed_it_and_by_no_other() {
    let mut swtpm = Swtpm::new();
    let mut tpm = Tpm::new(swtpm.start());
    let sealed = tpm.seal(&[7; 32]).unwrap();
    let kept = sealed.encode();
    assert!(!kept.windows(32).any(|bytes| bytes == [7; 32]));
    let sealed = Sealed::decode(&kept).unwrap();
    // Nothing is left in it: three objects are all that it has room for.
    for _ in 0..5 {
        assert_eq!(*tpm.unseal(&sealed).unwrap(), [7; 32]);
    }
    drop(tpm);
    let mut tpm = Tpm::new(swtpm.start());
    assert_eq!(*tpm.unseal(&sealed).unwrap(), [7; 32], "after the power was gone");
    drop(tpm);
    let mut other = Swtpm::new();
    let mut tpm = Tpm::new(other.start());
    let refused = tpm.unseal(&sealed).unwrap_err();
    assert!(refused.is_an_answer() && refused.to_string().contains("another TPM"), "{refused}");
}

#[test]
fn another_start_does_not_get_it() {
    let mut swtpm = Swtpm::new();
    let mut tpm = Tpm::new(swtpm.start());
    let sealed = tpm.seal(&[7; 32]).unwrap();
    let all = |tpm: &mut Tpm<common::Powered>| -> Vec<_> {
        MEASURED.iter().map(|number| tpm.pcr(*number).unwrap()).collect()
    };
    let before = all(&mut tpm);
    let mut transport = tpm.into_inner();
    transport.extend(7);
    let mut tpm = Tpm::new(transport);
    let after = all(&mut tpm);
    assert!(tpm.pcr(24).is_err(), "there is none");
    let changed = MEASURED.iter().zip(before.iter().zip(&after)).filter(|(_, (a, b))| a != b);
    assert!(changed.map(|(number, _)| number).eq(&[7]));
    for _ in 0..5 {
        let refused = tpm.unseal(&sealed).unwrap_err();
        assert!(refused.is_an_answer() && refused.to_string().contains("measured otherwise"), "{refused}");
    }
    let anew = tpm.seal(&[8; 32]).unwrap();
    assert_eq!(*tpm.unseal(&anew).unwrap(), [8; 32]);
}

#[test]
fn the_counter_only_rises() {
    let mut swtpm = Swtpm::new();
    let mut tpm = Tpm::new(swtpm.start());
    assert_eq!(tpm.counter().unwrap(), Counter::Undefined);
    assert!(tpm.increment().is_err());
    tpm.define_counter().unwrap();
    assert_eq!(tpm.counter().unwrap(), Counter::Unwritten);
    for value in 1..4 {
        tpm.increment().unwrap();
        assert_eq!(tpm.counter().unwrap(), Counter::At(value));
    }
    assert!(!tpm.is_marked().unwrap());
    tpm.mark().unwrap();
    drop(tpm);
    let mut tpm = Tpm::new(swtpm.start());
    assert_eq!(
        (tpm.counter().unwrap(), tpm.is_marked().unwrap()),
        (Counter::At(3), true),
        "after the power was gone"
    );
}
