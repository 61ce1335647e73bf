//! A TPM 2.0, as far as a device needs one: what was measured at its start, a key that no other start of it can have, and a
//! number that only rises.
//!
//! It knows bytes only: commands are written into a fixed buffer, handed to a [`Transport`], and what comes back is read
//! strictly and within bounds. What is read is anybody's: whoever sits on the bus, or replaces the chip, says what he likes.
//! So a response can at worst be a wrong value or an error; no session protects what passes (docs/threat-model.md).
//!
//! Sources: TCG, *Trusted Platform Module Library* 1.59, part 2 (structures) and part 3 (commands), by section; TCG, *TPM v2.0
//! Provisioning Guidance* 1.0, 7.5.1 (the storage root key).
//!
//! # What holds
//! - Nothing is left in the TPM: what was loaded and begun is flushed, whatever failed in between.
//! - The owner's hierarchy is used with the empty password that it has. Where somebody gave it one, everything is
//!   [refused](Error::Refused).
//! - The secret is wiped from the buffers that it passed.
#![no_std]
#![forbid(unsafe_code)]

mod codes;
mod key;
pub mod limits;
mod nv;
mod pcr;
mod wire;

use zeroize::Zeroize;

pub use key::{SEALED_TO, Sealed};
pub use nv::Counter;
pub use pcr::{Digest, MEASURED};

use crate::limits::RESPONSE_BYTES;
use crate::wire::{Command, Malformed, Reader, Reply};

/// How commands come to the TPM.
pub trait Transport {
    /// Why one did not.
    type Error;

    /// Sends a command and waits for its response, which is written to the beginning of `response`; returns its length.
    ///
    /// # Errors
    /// The transport's. Where the response is longer than there is room that is one.
    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, Self::Error>;
}

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// It did not come there, or its response not back.
    Transport(E),
    /// What came back is no response to it.
    Malformed,
    /// The TPM refused it, by this response code (part 2, 6.6).
    Refused(u32),
    /// It did what was not asked: an object or index of other attributes, PCRs that are not there.
    Unexpected,
}

impl<E> Error<E> {
    /// The TPM refused what it was given, and will again. Codes of format 0 (part 2, 6.6.3) speak of the TPM itself: it failed, is
    /// busy, or its memory is full.
    pub const fn is_an_answer(&self) -> bool {
        match self {
            Self::Refused(code) => codes::is_of_format_1(*code),
            Self::Unexpected => true,
            Self::Transport(_) | Self::Malformed => false,
        }
    }
}

impl<E: core::fmt::Display> core::fmt::Display for Error<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Malformed => f.write_str("not a response of a TPM 2.0"),
            Self::Refused(code) => {
                let why = match codes::rc(*code) {
                    codes::RC_POLICY_FAIL => ": the start was measured otherwise",
                    codes::RC_INTEGRITY => ": it is another TPM, or was cleared",
                    codes::RC_BAD_AUTH | codes::RC_AUTH_FAIL => ": the owner's hierarchy has a password",
                    _ => "",
                };
                write!(f, "refused with code {code:#05x}{why}")
            }
            Self::Unexpected => f.write_str("it answered what was not asked"),
        }
    }
}

impl<E> From<Malformed> for Error<E> {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// A TPM.
pub struct Tpm<T> {
    transport: T,
    response: Response,
}

impl<T: Transport> Tpm<T> {
    /// Behind this transport.
    pub const fn new(transport: T) -> Self {
        Self { transport, response: Response([0; RESPONSE_BYTES]) }
    }

    /// The transport.
    pub fn into_inner(self) -> T {
        self.transport
    }

    /// Sends a command; `parameters` reads those of its response.
    fn ask<R>(
        &mut self,
        command: &mut Command,
        handle: bool,
        parameters: impl FnOnce(&mut Reader<'_>, u32) -> Result<R, Malformed>,
    ) -> Result<R, Error<T::Error>> {
        let (mut input, handle) = self.exchange(command, handle)?;
        let value = parameters(&mut input, handle)?;
        Ok(input.end(value)?)
    }

    /// Sends a command; returns the parameters of its response, and the handle before them.
    #[inline(never)]
    fn exchange(
        &mut self,
        command: &mut Command,
        handle: bool,
    ) -> Result<(Reader<'_>, u32), Error<T::Error>> {
        let (session, response) = (command.has_session(), &mut self.response.0);
        response.zeroize();
        let length = self.transport.transact(command.bytes(), response).map_err(Error::Transport)?;
        match wire::reply(response.get(..length).ok_or(Malformed)?, session, handle)? {
            Reply::Done(input, handle) => Ok((input, handle)),
            Reply::Refused(code) => Err(Error::Refused(code)),
        }
    }
}

/// Room for a response. Wiped before the next one and when it is dropped: of one of the commands the secret is in it.
struct Response([u8; RESPONSE_BYTES]);

impl Drop for Response {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
