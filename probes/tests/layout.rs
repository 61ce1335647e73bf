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
    ($($rust:ident = $c:literal { $($field:ident),+ $(,)? })+) => {
        vec![$(Layout {
            name: $c,
            size: size_of::<abi::$rust>(),
            fields: vec![$((
                stringify!($field),
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
        Access = "aegis_access" { head, rule, file }
        Exec = "aegis_exec" { head, file, argv }
        Connect = "aegis_connect" { head, family, port, protocol, reserved, address }
        NoteRecord = "aegis_note" { head, note_length, reserved, note }
        Cgroup = "aegis_cgroup" { slot, ruleset, reserved }
        RuleKey = "aegis_rule_key" { inode, device, ruleset }
        Rule = "aegis_rule" { rule, verdict, reserved }
        Control = "aegis_control" {
            abi_version, active, policy, epoch, mode, reason, rules, entries, unresolved, policy_hash, loaded_at,
            broken_until,
        }
        Counters = "aegis_counters" { seen, ring_full, denied, passed, hits }
    }
}

fn constants() -> Vec<(&'static str, u64)> {
    macro_rules! constants {
        ($($name:ident = $value:expr),+ $(,)?) => { vec![$((concat!("AEGIS_", stringify!($name)), $value as u64)),+] };
    }
    constants! {
        ABI_VERSION = abi::ABI_VERSION, PATH_MAX = abi::PATH_MAX, COMM_MAX = abi::COMM_MAX, NOTE_MAX = abi::NOTE_MAX,
        WORKLOADS_MAX = abi::WORKLOADS_MAX, WORKLOAD_NAME_MAX = abi::WORKLOAD_NAME_MAX, RULES_MAX = abi::RULES_MAX,
        RULE_NAMES_MAX = abi::RULE_NAMES_MAX, RULE_NAME_MAX = abi::RULE_NAME_MAX,
        CGROUP_DEPTH_MAX = abi::CGROUP_DEPTH_MAX, RING_BYTES = abi::RING_BYTES,
        RULESET_SELFTEST = abi::RULESET_SELFTEST,
        FORK = abi::FORK, EXEC = abi::EXEC, EXIT = abi::EXIT, OPEN = abi::OPEN, EXEC_CHECK = abi::EXEC_CHECK,
        CONNECT = abi::CONNECT, NOTE = abi::NOTE,
        ALLOWED = abi::ALLOWED, AUDITED = abi::AUDITED, DENIED = abi::DENIED,
        PATH_TRUNCATED = abi::PATH_TRUNCATED, ARGV_TRUNCATED = abi::ARGV_TRUNCATED,
        GLASS_BROKEN = abi::GLASS_BROKEN,
        OP_OPEN_READ = abi::OP_OPEN_READ, OP_OPEN_WRITE = abi::OP_OPEN_WRITE, OP_EXEC = abi::OP_EXEC,
        OPERATIONS = abi::OPERATIONS,
        HOOK_PROCESS = abi::HOOK_PROCESS, HOOK_FILE_OPEN = abi::HOOK_FILE_OPEN,
        HOOK_BPRM_CHECK = abi::HOOK_BPRM_CHECK, HOOK_CONNECT = abi::HOOK_CONNECT, HOOK_NOTE = abi::HOOK_NOTE,
    }
}

/// C that compiles only when the header agrees.
fn assertions() -> String {
    let mut c = String::from("#include \"kernel.h\"\n#include \"abi.h\"\n");
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

/// The numbers that pass from the kernel into events without a table between them.
#[test]
fn numbers_are_those_of_events() {
    use aegis_event::{Kind, Verdict, limits};
    for (record, event) in [
        (abi::FORK, Kind::Fork),
        (abi::EXEC, Kind::Exec),
        (abi::EXIT, Kind::Exit),
        (abi::OPEN, Kind::Open),
        (abi::EXEC_CHECK, Kind::ExecCheck),
        (abi::CONNECT, Kind::Connect),
    ] {
        assert_eq!(record, u16::from(event.number()), "{event}");
    }
    for (record, event) in
        [(abi::ALLOWED, Verdict::Allowed), (abi::AUDITED, Verdict::Audited), (abi::DENIED, Verdict::Denied)]
    {
        assert_eq!(record, event.number(), "{event}");
    }
    assert_eq!(abi::PATH_MAX, limits::PATH_BYTES);
    assert_eq!(abi::WORKLOAD_NAME_MAX, limits::WORKLOAD_BYTES);
    assert_eq!(abi::RULE_NAME_MAX, limits::RULE_NAME_BYTES);
    assert_eq!(abi::COMM_MAX, limits::COMM_BYTES);
}
