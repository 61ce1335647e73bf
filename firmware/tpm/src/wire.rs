//! Bytes as a TPM has them (part 1, 18; part 2, 4): big-endian, each list and buffer behind its length.

use zeroize::Zeroize;

use crate::codes::{RS_PASSWORD, ST_NO_SESSIONS, ST_SESSIONS};
use crate::limits::{COMMAND_BYTES, DIGEST_BYTES};

/// A response that is none, or not this command's: too short, too long, a length that leads out of it, bytes left over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Length of a header: tag, size, code.
const HEADER: usize = 10;

/// A command that is being written.
pub(crate) struct Command {
    bytes: [u8; COMMAND_BYTES],
    length: usize,
}

impl Command {
    /// Begins a command with its handles, in the order of part 3's table. `session`: who authorises the first of them.
    pub(crate) fn new(code: u32, handles: &[u32], session: Option<(u32, u8)>) -> Self {
        let mut command = Self { bytes: [0; COMMAND_BYTES], length: 0 };
        command.u16(if session.is_some() { ST_SESSIONS } else { ST_NO_SESSIONS }).u32(0).u32(code);
        for handle in handles {
            command.u32(*handle);
        }
        if let Some((handle, attributes)) = session {
            // Length of what follows; handle, no nonce, attributes, no HMAC: there is no key that could make one.
            command.u32(9).u32(handle).u16(0).put(&[attributes]).u16(0);
        }
        command
    }

    /// As [`Command::new`], authorised by the empty password that the owner's hierarchy has.
    pub(crate) fn by_owner(code: u32, handles: &[u32]) -> Self {
        Self::new(code, handles, Some((RS_PASSWORD, 0)))
    }

    /// The code of the command; what does not fit is cut, and its TPM refuses it: a test has that all do fit.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            place.copy_from_slice(bytes);
            self.length += bytes.len();
        }
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    /// A `TPM2B`: its length, then the bytes.
    pub(crate) fn sized(&mut self, bytes: &[u8]) -> &mut Self {
        self.u16(bytes.len() as u16).put(bytes)
    }

    /// The whole of it.
    pub(crate) fn bytes(&mut self) -> &[u8] {
        let length = (self.length as u32).to_be_bytes();
        self.bytes[2..6].copy_from_slice(&length);
        &self.bytes[..self.length]
    }

    /// Wipes it, when it had a secret in it.
    pub(crate) fn wipe(mut self) {
        self.bytes.zeroize();
    }

    /// True when a response to it has a session's area.
    pub(crate) const fn has_session(&self) -> bool {
        self.bytes[1] == ST_SESSIONS as u8
    }
}

/// What is left to be read of a response.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    pub(crate) const fn new(bytes: &'r [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'r [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    /// A `TPM2B` of at most `most` bytes.
    pub(crate) fn sized(&mut self, most: usize) -> Result<&'r [u8], Malformed> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Malformed);
        }
        self.take(length)
    }

    /// The value, unless something is left behind it.
    pub(crate) fn end<T>(self, value: T) -> Result<T, Malformed> {
        if self.0.is_empty() { Ok(value) } else { Err(Malformed) }
    }
}

/// A response: the parameters, and the handle before them, 0 where there is none; of a command that was refused, its code.
pub(crate) enum Reply<'r> {
    Done(Reader<'r>, u32),
    Refused(u32),
}

/// Reads a response up to its parameters (part 1, 16.2 and 18.8). `handle`: one comes before them.
pub(crate) fn reply(bytes: &[u8], session: bool, handle: bool) -> Result<Reply<'_>, Malformed> {
    let mut input = Reader::new(bytes);
    let (tag, size, code) = (input.u16()?, input.u32()?, input.u32()?);
    if usize::try_from(size) != Ok(bytes.len()) {
        return Err(Malformed);
    }
    if code != 0 {
        return if bytes.len() == HEADER { Ok(Reply::Refused(code)) } else { Err(Malformed) };
    }
    if tag != if session { ST_SESSIONS } else { ST_NO_SESSIONS } {
        return Err(Malformed);
    }
    let handle = if handle { input.u32()? } else { 0 };
    let mut inner = input;
    if session {
        let length = usize::try_from(input.u32()?).map_err(|_| Malformed)?;
        inner = Reader::new(input.take(length)?);
        // Nonce, attributes, HMAC of the one session; its key is nobody's secret, so it proves nothing and is not looked at.
        input.sized(DIGEST_BYTES)?;
        input.u8()?;
        input.sized(DIGEST_BYTES)?;
        input.end(())?;
    }
    Ok(Reply::Done(inner, handle))
}
