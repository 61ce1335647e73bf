//! A counter in the TPM's own memory, and a mark beside it.

use crate::codes::{
    ALG_SHA256, CC_NV_DEFINE_SPACE, CC_NV_INCREMENT, CC_NV_READ, CC_NV_READ_PUBLIC, NV_COUNTER, NV_NO_DA,
    NV_OWNER_READ, NV_OWNER_WRITE, NV_WRITTEN, RC_HANDLE, RH_OWNER, rc,
};
use crate::limits::DIGEST_BYTES;
use crate::wire::{Command, Malformed, Reader};
use crate::{Error, Tpm, Transport};

/// Where the counter is: in the range that is the owner's (*Registry of Reserved TPM 2.0 Handles and Localities* 1.1, 2.2).
const COUNTER: u32 = 0x0180_ae61;
/// Where the mark is, an index that is never written: that it is there is what it says.
const MARK: u32 = 0x0180_ae62;
/// Read and written by the owner; failures count against nobody.
const ATTRIBUTES: u32 = NV_OWNER_WRITE | NV_OWNER_READ | NV_NO_DA;
/// Bytes of a counter (part 3, 31.1: eight, always), and of the mark.
const COUNTER_BYTES: u16 = 8;
const MARK_BYTES: u16 = 8;
/// Longest `TPMS_NV_PUBLIC`: index, algorithm, attributes, policy, size.
const PUBLIC_BYTES: usize = 4 + 2 + 4 + 2 + DIGEST_BYTES + 2;

/// How it stands with the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// There is none.
    Undefined,
    /// There is one that was never incremented: it has no value yet.
    Unwritten,
    /// It has this value.
    At(u64),
}

impl<T: Transport> Tpm<T> {
    /// Reads the counter.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when its place is somebody else's.
    pub fn counter(&mut self) -> Result<Counter, Error<T::Error>> {
        match self.attributes(COUNTER, ATTRIBUTES | NV_COUNTER, COUNTER_BYTES)? {
            None => Ok(Counter::Undefined),
            Some(attributes) if attributes & NV_WRITTEN == 0 => Ok(Counter::Unwritten),
            Some(_) => {
                // TPM2_NV_Read, part 3, 31.13.
                let mut command = Command::by_owner(CC_NV_READ, &[RH_OWNER, COUNTER]);
                command.u16(COUNTER_BYTES).u16(0);
                let value = self.ask(&mut command, false, |input, _| {
                    let bytes = input.sized(usize::from(COUNTER_BYTES))?;
                    bytes.try_into().map(u64::from_be_bytes).map_err(|_| Malformed)
                })?;
                Ok(Counter::At(value))
            }
        }
    }

    /// Makes the counter. Its first increment brings it above every counter that this TPM ever had (part 3, 31.8).
    pub fn define_counter(&mut self) -> Result<(), Error<T::Error>> {
        self.define(COUNTER, ATTRIBUTES | NV_COUNTER, COUNTER_BYTES)
    }

    /// Counts (`TPM2_NV_Increment`, part 3, 31.8).
    pub fn increment(&mut self) -> Result<(), Error<T::Error>> {
        let mut command = Command::by_owner(CC_NV_INCREMENT, &[RH_OWNER, COUNTER]);
        self.ask(&mut command, false, |_, _| Ok(()))
    }

    /// True when the mark is set.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when its place is somebody else's.
    pub fn is_marked(&mut self) -> Result<bool, Error<T::Error>> {
        Ok(self.attributes(MARK, ATTRIBUTES, MARK_BYTES)?.is_some())
    }

    /// Sets it.
    pub fn mark(&mut self) -> Result<(), Error<T::Error>> {
        self.define(MARK, ATTRIBUTES, MARK_BYTES)
    }

    /// `TPM2_NV_DefineSpace`, part 3, 31.3, with a `TPM2B_NV_PUBLIC` (part 2, 13.5 and 13.6).
    fn define(&mut self, index: u32, attributes: u32, bytes: u16) -> Result<(), Error<T::Error>> {
        let mut command = Command::by_owner(CC_NV_DEFINE_SPACE, &[RH_OWNER]);
        command.sized(&[]).u16(14).u32(index).u16(ALG_SHA256).u32(attributes).sized(&[]).u16(bytes);
        self.ask(&mut command, false, |_, _| Ok(()))
    }

    /// Attributes of an index that is as it was defined (`TPM2_NV_ReadPublic`, part 3, 31.6); `None` when there is none.
    fn attributes(&mut self, index: u32, as_: u32, bytes: u16) -> Result<Option<u32>, Error<T::Error>> {
        let mut command = Command::new(CC_NV_READ_PUBLIC, &[index], None);
        let read = self.ask(&mut command, false, |input, _| {
            let mut public = Reader::new(input.sized(PUBLIC_BYTES)?);
            input.sized(DIGEST_BYTES)?; // its name
            let (of, algorithm, attributes) = (public.u32()?, public.u16()?, public.u32()?);
            let policy = public.sized(DIGEST_BYTES)?;
            let size = public.u16()?;
            let ours = of == index
                && algorithm == ALG_SHA256
                && attributes & !NV_WRITTEN == as_
                && policy.is_empty()
                && size == bytes;
            public.end(ours.then_some(attributes))
        });
        match read {
            Ok(None) => Err(Error::Unexpected),
            Ok(found) => Ok(found),
            Err(Error::Refused(code)) if rc(code) == RC_HANDLE => Ok(None),
            Err(error) => Err(error),
        }
    }
}
