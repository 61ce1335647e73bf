//! Holds `src/abi.rs` against `bpf/abi.h`: every size, every offset, every constant, checked by the C compiler.
//!
//! Rust says what it believes as `_Static_assert`s; clang, for the BPF target, includes the header and judges them. That
//! no field of the header is missing in Rust follows from the fields being listed without a gap up to the size.
#![allow(clippy::cast_lossless, reason = "constants of several widths go through one macro")]
#![allow(clippy::expect_used, reason = "a test ends at its first surprise")]

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::process::{Command, Stdio};

use aegis_probes::abi;

/// A struct as Rust has it: C name, size, and each field's name, offset and size.
struct Layout {
    name: &'static str,
    size: usize,
    fields: Vec<(&'static str, usize, usize)>,
}

fn size_behind<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layouts {
    ($($rust:ident = $c:literal { $($field:ident $(as $name:ident)?),+ $(,)? })+) => {
        vec![$(Layout {
            name: $c,
            size: size_of::<abi::$rust>(),
            fields: vec![$((
                [stringify!($field) $(, stringify!($name))?].last().copied().unwrap_or_default(),
                offset_of!(abi::$rust, $field),
                size_behind(|value: &abi::$rust| &value.$field),
            )),+],
        }),+]
    };
}

fn layouts() -> Vec<Layout> {
    layouts! {
        Head = "aegis_record" {
            kind, length, verdict, flags, set, reserved, time, cgroup, policy, slot, rule, pid, tgid, ppid, uid, comm,
        }
        Fork = "aegis_fork" { head, child_pid, child_tgid }
        Exit = "aegis_exit" { head, code, reserved }
        FileRecord = "aegis_file" { inode, device, flags, path_length, argv_length, reserved, path }
        RuleName = "aegis_rule_name" { name }
        Decision = "aegis_decision" {
            rule, operation, hook, matched as match, reserved, device, inode, policy_hash,
        }
        Access = "aegis_access" { head, decision, file }
        Rename = "aegis_rename" { head, decision, file, reserved, to_truncated, to_length, to }
        Exec = "aegis_exec" { head, file, argv }
        Network = "aegis_network" { head, decision, family, port, protocol, kind as type, reserved, address }
        Surface = "aegis_surface" { head, decision, number, target, text_length, reserved, text }
        Privilege = "aegis_privilege" { head, old_uid, new_uid, old_caps, new_caps }
        Volume = "aegis_volume" { head, file, read, written }
        Flow = "aegis_flow" {
            head, family, local_port, remote_port, protocol, reserved, local, remote, received, sent,
        }
        NoteRecord = "aegis_note" { head, note_length, reserved, note }
        Cgroup = "aegis_cgroup" { slot, ruleset, reserved }
        ObjectKey = "aegis_object_key" { inode, device, ruleset }
        Entry = "aegis_entry" { rule, tree_rule, effect, tree_effect, reserved }
        NameKey = "aegis_name_key" { hash, ruleset, leaf }
        Ruleset = "aegis_ruleset" {
            features, rate, plain_devices, surface_rule, surface_effect, reserved, deadman_denials, deadman_window,
            deadman_begun, deadman_count, deadman_fell,
        }
        NetKey = "aegis_net_key" { prefix, ruleset, family, address }
        NetRule = "aegis_net_rule" { rule, first_port, last_port, protocol, effect, operations, reserved }
        Net = "aegis_net" { rules }
        HashKey = "aegis_hash_key" { digest, ruleset, reserved }
        Hash = "aegis_hash" { rule, effect, reserved }
        Control = "aegis_control" {
            abi_version, agent, broken_until, active, abilities, policy, epoch, mode, reason, rules, entries,
            unresolved, uncovered, policy_hash, loaded_at, name_key, namespace, common_inode, common_device, half,
            argv, reserved, deciding,
        }
        Counters = "aegis_counters" {
            seen, ring_full, limited, denied, passed, fallen, volumes_full, flows_full, rate_begun, rate_count,
        }
    }
}

fn constants() -> Vec<(&'static str, u64)> {
    macro_rules! constants {
        ($($name:ident = $value:expr),+ $(,)?) => { vec![$((concat!("AEGIS_", stringify!($name)), $value as u64)),+] };
    }
    constants! {
        ABI_VERSION = abi::ABI_VERSION, PATH_MAX = abi::PATH_MAX, COMM_MAX = abi::COMM_MAX,
        NOTE_MAX = abi::NOTE_MAX, TEXT_MAX = abi::TEXT_MAX, WORKLOADS_MAX = abi::WORKLOADS_MAX,
        WORKLOAD_NAME_MAX = abi::WORKLOAD_NAME_MAX, RULES_MAX = abi::RULES_MAX, NAMES_MAX = abi::NAMES_MAX,
        RULE_NAMES_MAX = abi::RULE_NAMES_MAX, RULE_NAME_MAX = abi::RULE_NAME_MAX, NETS_MAX = abi::NETS_MAX,
        NET_RULES_MAX = abi::NET_RULES_MAX, HASHES_MAX = abi::HASHES_MAX,
        CGROUP_DEPTH_MAX = abi::CGROUP_DEPTH_MAX, WALK_MAX = abi::WALK_MAX,
        NAME_DEPTH_MAX = abi::NAME_DEPTH_MAX, PLAIN_DEVICES_MAX = abi::PLAIN_DEVICES_MAX,
        COMMON_MAX = abi::COMMON_MAX, MOUNTS_MAX = abi::MOUNTS_MAX,
        VOLUMES_MAX = abi::VOLUMES_MAX, FLOWS_MAX = abi::FLOWS_MAX, RING_BYTES = abi::RING_BYTES,
        RULESET_SELFTEST = abi::RULESET_SELFTEST, RULESET_OTHERS = abi::RULESET_OTHERS,
        RULESETS_MAX = abi::RULESETS_MAX, FORK = abi::FORK, EXEC = abi::EXEC, EXIT = abi::EXIT,
        OPEN = abi::OPEN, EXEC_CHECK = abi::EXEC_CHECK, CONNECT = abi::CONNECT, CREATE = abi::CREATE,
        UNLINK = abi::UNLINK, RENAME = abi::RENAME, LINK = abi::LINK, SETATTR = abi::SETATTR,
        SOCKET = abi::SOCKET, BIND = abi::BIND, LISTEN = abi::LISTEN, ACCEPT = abi::ACCEPT,
        UNIX_CONNECT = abi::UNIX_CONNECT, PTRACE = abi::PTRACE, MODULE = abi::MODULE, BPF = abi::BPF,
        MOUNT = abi::MOUNT, SIGNAL = abi::SIGNAL, ESCAPE = abi::ESCAPE, PRIVILEGE = abi::PRIVILEGE,
        VOLUME = abi::VOLUME, FLOW = abi::FLOW, NOTE = abi::NOTE, ALLOWED = abi::ALLOWED,
        AUDITED = abi::AUDITED, DENIED = abi::DENIED, PATH_TRUNCATED = abi::PATH_TRUNCATED,
        ARGV_TRUNCATED = abi::ARGV_TRUNCATED, GLASS_BROKEN = abi::GLASS_BROKEN, DEADMAN = abi::DEADMAN,
        OP_OPEN_READ = abi::OP_OPEN_READ, OP_OPEN_WRITE = abi::OP_OPEN_WRITE, OP_EXEC = abi::OP_EXEC,
        OP_CHANGE = abi::OP_CHANGE, OP_UNIX_CONNECT = abi::OP_UNIX_CONNECT, OP_HOLD = abi::OP_HOLD,
        CAN_HASH = abi::CAN_HASH, HAS_DENIALS = abi::HAS_DENIALS,
        HAS_HASH_OVERRIDES = abi::HAS_HASH_OVERRIDES, HAS_HASH_DENIALS = abi::HAS_HASH_DENIALS, CAN_WALK = abi::CAN_WALK,
        FILE_OPERATIONS = abi::FILE_OPERATIONS, OP_CONNECT = abi::OP_CONNECT, OP_BIND = abi::OP_BIND,
        OP_PTRACE = abi::OP_PTRACE, OP_MODULE = abi::OP_MODULE, OP_BPF = abi::OP_BPF,
        OP_MOUNT = abi::OP_MOUNT, OP_SIGNAL = abi::OP_SIGNAL, OP_ESCAPE = abi::OP_ESCAPE,
        SURFACE_OPERATIONS = abi::SURFACE_OPERATIONS, NO_EFFECT = abi::NO_EFFECT,
        EFFECT_AUDIT = abi::EFFECT_AUDIT, EFFECT_ALLOW = abi::EFFECT_ALLOW, EFFECT_TRIAL = abi::EFFECT_TRIAL,
        EFFECT_DENY = abi::EFFECT_DENY, EFFECT_OVERRIDE = abi::EFFECT_OVERRIDE, MATCH_NONE = abi::MATCH_NONE,
        MATCH_OBJECT = abi::MATCH_OBJECT, MATCH_TREE = abi::MATCH_TREE, MATCH_NAME = abi::MATCH_NAME,
        MATCH_NODE = abi::MATCH_NODE, MATCH_HASH = abi::MATCH_HASH, MATCH_NET = abi::MATCH_NET,
        MATCH_SURFACE = abi::MATCH_SURFACE, MATCH_CGROUP = abi::MATCH_CGROUP, MATCH_LIMIT = abi::MATCH_LIMIT,
        HOOK_PROCESS = abi::HOOK_PROCESS, HOOK_FILE_OPEN = abi::HOOK_FILE_OPEN,
        HOOK_BPRM_CHECK = abi::HOOK_BPRM_CHECK, HOOK_SOCKET_CONNECT = abi::HOOK_SOCKET_CONNECT,
        HOOK_NOTE = abi::HOOK_NOTE, HOOK_MMAP_FILE = abi::HOOK_MMAP_FILE,
        HOOK_FILE_MPROTECT = abi::HOOK_FILE_MPROTECT, HOOK_INODE_CREATE = abi::HOOK_INODE_CREATE,
        HOOK_INODE_UNLINK = abi::HOOK_INODE_UNLINK, HOOK_INODE_RENAME = abi::HOOK_INODE_RENAME,
        HOOK_INODE_LINK = abi::HOOK_INODE_LINK, HOOK_INODE_SETATTR = abi::HOOK_INODE_SETATTR,
        HOOK_INODE_COPY_UP = abi::HOOK_INODE_COPY_UP, HOOK_SOCKET_CREATE = abi::HOOK_SOCKET_CREATE,
        HOOK_SOCKET_BIND = abi::HOOK_SOCKET_BIND, HOOK_SOCKET_LISTEN = abi::HOOK_SOCKET_LISTEN,
        HOOK_SOCKET_ACCEPT = abi::HOOK_SOCKET_ACCEPT, HOOK_SOCKET_SENDMSG = abi::HOOK_SOCKET_SENDMSG,
        HOOK_UNIX_STREAM_CONNECT = abi::HOOK_UNIX_STREAM_CONNECT,
        HOOK_UNIX_MAY_SEND = abi::HOOK_UNIX_MAY_SEND, HOOK_PTRACE = abi::HOOK_PTRACE,
        HOOK_MODULE = abi::HOOK_MODULE, HOOK_BPF = abi::HOOK_BPF, HOOK_MOUNT = abi::HOOK_MOUNT,
        HOOK_TASK_KILL = abi::HOOK_TASK_KILL, HOOK_TASK_ALLOC = abi::HOOK_TASK_ALLOC,
        HOOK_PRIVILEGE = abi::HOOK_PRIVILEGE, HOOK_VOLUME = abi::HOOK_VOLUME, HOOK_FLOW = abi::HOOK_FLOW, HOOK_PATH_NOTIFY = abi::HOOK_PATH_NOTIFY, HAS_TREES = abi::HAS_TREES, HAS_NAMES = abi::HAS_NAMES,
        HAS_NAME_TREES = abi::HAS_NAME_TREES, HAS_NETS = abi::HAS_NETS, HAS_HASHES = abi::HAS_HASHES,
        HAS_DENY_TREES = abi::HAS_DENY_TREES, SELF_AUDIT = abi::SELF_AUDIT, SELF_DENY = abi::SELF_DENY,
        DEVICE_BLOCK = abi::DEVICE_BLOCK, DEVICE_CHARACTER = abi::DEVICE_CHARACTER,
        RULE_SELFTEST = abi::RULE_SELFTEST, RULE_SELF = abi::RULE_SELF, RULE_DEPTH = abi::RULE_DEPTH,
    }
}

/// C that compiles only when the header agrees.
fn assertions() -> String {
    // Of the kernel's own structs kernel.h has what is needed: those are not ours to fill.
    let mut c = String::from(
        "#pragma clang diagnostic push\n#pragma clang diagnostic ignored \"-Wpadded\"\n#include \"kernel.h\"\n\
         #pragma clang diagnostic pop\n#include \"abi.h\"\n",
    );
    let mut say =
        |condition: String| writeln!(c, "_Static_assert({condition}, \"\");").expect("strings grow");
    for layout in layouts() {
        let name = layout.name;
        say(format!("sizeof(struct {name}) == {}", layout.size));
        for (field, offset, size) in layout.fields {
            say(format!("__builtin_offsetof(struct {name}, {field}) == {offset}"));
            say(format!("sizeof(((struct {name} *)0)->{field}) == {size}"));
        }
    }
    for (name, value) in constants() {
        say(format!("{name} == {value}"));
    }
    c
}

fn clang(source: &str) -> (bool, String) {
    use std::io::Write as _;
    let mut child = ["clang-14", "clang"]
        .iter()
        .find_map(|name| {
            Command::new(name)
                .args([
                    "-target",
                    "bpf",
                    "-fsyntax-only",
                    "-Wall",
                    "-Wpadded",
                    "-Werror",
                    "-I",
                    "bpf",
                    "-x",
                    "c",
                    "-",
                ])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .ok()
        })
        .expect("this test needs clang: apt-get install clang-14");
    child.stdin.take().expect("piped").write_all(source.as_bytes()).expect("clang reads");
    let output = child.wait_with_output().expect("clang ends");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_header_agrees_with_rust() {
    let (agrees, complaint) = clang(&assertions());
    assert!(agrees, "{complaint}");
}

#[test]
fn a_header_that_differs_is_noticed() {
    for (from, to) in [
        ("sizeof(struct aegis_record) == 72", "sizeof(struct aegis_record) == 80"),
        ("AEGIS_DENIED == 2", "AEGIS_DENIED == 1"),
        ("offsetof(struct aegis_file, path) == 24", "offsetof(struct aegis_file, path) == 32"),
    ] {
        let source = assertions();
        assert!(source.contains(from), "{from} is no longer what Rust believes");
        assert!(!clang(&source.replace(from, to)).0, "clang took {to}");
    }
}

#[test]
fn fields_are_listed_without_a_gap() {
    for layout in layouts() {
        let mut end = 0;
        for (field, offset, size) in &layout.fields {
            assert_eq!(*offset, end, "{}.{field}", layout.name);
            end += size;
        }
        assert_eq!(end, layout.size, "{}", layout.name);
    }
}

#[test]
fn no_constant_of_the_header_is_missing() {
    let header = include_str!("../bpf/abi.h");
    let listed = constants();
    let defined = header.lines().filter_map(|line| {
        let line = line.trim_start().strip_prefix("#define ").unwrap_or(line.trim_start());
        let name = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        let value = line[name.len()..].trim_start().trim_start_matches("= ");
        (name.starts_with("AEGIS_") && value.starts_with(|c: char| c.is_ascii_digit() || c == '('))
            .then_some(name)
    });
    // The version is there twice, and of the next one.
    let defined: std::collections::BTreeSet<&str> = defined.collect();
    for name in &defined {
        assert!(listed.iter().any(|(known, _)| known == name), "{name}");
    }
    // One line of the header has the three verdicts.
    assert_eq!(defined.len() + 3, listed.len());
}

/// The numbers that pass from the kernel into events without a table between them.
#[test]
fn numbers_are_those_of_events() {
    use aegis_event::{Hook, Kind, Match, Operation, Verdict, limits};
    // Kinds, operations, matches and hooks are named as the events' are: by the header's own names.
    let named = |name: &str, number: u64| {
        let c = format!("AEGIS_{}", name.to_uppercase().replace('-', "_"));
        assert!(constants().contains(&(c.as_str(), number)), "{c} {number}");
    };
    for kind in Kind::ALL.iter().filter(|kind| kind.number() < 32) {
        named(kind.name(), kind.number().into());
    }
    for operation in Operation::ALL {
        let name = if *operation == Operation::ModuleLoad { "module" } else { operation.name() };
        named(&format!("op-{name}"), operation.number().into());
    }
    for matched in Match::ALL {
        named(&format!("match-{matched}"), matched.number().into());
    }
    for hook in Hook::ALL {
        let name = match hook {
            Hook::BprmCheck => "bprm_check",
            Hook::SockGraft => "socket_accept",
            Hook::PtraceAccessCheck => "ptrace",
            Hook::KernelReadFile => "module",
            Hook::SbMount => "mount",
            _ => hook.name(),
        };
        named(&format!("hook_{name}"), hook.number().into());
    }
    for (record, event) in
        [(abi::ALLOWED, Verdict::Allowed), (abi::AUDITED, Verdict::Audited), (abi::DENIED, Verdict::Denied)]
    {
        assert_eq!(record, event.number(), "{event}");
    }
    assert_eq!(abi::TEXT_MAX, limits::TEXT_BYTES);
    assert_eq!(abi::PATH_MAX, limits::PATH_BYTES);
    assert_eq!(abi::WORKLOAD_NAME_MAX, limits::WORKLOAD_BYTES);
    assert_eq!(abi::RULE_NAME_MAX, limits::RULE_NAME_BYTES);
    assert_eq!(abi::COMM_MAX, limits::COMM_BYTES);
}
