//! Whatever a TPM answers: no panic, nothing without end, nothing left in it.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use aegis_tpm::{Counter, Error, MEASURED, Sealed, Tpm, Transport};
use proptest::prelude::*;

const FLUSH: u32 = 0x165;
const SECRET: [u8; 32] = [7; 32];
const PRIMARY: u32 = 0x8000_0000;
const OBJECT: u32 = 0x8000_0001;
const SESSION: u32 = 0x0300_0000;

/// A TPM that answers as it is told.
struct Told<F> {
    answer: F,
    commands: Vec<Vec<u8>>,
}

impl<F: FnMut(u32, &[u8]) -> Option<Vec<u8>>> Transport for Told<F> {
    type Error = ();

    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, ()> {
        let length = u32::from_be_bytes(command[2..6].try_into().unwrap());
        assert_eq!(length as usize, command.len(), "a command says its length");
        self.commands.push(command.to_vec());
        assert!(self.commands.len() < 64, "without end");
        let answer = (self.answer)(code(command), command).ok_or(())?;
        let kept = answer.len().min(response.len());
        response[..kept].copy_from_slice(&answer[..kept]);
        // A transport that lies is no reason to panic either.
        Ok(answer.len())
    }
}

fn told<F: FnMut(u32, &[u8]) -> Option<Vec<u8>>>(answer: F) -> Tpm<Told<F>> {
    Tpm::new(Told { answer, commands: Vec::new() })
}

fn code(command: &[u8]) -> u32 {
    u32::from_be_bytes(command[6..10].try_into().unwrap())
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn response(session: bool, handle: Option<u32>, parameters: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, if session { 2 } else { 1 }, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(handle.map(u32::to_be_bytes).unwrap_or_default().iter().take(if handle.is_some() {
        4
    } else {
        0
    }));
    if session {
        out.extend((parameters.len() as u32).to_be_bytes());
    }
    out.extend(parameters);
    if session {
        out.extend([0, 0, 1, 0, 0]);
    }
    let length = (out.len() as u32).to_be_bytes();
    out[2..6].copy_from_slice(&length);
    out
}

fn refused(code: u32) -> Vec<u8> {
    [&[0x80, 1, 0, 0, 0, 10][..], &code.to_be_bytes()].concat()
}

/// As a TPM answers in good order.
fn good(code: u32, command: &[u8]) -> Vec<u8> {
    let creation =
        [sized(&[1; 60]), sized(&[2; 32]), vec![0x80, 0x21, 0x40, 0, 0, 1], sized(&[3; 32])].concat();
    match code {
        // PCR_Read: the value is the number.
        0x17e => {
            let asked = &command[17..20];
            let number = (0..24u8).find(|n| asked[usize::from(n / 8)] >> (n % 8) & 1 == 1).unwrap();
            let front = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3][..], asked, &[0, 0, 0, 1]].concat();
            response(false, None, &[front, sized(&[number; 32])].concat())
        }
        // CreatePrimary, Create, Load
        0x131 => response(true, Some(PRIMARY), &[sized(&[4; 90]), creation, sized(&[5; 34])].concat()),
        0x153 => {
            let public_at = command.len() - 2 - 4 - 2 - 44;
            let public = [&command[public_at..public_at + 44], &sized(&[6; 32])].concat();
            response(true, None, &[sized(&[8; 150]), sized(&public), creation].concat())
        }
        0x157 => response(true, Some(OBJECT), &sized(&[5; 34])),
        // StartAuthSession, PolicyPCR, Unseal, FlushContext
        0x176 => response(false, Some(SESSION), &sized(&[1; 32])),
        0x17f | FLUSH => response(false, None, &[]),
        0x15e => response(true, None, &sized(&SECRET)),
        // NV_ReadPublic, NV_Read, NV_Increment, NV_DefineSpace
        0x169 => {
            let index = &command[10..14];
            let attributes: u32 = if index[3] == 0x61 { 0x2202_0012 } else { 0x0202_0002 };
            let public = [index, &[0, 0x0b], &attributes.to_be_bytes(), &[0, 0, 0, 8]].concat();
            response(false, None, &[sized(&public), sized(&[9; 34])].concat())
        }
        0x14e => response(true, None, &sized(&42u64.to_be_bytes())),
        0x134 | 0x12a => response(true, None, &[]),
        other => panic!("{other:#x}"),
    }
}

fn sealed() -> Sealed {
    told(|code, command| Some(good(code, command))).seal(&SECRET).unwrap()
}

/// Everything there is to ask, and whether it was done.
fn all<T: Transport>(tpm: &mut Tpm<T>, sealed: &Sealed) -> [bool; 8] {
    [
        tpm.pcr(11).is_ok(),
        tpm.seal(&SECRET).is_ok(),
        tpm.unseal(sealed).is_ok(),
        tpm.counter().is_ok(),
        tpm.define_counter().is_ok(),
        tpm.increment().is_ok(),
        tpm.is_marked().is_ok(),
        tpm.mark().is_ok(),
    ]
}

