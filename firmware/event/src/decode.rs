//! Deterministic CBOR to event. Strict: what would not be written is not read.

use minicbor::Decoder;
use minicbor::data::Type;

use crate::body::Body;
use crate::decision::{Basis, Decision, Hook, Match, Operation};
use crate::encode::key;
use crate::kind::{Cause, GapCause, Kind, Level, Mode, ModeReason, Severity, Verdict};
use crate::limits;
use crate::model::{Accounts, Call, Endpoint, Event, File, Gap, Place, Privileges, Process, Subject};

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
        if let Kind::Loss | Kind::Deadman | Kind::Workload = kind {
            let workload = self.bytes_at(key::WORKLOAD)?;
            return Ok(Event { time, subject: None, body: self.of_workload(kind, workload)? });
        }
        let subject = if self.next_is(key::WORKLOAD)? { Some(self.subject()?) } else { None };
        let mut body = if kind.is_decided() {
            let decision = self.decision()?;
            self.decided(kind, decision)?
        } else {
            self.body(kind)?
        };
        self.rest(&mut body)?;
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

    fn u16_at(&mut self, at: u8) -> Result<u16, DecodeError> {
        self.key(at)?;
        Ok(self.input.u16()?)
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
        Ok(Decision { verdict, rule, ..Decision::allowed(policy) })
    }

    /// What let the access pass, and how the rule matched. That a mark is `true`, and goes with its decision, is seen by
    /// encoding again.
    fn how(&mut self, decision: &mut Decision<'a>) -> Result<(), DecodeError> {
        for (at, mark) in
            [(key::GLASS_BROKEN, &mut decision.glass_broken), (key::DEADMAN, &mut decision.deadman)]
        {
            if self.next_is(at)? {
                *mark = self.bool_at(at)?;
            }
        }
        if self.next_is(key::BASIS)? {
            self.key(key::BASIS)?;
            self.array(6)?;
            decision.basis = Some(Basis {
                operation: Operation::from_number(self.input.u8()?).ok_or(DecodeError::Unknown)?,
                hook: Hook::from_number(self.input.u8()?).ok_or(DecodeError::Unknown)?,
                matched: Match::from_number(self.input.u8()?).ok_or(DecodeError::Unknown)?,
                device: self.input.u32()?,
                inode: self.input.u64()?,
                policy_hash: self.input.bytes()?.try_into().map_err(|_| DecodeError::Malformed)?,
            });
        }
        Ok(())
    }

    /// The part of a body that stands behind the keys of a decision.
    fn rest(&mut self, body: &mut Body<'a>) -> Result<(), DecodeError> {
        if let Some(decision) = body.decision_mut() {
            self.how(decision)?;
        }
        match body {
            Body::Rename { to, to_truncated, .. } | Body::Link { to, to_truncated, .. } => {
                self.key(key::TO)?;
                self.array(2)?;
                (*to, *to_truncated) = (self.input.bytes()?, self.input.bool()?);
            }
            Body::Socket { endpoint, .. }
            | Body::Bind { endpoint, .. }
            | Body::Listen { endpoint, .. }
            | Body::Accept { endpoint, .. } => endpoint.socket_type = self.u8_at(key::SOCKET_TYPE)?,
            body => {
                if let Some(call) = body.call_mut() {
                    call.number = self.u32_at(key::NUMBER)?;
                    call.target = self.u32_at(key::TARGET)?;
                    call.text = self.bytes_at(key::TEXT)?;
                }
            }
        }
        Ok(())
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

    /// What the agent says of a workload.
    fn of_workload(&mut self, kind: Kind, workload: &'a [u8]) -> Result<Body<'a>, DecodeError> {
        if kind == Kind::Deadman {
            let sequence = self.u64_at(key::SEQUENCE)?;
            return Ok(Body::Deadman { workload, sequence, since: self.u64_at(key::UNTIL)? });
        }
        if kind == Kind::Workload {
            return Ok(Body::Workload {
                workload,
                code: self.str_at(key::CODE)?,
                epoch: self.u64_at(key::EPOCH)?,
                sequence: self.u64_at(key::SEQUENCE)?,
                hash: self.hash()?,
                detail: self.str_at(key::DETAIL)?,
            });
        }
        Ok(Body::Loss {
            workload,
            cause: Cause::from_number(self.u8_at(key::CAUSE)?).ok_or(DecodeError::Unknown)?,
            count: self.u64_at(key::COUNT)?,
        })
    }

    /// Family, protocol, and for all but a new socket port and address.
    fn endpoint(&mut self, placed: bool) -> Result<Endpoint<'a>, DecodeError> {
        let (family, protocol) = (self.u16_at(key::FAMILY)?, self.u8_at(key::PROTOCOL)?);
        let (port, address) =
            if placed { (self.u16_at(key::PORT)?, self.bytes_at(key::ADDRESS)?) } else { (0, &[][..]) };
        Ok(Endpoint { family, socket_type: 0, protocol, port, address })
    }

    fn place(&mut self, at: u8) -> Result<Place<'a>, DecodeError> {
        self.key(at)?;
        self.array(2)?;
        Ok(Place { port: self.input.u16()?, address: self.input.bytes()? })
    }

    fn privileges(&mut self, at: u8) -> Result<Privileges, DecodeError> {
        self.key(at)?;
        self.array(2)?;
        Ok(Privileges { uid: self.input.u32()?, capabilities: self.input.u64()? })
    }

    fn accounts(&mut self) -> Result<Accounts, DecodeError> {
        let seen = self.u64_at(key::SEEN)?;
        let written = self.u64_at(key::WRITTEN)?;
        let mut lost = [0; Cause::ALL.len()];
        self.key(key::LOST)?;
        // How many of them are written down is seen by encoding again.
        let length = self.input.array()?.and_then(|length| usize::try_from(length).ok());
        let counts = length.and_then(|length| lost.get_mut(..length)).ok_or(DecodeError::Malformed)?;
        for count in counts {
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

    /// The body of a kind that a decision goes with, as far as it stands before the decision's last keys.
    fn decided(&mut self, kind: Kind, decision: Decision<'a>) -> Result<Body<'a>, DecodeError> {
        let (to, to_truncated) = (&[][..], false);
        let call = Call { number: 0, target: 0, text: &[] };
        Ok(match kind {
            Kind::Open => Body::Open { file: self.file()?, flags: self.u32_at(key::FLAGS)?, decision },
            Kind::ExecCheck => Body::ExecCheck { file: self.file()?, decision },
            Kind::Create => Body::Create { file: self.file()?, mode: self.u32_at(key::FLAGS)?, decision },
            Kind::Unlink => Body::Unlink { file: self.file()?, decision },
            Kind::Rename => Body::Rename { file: self.file()?, to, to_truncated, decision },
            Kind::Link => Body::Link { file: self.file()?, to, to_truncated, decision },
            Kind::SetAttr => Body::SetAttr { file: self.file()?, valid: self.u32_at(key::FLAGS)?, decision },
            Kind::UnixConnect => Body::UnixConnect { file: self.file()?, decision },
            Kind::Connect => {
                let Endpoint { family, protocol, port, address, .. } = self.endpoint(true)?;
                Body::Connect { family, protocol, port, address, decision }
            }
            Kind::Socket => Body::Socket { endpoint: self.endpoint(false)?, decision },
            Kind::Bind => Body::Bind { endpoint: self.endpoint(true)?, decision },
            Kind::Listen => Body::Listen { endpoint: self.endpoint(true)?, decision },
            Kind::Accept => Body::Accept { endpoint: self.endpoint(true)?, decision },
            Kind::Ptrace => Body::Ptrace { call, decision },
            Kind::Module => Body::Module { call, decision },
            Kind::BpfCall => Body::BpfCall { call, decision },
            Kind::Mount => Body::Mount { call, decision },
            Kind::Signal => Body::Signal { call, decision },
            Kind::Escape => Body::Escape { call, decision },
            _ => return Err(DecodeError::Malformed),
        })
    }

    fn body(&mut self, kind: Kind) -> Result<Body<'a>, DecodeError> {
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
            Kind::Privilege => {
                Body::Privilege { old: self.privileges(key::OLD)?, new: self.privileges(key::NEW)? }
            }
            Kind::Volume => Body::Volume {
                file: self.file()?,
                read: self.u64_at(key::READ_BYTES)?,
                written: self.u64_at(key::WRITTEN_BYTES)?,
            },
            Kind::Flow => Body::Flow {
                family: self.u16_at(key::FAMILY)?,
                protocol: self.u8_at(key::PROTOCOL)?,
                local: self.place(key::LOCAL)?,
                remote: self.place(key::REMOTE)?,
                received: self.u64_at(key::RECEIVED)?,
                sent: self.u64_at(key::SENT)?,
            },
            Kind::Policy => Body::Policy {
                code: self.str_at(key::CODE)?,
                epoch: self.u64_at(key::EPOCH)?,
                sequence: self.u64_at(key::SEQUENCE)?,
                hash: self.hash()?,
                detail: self.str_at(key::DETAIL)?,
            },
            Kind::Image => Body::Image {
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
            Kind::Storage => {
                Body::Storage { code: self.str_at(key::CODE)?, detail: self.str_at(key::DETAIL)? }
            }
            Kind::Alert => {
                let (code, sequence) = (self.str_at(key::CODE)?, self.u64_at(key::SEQUENCE)?);
                let (detail, alert) = (self.str_at(key::DETAIL)?, self.str_at(key::ALERT)?);
                let severity =
                    Severity::from_number(self.u8_at(key::SEVERITY)?).ok_or(DecodeError::Unknown)?;
                let value = if self.next_is(key::VALUE)? {
                    self.key(key::VALUE)?;
                    Some(self.input.i64()?)
                } else {
                    None
                };
                Body::Alert { alert, severity, code, sequence, value, detail }
            }
            Kind::Measured => {
                Body::Measured { pcrs: self.bytes_at(key::PCRS)?, digests: self.bytes_at(key::DIGESTS)? }
            }
            _ => return Err(DecodeError::Malformed),
        })
    }
}
