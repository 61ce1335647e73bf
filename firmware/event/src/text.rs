//! Events for people: one line, no control bytes, no allocation.

use core::fmt::{Display, Formatter, Result, Write};

use crate::body::Body;
use crate::decision::Decision;
use crate::kind::GapCause;
use crate::model::{Call, Endpoint, Event, File, Gap, Place, Privileges};

/// Shows bytes from a hostile place (paths, names, arguments) so that they can't drive a terminal:
/// printable ASCII and well-formed UTF-8 letters stay, everything else becomes `\xNN`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a [u8]);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    ' '..='~' => f.write_char(c)?,
                    _ if c.is_alphanumeric() => f.write_char(c)?,
                    _ => {
                        let mut utf8 = [0; 4];
                        for byte in c.encode_utf8(&mut utf8).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Arguments with their separating NULs shown as spaces.
struct Arguments<'a>(&'a [u8]);

impl Display for Arguments<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let arguments = self.0.strip_suffix(b"\0").unwrap_or(self.0);
        for (index, argument) in arguments.split(|byte| *byte == 0).enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}", Printable(argument))?;
        }
        Ok(())
    }
}

/// `CLOCK_BOOTTIME` nanoseconds as seconds.
struct Moment(u64);

impl Display for Moment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

struct Decided<'a>(&'a Decision<'a>);

impl Display for Decided<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.0.verdict.name())?;
        if !self.0.rule.is_empty() {
            write!(f, " by rule {} of policy {}", Printable(self.0.rule), self.0.policy)?;
        }
        if let Some(basis) = &self.0.basis {
            write!(f, " ({} at {})", basis.matched, basis.hook)?;
        }
        if self.0.glass_broken {
            f.write_str(", glass-broken")?;
        }
        if self.0.deadman {
            f.write_str(", deadman")?;
        }
        Ok(())
    }
}

struct Named<'a>(&'a File<'a>);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}{}", Printable(self.0.path), if self.0.truncated { "…" } else { "" })
    }
}

impl Display for Event<'_> {
    /// `      12.345678 workload comm[tgid] kind …`
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (seconds, micros) = (self.time / 1_000_000_000, self.time % 1_000_000_000 / 1_000);
        write!(f, "{seconds:>6}.{micros:06} ")?;
        match &self.subject {
            Some(subject) => {
                let task = &subject.process;
                write!(f, "{} {}[{}] ", Printable(subject.workload), Printable(task.comm), task.tgid)?;
            }
            None => f.write_str("aegis ")?,
        }
        write!(f, "{} ", self.kind())?;
        write_body(f, &self.body)
    }
}

fn write_body(f: &mut Formatter<'_>, body: &Body<'_>) -> Result {
    match body {
        Body::Fork { child_pid, .. } => write!(f, "child {child_pid}"),
        Body::Exec { file, argv, argv_truncated } => {
            write!(f, "{} ({}{})", Named(file), Arguments(argv), if *argv_truncated { " …" } else { "" })
        }
        Body::Exit { status, signal: 0 } => write!(f, "status {status}"),
        Body::Exit { signal, .. } => write!(f, "killed by signal {signal}"),
        Body::Open { file, flags, decision } => {
            let access = match flags & 3 {
                0 => "read",
                1 => "write",
                _ => "read-write",
            };
            write!(f, "{access} {} {}", Named(file), Decided(decision))
        }
        Body::ExecCheck { file, decision }
        | Body::Unlink { file, decision }
        | Body::UnixConnect { file, decision } => write!(f, "{} {}", Named(file), Decided(decision)),
        Body::Create { file, mode, decision } => {
            write!(f, "{} mode {mode:o} {}", Named(file), Decided(decision))
        }
        Body::Rename { file, to, to_truncated, decision }
        | Body::Link { file, to, to_truncated, decision } => {
            let (more, to) = (if *to_truncated { "…" } else { "" }, Printable(to));
            write!(f, "{} to {to}{more} {}", Named(file), Decided(decision))
        }
        Body::SetAttr { file, valid, decision } => {
            write!(f, "{}{} {}", Named(file), Attributes(*valid), Decided(decision))
        }
        Body::Socket { endpoint, decision } => {
            let Endpoint { family, socket_type, protocol, .. } = endpoint;
            write!(f, "family {family} type {socket_type} protocol {protocol} {}", Decided(decision))
        }
        Body::Connect { port, address, decision, .. }
        | Body::Bind { endpoint: Endpoint { port, address, .. }, decision }
        | Body::Listen { endpoint: Endpoint { port, address, .. }, decision }
        | Body::Accept { endpoint: Endpoint { port, address, .. }, decision } => {
            write!(f, "{} {}", Place { port: *port, address }, Decided(decision))
        }
        Body::Ptrace { call, decision }
        | Body::Module { call, decision }
        | Body::BpfCall { call, decision }
        | Body::Mount { call, decision }
        | Body::Signal { call, decision }
        | Body::Escape { call, decision } => write!(f, "{call} {}", Decided(decision)),
        Body::Privilege { old, new } => write!(f, "{old} to {new}"),
        Body::Volume { file, read, written } => {
            write!(f, "{} read {read} written {written}", Named(file))
        }
        Body::Flow { protocol, local, remote, received, sent, .. } => {
            write!(f, "protocol {protocol} {local} to {remote} received {received} sent {sent}")
        }
        said => write_said(f, said),
    }
}

