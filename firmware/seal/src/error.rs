//! Why bytes are no sealing record.

use aegis_cose::CoseError;

/// Why bytes are no checkpoint or certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Not a `COSE_Sign1` of the form that records have, or longer than [`limits::RECORD_BYTES`](crate::limits::RECORD_BYTES).
    NotARecord,
    /// The signature does not verify, or is by another key than the one that it has to be by.
    Signature(CoseError),
    /// Signed, but not a record of this format in its one encoding.
    Payload,
    /// It names a device that its key is not of.
    Device,
}

impl RecordError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotARecord => "not-a-record",
            Self::Signature(_) => "bad-signature",
            Self::Payload => "bad-payload",
            Self::Device => "wrong-device",
        }
    }
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotARecord => "not a sealing record",
            Self::Signature(CoseError::UnknownKey) => "signed by another key than the one it names",
            Self::Signature(_) => "the signature does not verify",
            Self::Payload => "signed, but not a sealing record this version knows",
            Self::Device => "names a device whose key did not sign it",
        })
    }
}

impl core::error::Error for RecordError {}
