//! A support bundle that a device left (`aegis support`): a tar file of a few short parts. It is not signed: it says how things stood.

use crate::stick::limits;

const BLOCK: usize = 512;
/// Where things are in a header (POSIX.1-1988 `ustar`).
const NAME: core::ops::Range<usize> = 0..100;
const SIZE: core::ops::Range<usize> = 124..136;
const SUM: core::ops::Range<usize> = 148..156;
const TYPE: usize = 156;
const MAGIC: core::ops::Range<usize> = 257..262;
/// What it begins with.
const CONTENTS: &str = "contents.txt";

/// The names of its parts. Only the form that devices write is taken: plain names, regular files, nothing behind the end.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parts(file: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut names = Vec::new();
    let mut rest = file;
    loop {
        let (header, after) = rest.split_first_chunk::<BLOCK>().ok_or("it ends within a header")?;
        if header.iter().all(|byte| *byte == 0) {
            let is_end = after.len() == BLOCK && after.iter().all(|byte| *byte == 0);
            return match names.first() {
                _ if !is_end => Err("something stands behind its end"),
                Some(first) if first == CONTENTS => Ok(names),
                _ => Err("it does not begin with contents.txt"),
            };
        }
        if names.len() >= limits::SUPPORT_PARTS {
            return Err("too many parts");
        }
        let (name, length) = part(header).ok_or("not a header of a support bundle")?;
        let padded = length.next_multiple_of(BLOCK);
        rest = after.get(padded..).ok_or("a part is cut")?;
        names.push(name);
    }
}

/// Name and length, bytes.
fn part(header: &[u8; BLOCK]) -> Option<(String, usize)> {
    let octal = |range: core::ops::Range<usize>| {
        let text = core::str::from_utf8(header.get(range)?).ok()?;
        let digits = text.trim_end_matches(['\0', ' ']);
        usize::from_str_radix(digits, 8).ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let sum: usize = header
        .iter()
        .enumerate()
        .map(|(at, byte)| usize::from(if SUM.contains(&at) { b' ' } else { *byte }))
        .sum();
    let name = core::str::from_utf8(header.get(NAME)?).ok()?.trim_end_matches('\0');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = header.get(MAGIC)? == b"ustar"
        && *header.get(TYPE)? == b'0'
        && octal(SUM)? == sum
        && !name.is_empty()
        && name.bytes().all(plain);
    let length = octal(SIZE)?;
    (good && length as u64 <= limits::SUPPORT_BYTES).then(|| (name.to_owned(), length))
}

/// How its name says which device left it: `support-DEVICE-TIME.tar`, the first four bytes of the device's id.
pub(super) fn device(name: &str, known: impl IntoIterator<Item = [u8; 16]>) -> Option<[u8; 16]> {
    let digits = name.strip_prefix("support-")?.split_once('-')?.0;
    let mut found = known.into_iter().filter(|id| crate::hex::encode(&id[..4]) == digits);
    // Of two that begin alike nobody says which.
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, bytes) in parts {
            let mut header = [0u8; BLOCK];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[SIZE].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
            header[SUM].fill(b' ');
            header[TYPE] = b'0';
            header[MAGIC].copy_from_slice(b"ustar");
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            out.extend(header);
            out.extend(*bytes);
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.resize(out.len() + 2 * BLOCK, 0);
        out
    }

    #[test]
    fn parts_are_listed_and_what_is_no_bundle_is_none() {
        let good = tar(&[("contents.txt", b"a.json: x\n"), ("a.json", &[b'x'; 600])]);
        assert_eq!(parts(&good), Ok(vec!["contents.txt".to_owned(), "a.json".to_owned()]));
        for bad in [
            &b""[..],
            &[0; 2 * BLOCK],
            &good[..good.len() - 1],
            &good[..good.len() - BLOCK],
            &good[..BLOCK],
            &good[..3 * BLOCK],
            &[&good[..], b"x"].concat(),
            &tar(&[("a.json", b"")]),
            &tar(&[("contents.txt", b""), ("../a", b"")]),
            &tar(&vec![("contents.txt", &b""[..]); limits::SUPPORT_PARTS + 1]),
        ] {
            assert!(parts(bad).is_err(), "{} bytes", bad.len());
        }
        for at in [0, 124, 148, 156, 257] {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            assert!(parts(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn a_device_is_known_by_the_name() {
        let (one, other) = ([0xab; 16], [0xcd; 16]);
        let mut like = one;
        like[15] = 0;
        assert_eq!(device("support-abababab-77.tar", [one, other]), Some(one));
        assert_eq!(device("support-abababab-77.tar", [one, like]), None);
        assert_eq!(device("support-unknown-77.tar", [one, other]), None);
        assert_eq!(device("support-.tar", [one]), None);
    }
}
