//! Processes: those that are waited for, those that run on and are started again, and those of nobody.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::asked::{Answer, Desk, Wish};
use crate::console::{self, say};
use crate::{AGENT, CONSOLE, End, SITE, STATE, devices, end, limits, turns, watchdog};

/// From Linux's `asm/signal.h`: what a power supply's watcher sends.
const SIGPWR: i32 = 30;

/// A command of the agent's program. It reads nothing, and says what it has to say on the console.
pub(crate) fn aegis(arguments: &[&str]) -> Command {
    let mut command = program(AGENT);
    command.args(arguments).process_group(0);
    command
}

/// A program that reads nothing, with an environment that is known and a console of its own.
pub(crate) fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", "/usr/bin:/usr/sbin").current_dir("/").stdin(Stdio::null());
    let own = || console::open().map_or_else(|_| Stdio::null(), Stdio::from);
    command.stdout(own()).stderr(own());
    command
}

/// It reads what is typed there.
fn at_console(mut command: Command) -> Command {
    console::make_sane();
    if let Ok(console) = console::open() {
        command.stdin(console);
    }
    command
}

/// What runs on until the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `aegis run`, with a trace or without.
    Agent { trace: bool },
    /// `aegis stick watch`.
    Stick,
    /// `aegis-site keep`: the endpoint on the site network, if the policy in force asks for one.
    Site,
    /// `aegis-console --serial`: the serial line, quiet until somebody presses Enter. Where there is none, `aegis break-glass console`.
    Console,
    /// Instead of it, in an image that has one.
    Shell,
    /// `aegis workload keep`: a workload that came signed, and what comes after its end.
    Workload { name: &'static str },
}

impl Kind {
    fn command(self) -> Command {
        match self {
            Self::Agent { trace } => aegis(if trace { &["run", "--trace"] } else { &["run"] }),
            Self::Stick => aegis(&["stick", "watch"]),
            Self::Site => {
                let mut command = program(SITE);
                command.arg("keep").process_group(0);
                command
            }
            Self::Console if Path::new(CONSOLE).exists() => {
                let mut command = program(CONSOLE);
                command.arg("--serial").process_group(0);
                at_console(command)
            }
            Self::Console => at_console(aegis(&["break-glass", "console"])),
            Self::Workload { name } => aegis(&["workload", "keep", name]),
            // A session of its own, whose terminal the console becomes: with job control.
            Self::Shell => {
                let mut command = at_console(program("/usr/bin/setsid"));
                command.args(["/usr/bin/cttyhack", "/bin/sh"]).env("HOME", "/").env("TERM", "vt102");
                command
            }
        }
    }

    /// Where its number is told, and what is said when it ended.
    const fn told(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Agent { .. } => Some(("agent.pid", "the agent ended; starting it again")),
            Self::Stick => Some(("stick.pid", "the stick's watcher ended; starting it again")),
            Self::Site => Some(("site.pid", "the site network's keeper ended; starting it again")),
            Self::Console | Self::Shell | Self::Workload { .. } => None,
        }
    }

    /// It is not started again: it came to its end by itself, and said why. One that was killed did not.
    const fn is_over(self, code: u8) -> bool {
        matches!(self, Self::Workload { .. }) && code < 128
    }
}

struct Service {
    kind: Kind,
    pid: Option<Pid>,
    /// When it is to be started.
    due: Option<Instant>,
    /// When it was.
    since: Instant,
    /// Somebody stopped it: nothing starts it again but who asks for that.
    stopped: bool,
    /// How often it ended in a row, each time soon after it was started.
    ends: u32,
}

impl Service {
    /// To be started now.
    fn new(kind: Kind) -> Self {
        let now = Instant::now();
        Self { kind, pid: None, due: Some(now), since: now, stopped: false, ends: 0 }
    }
}

/// A command that nobody waits for.
struct Aside {
    what: &'static str,
    pid: Pid,
    until: Instant,
}

/// Everything that was started and is not over.
pub(crate) struct Children {
    /// Readable when a child ended or the end was asked for.
    bell: UnixStream,
    power_off: Arc<AtomicBool>,
    restart: Arc<AtomicBool>,
    services: Vec<Service>,
    asides: Vec<Aside>,
    /// The one that is waited for, and what became of it.
    awaited: Option<(Pid, Option<u8>)>,
    /// The end has begun: nothing is started again, and nobody asks for the end.
    ending: bool,
    /// More ended than were reaped at one time.
    more: bool,
    /// The agent's loop that stands still, as it was said.
    still: Option<&'static str>,
    /// Where somebody asks for something.
    desk: Option<Desk>,
}

