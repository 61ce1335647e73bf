//! What a scenario is.

use std::process::ExitCode;

use crate::side::{Place, Side};

/// How an act that did not pass ended.
#[derive(Debug)]
pub enum Stop {
    /// It was refused, with this error number.
    Errno(i32),
    /// This kernel has not what it takes.
    Skip(String),
    /// What must work did not, or what must not get through did: a failure whatever was expected.
    Broken(String),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Broken(error.to_string()), Self::Errno)
    }
}

/// What an act comes to.
pub(crate) type Done = Result<(), Stop>;

/// How a program of the guest's ends: what stopped it is said under its name.
pub fn ended(program: &str, done: &Result<(), Stop>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            eprintln!("{program}: {stop:?}");
            ExitCode::FAILURE
        }
    }
}

/// Steps that are not the act itself.
pub(crate) trait Step<T> {
    /// This must work.
    fn step(self, what: &str) -> Result<T, Stop>;
    /// Where this does not work, the kernel lacks it.
    fn offered(self, what: &str) -> Result<T, Stop>;
}

impl<T, E: Into<Stop>> Step<T> for Result<T, E> {
    fn step(self, what: &str) -> Result<T, Stop> {
        self.map_err(|error| match error.into() {
            Stop::Errno(number) => Stop::Broken(format!("{what}: errno {number}")),
            other => other,
        })
    }

    fn offered(self, what: &str) -> Result<T, Stop> {
        self.map_err(|error| match error.into() {
            Stop::Errno(number) => Stop::Skip(format!("{what}: errno {number}")),
            other => other,
        })
    }
}

/// What shows that the act can pass at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The same act on the unprotected twin.
    Twin,
    /// The same act by the workload that prepares, which no rule speaks of. For what has no twin: the kernel's surface.
    Outside,
    /// The same act where the policy has no rules and guards nothing: `bpf(2)`, which self-protection denies to all.
    Absent,
}

/// In which boot a scenario runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Under `policy.toml`.
    Main,
    /// Under the same without self-protection, with an agent that can be stopped.
    Plain,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, and that of the task that acts: at most 15 bytes.
    pub id: &'static str,
    /// The group it is counted in.
    pub group: &'static str,
    /// Which twin files it acts on.
    pub place: Place,
    /// The rule that the event must name.
    pub rule: &'static str,
    /// The event's kind; several that may be, apart by `|`.
    pub kind: &'static str,
    /// The hook that decides; several that may be, apart by `|`.
    pub hook: &'static str,
    /// What shows that it can pass.
    pub control: Control,
    /// Where something is allowed knowingly: what it shows. Its act does the allowed thing first, and then one that must
    /// be denied.
    pub allowed: Option<&'static str>,
    /// Decided by the object alone: only where the file was there when the policy was taken.
    pub by_object: bool,
    /// The boot it belongs to.
    pub boot: Boot,
    /// At most so long, of the guest's time.
    pub seconds: u32,
    /// The act.
    pub act: fn(Side) -> Result<(), Stop>,
}

/// A scenario of the usual kind: on the ext4 twins, shown by the twin.
pub(crate) const fn denied(
    group: &'static str,
    id: &'static str,
    (rule, kind, hook): (&'static str, &'static str, &'static str),
    act: fn(Side) -> Done,
) -> Scenario {
    Scenario {
        id,
        group,
        place: Place::Disk,
        rule,
        kind,
        hook,
        control: Control::Twin,
        allowed: None,
        by_object: false,
        boot: Boot::Main,
        seconds: 30,
        act,
    }
}

impl Scenario {
    pub(crate) const fn in_memory(mut self) -> Self {
        self.place = Place::Memory;
        self
    }

    pub(crate) const fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    pub(crate) const fn allows(mut self, what: &'static str) -> Self {
        self.allowed = Some(what);
        self
    }

    pub(crate) const fn by_object(mut self) -> Self {
        self.by_object = true;
        self
    }

    pub(crate) const fn plain(mut self) -> Self {
        self.boot = Boot::Plain;
        self
    }

    pub(crate) const fn seconds(mut self, seconds: u32) -> Self {
        self.seconds = seconds;
        self
    }
}
