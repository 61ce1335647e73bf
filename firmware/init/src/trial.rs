//! Whether the image that runs was seen healthy yet.

use std::fs::File;
use std::io::Read as _;

use crate::limits;

/// The name that the loader gave its kernel at this start, as systemd-boot tells it (Boot Loader Interface): UTF-16, behind four
/// bytes of attributes.
const COUNTED: &str = "/sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// True when the image that runs was not seen healthy yet. This does not take the agent's word.
pub(crate) fn runs() -> bool {
    let mut bytes = Vec::new();
    let read = File::open(COUNTED).and_then(|file| file.take(limits::FILE_BYTES).read_to_end(&mut bytes));
    let units =
        bytes.get(4..).unwrap_or_default().chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let name: String = char::decode_utf16(units).flatten().filter(|unit| *unit != '\0').collect();
    read.is_ok() && is_on_trial(&name)
}

/// `…+LEFT-DONE.efi`: of a new image the tries left and the tries done are three together (`aegis::image::slot`).
fn is_on_trial(name: &str) -> bool {
    const TRIES_OF_NEW: u32 = 3;
    let number = |digits: &str| {
        let plain = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let counts = name.rsplit_once('+').and_then(|(_, count)| {
        let lower = count.to_ascii_lowercase();
        let (left, done) = lower.strip_suffix(".efi").unwrap_or(&lower).split_once('-')?;
        Some(number(left)? + number(done)?)
    });
    counts == Some(TRIES_OF_NEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_image_has_three_tries_together() {
        for name in
            ["\\EFI\\Linux\\aegis-b+2-1.efi", "aegis-a+0-3.efi", "AEGIS-B+1-2.EFI", "aegis-b+02-01.efi"]
        {
            assert!(is_on_trial(name), "{name}");
        }
        for name in [
            "aegis-a+8-1.efi",
            "aegis-a+3.efi",
            "aegis-a.efi",
            "aegis-a+-3.efi",
            "aegis-a+3-.efi",
            "aegis-a+2-1-0.efi",
            "+x-3",
            "",
        ] {
            assert!(!is_on_trial(name), "{name}");
        }
    }
}
