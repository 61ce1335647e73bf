//! `age`: an encrypted export, as the office opens it.

use aegis_age::limits::{CHUNK_BYTES, HEADER_BYTES, RECIPIENTS, SEALED_BYTES, TAG_BYTES};
use aegis_age::{AgeError, Decryptor, Encryptor, FileKey, Identity, OpenError, Recipient, VERSION, begin};
use embedded_io::Read;

use crate::Seed;
use crate::input::{Change, Input, Told, changed, changes, put_changes};

/// First byte of an input whose rest is a file as it comes.
const RAW: u8 = 0;
/// A header whose MAC fits, then chunks as they come.
const HEADER: u8 = 1;
/// A whole file of what is left, and changes to it.
const MADE: u8 = 2;

/// The file key of headers that are made here, and the nonce of their files.
const KEY: [u8; 16] = [5; 16];
const NONCE: [u8; 16] = [6; 16];

fn identity(number: u8) -> Identity {
    Identity::from_random(&[number.max(1); 32]).expect("not zero")
}

/// What is given out is a beginning of what was encrypted; all of it only when nothing was changed.
pub fn run(data: &[u8]) -> bool {
    let mut input = Input(data);
    match input.u8() % 3 {
        RAW => {
            let (plain, end) = open(input.rest(), 1);
            assert!(end.is_ok() || plain.len() % CHUNK_BYTES == 0);
            end.is_ok()
        }
        HEADER => header(input.rest()),
        _ => made(&mut input),
    }
}

/// Stanzas as they come, before a MAC that fits: strict parsing is behind no secret, but what is accepted is.
fn header(stanzas: &[u8]) -> bool {
    let key = FileKey::new(KEY);
    let signed = [VERSION.as_bytes(), stanzas, b"---"].concat();
    let mut file = signed.clone();
    file.push(b' ');
    file.extend(base64(&key.mac(&signed)));
    file.push(b'\n');
    let length = file.len();
    let mut plain = *b"evidence";
    let tag = key.stream(&NONCE).seal(&mut plain, true);
    file.extend([&NONCE[..], &plain, &tag].concat());
    let Ok(header) = aegis_age::header::Header::read(&file) else { return false };
    // A MAC line among the stanzas ends the header before ours does.
    if header.length == length {
        assert!(length <= HEADER_BYTES && header.signed == signed);
        assert!(key.verify(&header).is_ok());
    }
    assert!(header.stanzas().all(|stanza| !stanza.kind().is_empty()));
    let (plain, end) = open(&file, 1);
    // Nobody knows an X25519 stanza for this file key without making one.
    assert!(end.is_ok() || plain.is_empty());
    true
}

fn made(input: &mut Input<'_>) -> bool {
    let recipients = 1 + usize::from(input.u8()) % RECIPIENTS;
    let piece = 1 + usize::from(input.u16());
    // Chunks are long, inputs are not: what is left is said again and again.
    let repeats = 1 + usize::from(input.u8()) * 16;
    let changes = changes(input);
    let plain = input.rest().repeat(repeats);
    let plain = &plain[..plain.len().min(3 * CHUNK_BYTES)];
    let all: Vec<Recipient> = (1..=recipients as u8).map(|number| identity(number).recipient()).collect();
    let whole = encrypt(&all, plain, piece);
    for number in [1, recipients as u8] {
        assert!(open(&whole, number) == (plain.to_vec(), Ok(())), "it does not come back");
    }
    assert_eq!(open(&whole, 100).1, Err(AgeError::NoMatch));
    let changed = changed(&whole, &changes);
    let (read, end) = open(&changed, 1);
    assert!(plain.starts_with(&read), "something else was given out");
    assert!(end.is_err() || changed == whole, "changed, and still good");
    assert!(end.is_err() || read.len() == plain.len());
    true
}

fn encrypt(recipients: &[Recipient], plain: &[u8], piece: usize) -> Vec<u8> {
    let mut next = 7u8;
    let (front, stream) = begin(recipients, |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_mul(29).wrapping_add(113);
            *byte = next;
        }
        Ok::<(), AgeError>(())
    })
    .expect("recipients");
    let mut file = front.to_vec();
    let mut encryptor = Encryptor::new(stream, buffer());
    for mut piece in plain.chunks(piece) {
        while let Some(chunk) = encryptor.push(&mut piece) {
            file.extend(chunk);
        }
    }
    file.extend(encryptor.finish());
    assert_eq!(file.len() as u64, aegis_age::sealed_length(plain.len() as u64, recipients.len()));
    file
}

fn buffer() -> Box<[u8; SEALED_BYTES]> {
    vec![0; SEALED_BYTES].into_boxed_slice().try_into().expect("as long as asked for")
}

/// What a reader had before the end, or before it was refused.
fn open(file: &[u8], number: u8) -> (Vec<u8>, Result<(), AgeError>) {
    let age = |error| match error {
        OpenError::Age(error) => error,
        OpenError::Io(never) => match never {},
    };
    let mut plain = Vec::new();
    let mut reader = match Decryptor::open(file, &[identity(number)], buffer()) {
        Ok(reader) => reader,
        Err(error) => return (plain, Err(age(error))),
    };
    let mut bytes = vec![0; SEALED_BYTES];
    loop {
        match reader.read(&mut bytes).map_err(age) {
            Ok(0) => return (plain, Ok(())),
            Ok(read) => plain.extend(&bytes[..read]),
            Err(error) => return (plain, Err(error)),
        }
        assert!(plain.len() + TAG_BYTES <= file.len());
    }
}

/// Without padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for letter in 0..=three.len() {
            out.push(LETTERS[(bits >> (18 - 6 * letter)) as usize & 63]);
        }
    }
    out
}

/// Of each way in.
pub fn seeds() -> Vec<Seed> {
    let made = |recipients: u8, repeats: u8, changes: &[Told], plain: &[u8]| {
        let mut out = vec![MADE, recipients, 0xff, 0x0f, repeats];
        put_changes(&mut out, changes);
        out.extend(plain);
        out
    };
    let line = "A".repeat(43);
    let header = |stanzas: String| [&[HEADER], stanzas.as_bytes()].concat();
    vec![
        ("raw", [vec![RAW], encrypt(&[identity(1).recipient()], b"evidence", 100)].concat()),
        ("header-grease", header(format!("-> grease a b\n{line}\n"))),
        ("header-many", header(format!("-> X25519 {line}\n{line}\n-> a\n\n").repeat(3))),
        ("empty", made(0, 0, &[], b"")),
        ("one-chunk", made(0, 0, &[(30, Change::WIDEN, 0)], b"evidence")),
        ("chunks", made(7, 255, &[], &[9; 64])),
    ]
}
