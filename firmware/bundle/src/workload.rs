//! Workloads: the manifest that is signed, and the decision whether one is let in.
//!
//! A workload carries one file system, of which its programs see nothing else, and says what is run in it, as whom, and
//! within which bounds. A manifest without that takes the workload of its name out of operation, and what it kept when it says so. As with images the
//! contents are never in memory: whoever lets one in holds them against the listed hash as they are read.

use aegis_cose::Domain;
use aegis_policy::names;
use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Written};
use crate::container::{Container, split_front};
use crate::limits::{
    COMMAND_WORDS, COMMENT_BYTES, KEYS, RESTART_SECONDS, VARIABLES, WATCHDOG_SECONDS, WORD_BYTES,
    WORKLOAD_BLOCK_BYTES, WORKLOAD_CONTENTS_BYTES, WORKLOAD_CPU, WORKLOAD_MEMORY_BYTES, WORKLOAD_NAME_BYTES,
    WORKLOAD_PIDS, WRITABLE, WRITABLE_BYTES,
};
use crate::manifest::{Content, Head, Version, contents, is_comment, strictly, write_contents};
use crate::open::{hash, verify};
use crate::refusal::{Reason, Refusal};
use crate::root::{Role, Root};
use crate::selectors::{Asked, Selectors};
use crate::workload_state::Rank;

/// Name of the file system among the contents.
pub const CONTENTS: &str = "contents";
/// Where a workload's programs never write by a bind mount: these have file systems of their own there.
const TAKEN: [&str; 3] = ["/dev", "/proc", "/tmp"];

/// Keys of the maps (`workload-manifest` in `docs/formats/bundle.cddl`).
mod key {
    // 1 to 5: `manifest::Head`.
    pub(super) const SELECTORS: u8 = 6;
    pub(super) const NAME: u8 = 7;
    pub(super) const RUN: u8 = 8;
    pub(super) const COMMENT: u8 = 9;
    pub(super) const CONTENTS: u8 = 1;
    pub(super) const COMMAND: u8 = 2;
    pub(super) const ENVIRONMENT: u8 = 3;
    pub(super) const IDENTITY: u8 = 4;
    pub(super) const BOUNDS: u8 = 5;
    pub(super) const RESTART: u8 = 6;
    pub(super) const WRITABLE: u8 = 7;
}

/// What a workload says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadManifest<'a> {
    /// That of the root metadata it is made for.
    pub epoch: u64,
    /// Counts up from 1 within an epoch, for each name by itself.
    pub sequence: u64,
    /// When it was made, Unix seconds.
    pub created: u64,
    /// The devices it is for.
    pub selectors: Selectors<'a>,
    /// Its name: that of its cgroup, of which the policy speaks.
    pub name: &'a str,
    /// What is run; `None`: the workload of this name is taken away.
    pub run: Option<Run<'a>>,
    /// Of one that is taken away: what its programs kept goes, too.
    pub forgets: bool,
    /// For people.
    pub comment: &'a str,
}

/// What is run, and within what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// The file system, a squashfs: file [`CONTENTS`].
    pub contents: Content,
    /// Program, by its absolute path in the file system, and arguments; any bytes but NUL.
    pub command: Vec<&'a [u8], COMMAND_WORDS>,
    /// `NAME=VALUE`, strictly ascending, each name once; any bytes but NUL.
    pub environment: Vec<&'a [u8], VARIABLES>,
    /// As which user it runs; never 0.
    pub user: u32,
    /// As which group, and no other; never 0.
    pub group: u32,
    /// What its cgroup may use.
    pub bounds: Bounds,
    /// What comes after its end.
    pub restart: Restart,
    /// Directories in the file system that it writes to, strictly ascending, none within another. What is there is kept.
    pub writable: Vec<&'a str, WRITABLE>,
}

/// What the cgroup of a workload may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory, bytes (`memory.max`).
    pub memory: u64,
    /// Processes and threads (`pids.max`).
    pub pids: u32,
    /// Time, thousandths of one processor (`cpu.max`).
    pub cpu: u32,
}

/// When a workload that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum When {
    /// It is not.
    #[default]
    Never = 0,
    /// When it ended by another code than 0, or by a signal.
    OnFailure = 1,
    /// However it ended.
    Always = 2,
}

impl When {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// The word in sources and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|when| *when as u64 == number)
    }
}

/// What comes after a workload's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Whether it is started again.
    pub when: When,
    /// How long it rests before that the first time, seconds, at least 1.
    pub delay: u32,
    /// After so many seconds without a sign of its life it is ended; 0: nobody looks.
    pub watchdog: u32,
}

