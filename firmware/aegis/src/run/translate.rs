//! A record of the kernel ring buffer to an event: names are added, nothing is copied.

use aegis_config::Keep;
use aegis_event::{Body, Event, Process, Subject};
use aegis_log::argv;
use aegis_log::limits::ARGV_BYTES;
use aegis_probes::{Raw, Record};

use crate::kernel::KernelState;

/// Reads a record and hands the event that it is, the slot of its workload, and the rule set under which it was recorded to `then`; none
/// when it is not a record of our probes, or a note that is not an event.
pub(crate) fn translate<T>(
    bytes: &[u8],
    state: &KernelState,
    then: impl FnOnce(&Event<'_>, usize, usize) -> T,
) -> Option<T> {
    let record = Record::parse(bytes).ok()?;
    let head = record.head;
    let slot = head.slot as usize;
    let workload;
    let event = match record.raw {
        Raw::Note(note) => Event::decode(note).ok().filter(|event| event.kind().is_counted())?,
        Raw::Seen(body) => {
            workload = state.workload_name(slot);
            let process = Process {
                pid: head.pid,
                tgid: head.tgid,
                ppid: head.ppid,
                uid: head.uid,
                comm: record.comm(),
            };
            let subject = Subject { workload: &workload, cgroup: head.cgroup, process };
            Event { time: head.time, subject: Some(subject), body }
        }
    };
    Some(then(&event, slot, head.set.into()))
}

/// The event as it is to be recorded: with the arguments that are.
pub(crate) fn struck<'e>(event: &Event<'e>, keep: Keep, buffer: &'e mut [u8; ARGV_BYTES]) -> Event<'e> {
    match event.body {
        Body::Exec { file, argv, argv_truncated } if keep != Keep::Whole => {
            let (argv, cut) = argv::redact(argv, keep, buffer);
            Event { body: Body::Exec { file, argv, argv_truncated: argv_truncated || cut }, ..*event }
        }
        _ => *event,
    }
}

#[cfg(test)]
mod tests {
    use aegis_event::File;

    use super::*;

    #[test]
    fn arguments_are_struck_out_of_what_is_executed_and_nothing_else_is_changed() {
        let file = File { path: b"/bin/sh", truncated: false, inode: 7, device: 8 };
        let exec = |argv| Body::Exec { file, argv, argv_truncated: false };
        let event = |body| Event { time: 7, subject: None, body };
        let whole = event(exec(b"sh\0--token=x\0"));
        let other = event(Body::Start { version: "1", clean: true });
        for (keep, argv) in [
            (Keep::Whole, &b"sh\0--token=x\0"[..]),
            (Keep::Secrets, b"sh\0--token=***\0"),
            (Keep::Program, b"sh\0***\0"),
        ] {
            assert_eq!(struck(&whole, keep, &mut [0; ARGV_BYTES]), event(exec(argv)));
            assert_eq!(struck(&other, keep, &mut [0; ARGV_BYTES]), other);
        }
    }
}
