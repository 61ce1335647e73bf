//! Why a file is not what it should be.

/// Why bytes are not an age file, or not for whoever reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgeError {
    /// The header is not one: what is wrong with it.
    Header(&'static str),
    /// Encrypted with a passphrase.
    Passphrase,
    /// None of the identities is a recipient.
    NoMatch,
    /// The file key fits and the header is not the one it was made with.
    HeaderChanged,
    /// The file ends inside its header, or before its first chunk.
    CutOff,
    /// A chunk (from 0) is not the one that was written there: changed, moved, or the file was cut or grown.
    Chunk(u64),
}

impl AgeError {
    /// The stable reason code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Header(_) => "bad-header",
            Self::Passphrase => "passphrase",
            Self::NoMatch => "no-match",
            Self::HeaderChanged => "header-changed",
            Self::CutOff => "cut-off",
            Self::Chunk(_) => "bad-chunk",
        }
    }
}

impl core::fmt::Display for AgeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Header(what) => write!(f, "the header of its encryption is damaged: {what}"),
            Self::Passphrase => f.write_str("it is encrypted with a passphrase, not to a recipient"),
            Self::NoMatch => f.write_str("it is encrypted to other recipients"),
            Self::HeaderChanged => f.write_str("the header of its encryption was changed"),
            Self::CutOff => f.write_str("it is cut off before its first encrypted byte"),
            Self::Chunk(number) => {
                write!(f, "encrypted chunk {number} was changed, or the file was cut there")
            }
        }
    }
}

impl core::error::Error for AgeError {}

/// Why a stream gives no more plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError<E> {
    /// It could not be read.
    Io(E),
    /// It is not what was encrypted.
    Age(AgeError),
}

impl<E> From<AgeError> for OpenError<E> {
    fn from(error: AgeError) -> Self {
        Self::Age(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Age(error) => error.fmt(f),
        }
    }
}

impl<E: core::fmt::Debug + core::fmt::Display> core::error::Error for OpenError<E> {}

impl<E: embedded_io::Error> embedded_io::Error for OpenError<E> {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::Age(_) => embedded_io::ErrorKind::InvalidData,
        }
    }
}