impl<'a> WorkloadManifest<'a> {
    /// Reads the one manifest that `bytes` is. Strict: what would not be written is not read.
    ///
    /// # Errors
    /// The reasons that a manifest alone can give.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        strictly(bytes, read, Self::is_possible)
    }

    /// Writes the manifest to the front of `out` and returns how many bytes it took; `None` when there is no room, or
    /// it would not be read again.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let length = self.write_to(out)?;
        (WorkloadManifest::decode(&out[..length]).as_ref() == Ok(self)).then_some(length)
    }

    /// Epoch and sequence.
    pub const fn rank(&self) -> (u64, u64) {
        (self.epoch, self.sequence)
    }

    /// Bytes of the contents.
    pub fn length(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.contents.length)
    }

    const fn head(&self) -> Head {
        Head { epoch: self.epoch, sequence: self.sequence, created: self.created }
    }

    /// What the types leave open.
    fn is_possible(&self) -> bool {
        self.head().is_possible()
            && self.selectors.is_possible()
            && names::is_kept_workload_name(self.name)
            && self.run.as_ref().is_none_or(|run| !self.forgets && run.is_possible())
            && is_comment(self.comment)
    }
}

/// True when this can be a directory that a workload writes to.
pub fn is_writable(path: &str) -> bool {
    names::is_path(path)
        && (2..=WRITABLE_BYTES).contains(&path.len())
        && !TAKEN.iter().any(|taken| names::is_within(taken.as_bytes(), path.as_bytes()))
}

/// True when this can be a variable: a name as shells have it, `=`, and a value.
pub fn is_variable(variable: &[u8]) -> bool {
    let name = variable_name(variable);
    name.len() < variable.len()
        && matches!(name.first(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_'))
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && is_word(variable)
}

fn variable_name(variable: &[u8]) -> &[u8] {
    variable.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// True when this can be a word of a command.
pub fn is_word(word: &[u8]) -> bool {
    word.len() <= WORD_BYTES && !word.contains(&0)
}

impl Run<'_> {
    fn is_possible(&self) -> bool {
        let Self { contents, command, environment, user, group, bounds, restart, writable } = self;
        let is_id = |id: u32| (1..u32::MAX).contains(&id);
        let apart = |pair: &[&str]| !names::is_within(pair[0].as_bytes(), pair[1].as_bytes());
        (WORKLOAD_BLOCK_BYTES..=WORKLOAD_CONTENTS_BYTES).contains(&contents.length)
            && contents.length.is_multiple_of(WORKLOAD_BLOCK_BYTES)
            && command.first().is_some_and(|program| program.len() > 1 && program[0] == b'/')
            && command.iter().all(|word| is_word(word))
            && environment.iter().all(|variable| is_variable(variable))
            // All that begin with the same name and `=` stand together in this order.
            && environment.is_sorted_by(|a, b| a < b && variable_name(a) != variable_name(b))
            && is_id(*user)
            && is_id(*group)
            && bounds.is_possible()
            && (1..=RESTART_SECONDS).contains(&restart.delay)
            && restart.watchdog <= WATCHDOG_SECONDS
            && writable.iter().all(|path| is_writable(path))
            && writable.is_sorted_by(|a, b| a < b)
            && (0..writable.len()).all(|at| writable[at + 1..].iter().all(|other| apart(&[writable[at], other])))
    }
}

impl Bounds {
    /// True when a cgroup can be bounded so.
    pub fn is_possible(&self) -> bool {
        (WORKLOAD_MEMORY_BYTES.0..=WORKLOAD_MEMORY_BYTES.1).contains(&self.memory)
            && (1..=WORKLOAD_PIDS).contains(&self.pids)
            && (WORKLOAD_CPU.0..=WORKLOAD_CPU.1).contains(&self.cpu)
    }
}

fn read<'a>(input: &mut Reader<'a>) -> Result<WorkloadManifest<'a>, Reason> {
    input.map(9)?;
    let Head { epoch, sequence, created } = Head::read(input)?;
    input.key(key::SELECTORS)?;
    let selectors = Selectors::read(input)?;
    input.key(key::NAME)?;
    let name = input.str(WORKLOAD_NAME_BYTES)?;
    input.key(key::RUN)?;
    let gone = input.null_or_true()?;
    let run = if gone.is_some() { None } else { Some(read_run(input)?) };
    input.key(key::COMMENT)?;
    let comment = input.str(COMMENT_BYTES)?;
    Ok(WorkloadManifest {
        epoch,
        sequence,
        created,
        selectors,
        name,
        run,
        forgets: gone == Some(true),
        comment,
    })
}