#[test]
fn what_is_asked_is_what_is_answered() {
    let mut tpm = told(|code, command| Some(good(code, command)));
    for number in MEASURED {
        assert_eq!(tpm.pcr(*number), Ok([*number; 32]));
    }
    assert_eq!(*tpm.unseal(&sealed()).unwrap(), SECRET);
    assert_eq!(tpm.counter(), Ok(Counter::At(42)));
    assert_eq!(all(&mut tpm, &sealed()), [true; 8]);
}

/// Each exchange in turn fails in each way: what was loaded and begun before is flushed all the same.
#[test]
fn nothing_is_left_in_the_tpm_whatever_fails() {
    let sealed = sealed();
    for failing in 0..12 {
        for way in 0..6 {
            let mut step = 0;
            let mut tpm = told(|code, command| {
                step += 1;
                let mut answer = good(code, command);
                if step - 1 != failing || code == FLUSH {
                    return Some(answer);
                }
                match way {
                    0 => return None,
                    1 => answer = refused(0x99d),
                    2 => answer.truncate(answer.len() - 1),
                    3 => answer.push(0),
                    4 => answer[1] ^= 3,
                    _ => answer.truncate(9),
                }
                Some(answer)
            });
            let results = (tpm.seal(&SECRET).is_ok(), tpm.unseal(&sealed).is_ok());
            let commands = tpm.into_inner().commands;
            // Handles are first in a response, so a handle in a broken one is not known to be there.
            let broken = code(&commands[failing]);
            assert!(broken == FLUSH || results != (true, true), "{failing} {way}: {results:?}");
            let of = |wanted: u32| {
                commands.iter().enumerate().filter(move |(at, c)| code(c) == wanted && *at != failing)
            };
            let made = of(0x131).count() + of(0x157).count() + of(0x176).count();
            assert_eq!(commands.iter().filter(|c| code(c) == FLUSH).count(), made, "{failing} {way}");
        }
    }
}

#[test]
fn a_number_is_no_permission_to_read_on() {
    type Spoil<'s> = &'s dyn Fn(&mut Vec<u8>);
    let read = |spoil: Spoil<'_>| {
        told(|code, command| {
            let mut answer = good(code, command);
            spoil(&mut answer);
            Some(answer)
        })
        .pcr(11)
    };
    let cases: [(&str, Spoil<'_>); 7] = [
        ("two banks", &|answer| answer[17] = 2),
        ("another bank", &|answer| answer[19] = 4),
        ("more bytes of selection", &|answer| answer[20] = 4),
        ("what was not asked for", &|answer| answer[23] = 1),
        ("more digests than selected", &|answer| answer[27] += 1),
        ("a digest of another length", &|answer| answer[29] = 31),
        ("no digest", &|answer| answer[27] = 0),
    ];
    for (name, spoil) in cases {
        assert_eq!(read(spoil), Err(Error::Malformed), "{name}");
    }
    // A TPM without the bank gives nothing.
    let none = told(|_, _| Some(response(false, None, &[0; 12]))).pcr(11);
    assert_eq!(none, Err(Error::Unexpected));
}

#[test]
fn an_index_of_somebody_else_is_not_ours() {
    for (at, bit) in [(12, 1), (16, 1), (17, 1), (18, 1), (19, 1), (21, 1), (25, 1)] {
        let mut tpm = told(|code, command| {
            let mut answer = good(code, command);
            answer[at] ^= bit;
            Some(answer)
        });
        assert_eq!(tpm.counter(), Err(Error::Unexpected), "byte {at}");
    }
    let none = |_: u32, _: &[u8]| Some(refused(0x18b));
    assert_eq!((told(none).counter(), told(none).is_marked()), (Ok(Counter::Undefined), Ok(false)));
    let busy = told(|_, _| Some(refused(0x922))).counter();
    assert_eq!(busy, Err(Error::Refused(0x922)));
    assert!(!busy.is_err_and(|error| error.is_an_answer()), "it may say something else soon");
}

#[test]
fn a_sealed_key_is_kept_whole_or_is_none() {
    let sealed = sealed();
    let bytes = sealed.encode();
    assert_eq!(Sealed::decode(&bytes).as_ref(), Some(&sealed));
    for length in 0..bytes.len() {
        assert_eq!(Sealed::decode(&bytes[..length]), None);
    }
    assert_eq!(Sealed::decode(&[&bytes[..], &[0]].concat()), None);
}

proptest! {
    #[test]
    fn any_answers_at_all(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut next = answers.iter().cycle();
        let mut tpm = told(|_, _| next.next().cloned());
        prop_assert_eq!(all(&mut tpm, &sealed()), [false; 8]);
    }

    /// A good answer with bytes of it changed.
    #[test]
    fn answers_that_are_nearly_good(changes in prop::collection::vec((any::<u16>(), 1u8..), 1..4), step in 0usize..30) {
        let mut now = 0;
        let mut tpm = told(|code, command| {
            let mut answer = good(code, command);
            if now == step {
                for (at, change) in &changes {
                    let at = usize::from(*at) % answer.len();
                    answer[at] ^= change;
                }
            }
            now += 1;
            Some(answer)
        });
        all(&mut tpm, &sealed());
        let commands: BTreeSet<u32> = tpm.into_inner().commands.iter().map(|command| code(command)).collect();
        prop_assert!(commands.len() <= 12);
    }
}
