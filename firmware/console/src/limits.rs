//! Every bound of this crate.

use std::time::Duration;

/// The screen when nobody says how large it is, and the least and the most that is drawn: columns and rows. What is wider or higher
/// stays empty: a serial line pays for every cell.
pub(crate) const SCREEN: (u16, u16) = (80, 24);
pub(crate) const SCREEN_LEAST: (u16, u16) = (80, 24);
pub(crate) const SCREEN_MOST: (u16, u16) = (132, 50);

/// What one command may say, bytes; and one line of one that goes on. Of what is longer the rest is not read, and that is said.
pub(crate) const ANSWER_BYTES: usize = 256 * 1024;
pub(crate) const LINE_BYTES: usize = 32 * 1024;
/// What is read from a pipe at once.
pub(crate) const READ_BYTES: usize = 4096;
/// Of that, how often in one turn, so that no child keeps the keys from being heard.
pub(crate) const READS: usize = 16;

/// How long a command that looks may take, and one that writes a stick or decides.
pub(crate) const LOOK: Duration = Duration::from_secs(30);
pub(crate) const ACT: Duration = Duration::from_mins(10);
/// How long what was told to end (SIGTERM) has before it is ended (SIGKILL).
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// What was killed is looked for so often, and so long apart.
pub(crate) const REAP_LOOKS: u32 = 50;
pub(crate) const REAP: Duration = Duration::from_millis(10);
/// Between the starts of two commands that nobody asked for.
pub(crate) const REST: Duration = Duration::from_secs(2);
/// How old what is shown may be: the agent's status, health, policy, the image.
pub(crate) const STATUS_AGE: Duration = Duration::from_secs(5);
pub(crate) const HEALTH_AGE: Duration = Duration::from_secs(30);
pub(crate) const POLICY_AGE: Duration = Duration::from_mins(2);
pub(crate) const IMAGE_AGE: Duration = Duration::from_mins(10);
/// How long one that ends before it should (a ring that is not there yet) is left alone.
pub(crate) const FOLLOW_AGAIN: Duration = Duration::from_secs(20);
/// How long others' words may stand in the screen: what the programs log is seen in their files, what the kernel and init say is not.
pub(crate) const SCREEN_AGE: Duration = Duration::from_secs(30);
/// Between two drawings of all of it that nobody asked for: 2 KiB, two seconds of a line of 9,600 baud.
pub(crate) const SCREEN_REST: Duration = Duration::from_secs(6);
/// When nobody touched a key for so long, nothing is asked any more.
pub(crate) const IDLE: Duration = Duration::from_mins(5);
/// `aegis top`: seconds between two looks, the least, the most, and what it is when nobody says.
pub(crate) const TOP_SECONDS: (u16, u16, u16) = (2, 3600, 5);

/// Events before now that are looked at for denials, and for what came by stick.
pub(crate) const DENIALS_BACK: u64 = 2000;
pub(crate) const DECISIONS_BACK: u64 = 5000;
/// Of each so many are kept.
pub(crate) const DENIALS: usize = 64;
pub(crate) const DECISIONS: usize = 32;
/// Findings, workloads, lines of a report.
pub(crate) const FINDINGS: usize = 128;
pub(crate) const WORKLOADS: usize = 256;
pub(crate) const REPORT_LINES: usize = 2000;
/// Lines of metrics that are looked at.
pub(crate) const METRICS_LINES: usize = 16_384;

/// Characters of a word (a name, a code, a number), of a path, of a sentence.
pub(crate) const WORD: usize = 64;
pub(crate) const PATH: usize = 512;
pub(crate) const SENTENCE: usize = 1024;

/// How long a lone escape waits for what makes a key of it, and the longest sequence, bytes.
pub(crate) const ESCAPE: Duration = Duration::from_millis(150);
pub(crate) const SEQUENCE_BYTES: usize = 24;
/// Keys that are looked at in one turn; a line that somebody types, bytes.
pub(crate) const KEYS: usize = 64;
pub(crate) const TYPED_BYTES: usize = 80;

/// What is sent to the terminal at once, bytes (a tty that says it takes some takes so much), how long it may take nothing, and
/// the most of one drawing.
pub(crate) const SEND_BYTES: usize = 128;
pub(crate) const SEND: Duration = Duration::from_secs(10);
pub(crate) const DRAWING_BYTES: usize = 256 * 1024;

/// At a serial line: how long the question what is wanted stands, and how long the line rests after each turn: one that picks up
/// noise does not keep the device busy.
pub(crate) const ASK: Duration = Duration::from_mins(1);
pub(crate) const QUIET: Duration = Duration::from_secs(2);
/// In plain mode: lines of the log's end.
pub(crate) const PLAIN_LOG: usize = 40;
/// In plain mode: denials that are shown in one turn; the others are counted.
pub(crate) const PLAIN_DENIALS: usize = 10;
