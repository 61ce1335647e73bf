//! The keeper: what the policy in force says of the site network is so, and nothing else is. It reads nothing that came by network
//! but one number in a message of the server's.

mod card;
mod commands;
mod figures;
mod key;
mod push;
mod told;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use self::commands::{Commands, Once};
use self::key::Key;
pub use self::key::chain_for;
use self::push::Pushing;
use self::told::{State, Told};
use crate::figures::Figures;
use crate::limits;
use crate::offer::Offer;
use crate::wire::{self, Question, Setup};

/// Where things are. The defaults are a device's; others are for trying it on a workstation.
#[derive(Debug)]
pub struct Options {
    /// Instead of the agent's answer, a file with the same bytes.
    pub section: Option<PathBuf>,
    /// The agent's program.
    pub agent: PathBuf,
    /// Where the agent keeps what it trusts: when that changed, the policy may have.
    pub trust: PathBuf,
    /// Where key and certificate request are kept.
    pub state: PathBuf,
    /// Where this boot's files are.
    pub run: PathBuf,
    /// The address is there already: no card is touched.
    pub no_card: bool,
    /// How many times sooner than else exports are pushed, and a collector that failed is tried again.
    pub hurry: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            section: None,
            agent: "/usr/bin/aegis".into(),
            trust: "/data/aegis".into(),
            state: "/data/aegis/site".into(),
            run: "/run/aegis".into(),
            no_card: false,
            hurry: 1,
        }
    }
}

/// What the agent says.
enum Said {
    /// The policy in force has no site network.
    Nothing,
    Offer(Offer),
    /// It could not be asked, or said something else.
    Unknown(String),
}

/// Why a session ended.
enum End {
    /// The policy is another.
    Changed,
    /// It can't be, or did not go on: a code, and what there is to say.
    Down(&'static str, String),
}

/// Runs until it is ended.
pub fn run(options: &Options) -> ExitCode {
    // Others come first, also the agent's commands that are run for the server.
    let _ = rustix::process::nice(limits::NICE);
    // Left by one that was killed or cut.
    aegis_atomic::sweep(&options.state);
    let _ = fs::remove_dir_all(options.run.join("push"));
    let mut keeper = Keeper { options, told: Told::new(&options.run), stamp: Vec::new() };
    let mut rest = limits::REST.0;
    loop {
        keeper.stamp = stamp(options);
        let begun = Instant::now();
        match keeper.ask() {
            Said::Nothing => {
                keeper.told.say(State::Off, "no-site", "the policy in force has no [site]");
                keeper.until_changed(None);
            }
            Said::Unknown(why) => {
                keeper.told.say(State::Down, "policy-unknown", &why);
                keeper.until_changed(Some(limits::REST.1));
            }
            Said::Offer(offer) => match keeper.session(&offer) {
                End::Changed => {}
                End::Down(code, why) => {
                    keeper.told.say(State::Down, code, &why);
                    // One that held for a while begins anew.
                    rest = if begun.elapsed() > limits::REST.1 { limits::REST.0 } else { rest };
                    keeper.until_changed(Some(rest));
                    rest = (rest * 2).min(limits::REST.1);
                }
            },
        }
    }
}

/// What tells one state of the agent's trust from another.
fn stamp(options: &Options) -> Vec<(u64, u64, i64, i64)> {
    let files = match &options.section {
        Some(file) => vec![file.clone()],
        None => vec![options.trust.join("trust.a"), options.trust.join("trust.b")],
    };
    let of = |file: &PathBuf| {
        fs::metadata(file)
            .map_or((0, 0, 0, 0), |found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
    };
    files.iter().map(of).collect()
}

struct Keeper<'o> {
    options: &'o Options,
    told: Told,
    stamp: Vec<(u64, u64, i64, i64)>,
}

impl Keeper<'_> {
    /// Waits until the policy may be another, or for so long.
    fn until_changed(&self, most: Option<Duration>) {
        let begun = Instant::now();
        loop {
            let left =
                most.map_or(limits::LOOK, |most| most.saturating_sub(begun.elapsed()).min(limits::LOOK));
            sleep(left);
            if stamp(self.options) != self.stamp || most.is_some_and(|most| begun.elapsed() >= most) {
                return;
            }
        }
    }

