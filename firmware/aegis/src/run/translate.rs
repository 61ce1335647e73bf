//! A record of the kernel ring buffer to an event: names are added, nothing is copied.

use aegis_event::{Body, Decision, Event, File, Process, Subject};
use aegis_probes::{Raw, Record};

use crate::kernel::KernelState;

/// Reads a record and hands the event that it is to `then`; none when it is not a record of our probes, or a note that
/// is not an event.
pub(crate) fn translate<T>(
    bytes: &[u8],
    state: &KernelState,
    then: impl FnOnce(&Event<'_>) -> T,
) -> Option<T> {
    let record = Record::parse(bytes).ok()?;
    let head = record.head;
    if let Raw::Note(note) = record.raw {
        return Event::decode(note).ok().filter(|event| event.kind().is_counted()).map(|event| then(&event));
    }
    let workload = state.workload_name(head.slot as usize);
    let subject = Subject {
        workload: &workload,
        cgroup: head.cgroup,
        process: Process {
            pid: head.pid,
            tgid: head.tgid,
            ppid: head.ppid,
            uid: head.uid,
            comm: record.comm(),
        },
    };
    let decision = Decision {
        verdict: record.verdict,
        policy: head.policy,
        rule: record.rule,
        glass_broken: record.glass_broken,
    };
    let body = body(record.raw, decision);
    Some(then(&Event { time: head.time, subject: Some(subject), body }))
}

fn body<'a>(raw: Raw<'a>, decision: Decision<'a>) -> Body<'a> {
    match raw {
        Raw::Fork { child_pid, child_tgid } => Body::Fork { child_pid, child_tgid },
        Raw::Exec { file: program, argv, argv_truncated } => {
            Body::Exec { file: file(program), argv, argv_truncated }
        }
        Raw::Exit { status, signal } => Body::Exit { status, signal },
        Raw::Open { file: opened, flags } => Body::Open { file: file(opened), flags, decision },
        Raw::ExecCheck { file: program } => Body::ExecCheck { file: file(program), decision },
        Raw::Connect { family, port, protocol, address } => {
            Body::Connect { family, protocol, port, address, decision }
        }
        Raw::Note(_) => unreachable!("notes are events already and were handled by the caller"),
    }
}

fn file(file: aegis_probes::File<'_>) -> File<'_> {
    File { device: file.device, inode: file.inode, path: file.path, truncated: file.truncated }
}