impl Children {
    pub(crate) fn new() -> io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (power_off, restart) = (Arc::default(), Arc::default());
        for (signal, asked) in [
            (SIGUSR1, &power_off),
            (SIGUSR2, &power_off),
            (SIGPWR, &power_off),
            (SIGTERM, &restart),
            // Control, Alt and Delete.
            (SIGINT, &restart),
        ] {
            signal_hook::flag::register(signal, Arc::clone(asked))?;
            signal_hook::low_level::pipe::register(signal, rung.try_clone()?)?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, rung)?;
        Ok(Self {
            bell,
            power_off,
            restart,
            services: Vec::new(),
            asides: Vec::new(),
            awaited: None,
            ending: false,
            more: false,
            still: None,
            desk: None,
        })
    }

    /// The exit code of a command, 128 and the signal's number when one ended it; after `time` it is ended.
    ///
    /// # Errors
    /// The end was asked for meanwhile; the command is ended then.
    pub(crate) fn run(&mut self, time: Duration, command: &mut Command) -> Result<u8, End> {
        self.wait(command, Some(time))
    }

    /// As [`run`](Self::run), however long it takes.
    pub(crate) fn run_on(&mut self, command: &mut Command) -> Result<u8, End> {
        self.wait(command, None)
    }

    fn wait(&mut self, command: &mut Command, time: Option<Duration>) -> Result<u8, End> {
        let Some(pid) = spawn(command) else { return Ok(127) };
        self.awaited = Some((pid, None));
        let until = time.map(|time| Instant::now() + time);
        let asked = loop {
            if let Some(code) = self.take_code() {
                return Ok(code);
            }
            if let Some(end) = self.asked() {
                break Some(end);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                say(&format!("{}: cut after {} s", shown(command), time.unwrap_or_default().as_secs()));
                break None;
            }
            self.turn(until);
        };
        let is_over = |all: &Self| all.awaited.is_none_or(|(_, code)| code.is_some());
        for (signal, time) in [(Signal::TERM, limits::GRACE), (Signal::KILL, limits::REST)] {
            if !is_over(self) {
                send(pid, signal);
                self.pause_until(time, is_over);
            }
        }
        let code = self.take_code().unwrap_or(128 + 15);
        // One that does not even die of SIGKILL hangs in the kernel; it is nobody's from now on.
        self.awaited = None;
        asked.map_or(Ok(code), Err)
    }

    /// Of the one that is waited for, once it ended: its number may be another's from then on.
    fn take_code(&mut self) -> Option<u8> {
        let code = self.awaited.and_then(|(_, code)| code)?;
        self.awaited = None;
        Some(code)
    }

    fn asked(&self) -> Option<End> {
        match () {
            () if self.ending => None,
            () if self.power_off.load(Ordering::Relaxed) => Some(End::PowerOff),
            () if self.restart.load(Ordering::Relaxed) => Some(End::Restart),
            () => None,
        }
    }

    /// Until somebody asks for the end.
    pub(crate) fn until_asked(&mut self) -> End {
        loop {
            if let Some(end) = self.asked() {
                return end;
            }
            self.turn(None);
        }
    }

    /// Starts it, now and whenever it ended.
    pub(crate) fn keep(&mut self, kind: Kind) {
        self.services.push(Service::new(kind));
        self.start_due();
    }

    /// From now on somebody may ask for something.
    pub(crate) fn listen(&mut self) {
        match Desk::open() {
            Ok(desk) => self.desk = Some(desk),
            Err(error) => say(&format!("NO WORKLOAD CAN BE STOPPED OR STARTED AGAIN: init.sock: {error}")),
        }
    }

    /// Does what is asked of a workload, and says how it is then.
    fn answer(&mut self, wish: Wish, name: &str) -> Answer {
        if self.ending {
            return Answer::Ending;
        }
        let is_it =
            |service: &&mut Service| matches!(service.kind, Kind::Workload { name: own } if own == name);
        let Some(service) = self.services.iter_mut().find(is_it) else { return Answer::Unknown };
        match wish {
            Wish::Look => {}
            Wish::Stop => {
                (service.stopped, service.due) = (true, None);
                match service.pid {
                    // With it the workload's first process ends, and with that all of them.
                    Some(pid) => send(pid, Signal::KILL),
                    None => return Answer::Down,
                }
            }
            Wish::Start => {
                // One that is still to end is not told apart from one that runs: its end is waited for first.
                if service.pid.is_none() && service.due.is_none() {
                    (service.stopped, service.due) = (false, Some(Instant::now()));
                }
            }
        }
        if service.pid.is_some() || service.due.is_some() { Answer::Up } else { Answer::Down }
    }

    /// Nothing is started again, and nobody is asked any more.
    pub(crate) fn end(&mut self) {
        self.ending = true;
        for service in &mut self.services {
            service.due = None;
        }
    }

    /// Until this holds; false: it does not after so long.
    pub(crate) fn pause_until(&mut self, time: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + time;
        while !holds(self) {
            if until <= Instant::now() {
                return false;
            }
            self.turn(Some(until.min(Instant::now() + limits::LOOK)));
        }
        true
    }

    fn pid(&self, which: fn(Kind) -> bool) -> Option<Pid> {
        self.services.iter().find(|service| which(service.kind)).and_then(|service| service.pid)
    }

    /// Tells it to end, and waits so long. False: it still ran then, and was ended.
    pub(crate) fn stop(&mut self, which: fn(Kind) -> bool, time: Duration) -> bool {
        let Some(pid) = self.pid(which) else { return true };
        let is_over = |all: &Self| all.pid(which) != Some(pid);
        send(pid, Signal::TERM);
        let ended = self.pause_until(time, is_over);
        if !ended {
            send(pid, Signal::KILL);
            self.pause_until(limits::REST, is_over);
        }
        ended
    }

    /// Those that keep workloads, and with each its workload: nobody starts one again.
    pub(crate) fn stop_workloads(&mut self) {
        let running = |all: &Self| -> Vec<Pid> {
            let kept = all.services.iter().filter(|one| matches!(one.kind, Kind::Workload { .. }));
            kept.filter_map(|one| one.pid).collect()
        };
        for pid in running(self) {
            send(pid, Signal::KILL);
        }
        self.pause_until(limits::REST, |all| running(all).is_empty());
    }

    /// Whatever else was started and is not over.
    pub(crate) fn stop_the_rest(&mut self) {
        for (signal, time) in [(Signal::TERM, limits::GRACE), (Signal::KILL, limits::REST)] {
            let services = self.services.iter().filter_map(|service| service.pid);
            services.chain(self.asides.iter().map(|aside| aside.pid)).for_each(|pid| send(pid, signal));
            let is_over =
                |all: &Self| all.asides.is_empty() && all.services.iter().all(|one| one.pid.is_none());
            if self.pause_until(time, is_over) {
                return;
            }
        }
    }

    /// Waits for whatever comes first, no longer than `until`: a child's end, a request, the time of something.
    fn turn(&mut self, until: Option<Instant>) {
        let due = self.services.iter().filter_map(|service| service.due);
        let cut = self.asides.iter().map(|aside| aside.until);
        let fed = watchdog::is_on().then(|| Instant::now() + limits::FEED);
        let now = self.more.then(Instant::now);
        self.more = false;
        let asking = self.desk.as_ref().and_then(Desk::due);
        let next = due.chain(cut).chain(until).chain(fed).chain(asking).chain(now).min();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()));
        let time = left.and_then(|left| Timespec::try_from(left).ok());
        let bell = PollFd::new(&self.bell, PollFlags::IN);
        // Interrupted by the signal that rings, as it should be.
        let _ = match self.desk.as_ref().and_then(Desk::bell) {
            Some(desk) => poll(&mut [bell, PollFd::from_borrowed_fd(desk, PollFlags::IN)], time.as_ref()),
            None => poll(&mut [bell], time.as_ref()),
        };
        if self.turns() {
            watchdog::feed();
        }
        while self.bell.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        self.reap();
        if let Some(mut desk) = self.desk.take() {
            desk.look(|wish, name| self.answer(wish, name));
            self.desk = Some(desk);
        }
        self.start_due();
        self.cut_asides();
    }

    /// False: an agent that runs stands still. One that ended is started again, and one that was just started has its time.
    fn turns(&mut self) -> bool {
        let is_agent =
            |service: &&Service| matches!(service.kind, Kind::Agent { .. }) && service.pid.is_some();
        let begun = self
            .services
            .iter()
            .find(is_agent)
            .is_some_and(|agent| agent.since.elapsed() >= limits::AGENT_BEGINS);
        let still = if begun && !self.ending { turns::still(devices::boottime()) } else { None };
        if still != self.still {
            self.still = still;
            match still {
                Some(which) if watchdog::is_on() => say(&format!(
                    "THE AGENT'S {} STANDS STILL: the watchdog is not fed any more, and starts the machine again",
                    which.to_ascii_uppercase()
                )),
                Some(which) => say(&format!("THE AGENT'S {} STANDS STILL", which.to_ascii_uppercase())),
                None => say("the agent gets to its work again"),
            }
        }
        still.is_none()
    }

    /// What is left is for the next turn, which comes at once.
    fn reap(&mut self) {
        for _ in 0..limits::REAPED {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, code(status)),
                Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
        self.more = true;
    }

    fn ended(&mut self, pid: Pid, code: u8) {
        if let Some((_, end)) = self.awaited.as_mut().filter(|(awaited, _)| *awaited == pid) {
            *end = Some(code);
        } else if let Some(service) = self.services.iter_mut().find(|service| service.pid == Some(pid)) {
            service.pid = None;
            if service.stopped
                && let Kind::Workload { name } = service.kind
            {
                end::kill_group(&Path::new(end::WORKLOADS).join(name));
            }
            if !self.ending && !service.stopped && !service.kind.is_over(code) {
                let rest = match service.kind.told() {
                    Some((_, said)) => {
                        service.ends = if service.since.elapsed() < limits::STEADY {
                            service.ends.saturating_add(1)
                        } else {
                            0
                        };
                        let rest = rest(service.ends);
                        if rest > limits::REST {
                            say(&format!("{said} in {} s", rest.as_secs()));
                        } else {
                            say(said);
                        }
                        rest
                    }
                    None => limits::REST,
                };
                service.due = Some(Instant::now() + rest);
            }
        } else if let Some(at) = self.asides.iter().position(|aside| aside.pid == pid) {
            let aside = self.asides.swap_remove(at);
            if code != 0 {
                say(&format!("{}: exit {code}", aside.what));
            }
        }
        // Else nobody's: what somebody left behind.
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for at in 0..self.services.len() {
            let Some(service) =
                self.services.get_mut(at).filter(|service| service.due.is_some_and(|due| due <= now))
            else {
                continue;
            };
            let kind = service.kind;
            service.pid = spawn(&mut kind.command());
            service.since = now;
            service.due = if service.pid.is_some() { None } else { Some(now + limits::REST) };
            if let (Some((file, _)), Some(pid)) = (kind.told(), service.pid) {
                tell_number(file, pid);
            }
            if matches!(kind, Kind::Agent { .. }) {
                // What a decision that was cut short left undone. Not waited for: one that is under way holds the lock.
                self.aside("policy settle", &mut aegis(&["policy", "settle"]));
            }
        }
    }

    fn aside(&mut self, what: &'static str, command: &mut Command) {
        if self.asides.len() >= limits::ASIDES {
            say(&format!("{what}: not now, {} of them run still", limits::ASIDES));
            return;
        }
        if let Some(pid) = spawn(command) {
            self.asides.push(Aside { what, pid, until: Instant::now() + limits::COMMAND });
        }
    }

    fn cut_asides(&mut self) {
        let now = Instant::now();
        for aside in self.asides.iter_mut().filter(|aside| aside.until <= now) {
            say(&format!("{}: cut after {} s", aside.what, limits::COMMAND.as_secs()));
            send(aside.pid, Signal::KILL);
            aside.until = now + limits::COMMAND;
        }
    }
}