    fn ask(&self) -> Said {
        let answered = if let Some(file) = &self.options.section {
            aegis_atomic::read_bounded(file, limits::OFFER_BYTES as u64)
        } else {
            let once = Once { most: limits::OFFER_BYTES, within: limits::ANSWER, good: &[0], stop: None };
            once.run(&self.options.agent, &["site", "--section"])
        };
        match answered {
            Ok(bytes) if bytes.is_empty() => Said::Nothing,
            Ok(bytes) => Offer::decode(bytes).map_or_else(
                || Said::Unknown("what the agent says is no site section".to_owned()),
                Said::Offer,
            ),
            Err(error) => Said::Unknown(error.to_string()),
        }
    }

    /// Everything for this policy, until there is another.
    fn session(&mut self, offer: &Offer) -> End {
        let (options, site) = (self.options, offer.site());
        let key = match Key::open_or_make(&options.state, &options.run) {
            Ok(key) => key,
            Err(error) => return End::Down("bad-key", format!("{}: {error}", options.state.display())),
        };
        if chain_for(&site, &key.pkcs8()).is_none() {
            return match key.request(&options.state, offer.device(), &site) {
                Ok(file) => {
                    let why = format!(
                        "the policy brings no certificate for this device's key; its request is {}, and goes out with the next stick",
                        file.display()
                    );
                    self.told.say(State::Down, "no-certificate", &why);
                    // It comes with a policy.
                    self.until_changed(None);
                    End::Changed
                }
                Err(error) => End::Down("no-request", error.to_string()),
            };
        }
        key::forget_request(&options.state);
        let card = if options.no_card { None } else { Some(card::Card::up(&site)) };
        let card = match card.transpose() {
            Ok(card) => card,
            Err(error) => return End::Down("no-card", format!("{}: {error}", site.interface)),
        };
        let end = self.serve(offer, &key);
        if let Some(card) = card
            && let Err(error) = card.down()
        {
            eprintln!("site: {}: {error}", site.interface);
        }
        end
    }

    fn serve(&mut self, offer: &Offer, key: &Key) -> End {
        let site = offer.site();
        let address = SocketAddr::new(site.address, site.port);
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) => return End::Down("no-listener", format!("{address}: {error}")),
        };
        if !self.options.no_card
            && let Err(error) = cgroup()
        {
            return End::Down("no-server", format!("{CGROUP}: {error}"));
        }
        let (line, mut server) = match start(listener) {
            Ok(started) => started,
            Err(error) => return End::Down("no-server", error.to_string()),
        };
        let end = self.attend(offer, key, &line, address);
        // Whatever it is at; the kernel ends it anyhow when this line's keeper is gone.
        let _ = server.kill();
        match (end, server.wait()) {
            (End::Down("server-ended", why), Ok(status)) => {
                End::Down("server-ended", format!("{why} ({status})"))
            }
            (end, _) => end,
        }
    }

    /// Beside a server that runs.
    fn attend(&mut self, offer: &Offer, key: &Key, line: &OwnedFd, address: SocketAddr) -> End {
        let ended = |why: &str| End::Down("server-ended", why.to_owned());
        if let Err(error) = wire::send(line, &Setup::encode(offer, &key.pkcs8()), None) {
            return ended(&error.to_string());
        }
        let mut message = [0; limits::WHY_BYTES + 1];
        match received(line, &mut message, limits::BEGIN) {
            Ok(Some([0])) => {}
            Ok(Some([1, why @ ..])) => {
                return End::Down("not-served", String::from_utf8_lossy(why).into_owned());
            }
            Ok(_) => return ended("it does not begin"),
            Err(error) => return ended(&error.to_string()),
        }
        let pushing = match Pushing::begin(self.options, offer, &key.pkcs8()) {
            Ok(pushing) => pushing,
            Err(error) => return End::Down("no-server", format!("a thread: {error}")),
        };
        let mut commands = Commands::new(&self.options.agent);
        let mut looked = Instant::now();
        loop {
            match pushing.as_ref().map(Pushing::words) {
                None => self.told.say(State::Up, "listening", &address.to_string()),
                Some(Ok(words)) => self.told.say(State::Up, "listening", &format!("{address}; {words}")),
                Some(Err(words)) => {
                    self.told.say(State::Down, "not-pushed", &format!("{words} (it listens at {address})"));
                }
            }
            let wait = if pushing.is_some() { limits::PUSH_LOOK } else { limits::LOOK };
            match received(line, &mut message, wait) {
                Ok(None) => {}
                Ok(Some([])) | Err(_) => return ended("by itself"),
                Ok(Some(asked)) => {
                    let Some((question, since)) = Question::decode(asked) else {
                        return ended("it asks for what is not known");
                    };
                    let figures = pushing.as_ref().map(Pushing::figures);
                    let (words, with) =
                        answer(self.options, &mut commands, question, since, figures.as_ref());
                    if let Err(error) = wire::send(line, &words, with.as_ref().map(std::os::fd::AsFd::as_fd))
                    {
                        return ended(&error.to_string());
                    }
                }
            }
            commands.reap();
            if looked.elapsed() >= limits::LOOK {
                looked = Instant::now();
                let now = stamp(self.options);
                if now != self.stamp {
                    self.stamp = now;
                    // One that can't be asked for goes on for now: what was in force is the last that is known.
                    match self.ask() {
                        Said::Offer(other) if other.is_same(offer) => {}
                        Said::Unknown(why) => eprintln!("site: {why}"),
                        _ => return End::Changed,
                    }
                }
            }
        }
    }
}