fn read_run<'a>(input: &mut Reader<'a>) -> Result<Run<'a>, Reason> {
    input.map(7)?;
    input.key(key::CONTENTS)?;
    let [contents] = contents(input, [CONTENTS])?;
    input.key(key::COMMAND)?;
    let command = items(input, |input| input.bytes(WORD_BYTES))?;
    input.key(key::ENVIRONMENT)?;
    let environment = items(input, |input| input.bytes(WORD_BYTES))?;
    let [user, group] = numbers(input, key::IDENTITY)?;
    let [memory, pids, cpu] = numbers(input, key::BOUNDS)?;
    let restart = read_restart(input)?;
    input.key(key::WRITABLE)?;
    let writable = items(input, |input| input.str(WRITABLE_BYTES))?;
    let small = |number: u64| u32::try_from(number).map_err(|_| Reason::BadManifest);
    Ok(Run {
        contents,
        command,
        environment,
        user: small(user)?,
        group: small(group)?,
        bounds: Bounds { memory, pids: small(pids)?, cpu: small(cpu)? },
        restart,
        writable,
    })
}

/// The watchdog is left out where there is none: as all were before there was one.
fn read_restart(input: &mut Reader<'_>) -> Result<Restart, Reason> {
    input.key(key::RESTART)?;
    let (when, delay, watchdog) = match items::<_, 3>(input, Reader::u64)?[..] {
        [when, delay] => (when, delay, 0),
        [when, delay, watchdog] if watchdog > 0 => (when, delay, watchdog),
        _ => return Err(Reason::BadManifest),
    };
    let small = |number: u64| u32::try_from(number).map_err(|_| Reason::BadManifest);
    let when = When::from_number(when).ok_or(Reason::BadManifest)?;
    Ok(Restart { when, delay: small(delay)?, watchdog: small(watchdog)? })
}

/// An array of at most so many.
fn items<'a, T, const N: usize>(
    input: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, crate::cbor::Unread>,
) -> Result<Vec<T, N>, Reason> {
    let mut items = Vec::new();
    for _ in 0..input.array(N)? {
        items.push(item(input)?).map_err(|_| Reason::BadManifest)?;
    }
    Ok(items)
}

/// An array of exactly so many numbers, at this key.
fn numbers<const N: usize>(input: &mut Reader<'_>, key: u8) -> Result<[u64; N], Reason> {
    input.key(key)?;
    items::<_, N>(input, Reader::u64)?.into_array().map_err(|_| Reason::BadManifest)
}

impl Canonical for WorkloadManifest<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(9)?;
        self.head().write(out)?;
        out.u8(key::SELECTORS)?;
        self.selectors.write(out)?;
        out.u8(key::NAME)?.str(self.name)?;
        out.u8(key::RUN)?;
        match &self.run {
            Some(run) => run.write(out)?,
            None if self.forgets => drop(out.bool(true)?),
            None => drop(out.null()?),
        }
        out.u8(key::COMMENT)?.str(self.comment)?;
        Ok(())
    }
}

impl Canonical for Run<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(7)?.u8(key::CONTENTS)?;
        write_contents(out, &[(CONTENTS, self.contents)])?;
        for (key, words) in [(key::COMMAND, &self.command[..]), (key::ENVIRONMENT, &self.environment)] {
            out.u8(key)?.array(words.len() as u64)?;
            words.iter().try_for_each(|word| out.bytes(word).map(drop))?;
        }
        let Bounds { memory, pids, cpu } = self.bounds;
        out.u8(key::IDENTITY)?.array(2)?.u32(self.user)?.u32(self.group)?;
        out.u8(key::BOUNDS)?.array(3)?.u64(memory)?.u32(pids)?.u32(cpu)?;
        let Restart { when, delay, watchdog } = self.restart;
        out.u8(key::RESTART)?.array(if watchdog > 0 { 3 } else { 2 })?.u8(when as u8)?.u32(delay)?;
        if watchdog > 0 {
            out.u32(watchdog)?;
        }
        out.u8(key::WRITABLE)?.array(self.writable.len() as u64)?;
        self.writable.iter().try_for_each(|path| out.str(path).map(drop))
    }
}

/// Who asks, and what it knows. A device gives all of it; the office may leave out who it would be asking for, and then
/// that selector is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct WorkloadContext<'a> {
    /// Who may sign.
    pub root: &'a Root,
    /// The device's id.
    pub device: Option<[u8; 16]>,
    /// The device's architecture, as Rust names it.
    pub architecture: Option<&'a str>,
    /// The agent's version.
    pub agent: Option<Version>,
    /// The groups that the device is in.
    pub groups: Option<&'a [&'a str]>,
}

