//! The table.

use crate::{Command, Flag, Group, Operand, Takes};

const fn one(name: &'static str, about: &'static str) -> Operand {
    Operand { name, about, takes: Takes::One }
}

const fn optional(name: &'static str, about: &'static str) -> Operand {
    Operand { name, about, takes: Takes::Optional }
}

const fn flag(name: &'static str, about: &'static str) -> Flag {
    Flag { name, value: None, about, repeats: false }
}

const fn valued(name: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { name, value: Some(value), about, repeats: false }
}

const JSON: Flag = flag("json", "one JSON object on stdout");
const RING: Flag = valued("ring", "DEVICE", "instead of the partition labelled aegis-ring");

/// Words that more than one command begins with.
pub const GROUPS: &[Group] = &[
    Group { name: "config", about: "the device's configuration" },
    Group { name: "stick", about: "sticks on USB" },
    Group { name: "storage", about: "the ring's and the data partition" },
    Group { name: "policy", about: "what is in force, and what was decided about it" },
    Group { name: "image", about: "images of the system, in two slots" },
    Group { name: "break-glass", about: "nothing is denied for a time" },
    Group { name: "workload", about: "programs under the policy" },
];

/// Of the whole program.
pub const EXAMPLES: &[&str] = &[
    "aegis load",
    "aegis status --wait 20",
    "aegis doctor",
    "aegis console",
    "aegis events --filter verdict=denied",
    "aegis explain --last-deny",
    "aegis policy apply /media/stick/aegis/site.aegis",
    "aegis workload run agent-7 -- /data/workloads/agent-7/run",
    "aegis export --to /media/stick/aegis/out",
    "aegis policy --help",
];

