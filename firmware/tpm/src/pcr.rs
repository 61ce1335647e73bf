//! What was measured.

use crate::codes::{ALG_SHA256, CC_PCR_READ};
use crate::limits::{PCR_READS, PCRS};
use crate::wire::{Command, Malformed, Reader};
use crate::{Error, Tpm, Transport};

/// SHA-256.
pub type Digest = [u8; 32];

/// The PCRs of a start: 0 to 7 are the firmware's (PC Client Platform Firmware Profile 1.06, 3.3.4), 11 is the unified kernel's
/// (systemd-stub(7)).
pub const MEASURED: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 11];

/// PCRs of the SHA-256 bank, by number, ascending.
pub type Pcrs = heapless::Vec<(u8, Digest), PCRS>;

/// A set of PCRs, as `TPMS_PCR_SELECTION` has it (part 2, 10.6.2): bit `n % 8` of byte `n / 8`.
pub(crate) type Selection = [u8; PCRS / 8];

pub(crate) fn selection(numbers: &[u8]) -> Selection {
    let mut selection = Selection::default();
    for number in numbers {
        if let Some(byte) = selection.get_mut(usize::from(number / 8)) {
            *byte |= 1 << (number % 8);
        }
    }
    selection
}

/// `TPML_PCR_SELECTION` of one bank (part 2, 10.9.7).
pub(crate) fn put_selection(command: &mut Command, selection: Selection) -> &mut Command {
    command.u32(1).u16(ALG_SHA256).put(&[selection.len() as u8]).put(&selection)
}

impl<T: Transport> Tpm<T> {
    /// Reads these PCRs of the SHA-256 bank (`TPM2_PCR_Read`, part 3, 22.4).
    ///
    /// # Errors
    /// [`Error::Unexpected`] when the TPM does not give all of them: it has no such bank.
    pub fn pcrs(&mut self, numbers: &[u8]) -> Result<Pcrs, Error<T::Error>> {
        let mut left = selection(numbers);
        let mut pcrs = Pcrs::new();
        for _ in 0..PCR_READS {
            if left == Selection::default() {
                break;
            }
            let mut command = Command::new(CC_PCR_READ, &[], None);
            put_selection(&mut command, left);
            let read = self.ask(&mut command, false, |input, _| read(input, left, &mut pcrs))?;
            if read == Selection::default() {
                break;
            }
            for (left, read) in left.iter_mut().zip(read) {
                *left &= !read;
            }
        }
        if left != Selection::default() {
            return Err(Error::Unexpected);
        }
        // In the order of their numbers, whatever came first. (A sort of the library's is 3 KiB, for nine of them.)
        for at in 1..pcrs.len() {
            let mut place = at;
            while place > 0 && pcrs[place - 1].0 > pcrs[place].0 {
                pcrs.swap(place - 1, place);
                place -= 1;
            }
        }
        Ok(pcrs)
    }
}

/// Returns which of those that were asked for are there.
fn read(input: &mut Reader<'_>, asked: Selection, pcrs: &mut Pcrs) -> Result<Selection, Malformed> {
    input.u32()?; // counts changes
    let mut read = Selection::default();
    match input.u32()? {
        // No such bank.
        0 => {}
        1 => {
            if input.u16()? != ALG_SHA256 || usize::from(input.u8()?) != read.len() {
                return Err(Malformed);
            }
            read = input.take(read.len())?.try_into().map_err(|_| Malformed)?;
        }
        _ => return Err(Malformed),
    }
    if read.iter().zip(asked).any(|(read, asked)| read & !asked != 0) {
        return Err(Malformed);
    }
    let numbers = (0..PCRS as u8).filter(|number| read[usize::from(number / 8)] >> (number % 8) & 1 == 1);
    let count = usize::try_from(input.u32()?).map_err(|_| Malformed)?;
    if count != numbers.clone().count() {
        return Err(Malformed);
    }
    for number in numbers {
        let digest: Digest = input.sized(size_of::<Digest>())?.try_into().map_err(|_| Malformed)?;
        pcrs.push((number, digest)).map_err(|_| Malformed)?;
    }
    Ok(read)
}