/// How long what ended so often in a row rests: at first a second, at most a minute.
fn rest(ends: u32) -> Duration {
    let doubled = ends.saturating_sub(limits::ENDS_AT_ONCE).min(limits::REST_DOUBLED);
    (limits::REST * (1 << doubled)).min(limits::REST_MOST)
}

/// In one step: who reads it finds the old number or the new one.
fn tell_number(file: &str, pid: Pid) {
    let (path, new) = (Path::new(STATE).join(file), Path::new(STATE).join(format!("{file}.new")));
    // What somebody put there is not followed, nor waited for.
    let _ = fs::remove_file(&new);
    let made = File::options().write(true).create_new(true).open(&new);
    let told = made
        .and_then(|mut file| writeln!(file, "{}", pid.as_raw_nonzero()))
        .and_then(|()| fs::rename(&new, &path));
    if let Err(error) = told {
        say(&format!("{}: {error}", path.display()));
    }
}

fn spawn(command: &mut Command) -> Option<Pid> {
    match command.spawn() {
        // Its end is learned by waiting for all.
        Ok(child) => Some(Pid::from_child(&child)),
        Err(error) => {
            say(&format!("{}: {error}", shown(command)));
            None
        }
    }
}

/// A command as it would be typed.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// One that ended meanwhile needs none.
fn send(pid: Pid, signal: Signal) {
    let _ = kill_process(pid, signal);
}