/// Every command, in the order of the help.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "load",
        about: "load the probes, apply the last good policy, prove a denial",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis load"],
    },
    Command {
        name: "run",
        about: "the agent: events from the kernel to the ring on disk, until SIGTERM",
        operands: &[],
        flags: &[flag("trace", "each event as a line on stdout, too"), RING],
        notes: "",
        examples: &["aegis run", "aegis run --ring /tmp/ring"],
    },
    Command {
        name: "status",
        about: "what the agent says of itself",
        operands: &[],
        flags: &[JSON, valued("wait", "SECONDS", "wait until it is ready")],
        notes: "Exit: 0 ready, or stopped in good order, 1 neither, 2 usage or error.",
        examples: &["aegis status", "aegis status --wait 20 --json"],
    },
    Command {
        name: "health",
        about: "does it keep its promises now? a line for each thing that is not as it should be",
        operands: &[],
        flags: &[
            flag("live", "only: does the agent answer?"),
            flag("ready", "only: is a policy in force, and does the ring take events?"),
            flag("stats", "only figures, no judgement: exit 0 when there are any"),
            JSON,
        ],
        notes: "Exit: 0 yes, 1 no, 2 usage or error. Of --live, --ready and --stats one at most. What each means: docs/doctor.md.",
        examples: &["aegis health", "aegis health --ready --json", "aegis health --stats"],
    },
    Command {
        name: "alerts",
        about: "alerts of the policy in force, and what of them fires",
        operands: &[optional(
            "watch",
            "evaluate them every few seconds, until it is ended: what init starts",
        )],
        flags: &[JSON],
        notes: "As of the watcher's last look. It leaves /run/aegis/alerts and /run/aegis/metrics.prom, and records an event when one \
                fires or is over. What each means: docs/alerts.md.\n\
                Exit: 0 none fires that is critical, 1 one does, or nobody looks any more, 2 usage or error.",
        examples: &["aegis alerts", "aegis alerts --json", "aegis alerts watch"],
    },
    Command {
        name: "doctor",
        about: "is everything there that it needs, and as it should be? with a meaning and a mend for each thing that is not",
        operands: &[],
        flags: &[JSON],
        notes: "Works also when no agent runs and nothing is loaded.\n\
                Exit: 0 all is there, as far as is known, 1 something is missing, wrong or can't be found out, 2 usage or error.",
        examples: &["aegis doctor", "aegis doctor --json"],
    },
    Command {
        name: "probe",
        about: "what this kernel offers, hook by hook: attached, attachable or missing, why, and what that means",
        operands: &[],
        flags: &[JSON],
        notes: "Exit: 0 everything that can deny is attached, or can be, so; 1 not, 2 usage or error.",
        examples: &["aegis probe", "aegis probe --json"],
    },
    Command {
        name: "events",
        about: "events of the ring, oldest first, a line each",
        operands: &[],
        flags: &[
            flag(
                "follow",
                "go on with what comes, until it is interrupted; from now on, unless --filter since=… says from where",
            ),
            Flag {
                name: "filter",
                value: Some("KEY=VALUE"),
                about: "only those of this kind, workload, verdict, path (what it begins with), since (a sequence); again: both \
                        count, of one key either",
                repeats: true,
            },
            flag("json", "one JSON object a line"),
            flag(
                "cbor",
                "a CBOR sequence, of each event the bytes that the ring has: docs/formats/events.cddl",
            ),
            RING,
        ],
        notes: "What can't be read any more is said where it is missing. Exit: 0 all was shown, 1 something was missing, 2 usage or \
                error.",
        examples: &[
            "aegis events --filter verdict=denied --filter workload=agent-7",
            "aegis events --filter kind=open --filter path=/etc/ --filter since=1000 --json",
            "aegis events --follow",
        ],
    },
    Command {
        name: "logs",
        about: "what the programs of Aegis said of their work, oldest first, a line each; evidence is in `aegis events`",
        operands: &[],
        flags: &[
            flag("follow", "go on with what comes, until it is interrupted"),
            flag("json", "one JSON object a line"),
        ],
        notes: "What is kept: docs/logs.md. Exit: 0 all that is kept was shown, 1 some of it can't be read, 2 usage or error.",
        examples: &["aegis logs", "aegis logs --follow --json"],
    },
    Command {
        name: "metrics",
        about: "all that is measured, for Prometheus: the contract is docs/metrics.md",
        operands: &[],
        flags: &[valued("out", "FILE", "made anew in one step, for a collector of text files")],
        notes: "Exit: 0 all that could be read was, 2 usage or error.",
        examples: &["aegis metrics", "aegis metrics --out /run/collector/aegis.prom"],
    },
    Command {
        name: "explain",
        about: "why was it decided so? from what the kernel recorded then",
        operands: &[optional("EVENT", "its sequence in the ring")],
        flags: &[flag("last-deny", "instead of EVENT: the last one that was denied"), JSON, RING],
        notes: "",
        examples: &["aegis explain 4711", "aegis explain --last-deny"],
    },
    Command {
        name: "console",
        about: "what a person at the device has to know, and a small menu: a screen of 80 by 24, or plain lines",
        operands: &[],
        flags: &[
            flag("plain", "lines, whatever the terminal can"),
            flag(
                "serial",
                "quiet until somebody presses Enter, and again after: what init starts on the serial line",
            ),
        ],
        notes: "A program of its own, aegis-console, beside this one. docs/console.md shows it.\n\
                Exit: 0 it was left, 1 its terminal is gone, 2 usage or error.",
        examples: &["aegis console", "aegis console --plain"],
    },
    Command {
        name: "top",
        about: "what each workload takes, and what it was denied, as it goes",
        operands: &[],
        flags: &[
            flag("plain", "a table each time, whatever the terminal can"),
            flag("once", "one table, after two looks"),
            flag("json", "instead of each table one JSON object"),
            valued("every", "SECONDS", "between two looks, 2 to 3600; 5 when nothing is said"),
            valued("sort", "COLUMN", "denials, cpu, memory, events or name"),
        ],
        notes: "A program of its own, aegis-console, beside this one. Figures are those of `aegis metrics`.\n\
                Exit: 0 it was left, 1 no agent answers (with --once), or nobody reads it any more, 2 usage or error.",
        examples: &["aegis top", "aegis top --once --json --sort cpu"],
    },
    Command {
        name: "site",
        about: "the endpoint on the site network: does it listen? why not?",
        operands: &[],
        flags: &[
            JSON,
            flag("section", "for `aegis-site`: what the policy in force says of it, and nothing else"),
        ],
        notes: "Exit: 0 as the policy asks, 1 it asks for one and there is none, 2 usage or error. How it is set up: docs/site.md.",
        examples: &["aegis site", "aegis site --json"],
    },
    Command {
        name: "support",
        about: "one file with what a support person asks for: no key, no token, no event",
        operands: &[],
        flags: &[
            valued("to", "DIR|stick", "where to write it; without it: to the stick that is there"),
            JSON,
        ],
        notes: "What is in it: docs/doctor.md.",
        examples: &["aegis support", "aegis support --to /data"],
    },
    Command {
        name: "config check",
        about: "would it be taken? without FILE: the one in own storage",
        operands: &[optional("FILE", "a configuration")],
        flags: &[JSON],
        notes: "",
        examples: &["aegis config check", "aegis config check /media/stick/config.toml"],
    },
    Command {
        name: "config show",
        about: "what is configured, or stands in for it",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis config show --json"],
    },
    Command {
        name: "config template",
        about: "the file to begin with: every key, explained, with its default",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis config template"],
    },
    Command {
        name: "stick watch",
        about: "take each stick on USB that is labelled AEGIS, once a plug, until killed",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis stick watch"],
    },
    Command {
        name: "stick take",
        about: "take one: roots, bundles, token from it; receipts and evidence to it",
        operands: &[optional("DEVICE", "which; without it: the first that is there")],
        flags: &[
            valued("wait", "SECONDS", "when no device is named: wait until there is one"),
            flag("no-export", "receipts, no evidence"),
            flag(
                "evidence",
                "take nothing: evidence to it, if there is any (what `watch` does every so often)",
            ),
            flag("final", "take nothing: the rest of the evidence and the last status to it"),
        ],
        notes: "Of --no-export, --evidence and --final one at most.",
        examples: &["aegis stick take", "aegis stick take /dev/sda1 --no-export"],
    },
    Command {
        name: "stick verify",
        about: "what would be taken from it, and why not? changes nothing",
        operands: &[optional("DEVICE", "which; without it: the first that is there")],
        flags: &[JSON],
        notes: "Of images and workloads the front is read, not what is in them.\n\
                Exit: 0 nothing of it would be refused, 1 something would, or there is no stick, 2 usage or error.",
        examples: &["aegis stick verify", "aegis stick verify /dev/sda1 --json"],
    },
    Command {
        name: "storage prepare",
        about: "find, mend or make the ring's and the data partition, before anything is mounted",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis storage prepare"],
    },
    Command {
        name: "storage settle",
        about: "once /data is mounted, or can't be: let it grow, tell what is not as it should be",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis storage settle"],
    },
    Command {
        name: "storage status",
        about: "where they are, and what was done to the disk in this boot",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis storage status"],
    },
    Command {
        name: "policy status",
        about: "what is in force, where it comes from, what is remembered",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis policy status --json"],
    },
    Command {
        name: "policy history",
        about: "the last decisions on bundles, root metadata and tokens",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis policy history"],
    },
    Command {
        name: "policy verify",
        about: "would it be taken from a stick? changes nothing",
        operands: &[one("FILE", "the bundle's file")],
        flags: &[JSON],
        notes: "",
        examples: &["aegis policy verify /media/stick/aegis/site.aegis"],
    },
    Command {
        name: "policy apply",
        about: "take one bundle, also one that is held back; of the one in force look all paths up anew",
        operands: &[one("FILE", "the bundle's file")],
        flags: &[valued("sha256", "HEX", "only if the file has this SHA-256")],
        notes: "",
        examples: &["aegis policy apply /media/stick/aegis/site.aegis"],
    },
    Command {
        name: "policy settle",
        about: "what was decided is in the kernel again, and proven, if a decision was cut short",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis policy settle"],
    },
    Command {
        name: "policy rollback",
        about: "back to the policy before the one in force",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis policy rollback"],
    },
    Command {
        name: "image status",
        about: "which slot runs, what waits in the other, what is remembered",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis image status"],
    },
    Command {
        name: "image take",
        about: "write an image to the idle slot, also one that is held back",
        operands: &[one("FILE", "the image's file")],
        flags: &[],
        notes: "",
        examples: &["aegis image take /media/stick/aegis/system.aegis-image"],
    },
    Command {
        name: "image settle",
        about: "is this boot healthy? then the image that runs is committed",
        operands: &[],
        flags: &[valued("wait", "SECONDS", "wait until the agent is ready")],
        notes: "",
        examples: &["aegis image settle --wait 60"],
    },
    Command {
        name: "break-glass status",
        about: "is the glass broken, and what would break it",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis break-glass status"],
    },
    Command {
        name: "break-glass challenge",
        about: "what a token for this boot is made from",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis break-glass challenge"],
    },
    Command {
        name: "break-glass apply",
        about: "nothing is denied for a time: a token, as it was signed or as text",
        operands: &[one("FILE", "the token's file")],
        flags: &[],
        notes: "",
        examples: &["aegis break-glass apply token.txt"],
    },
    Command {
        name: "break-glass mend",
        about: "end it now",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis break-glass mend"],
    },
    Command {
        name: "break-glass console",
        about: "take tokens over the serial line, until it ends",
        operands: &[],
        flags: &[flag("once", "without waiting for Enter, and once")],
        notes: "",
        examples: &["aegis break-glass console"],
    },
    Command {
        name: "workload list",
        about: "what is accepted, mounted or why not, and how each is doing",
        operands: &[],
        flags: &[JSON],
        notes: "",
        examples: &["aegis workload list", "aegis workload list --json"],
    },
    Command {
        name: "workload take",
        about: "keep one; it runs from the next start on",
        operands: &[one("FILE", "the workload's file")],
        flags: &[],
        notes: "",
        examples: &["aegis workload take /media/stick/aegis/agent-7.aegis-workload"],
    },
    Command {
        name: "workload remove",
        about: "take one away; nothing older of its name comes back",
        operands: &[one("NAME", "the workload's name")],
        flags: &[flag("with-data", "and what its programs kept")],
        notes: "",
        examples: &["aegis workload remove agent-7", "aegis workload remove agent-7 --with-data"],
    },
    Command {
        name: "workload mount",
        about: "look at each that is kept, and mount it, before the policy is loaded",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis workload mount"],
    },
    Command {
        name: "workload tell",
        about: "events of those that were not mounted",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis workload tell"],
    },
    Command {
        name: "workload keep",
        about: "keep one that is mounted running, as its manifest says: what init calls",
        operands: &[one("NAME", "the workload's name")],
        flags: &[],
        notes: "Exit: 0 it is over as its manifest meant it, 1 it is not, 2 usage or error.",
        examples: &["aegis workload keep agent-7"],
    },
    Command {
        name: "workload start",
        about: "start one that is mounted and down: it was stopped, came to its end, or ended too often",
        operands: &[one("NAME", "the workload's name")],
        flags: &[],
        notes: "",
        examples: &["aegis workload start agent-7"],
    },
    Command {
        name: "workload stop",
        about: "end one; it stays down until it is started, or the next boot",
        operands: &[one("NAME", "the workload's name")],
        flags: &[],
        notes: "",
        examples: &["aegis workload stop agent-7"],
    },
    Command {
        name: "workload restart",
        about: "end one, if it is up, and start it; its quick ends are counted anew",
        operands: &[one("NAME", "the workload's name")],
        flags: &[],
        notes: "",
        examples: &["aegis workload restart agent-7"],
    },
    Command {
        name: "workload run",
        about: "run CMD confined as the workload NAME",
        operands: &[
            one("NAME", "the workload's name"),
            Operand { name: "CMD", about: "the workload's command, with its arguments", takes: Takes::Rest },
        ],
        flags: &[],
        notes: "Exit: the command's own.",
        examples: &["aegis workload run agent-7 -- /data/workloads/agent-7/run"],
    },
    Command {
        name: "export",
        about: "write signed evidence that was not exported yet",
        operands: &[],
        flags: &[
            valued("to", "DIR", "where to"),
            valued("from", "SEQUENCE", "again from this event on"),
            valued("to-sequence", "LAST", "and up to that one"),
            JSON,
            RING,
        ],
        notes: "",
        examples: &[
            "aegis export --to /media/stick/aegis/out",
            "aegis export --to /tmp --from 7 --to-sequence 9",
        ],
    },
    Command {
        name: "version",
        about: "which version this is",
        operands: &[],
        flags: &[],
        notes: "",
        examples: &["aegis version"],
    },
    Command { name: "help", about: "this", operands: &[], flags: &[], notes: "", examples: &["aegis help"] },
];