/// A workload whose signatures, encoding and lengths hold. Its contents are for the caller, who has them, to be held against
/// the listed hash.
#[derive(Clone, Debug)]
pub struct Workload<'a> {
    /// What it says of itself.
    pub manifest: WorkloadManifest<'a>,
    /// The manifest's own bytes.
    pub manifest_bytes: &'a [u8],
    /// SHA-256 of the manifest: what order and revocation go by.
    pub manifest_hash: [u8; 32],
    /// Where in the file the contents begin.
    pub contents_at: u64,
}

/// Opens a workload that is offered, by its front: whether it is good, and for this device. `front` must be the caller's own
/// copy, of [`limits::FRONT_BYTES`](crate::limits::FRONT_BYTES) or of all of a shorter file; `length` is the file's.
/// `known` says, of a name, what was accepted last.
///
/// # Errors
/// A [`Refusal`] says why not. Bounds come before signatures, signatures before meaning, order comes last.
pub fn open_workload<'a>(
    front: &'a [u8],
    length: u64,
    context: &WorkloadContext<'_>,
    known: impl FnOnce(&str) -> Option<Rank>,
) -> Result<(Workload<'a>, bool), Refusal> {
    let root = context.root;
    let role = root.workload.as_ref().ok_or(Reason::NoWorkloadRole)?;
    let opened = read_front(front, length, role, root)?;
    let WorkloadContext { device, architecture, agent, groups, .. } = *context;
    let refuse = |reason| opened.refuse(reason);
    opened.manifest.selectors.check(&Asked { device, architecture, agent, groups }).map_err(refuse)?;
    let unchanged = check_order(&opened, root, known(opened.manifest.name)).map_err(refuse)?;
    Ok((opened, unchanged))
}

/// Opens a workload that this device accepted before and kept. It was let in under `then`, a root of the chain that ends in
/// `now`: keys that were merely replaced since still count; keys and manifests that `now` revokes do not. That it *was* let
/// in is for the caller to know.
///
/// # Errors
/// As [`open_workload`], but for selectors and order.
pub fn open_kept_workload<'a>(
    front: &'a [u8],
    length: u64,
    then: &Root,
    now: &Root,
) -> Result<Workload<'a>, Refusal> {
    let role = then.workload.as_ref().ok_or(Reason::NoWorkloadRole)?;
    let keys: Vec<[u8; 32], KEYS> = role.keys.iter().filter(|key| !now.revokes(key)).copied().collect();
    read_front(front, length, &Role { threshold: role.threshold, keys }, now)
}

fn read_front<'a>(front: &'a [u8], length: u64, role: &Role, root: &Root) -> Result<Workload<'a>, Refusal> {
    let sections = split_front(Container::Workload, front, length)?;
    verify(Domain::Workload, sections.manifest, sections.signatures, role, root)?;
    let manifest = WorkloadManifest::decode(sections.manifest)?;
    let manifest_hash = hash(sections.manifest);
    let contents_at = sections.contents_at;
    let opened = Workload { manifest, manifest_bytes: sections.manifest, manifest_hash, contents_at };
    if opened.manifest.length() != sections.contents_length {
        return Err(opened.refuse(Reason::ContentLength));
    }
    if root.revoked.contains(&manifest_hash) {
        return Err(opened.refuse(Reason::Revoked));
    }
    Ok(opened)
}

impl Workload<'_> {
    const fn refuse(&self, reason: Reason) -> Refusal {
        Refusal { reason, epoch: self.manifest.epoch, sequence: self.manifest.sequence }
    }

    /// What is remembered of it.
    pub const fn rank(&self) -> Rank {
        let WorkloadManifest { epoch, sequence, .. } = self.manifest;
        Rank { epoch, sequence, manifest: self.manifest_hash }
    }
}

/// True when it is the one that was accepted last.
fn check_order(offered: &Workload<'_>, root: &Root, have: Option<Rank>) -> Result<bool, Reason> {
    let (epoch, have) = (offered.manifest.epoch, have.unwrap_or_default());
    if epoch > root.epoch {
        return Err(Reason::EpochAhead);
    }
    if epoch < root.epoch || offered.manifest.rank() < have.order() {
        return Err(Reason::Rollback);
    }
    match (offered.manifest.rank() == have.order(), offered.manifest_hash == have.manifest) {
        (true, false) => Err(Reason::ReplayMismatch),
        (same, _) => Ok(same),
    }
}
