//! `tpm`: what a TPM answers, exchange by exchange, and the sealed key as it is kept.

use aegis_tpm::limits::{COMMAND_BYTES, SEALED_BYTES};
use aegis_tpm::{Counter, Sealed, Tpm, Transport};

use crate::Seed;
use crate::input::{Input, put_block};

/// `TPM2_FlushContext`, and what leaves a handle: `CreatePrimary`, `Load`, `StartAuthSession`.
const FLUSH: u32 = 0x165;
const MAKES: [u32; 3] = [0x131, 0x157, 0x176];
const SECRET: [u8; 32] = [7; 32];

/// Answers what the input says, one block an exchange, and then no more.
struct Told<'a> {
    input: Input<'a>,
    /// First byte of an input: whether its blocks are whole responses, or what stands behind a header that fits.
    made: bool,
    exchanges: usize,
    /// Handles that are there, as far as who asked can know.
    left: i64,
}

impl Transport for Told<'_> {
    type Error = ();

    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, ()> {
        let word = |at: usize| u32::from_be_bytes(command[at..at + 4].try_into().expect("a header"));
        assert!(command.len() <= COMMAND_BYTES && word(2) as usize == command.len(), "its own length");
        self.exchanges += 1;
        assert!(self.exchanges <= 64, "without end");
        if word(6) == FLUSH {
            self.left -= 1;
        }
        if self.input.is_empty() {
            return Err(());
        }
        let block = self.input.block();
        let mut answer = block.to_vec();
        if self.made {
            answer = [&command[..2], &(block.len() as u32 + 10).to_be_bytes(), &[0; 4], block].concat();
        }
        let there = answer.len() >= 14 && answer.len() <= response.len() && answer[6..10] == [0; 4];
        self.left += i64::from(there && self.made && MAKES.contains(&word(6)));
        let kept = answer.len().min(response.len());
        response[..kept].copy_from_slice(&answer[..kept]);
        Ok(answer.len())
    }
}

/// Whatever is answered: an end, and what was made is flushed.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    let (made, what) = (input.u8() & 1 == 1, input.u8());
    if let Some(sealed) = Sealed::decode(input.0) {
        assert!(input.0.len() <= SEALED_BYTES);
        assert_eq!(&sealed.encode()[..], input.0, "two encodings");
        return true;
    }
    let mut tpm = Tpm::new(Told { input, made, exchanges: 0, left: 0 });
    let done = match what % 8 {
        0 => tpm.pcr(7).is_ok(),
        1 => tpm.seal(&SECRET).is_ok_and(|sealed| Sealed::decode(&sealed.encode()) == Some(sealed)),
        2 => tpm.unseal(&sealed()).is_ok(),
        3 => matches!(tpm.counter(), Ok(Counter::At(_))),
        4 => tpm.define_counter().is_ok(),
        5 => tpm.increment().is_ok(),
        6 => tpm.is_marked().is_ok(),
        _ => tpm.mark().is_ok(),
    };
    let told = tpm.into_inner();
    // One that came in a response that is broken behind it is not known to be there.
    assert!(!done || told.left <= 0 || !made, "{} are left", told.left);
    done
}

/// One as it is kept.
fn sealed() -> Sealed {
    let bytes = [&b"AEGISTPM"[..], &[0, 3], b"pub", &[0, 4], b"priv"].concat();
    Sealed::decode(&bytes).expect("its own form")
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// What stands behind a header: a handle, the parameters of a command with a session.
fn with_session(handle: Option<u32>, parameters: &[u8]) -> Vec<u8> {
    let handle = handle.map(|handle| handle.to_be_bytes().to_vec()).unwrap_or_default();
    [&handle[..], &(parameters.len() as u32).to_be_bytes(), parameters, &[0, 0, 1, 0, 0]].concat()
}

/// One of each that is asked, as a TPM answers in good order.
pub fn seeds() -> Vec<Seed> {
    let creation =
        [sized(&[1; 55]), sized(&[2; 32]), vec![0x80, 0x21, 0x40, 0, 0, 1], sized(&[3; 32])].concat();
    let pcr = [&[0, 0, 0, 9, 0, 0, 0, 1, 0, 0x0b, 3, 0x80, 0, 0, 0, 0, 0, 1][..], &sized(&[7; 32])].concat();
    let primary =
        with_session(Some(0x8000_0000), &[sized(&[4; 90]), creation.clone(), sized(&[5; 34])].concat());
    let load = with_session(Some(0x8000_0001), &sized(&[5; 34]));
    let session = [&[3, 0, 0, 0][..], &sized(&[1; 32])].concat();
    let none = with_session(None, &[]);
    let unseal = with_session(None, &sized(&SECRET));
    let public = |index: u8, attributes: u32| {
        let inner = [&[1, 0x80, 0xae, index, 0, 0x0b][..], &attributes.to_be_bytes(), &[0, 0, 0, 8]].concat();
        [sized(&inner), sized(&[9; 34])].concat()
    };
    let counter = with_session(None, &sized(&42u64.to_be_bytes()));
    let told = |what: u8, blocks: &[&[u8]]| {
        let mut out = vec![1, what];
        for block in blocks {
            put_block(&mut out, block);
        }
        out
    };
    let kept = [&[0, 0][..], &sealed().encode()].concat();
    vec![
        ("kept", kept),
        ("pcr", told(0, &[&pcr])),
        ("unseal", told(2, &[&primary, &load, &[], &session, &[], &unseal, &[], &[]])),
        ("counter", told(3, &[&public(0x61, 0x2202_0012), &counter])),
        ("define", told(4, &[&none])),
        ("increment", told(5, &[&none])),
        ("marked", told(6, &[&public(0x62, 0x0202_0002)])),
        ("mark", told(7, &[&none])),
    ]
}
