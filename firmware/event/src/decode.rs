//! Deterministic CBOR to event. Strict: what would not be written is not read.

use minicbor::Decoder;
use minicbor::data::Type;

use crate::encode::key;
use crate::kind::{Cause, GapCause, Kind, Level, Mode, ModeReason, Verdict};
use crate::limits;
use crate::model::{Accounts, Body, Decision, Event, File, Gap, Process, Subject};

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Longer than [`limits::EVENT_BYTES`].
    TooLong,
    /// Not the CBOR of an event: wrong type, missing or unknown key, field over its limit.
    Malformed,
    /// A kind, verdict, cause, mode or reason that this version does not know.
    Unknown,
    /// An event, but not in its one deterministic encoding, or with bytes after it.
    NotCanonical,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "event is too long",
            Self::Malformed => "event is malformed",
            Self::Unknown => "event has a kind or code this version does not know",
            Self::NotCanonical => "event is not in its deterministic encoding",
        })
    }
}

impl core::error::Error for DecodeError {}

impl From<minicbor::decode::Error> for DecodeError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Malformed
    }
}

impl<'a> Event<'a> {
    /// Reads the one event that `bytes` is.
    ///
    /// # Errors
    /// See [`DecodeError`]. An event that decodes encodes to the same bytes again.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::EVENT_BYTES {
            return Err(DecodeError::TooLong);
        }
        let event = Reader { input: Decoder::new(bytes) }.event()?;
        // The reader takes fields in order by their keys; comparing with what we would have written
        // refuses everything else that CBOR allows: long integers, indefinite lengths, trailing bytes.
        let mut again = [0; limits::EVENT_BYTES];
        let length = event.encode(&mut again).map_err(|_| DecodeError::Malformed)?;
        if again[..length] == *bytes { Ok(event) } else { Err(DecodeError::NotCanonical) }
    }
}

struct Reader<'a> {
    input: Decoder<'a>,
}

