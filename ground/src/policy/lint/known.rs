//! What is known of the appliance and of the world: paths of the image, directories, forms of tags.
//!
//! A test holds the appliance's paths against `image/`.

use aegis_policy::names::is_within;
use aegis_policy::{Operation, Operations};

/// Who does not start, or does not go on, when this can't be done to a path.
pub(super) struct Needed {
    pub(super) path: &'static str,
    pub(super) by: &'static str,
    pub(super) operation: Operation,
    /// Of what lies below it: the directory itself is not meant.
    pub(super) below: bool,
}

const fn run(path: &'static str, by: &'static str) -> Needed {
    Needed { path, by, operation: Operation::Exec, below: false }
}

const fn read(path: &'static str, by: &'static str) -> Needed {
    Needed { path, by, operation: Operation::OpenRead, below: false }
}

const fn write(path: &'static str, by: &'static str) -> Needed {
    Needed { path, by, operation: Operation::OpenWrite, below: false }
}

const fn write_below(path: &'static str, by: &'static str) -> Needed {
    Needed { below: true, ..write(path, by) }
}

/// Files are made and replaced there.
const fn change_below(path: &'static str, by: &'static str) -> Needed {
    Needed { operation: Operation::Change, ..write_below(path, by) }
}

/// What the appliance itself runs and reads (`image/root`, `image/overlay`).
pub(super) const NEEDED: &[Needed] = &[
    run("/usr/bin/aegis", "init, the agent, the export and the console"),
    read("/etc/sysctl.conf", "init"),
    read("/usr/lib/aegis/data.ext4", "init"),
    read("/etc/aegis/root.cbor", "the agent"),
    read("/etc/aegis/baseline.aegis", "the agent"),
    read("/etc/aegis/built", "the agent"),
    read("/etc/aegis/variant", "init and the agent"),
    read("/data/aegis/device.key", "the agent and the export"),
    read("/dev/console", "the console"),
    write("/dev/console", "the console"),
    write_below("/data/aegis", "the agent and the export"),
    change_below("/data/aegis", "the agent and the export"),
    write_below("/run/aegis", "the agent"),
    change_below("/run/aegis", "the agent"),
    read("/media/stick", "the export"),
    write_below("/media/stick", "the export"),
    change_below("/media/stick", "the export"),
];

/// What every workload begins with.
pub(super) const START: &[Needed] = &[run("/workload/run", "every workload")];

/// What hardly any program can do without.
pub(super) const EVERYBODY: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/libc.so.6",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
];

/// Directories that a system has.
pub(super) const DIRECTORIES: &[&str] = &[
    "/bin",
    "/boot",
    "/data",
    "/data/aegis",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/etc",
    "/etc/aegis",
    "/etc/init.d",
    "/etc/pam.d",
    "/etc/security",
    "/etc/ssh",
    "/etc/ssl",
    "/etc/ssl/private",
    "/etc/sudoers.d",
    "/home",
    "/lib",
    "/lib64",
    "/media",
    "/media/stick",
    "/mnt",
    "/opt",
    "/proc",
    "/proc/sys",
    "/root",
    "/root/.ssh",
    "/run",
    "/run/aegis",
    "/sbin",
    "/scratch",
    "/srv",
    "/sys",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/kernel",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/local",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/tmp",
    "/workload",
];

/// Directories that much is needed of; by where they lie, not by links.
pub(super) const BROAD: &[&str] = &["/", "/dev", "/etc", "/lib64", "/proc", "/usr", "/usr/bin", "/usr/lib"];

/// What can't be denied to everything below one of [`BROAD`] without much that is needed.
pub(super) fn breadth(tree: &str) -> Operations {
    let use_of = Operations::only(Operation::OpenRead).with(Operation::Exec);
    match tree {
        "/" | "/dev" | "/proc" => use_of.with(Operation::OpenWrite),
        _ => use_of,
    }
}

/// Whether an exception for this is one from what is denied of one of [`BROAD`]: of `/usr`, where programs and libraries lie.
pub(super) fn counts_in(tree: &str, item: &str) -> bool {
    let within = |tree: &str| is_within(tree.as_bytes(), item.as_bytes());
    match tree {
        "/usr" => item == tree || ["/usr/bin", "/usr/lib", "/usr/local"].into_iter().any(within),
        _ => within(tree),
    }
}

/// What an exception from the denial of one of [`BROAD`] must take out: how every workload starts, and where what nobody
/// wants to see goes.
pub(super) fn needed_below(tree: &str) -> &'static [(&'static str, Operation)] {
    const ALL: &[(&str, Operation)] = &[
        ("/dev/null", Operation::OpenRead),
        ("/dev/null", Operation::OpenWrite),
        ("/workload/run", Operation::Exec),
        ("/workload/run", Operation::OpenRead),
    ];
    match tree {
        "/" => ALL,
        "/dev" => ALL.get(..2).unwrap_or_default(),
        _ => &[],
    }
}

