//! Every bound of this program.

use std::time::Duration;

/// Connections at once, and of one address (of IPv6: of one /64). More are closed as they come.
pub(crate) const CONNECTIONS: usize = 32;
pub(crate) const PEER_CONNECTIONS: usize = 12;
/// Handshakes that one address may begin a second, and how many at once after a rest. More are closed as they come.
pub(crate) const HANDSHAKES_PER_SECOND: u32 = 20;
pub(crate) const HANDSHAKES_AT_ONCE: u32 = 40;
/// Addresses whose handshakes are counted apart; the one that was quiet longest makes room for another.
pub(crate) const PEERS: usize = 64;
/// How long a handshake may take, and a request's head, from the first byte or the end of the answer before.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);
pub(crate) const HEAD: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
pub(crate) const STILL: Duration = Duration::from_secs(20);
/// How long one connection may last, whatever it is used for.
pub(crate) const CONNECTION: Duration = Duration::from_mins(10);
/// A request's head: bytes, and headers. The least that hyper takes is 8,192.
pub(crate) const HEAD_BYTES: usize = 8192;
pub(crate) const HEADERS: usize = 32;
/// Longest path and query of a request, bytes.
pub(crate) const TARGET_BYTES: usize = 256;
/// What TLS keeps of what a client does not take, bytes.
pub(crate) const TLS_BYTES: usize = 32 * 1024;
/// A second of requests, times this, may come at once.
pub(crate) const BURST_SECONDS: u32 = 10;
/// Least that may come at once, however few a minute are granted.
pub(crate) const BURST_LEAST: u32 = 5;
/// Longest answer that is kept, bytes: metrics, and the rest.
pub(crate) const METRICS_BYTES: usize = 512 * 1024;
pub(crate) const HEALTH_BYTES: usize = 128 * 1024;
/// How long an answer is good: who asks sooner gets the same.
pub(crate) const METRICS_KEPT: Duration = Duration::from_secs(5);
pub(crate) const HEALTH_KEPT: Duration = Duration::from_secs(2);
/// How long the agent's command may take until its answer is whole; and to send events, which waits for who reads them.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);
pub(crate) const EVENTS: Duration = Duration::from_mins(2);
/// Answers of events at once; events of one answer, and bytes after which no further one begins.
pub(crate) const EVENTS_AT_ONCE: usize = 2;
pub(crate) const EVENTS_MOST: usize = 10_000;
pub(crate) const EVENTS_BYTES: usize = 16 * 1024 * 1024;
/// Data items in one item of an answer of CBOR: an event's has 4, what is missing 7.
pub(crate) const ITEM_PARTS: u64 = 16;
/// Events are read from the agent's command, and sent, in pieces of so many bytes.
pub(crate) const PIECE: usize = 16 * 1024;
/// Commands of the agent's that run at once for the server.
pub(crate) const COMMANDS: usize = 4;
/// Commands that are started a second, for a server that asks for more than it should.
pub(crate) const COMMANDS_PER_SECOND: u32 = 20;

/// Figures that are older than so much are not taken from the file that the alerts' watcher leaves every 5 s.
pub(crate) const METRICS_OLD: Duration = Duration::from_secs(20);
/// What this program says of itself behind them, bytes.
pub(crate) const FIGURES_BYTES: usize = 4096;

/// Events of one export that is pushed: with those of the longest it takes 4.3 MB of /run, which has 16. On a link where that is not done in
/// [`PUSH_WHOLE`] it is half of that the next time, and so on, down to the second.
pub(crate) const PUSH_EVENTS: (u64, u64) = (4096, 64);
/// How often it is looked whether there is something to push.
pub(crate) const PUSH_EVERY: Duration = Duration::from_secs(30);
/// How long the agent may take to make an export.
pub(crate) const PUSH_EXPORT: Duration = Duration::from_mins(1);
/// How long the collector may take for a connection; for one export, in all. One that takes and says nothing has [`STILL`].
pub(crate) const PUSH_CONNECT: Duration = Duration::from_secs(5);
pub(crate) const PUSH_WHOLE: Duration = Duration::from_mins(2);
/// How long a collector that failed rests: it doubles with every failure, until the breaker opens. Between the half of it and the whole,
/// by chance: collectors of many devices come back at once.
pub(crate) const PUSH_REST: Duration = Duration::from_secs(5);
/// Failures in a row after which nothing is tried any more but once after so long.
pub(crate) const PUSH_FAILURES: u32 = 6;
pub(crate) const PUSH_OPEN: Duration = Duration::from_mins(15);
/// Longest answer of a collector that is read, bytes. What it says is nobody's business but its status.
pub(crate) const PUSH_ANSWER_BYTES: usize = 64 * 1024;
/// Longest name of an export, bytes.
pub(crate) const PUSH_NAME_BYTES: usize = 128;
/// What is told of how it stands, bytes: `aegis site` reads 1024 with what is before it.
pub(crate) const TOLD_BYTES: usize = 900;
/// What is told of an export by the command that made it, and what is remembered of the last one, bytes.
pub(crate) const PUSH_TOLD_BYTES: usize = 16 * 1024;
pub(crate) const PUSH_POSITION_BYTES: u64 = 512;
/// How often it is looked, once every [`PUSH_LOOK`], whether the disk has what is to go out.
pub(crate) const PUSH_DURABLE_LOOKS: u32 = 3;
/// How often the keeper looks how the pushing stands.
pub(crate) const PUSH_LOOK: Duration = Duration::from_secs(1);
/// How long it takes at most until who pushes sees that it is to end.
pub(crate) const PUSH_STOP: Duration = Duration::from_millis(200);

/// Whose the server is: a user and group of no one else.
pub(crate) const SERVER_ID: u32 = 4_000_000_001;
/// Its descriptors: connections, two for each answer of events, and its own.
pub(crate) const DESCRIPTORS: u64 = 64;
/// Its address space, bytes. What of it is resident is far less (`tests/hostile.rs` holds that).
pub(crate) const ADDRESS_SPACE: u64 = 64 * 1024 * 1024;
/// Its cgroup, where there is one: memory, and thousandths of one processor.
pub(crate) const CGROUP_MEMORY: u64 = 24 * 1024 * 1024;
pub(crate) const CGROUP_CPU: u32 = 500;
/// Its threads, and the pusher's: each itself and smol's reactor.
pub(crate) const THREADS: u32 = 8;
/// How much keeper and server step back for others.
pub(crate) const NICE: i32 = 10;

/// How often the keeper looks whether the policy is another.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// How long what failed rests: it doubles with every failure.
pub(crate) const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long the server may take to say that it listens.
pub(crate) const BEGIN: Duration = Duration::from_secs(10);
/// What the kernel keeps of what a client does not take, and of what it sends, bytes; it doubles both (socket(7)).
pub(crate) const SEND_BYTES: usize = 64 * 1024;
pub(crate) const RECEIVE_BYTES: usize = 16 * 1024;
/// Clients that wait to be taken.
pub(crate) const BACKLOG: i32 = 64;
/// The agent's answer about the policy: time, device, section.
pub(crate) const OFFER_BYTES: usize = 8 + 16 + aegis_bundle::limits::SITE_BYTES;
/// A message on the line to the server: the offer, and the key.
pub(crate) const MESSAGE_BYTES: usize = OFFER_BYTES + 1024;
/// What server and pusher say of why they can't, bytes.
pub(crate) const WHY_BYTES: usize = 256;