/// What Aegis says of itself.
fn write_said(f: &mut Formatter<'_>, body: &Body<'_>) -> Result {
    match body {
        Body::Start { version, clean } => {
            let last = if *clean { "last run was sealed" } else { "last run was not sealed" };
            write!(f, "version {}, {last}", Printable(version.as_bytes()))
        }
        Body::Stop { signal } => write!(f, "signal {signal}"),
        Body::Policy { code, epoch, sequence, detail, .. }
        | Body::Image { code, epoch, sequence, detail, .. } => {
            let code = Printable(code.as_bytes());
            write!(f, "{code} epoch {epoch} sequence {sequence} ({})", Printable(detail.as_bytes()))
        }
        Body::Workload { workload, code, epoch, sequence, detail, .. } => {
            let (name, code) = (Printable(workload), Printable(code.as_bytes()));
            write!(f, "{name} {code} epoch {epoch} sequence {sequence} ({})", Printable(detail.as_bytes()))
        }
        Body::Loss { workload, cause, count } => {
            write!(f, "{count} events of {} by {cause}", Printable(workload))
        }
        Body::ModeChange { mode, reason, epoch, sequence } => {
            write!(f, "{mode} ({reason}) epoch {epoch} sequence {sequence}")
        }
        Body::Accounts(books) => {
            write!(f, "seen {} written {} lost {}", books.seen, books.written, books.total_lost())
        }
        Body::BreakGlass { code, sequence, until, reason, .. } => {
            let (code, reason) = (Printable(code.as_bytes()), Printable(reason.as_bytes()));
            match until {
                0 => write!(f, "{code} sequence {sequence} ({reason})"),
                until => write!(f, "{code} sequence {sequence} until {} ({reason})", Moment(*until)),
            }
        }
        Body::Root { code, version, epoch, detail, .. } => {
            let code = Printable(code.as_bytes());
            write!(f, "{code} version {version} epoch {epoch} ({})", Printable(detail.as_bytes()))
        }
        Body::Stick { code, detail } | Body::Config { code, detail } | Body::Storage { code, detail } => {
            write!(f, "{} ({})", Printable(code.as_bytes()), Printable(detail.as_bytes()))
        }
        Body::PolicyStale { epoch, sequence, expires, now } => {
            write!(f, "epoch {epoch} sequence {sequence} expired {expires}, now at least {now} (Unix time)")
        }
        Body::GlassMended { until, passed, mode, reason } => {
            write!(f, "at {}, {passed} would-be denials passed; {mode} ({reason})", Moment(*until))
        }
        Body::RingLevel { level, percent } => write!(f, "{level}: {percent}% not exported"),
        Body::Gap(gap) => write_gap(f, gap),
        Body::Seal { code, epoch } => write!(f, "{} epoch {epoch}", Printable(code.as_bytes())),
        Body::Deadman { workload, sequence, since } => {
            let workload = Printable(workload);
            write!(
                f,
                "{workload} is only audited since {}, until the policy after {sequence}",
                Moment(*since)
            )
        }
        Body::Alert { alert, severity, code, value, detail, .. } => {
            write!(f, "{} {} ({severity})", Printable(alert.as_bytes()), Printable(code.as_bytes()))?;
            if let Some(value) = value {
                write!(f, ": {}", Thousandths(*value))?;
            }
            if !detail.is_empty() {
                write!(f, " of {}", Printable(detail.as_bytes()))?;
            }
            Ok(())
        }
        Body::Measured { pcrs, digests } => {
            for (number, digest) in pcrs.iter().zip(digests.chunks(32)) {
                let comma = if number == &pcrs[0] { "" } else { ", " };
                write!(f, "{comma}PCR {number} ")?;
                // Enough to see whether it is the one that is known.
                digest.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn write_gap(f: &mut Formatter<'_>, gap: &Gap) -> Result {
    let Gap { cause, first, last, total, .. } = gap;
    match cause {
        GapCause::Cut => write!(f, "{cause} behind sequence {last}, {total} so far"),
        GapCause::Overwritten | GapCause::Damaged => {
            write!(f, "{cause} {first} to {last}, {total} so far")
        }
    }
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Ok(v4) = <[u8; 4]>::try_from(self.address) {
            write!(f, "{}", core::net::Ipv4Addr::from(v4))?;
        } else if let Ok(v6) = <[u8; 16]>::try_from(self.address) {
            write!(f, "{}", core::net::Ipv6Addr::from(v6))?;
        } else {
            f.write_char('?')?;
        }
        write!(f, " port {}", self.port)
    }
}

impl Display for Call<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{:#x}", self.number)?;
        if self.target != 0 {
            write!(f, " of process {}", self.target)?;
        }
        if !self.text.is_empty() {
            write!(f, " ({})", Printable(self.text))?;
        }
        Ok(())
    }
}

impl Display for Privileges {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "user {} capabilities {:#x}", self.uid, self.capabilities)
    }
}

/// A number of thousandths, with as many decimal places as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thousandths(pub i64);

impl Display for Thousandths {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (sign, number) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, mut rest, mut width) = (number / 1000, number % 1000, 3);
        write!(f, "{sign}{whole}")?;
        if rest > 0 {
            while rest % 10 == 0 {
                (rest, width) = (rest / 10, width - 1);
            }
            write!(f, ".{rest:0width$}")?;
        }
        Ok(())
    }
}

/// The attributes that were set (`include/linux/fs.h`), each with a space before it.
struct Attributes(u32);

impl Display for Attributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (bits, name) in [(1, "mode"), (2, "owner"), (4, "group"), (8, "length"), (0x70, "times")] {
            if self.0 & bits != 0 {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}