/// As a shell has it.
fn code(status: WaitStatus) -> u8 {
    let number = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = program("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null()).process_group(0);
        command
    }

    /// One test: whoever waits here waits for every child of this process.
    #[test]
    fn what_ends_again_and_again_rests_longer_and_longer() {
        let seconds: Vec<u64> = (0..12).map(|ends| rest(ends).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(rest(u32::MAX), limits::REST_MOST);
    }

    #[test]
    fn children_are_waited_for_cut_and_reaped() {
        let mut children = Children::new().expect("signals");
        let long = Duration::from_secs(20);
        for (script, expected) in
            [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
        {
            assert_eq!(children.run(long, &mut sh(script)), Ok(expected), "{script}");
        }
        assert_eq!(children.run(long, &mut program("/nowhere/at/all")), Ok(127));
        let begun = Instant::now();
        assert_eq!(children.run(Duration::from_millis(200), &mut sh("sleep 60")), Ok(143));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        // What leaves something behind: that is nobody's, and its parent's code is what counts.
        assert_eq!(children.run(long, &mut sh("sleep 0.1 & exit 3")), Ok(3));

        children.aside("aside", &mut sh("exit 5"));
        assert_eq!((children.asides.len(), children.run(long, &mut sh("sleep 0.3"))), (1, Ok(0)));
        assert_eq!(children.asides.len(), 0, "it was reaped beside another");
        for _ in 0..limits::ASIDES + 2 {
            children.aside("aside", &mut sh("sleep 0.1"));
        }
        assert_eq!(children.asides.len(), limits::ASIDES);

        // A number that was waited for once may be another's later.
        let gone = Pid::from_raw(i32::MAX).expect("a number");
        children.awaited = Some((gone, Some(3)));
        assert_eq!(children.take_code(), Some(3));
        let running = |kind| Service { pid: Some(gone), due: None, ..Service::new(kind) };
        children.services.push(running(Kind::Stick));
        children.ended(gone, 0);
        let again = children.services.pop().expect("there");
        assert!(again.pid.is_none() && again.due.is_some(), "it is started again");
        // A workload that came to its end stays down; the process that keeps it does not when it was killed.
        for (code, is_again) in [(0, false), (1, false), (137, true)] {
            children.services.push(running(Kind::Workload { name: "a" }));
            children.ended(gone, code);
            let ended = children.services.pop().expect("there");
            assert!(ended.pid.is_none() && ended.due.is_some() == is_again, "{code}");
        }
        assert!(children.awaited.is_none());

        // One that somebody stopped stays down, however its keeper ended, until somebody starts it; one that is up is left alone.
        children.services.extend([Service::new(Kind::Stick), running(Kind::Workload { name: "b" })]);
        let own = |children: &Children| {
            let service = children.services.last().expect("there");
            (service.pid.is_some(), service.due.is_some())
        };
        assert_eq!(children.answer(Wish::Stop, "a"), Answer::Unknown);
        assert_eq!((children.answer(Wish::Look, "b"), own(&children)), (Answer::Up, (true, false)));
        assert_eq!((children.answer(Wish::Start, "b"), own(&children)), (Answer::Up, (true, false)));
        assert_eq!((children.answer(Wish::Stop, "b"), own(&children)), (Answer::Up, (true, false)));
        children.ended(gone, 137);
        assert_eq!((children.answer(Wish::Look, "b"), own(&children)), (Answer::Down, (false, false)));
        assert_eq!((children.answer(Wish::Start, "b"), own(&children)), (Answer::Up, (false, true)));
        // While it rests before its next start, too.
        assert_eq!((children.answer(Wish::Stop, "b"), own(&children)), (Answer::Down, (false, false)));
        assert!(children.services.first().is_some_and(|stick| !stick.stopped), "nobody else is meant");
        children.end();
        assert_eq!(children.answer(Wish::Start, "b"), Answer::Ending);
        children.ending = false;
        children.services.clear();

        // What does not heed SIGTERM is ended all the same.
        let begun = Instant::now();
        let deaf = "trap '' TERM; while :; do sleep 0.1; done";
        assert_eq!(children.run(Duration::from_millis(200), &mut sh(deaf)), Ok(137));
        assert!(begun.elapsed() >= limits::GRACE, "{:?}", begun.elapsed());

        // The end, asked for while something is waited for: that is ended, and who asked is told.
        children.power_off.store(true, Ordering::Relaxed);
        assert_eq!(children.run(long, &mut sh("sleep 60")), Err(End::PowerOff));
        assert_eq!(children.until_asked(), End::PowerOff);
        children.end();
        assert_eq!(children.run(long, &mut sh("exit 0")), Ok(0), "at the end nobody asks any more");
        children.aside("aside", &mut sh("sleep 60"));
        children.stop_the_rest();
        assert!(children.asides.is_empty());
    }
}