/// The cgroup that a device's server is in.
pub(crate) const CGROUP: &str = "/sys/fs/cgroup/site";

/// Its memory, threads and processor. A kernel without one of the controllers does not bound that.
fn cgroup() -> io::Result<()> {
    let group = Path::new(CGROUP);
    fs::create_dir_all(group)?;
    let cpu = format!("{} 100000", u64::from(limits::CGROUP_CPU) * 100);
    for (file, value) in [
        ("memory.max", limits::CGROUP_MEMORY.to_string()),
        ("pids.max", limits::THREADS.to_string()),
        ("cpu.max", cpu),
    ] {
        if let Err(error) = fs::write(group.join(file), value) {
            eprintln!("site: {CGROUP}/{file}: {error}");
        }
    }
    Ok(())
}

/// What the server is told, and where the rest of it is.
fn answer(
    options: &Options,
    commands: &mut Commands,
    question: Question,
    since: u64,
    pushed: Option<&Figures>,
) -> (Vec<u8>, Option<OwnedFd>) {
    let text = |age| match question {
        Question::Metrics => crate::figures::text(age, pushed, Instant::now()).into_bytes(),
        _ => Vec::new(),
    };
    if question == Question::Metrics
        && let Some((file, age)) = figures::left(&options.run)
    {
        return ([&[2][..], &text(age)].concat(), Some(file.into()));
    }
    match commands.start(question, since) {
        Some(pipe) => ([&[0][..], &text(Duration::ZERO)].concat(), Some(pipe)),
        None => (vec![1], None),
    }
}

/// A server, with its listener for standard input and the line for standard output.
fn start(listener: TcpListener) -> io::Result<(OwnedFd, Child)> {
    let (line, its) = line_pair()?;
    // Each client's socket has it from the listening one.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, limits::SEND_BYTES)?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&listener, limits::RECEIVE_BYTES)?;
    rustix::net::listen(&listener, limits::BACKLOG)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("serve").env_clear().stdin(OwnedFd::from(listener)).stdout(its);
    Ok((line, command.spawn()?))
}

/// The two ends of a line to a process of ours.
fn line_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (line, its) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for end in [&line, &its] {
        rustix::net::sockopt::set_socket_send_buffer_size(end, 4 * limits::MESSAGE_BYTES)?;
    }
    Ok((line, its))
}

/// The next message, within so long; empty: the other end is gone.
fn received<'m>(line: &OwnedFd, message: &'m mut [u8], within: Duration) -> io::Result<Option<&'m [u8]>> {
    if !is_readable(line, within)? {
        return Ok(None);
    }
    let (length, _) = wire::receive(line, message)?;
    Ok(Some(&message[..length]))
}

/// It can be read from, or is over, within so long.
fn is_readable(from: &OwnedFd, within: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(within).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&time)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A command of ours: nothing to read, nothing of the environment, nothing said.
fn quiet(program: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}