impl<'a> Reader<'a> {
    fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        self.input.map()?.ok_or(DecodeError::NotCanonical)?;
        self.key(key::KIND)?;
        let kind = Kind::from_number(self.input.u8()?).ok_or(DecodeError::Unknown)?;
        self.key(key::TIME)?;
        let time = self.input.u64()?;
        if kind == Kind::Loss {
            return Ok(Event { time, subject: None, body: self.loss()? });
        }
        let subject = if self.next_is(key::WORKLOAD)? { Some(self.subject()?) } else { None };
        let decision = match kind {
            Kind::Open | Kind::ExecCheck | Kind::Connect => Some(self.decision()?),
            _ => None,
        };
        let mut body = self.body(kind, decision)?;
        // Behind the body, where its key belongs; that it is `true` on an audited decision is seen by encoding again.
        if let Some(decision) = body.decision_mut()
            && self.next_is(key::GLASS_BROKEN)?
        {
            decision.glass_broken = self.bool_at(key::GLASS_BROKEN)?;
        }
        Ok(Event { time, subject, body })
    }

    fn key(&mut self, expected: u8) -> Result<(), DecodeError> {
        if self.input.u8()? == expected { Ok(()) } else { Err(DecodeError::Malformed) }
    }

    /// True when the next entry has this key; its key is not consumed.
    fn next_is(&self, expected: u8) -> Result<bool, DecodeError> {
        let mut ahead = self.input.clone();
        match ahead.datatype() {
            Ok(Type::U8) => Ok(ahead.u8()? == expected),
            Err(error) if error.is_end_of_input() => Ok(false),
            _ => Err(DecodeError::Malformed),
        }
    }

    fn u8_at(&mut self, at: u8) -> Result<u8, DecodeError> {
        self.key(at)?;
        Ok(self.input.u8()?)
    }

    fn u32_at(&mut self, at: u8) -> Result<u32, DecodeError> {
        self.key(at)?;
        Ok(self.input.u32()?)
    }

    fn u64_at(&mut self, at: u8) -> Result<u64, DecodeError> {
        self.key(at)?;
        Ok(self.input.u64()?)
    }

    fn bool_at(&mut self, at: u8) -> Result<bool, DecodeError> {
        self.key(at)?;
        Ok(self.input.bool()?)
    }

    fn bytes_at(&mut self, at: u8) -> Result<&'a [u8], DecodeError> {
        self.key(at)?;
        Ok(self.input.bytes()?)
    }

    fn str_at(&mut self, at: u8) -> Result<&'a str, DecodeError> {
        self.key(at)?;
        Ok(self.input.str()?)
    }

    fn array(&mut self, length: u64) -> Result<(), DecodeError> {
        if self.input.array()? == Some(length) { Ok(()) } else { Err(DecodeError::Malformed) }
    }

    fn subject(&mut self) -> Result<Subject<'a>, DecodeError> {
        let workload = self.bytes_at(key::WORKLOAD)?;
        let cgroup = self.u64_at(key::CGROUP)?;
        self.key(key::PROCESS)?;
        self.array(5)?;
        let process = Process {
            pid: self.input.u32()?,
            tgid: self.input.u32()?,
            ppid: self.input.u32()?,
            uid: self.input.u32()?,
            comm: self.input.bytes()?,
        };
        Ok(Subject { workload, cgroup, process })
    }

    fn decision(&mut self) -> Result<Decision<'a>, DecodeError> {
        let verdict = Verdict::from_number(self.u8_at(key::VERDICT)?).ok_or(DecodeError::Unknown)?;
        let policy = self.u64_at(key::POLICY)?;
        let rule = if self.next_is(key::RULE)? { self.bytes_at(key::RULE)? } else { &[] };
        Ok(Decision { verdict, policy, rule, glass_broken: false })
    }

    fn mode(&mut self) -> Result<Mode, DecodeError> {
        Mode::from_number(self.u8_at(key::MODE)?).ok_or(DecodeError::Unknown)
    }

    fn mode_reason(&mut self) -> Result<ModeReason, DecodeError> {
        ModeReason::from_number(self.u8_at(key::REASON)?).ok_or(DecodeError::Unknown)
    }

    fn hash(&mut self) -> Result<&'a [u8; 32], DecodeError> {
        self.bytes_at(key::HASH)?.try_into().map_err(|_| DecodeError::Malformed)
    }

    fn file(&mut self) -> Result<File<'a>, DecodeError> {
        self.key(key::FILE)?;
        self.array(4)?;
        Ok(File {
            device: self.input.u32()?,
            inode: self.input.u64()?,
            path: self.input.bytes()?,
            truncated: self.input.bool()?,
        })
    }

    fn loss(&mut self) -> Result<Body<'a>, DecodeError> {
        Ok(Body::Loss {
            workload: self.bytes_at(key::WORKLOAD)?,
            cause: Cause::from_number(self.u8_at(key::CAUSE)?).ok_or(DecodeError::Unknown)?,
            count: self.u64_at(key::COUNT)?,
        })
    }

    fn accounts(&mut self) -> Result<Accounts, DecodeError> {
        let seen = self.u64_at(key::SEEN)?;
        let written = self.u64_at(key::WRITTEN)?;
        let mut lost = [0; Cause::ALL.len()];
        self.key(key::LOST)?;
        self.array(lost.len() as u64)?;
        for count in &mut lost {
            *count = self.input.u64()?;
        }
        Ok(Accounts { seen, written, lost })
    }

    fn gap(&mut self) -> Result<Gap, DecodeError> {
        Ok(Gap {
            cause: GapCause::from_number(self.u8_at(key::GAP_CAUSE)?).ok_or(DecodeError::Unknown)?,
            first: self.u64_at(key::FIRST)?,
            last: self.u64_at(key::LAST)?,
            total: self.u64_at(key::TOTAL)?,
            boot: self.bytes_at(key::BOOT)?.try_into().map_err(|_| DecodeError::Malformed)?,
        })
    }

    fn body(&mut self, kind: Kind, decision: Option<Decision<'a>>) -> Result<Body<'a>, DecodeError> {
        let decided = || decision.ok_or(DecodeError::Malformed);
        Ok(match kind {
            Kind::Fork => Body::Fork {
                child_pid: self.u32_at(key::CHILD_PID)?,
                child_tgid: self.u32_at(key::CHILD_TGID)?,
            },
            Kind::Exec => Body::Exec {
                file: self.file()?,
                argv: self.bytes_at(key::ARGV)?,
                argv_truncated: self.bool_at(key::ARGV_TRUNCATED)?,
            },
            Kind::Exit => Body::Exit { status: self.u8_at(key::STATUS)?, signal: self.u8_at(key::SIGNAL)? },
            Kind::Open => {
                Body::Open { file: self.file()?, flags: self.u32_at(key::FLAGS)?, decision: decided()? }
            }
            Kind::ExecCheck => Body::ExecCheck { file: self.file()?, decision: decided()? },
            Kind::Connect => Body::Connect {
                family: self.u64_at(key::FAMILY)?.try_into().map_err(|_| DecodeError::Malformed)?,
                protocol: self.u8_at(key::PROTOCOL)?,
                port: self.u64_at(key::PORT)?.try_into().map_err(|_| DecodeError::Malformed)?,
                address: self.bytes_at(key::ADDRESS)?,
                decision: decided()?,
            },
            Kind::Policy => Body::Policy {
                code: self.str_at(key::CODE)?,
                epoch: self.u64_at(key::EPOCH)?,
                sequence: self.u64_at(key::SEQUENCE)?,
                hash: self.hash()?,
                detail: self.str_at(key::DETAIL)?,
            },
            Kind::ModeChange => {
                let (epoch, sequence) = (self.u64_at(key::EPOCH)?, self.u64_at(key::SEQUENCE)?);
                Body::ModeChange { mode: self.mode()?, reason: self.mode_reason()?, epoch, sequence }
            }
            Kind::Start => {
                Body::Start { version: self.str_at(key::VERSION)?, clean: self.bool_at(key::CLEAN)? }
            }
            Kind::Stop => Body::Stop { signal: self.u8_at(key::SIGNAL)? },
            Kind::Loss => self.loss()?,
            Kind::Accounts => Body::Accounts(self.accounts()?),
            Kind::BreakGlass => {
                let (code, sequence) = (self.str_at(key::CODE)?, self.u64_at(key::SEQUENCE)?);
                let (hash, reason) = (self.hash()?, self.str_at(key::DETAIL)?);
                Body::BreakGlass { code, sequence, until: self.u64_at(key::UNTIL)?, reason, hash }
            }
            Kind::Root => {
                let (code, epoch) = (self.str_at(key::CODE)?, self.u64_at(key::EPOCH)?);
                let (hash, detail) = (self.hash()?, self.str_at(key::DETAIL)?);
                Body::Root { code, version: self.u64_at(key::ROOT_VERSION)?, epoch, hash, detail }
            }
            Kind::Stick => Body::Stick { code: self.str_at(key::CODE)?, detail: self.str_at(key::DETAIL)? },
            Kind::PolicyStale => Body::PolicyStale {
                epoch: self.u64_at(key::EPOCH)?,
                sequence: self.u64_at(key::SEQUENCE)?,
                expires: self.u64_at(key::EXPIRES)?,
                now: self.u64_at(key::NOW)?,
            },
            Kind::GlassMended => {
                let (mode, reason) = (self.mode()?, self.mode_reason()?);
                let (until, passed) = (self.u64_at(key::UNTIL)?, self.u64_at(key::PASSED)?);
                Body::GlassMended { until, passed, mode, reason }
            }
            Kind::RingLevel => {
                let level = Level::from_number(self.u8_at(key::LEVEL)?).ok_or(DecodeError::Unknown)?;
                Body::RingLevel { level, percent: self.u8_at(key::PERCENT)? }
            }
            Kind::Gap => Body::Gap(self.gap()?),
            Kind::Seal => Body::Seal { code: self.str_at(key::CODE)?, epoch: self.u64_at(key::EPOCH)? },
            Kind::Config => Body::Config { code: self.str_at(key::CODE)?, detail: self.str_at(key::DETAIL)? },
        })
    }
}
