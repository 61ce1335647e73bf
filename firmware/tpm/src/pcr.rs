//! What was measured.

use crate::codes::{ALG_SHA256, CC_PCR_READ};
use crate::limits::PCRS;
use crate::wire::{Command, Malformed};
use crate::{Error, Tpm, Transport};

/// SHA-256.
pub type Digest = [u8; 32];

/// The PCRs of a start: 0 to 7 are the firmware's (PC Client Platform Firmware Profile 1.06, 3.3.4), 11 is the unified kernel's
/// (systemd-stub(7)).
pub const MEASURED: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 11];

/// A set of PCRs, as `TPMS_PCR_SELECTION` has it (part 2, 10.6.2): bit `n % 8` of byte `n / 8`.
pub(crate) type Selection = [u8; PCRS / 8];

/// The set of this one.
pub(crate) fn selection(number: u8) -> Selection {
    let mut selection = Selection::default();
    if let Some(byte) = selection.get_mut(usize::from(number / 8)) {
        *byte = 1 << (number % 8);
    }
    selection
}

/// `TPML_PCR_SELECTION` of one bank (part 2, 10.9.7).
pub(crate) fn put_selection(command: &mut Command, selection: Selection) -> &mut Command {
    command.u32(1).u16(ALG_SHA256).put(&[selection.len() as u8]).put(&selection)
}

impl<T: Transport> Tpm<T> {
    /// Reads a PCR of the SHA-256 bank (`TPM2_PCR_Read`, part 3, 22.4).
    ///
    /// # Errors
    /// [`Error::Unexpected`] when the TPM gives none: it has no such bank, or no such PCR.
    pub fn pcr(&mut self, number: u8) -> Result<Digest, Error<T::Error>> {
        let asked = selection(number);
        let mut command = Command::new(CC_PCR_READ, &[], None);
        put_selection(&mut command, asked);
        let read = self.ask(&mut command, false, |input, _| {
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
            match (input.u32()?, read == asked, read == Selection::default()) {
                (0, _, true) => Ok(None),
                (1, true, _) => input.sized(size_of::<Digest>())?.try_into().map(Some).map_err(|_| Malformed),
                _ => Err(Malformed),
            }
        });
        read?.ok_or(Error::Unexpected)
    }
}
