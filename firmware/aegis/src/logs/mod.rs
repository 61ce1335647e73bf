//! What the programs say of their work, behind the façade `log`: on the console (stderr), and as JSON lines in two bounded files on own
//! storage (`docs/logs.md`). Evidence is the ring's, not the log's.
//!
//! - [`file`]: the two files. [`queue`]: between threads that must not wait for a disk, and the files.
//!
//! No line is allocated, none panics, and none waits for long: what the console or the disk does not take is counted, and said once it
//! takes something again.

pub(crate) mod file;
mod queue;

use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use aegis_config::Format;
use aegis_log::limits::LINE_BYTES;
use aegis_log::{Level, Said};
use log::kv::{Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::file::Files;
use crate::config;
use crate::limits;
use crate::storage::DATA;
use crate::storage::device::{boottime, wall_clock};

/// The key of a line's field for a workload's name: `log::info!(workload = name; "…")`.
const WORKLOAD: &str = "workload";

/// The last event on disk, where this process knows; 0: it does not.
static AFTER: AtomicU64 = AtomicU64::new(0);
/// Lines of this process that the console did not take.
static UNSAID: AtomicU64 = AtomicU64::new(0);
/// Nobody waits for the console, nor for a disk: the agent's threads do not.
static HURRIED: AtomicBool = AtomicBool::new(false);
static STATE: OnceLock<State> = OnceLock::new();
/// Somebody makes it just now, or it is there.
static BEGUN: AtomicBool = AtomicBool::new(false);

struct State {
    format: Format,
    level: Level,
    /// The first digits of the boot's id.
    boot: [u8; 8],
    files: Files,
}

impl State {
    fn load() -> Self {
        let chosen = config::look().config.log;
        let mut boot = [b'0'; 8];
        let id = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        if let Some(digits) = id.get(..boot.len()).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            boot.copy_from_slice(digits);
        }
        let files = Files::open(Path::new(DATA), u64::from(chosen.file_kib) * 1024);
        Self { format: chosen.format, level: chosen.level, boot, files }
    }

    /// Made by the first line: a command that says nothing opens nothing. `None`: it is being made just now, and what is said meanwhile
    /// goes to the console alone.
    fn get() -> Option<&'static Self> {
        if STATE.get().is_none() && !BEGUN.swap(true, Relaxed) {
            return Some(STATE.get_or_init(Self::load));
        }
        STATE.get()
    }
}

/// From here on lines go where the configuration says. What is wrong with that the agent says.
pub(crate) fn begin() {
    // The only one there is: this is called once.
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Info);
}

/// From here on no thread that says something waits: a thread of its own writes to the disk. Call it before the system calls are
/// restricted.
///
/// # Errors
/// There is no such thread; lines go to the console alone.
pub(crate) fn hurry() -> std::io::Result<()> {
    HURRIED.store(true, Relaxed);
    let Some(state) = State::get() else { return Ok(()) };
    std::thread::Builder::new().name("log".into()).spawn(|| queue::serve(&state.files)).map(drop)
}

/// Waits until what was said is in the files, for a time.
pub(crate) fn finish() {
    queue::wait_until_empty(std::time::Duration::from_millis(limits::LOG_FINISH_MILLIS));
}

/// The last event on disk by now: lines name it, so that they are found beside it.
pub(crate) fn after(sequence: u64) {
    AFTER.store(sequence, Relaxed);
}