/// Why what a path leads to is another file for each who asks, if it is. What is made anew is no such file: a rule is on its
/// name, too.
pub(super) fn volatile(path: &str) -> Option<&'static str> {
    let below = |parent: &str| path.strip_prefix(parent).filter(|rest| !rest.is_empty());
    let process = below("/proc/").and_then(|rest| rest.split('/').next()).is_some_and(|first| {
        matches!(first, "self" | "thread-self" | "net" | "mounts")
            || first.bytes().all(|byte| byte.is_ascii_digit())
    });
    let standard =
        below("/dev/fd/").is_some() || matches!(path, "/dev/stdin" | "/dev/stdout" | "/dev/stderr");
    (process || standard).then_some("it is another file for each process")
}

/// Not of the root file system: what is there is only known on the device.
pub(super) fn mounted(path: &str) -> bool {
    [
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/tmp",
        "/data",
        "/scratch",
        "/workload",
        "/media",
        "/var/run",
        "/var/tmp",
    ]
    .iter()
    .any(|parent| path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// How a tag stands to the forms that are known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    Known,
    /// It would be known in this writing.
    Written(String),
    Unknown,
}

/// A MITRE ATT&CK or ATLAS id, or `name:id` for everything else.
pub(super) fn form(tag: &str) -> Form {
    if mitre(tag) || compliance(tag) {
        return Form::Known;
    }
    let upper = tag.to_ascii_uppercase();
    if mitre(&upper) { Form::Written(upper) } else { Form::Unknown }
}

fn mitre(tag: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    // ATLAS ids are ATT&CK ids behind a prefix.
    let id = tag.strip_prefix("AML.").unwrap_or(tag);
    if ["TA", "CS", "DC"].iter().any(|kind| id.strip_prefix(kind).is_some_and(|number| digits(number, 4))) {
        return true;
    }
    if ["G", "M", "S", "C"].iter().any(|kind| id.strip_prefix(kind).is_some_and(|number| digits(number, 4))) {
        return true;
    }
    let Some(number) = id.strip_prefix('T') else { return false };
    match number.split_once('.') {
        Some((technique, part)) => digits(technique, 4) && digits(part, 3),
        None => digits(number, 4),
    }
}

/// `nist:AC-3`, `iso27001:A.8.3`, `cis:5.1`, `site:anything`.
fn compliance(tag: &str) -> bool {
    tag.split_once(':').is_some_and(|(name, id)| {
        let name_good = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
        name_good && id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && !id.contains(':')
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The paths are those of the image: each is in the overlay, or made by `image/root`.
    #[test]
    fn what_the_appliance_needs_is_in_the_image() {
        let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../image");
        let root = std::fs::read_to_string(image.join("root")).expect("image/root");
        let programs = std::fs::read_to_string(image.join("limits")).expect("image/limits");
        // The agent's own storage is on no image.
        let device =
            std::fs::read_to_string(image.join("../firmware/aegis/src/storage/device.rs")).expect("read");
        let places: String = ["storage/mod.rs", "stick/mount.rs"]
            .map(|file| {
                std::fs::read_to_string(image.join("../firmware/aegis/src").join(file)).expect("read")
            })
            .concat();
        let key = "/data/aegis/device.key";
        assert!(device.contains("\"device.key\""));
        for needed in NEEDED {
            let path = needed.path;
            let in_overlay = image.join("overlay").join(&path[1..]).is_file();
            let is_program = |name| programs.lines().any(|line| line.split(' ').next() == Some(name));
            let made = root.contains(&format!("$tree{path}\""))
                || path.strip_prefix("/usr/bin/").is_some_and(is_program);
            // Where the agent keeps things, and the stick is put: as its code has it.
            let placed = places.contains(&format!("\"{path}\";"));
            assert!(in_overlay || made || placed || path == "/dev/console" || path == key, "{path}");
        }
    }

    #[test]
    fn tags_have_forms() {
        for (tag, expected) in [
            ("T1003", Form::Known),
            ("T1003.008", Form::Known),
            ("TA0006", Form::Known),
            ("AML.T0051", Form::Known),
            ("AML.T0051.001", Form::Known),
            ("M1026", Form::Known),
            ("nist:AC-3", Form::Known),
            ("iso27001:A.8.3", Form::Known),
            ("t1003.008", Form::Written("T1003.008".to_owned())),
            ("T103", Form::Unknown),
            ("T1003.8", Form::Unknown),
            ("T1003.008.1", Form::Unknown),
            ("secret", Form::Unknown),
            (":AC-3", Form::Unknown),
            ("nist:", Form::Unknown),
            ("nist:a:b", Form::Unknown),
        ] {
            assert_eq!(form(tag), expected, "{tag}");
        }
    }

    #[test]
    fn volatile_paths_are_known() {
        for (path, expected) in [
            ("/proc/self/environ", true),
            ("/proc/1/mem", true),
            ("/proc/kcore", false),
            ("/proc/sys/kernel/core_pattern", false),
            ("/tmp/x", false),
            ("/tmp", false),
            ("/dev/fd/3", true),
            ("/etc/passwd", false),
        ] {
            assert_eq!(volatile(path).is_some(), expected, "{path}");
        }
    }
}