/// A line of a command that failed, on stderr whatever the configuration says.
pub(crate) fn complain(text: std::fmt::Arguments<'_>) {
    // Who closed stderr does not want to know.
    let _ = writeln!(std::io::stderr(), "aegis: {text}");
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let state = State::get();
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            _ => Level::Info,
        };
        if state.is_some_and(|state| level as u8 > state.level as u8) {
            return;
        }
        let mut about = About::NOTHING;
        let _ = record.key_values().visit(&mut about);
        let said = Said {
            time: boottime(),
            boot: state.map_or("", |state| str::from_utf8(&state.boot).unwrap_or_default()),
            clock: wall_clock(),
            level,
            pid: std::process::id(),
            module: record.target(),
            workload: about.name(),
            after: AFTER.load(Relaxed),
            text: *record.args(),
        };
        let mut buffer = [0; LINE_BYTES];
        let hurried = HURRIED.load(Relaxed);
        let format = state.map_or(Format::Text, |state| state.format);
        console(form(format, &said, &mut buffer), hurried);
        let Some(state) = state else { return };
        let line = said.json(&mut buffer);
        if hurried {
            queue::push(line);
        } else if let Some(trouble) = state.files.write(line) {
            // That lines do not get to the files, or do again: on the console, which is all that is left.
            let said = Said { level: Level::Error, workload: "", text: format_args!("{trouble}"), ..said };
            console(form(format, &said, &mut buffer), hurried);
        }
    }

    fn flush(&self) {}
}

fn form<'b>(format: Format, said: &Said<'_>, buffer: &'b mut [u8; LINE_BYTES]) -> &'b [u8] {
    match format {
        Format::Text => said.text(buffer),
        Format::Json => said.json(buffer),
    }
}

/// The name of the workload that a line is about, of bounded length.
struct About {
    name: [u8; aegis_log::limits::NAME_BYTES],
    length: usize,
}

impl About {
    const NOTHING: Self = Self { name: [0; aegis_log::limits::NAME_BYTES], length: 0 };

    fn name(&self) -> &str {
        // What was cut within a character ends before it.
        let name = self.name.get(..self.length).unwrap_or_default();
        name.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}

impl<'v> VisitSource<'v> for About {
    fn visit_pair(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), log::kv::Error> {
        if key.as_str() == WORKLOAD
            && let Some(name) = value.to_borrowed_str()
        {
            self.length = name.len().min(self.name.len());
            self.name[..self.length].copy_from_slice(&name.as_bytes()[..self.length]);
        }
        Ok(())
    }
}

/// A line to stderr, in time or not at all.
fn console(line: &[u8], hurried: bool) {
    let out = rustix::stdio::stderr();
    let wait = if hurried { 0 } else { limits::LOG_CONSOLE_MILLIS };
    if !takes(&out, wait) {
        UNSAID.fetch_add(1, Relaxed);
        return;
    }
    let unsaid = UNSAID.swap(0, Relaxed);
    if unsaid > 0 {
        let mut note = [0; 64];
        let mut rest = std::io::Cursor::new(&mut note[..]);
        let _ = writeln!(rest, "aegis: (… {unsaid} lines left out: stderr took none)");
        let length = rest.position() as usize;
        let _ = rustix::io::write(out, &note[..length]);
    }
    let _ = rustix::io::write(out, line);
}

/// It would take something at once, or within so long, ms.
fn takes(out: &impl AsFd, wait: u64) -> bool {
    let mut ready = [PollFd::new(out, PollFlags::OUT)];
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.min(999).cast_signed() * 1_000_000 };
    poll(&mut ready, Some(&wait)).is_ok_and(|count| count > 0) && ready[0].revents().contains(PollFlags::OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workload_of_a_line_is_a_field_of_it() {
        let long = "ä".repeat(100);
        for (name, expected) in [("agent-7", "agent-7"), (&long, &long[..64])] {
            let mut about = About::NOTHING;
            let pairs = [("other", Value::from("x")), (WORKLOAD, Value::from(name))];
            log::kv::Source::visit(&pairs, &mut about).expect("it takes all");
            assert_eq!(about.name(), expected);
        }
    }

    #[test]
    fn a_console_that_takes_nothing_is_left_alone() {
        let (_reader, writer) = std::io::pipe().expect("made");
        let flags = rustix::fs::fcntl_getfl(&writer).expect("open");
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("open");
        assert!(takes(&writer, 0));
        while rustix::io::write(&writer, &[0; 4096]).is_ok() {}
        assert!(!takes(&writer, 5));
    }
}
