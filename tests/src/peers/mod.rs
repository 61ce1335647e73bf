//! Peers on the same work (`make peers`, docs/benchmarks.md): what the guest is given, and its two boots.
//!
//! The guest's part is `tests/suite/src/peers/`, the peers' settings are `tests/peers/`. The guest's lines are judged by [`said`] and made a
//! page of by [`report`].

#![expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a boot are far below 2^53")]

pub mod report;
pub mod said;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aegis_suite::cost::NONE;
use aegis_suite::peers::{AEGIS, EXECUTED, OPENED, PORT, SECRET, WORKLOAD};

use crate::bench::{Bench, Rule, root};
use crate::boots::{Boot, blocks_of};
use crate::suite;
use said::Block;

/// A boot may take so long: a third of it on an idle machine.
const PATIENCE: Duration = Duration::from_hours(2);
/// bpftrace compiles with LLVM.
const MEMORY_MIB: u32 = 1024;
/// Where what is not Aegis writes: auditd wants 75 MB to be free.
const DATA_BYTES: u64 = 512 << 20;
/// All that Aegis writes in a boot stays in it.
const RING_BYTES: u64 = 512 << 20;
/// Peers that Debian has.
const OURS: [&str; 2] = ["auditd", "bpftrace"];
/// Most of the user's own.
const MOST: usize = 8;
/// What may be beside a program of the user's, as `NAME.` and this.
const BESIDE: [&str; 5] = ["arguments", "environment", "lines", "begin", "end"];

/// The side of each block. What is counted ends with nothing once more: what is left of a peer that ended is seen.
pub fn plan(boot: Boot, sides: &[String]) -> Vec<&str> {
    let sides: Vec<&str> = sides.iter().map(String::as_str).collect();
    boot.plan(&sides, NONE)
}

/// Numbers of opens, execs and connects in each part; of `paced` they are a second, and before them is for how many.
const fn numbers(boot: Boot) -> &'static str {
    match boot {
        Boot::Timed { .. } => "paced 10 200 4 20\nsingle 1000 50 200\nflat-out 20000 100 1000\n",
        Boot::Counted => "paced 5 200 4 20\nsingle 500 30 100\nflat-out 5000 50 300\n",
    }
}

/// A peer: its name, and what the page says of it.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Which it is.
    pub version: String,
    /// Name and content of each file that says how it is run.
    pub settings: Vec<(String, String)>,
}

/// Where the settings of a peer of ours are, and of Aegis.
fn settings_of(name: &str) -> PathBuf {
    root().join("tests/peers").join(name)
}

fn texts(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, fs::read_to_string(&path).map_err(wrong)?));
    }
    found.sort();
    Ok(found)
}

/// Executables of the user's folder `PEERS`; nothing without one.
///
/// # Errors
/// What is no peer: why, in one line.
fn given() -> Result<Vec<PathBuf>, String> {
    let Some(folder) = std::env::var_os("PEERS").filter(|folder| !folder.is_empty()) else {
        return Ok(Vec::new());
    };
    programs(Path::new(&folder))
}

fn programs(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: std::io::Error| {
        format!("PEERS={}: {error}; mend: a folder of static programs", folder.display())
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let data = fs::metadata(&path).map_err(wrong)?;
        let beside = path.extension().is_some_and(|extension| BESIDE.iter().any(|name| extension == *name));
        if data.is_file() && data.permissions().mode() & 0o111 != 0 && !beside {
            found.push(path);
        }
    }
    found.sort();
    for path in &found {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !name.bytes().all(plain) || [NONE, AEGIS].iter().chain(&OURS).any(|taken| *taken == name) {
            return Err(format!(
                "{}: can't be called so; mend: letters, digits, `-`, `_`, `.`, and no name of ours",
                path.display()
            ));
        }
    }
    if found.len() > MOST {
        return Err(format!("PEERS={}: {} programs, {MOST} at most", folder.display(), found.len()));
    }
    Ok(found)
}

/// Debian's programs, unpacked: `root`, and `versions`.
fn unpacked() -> Result<PathBuf, String> {
    let said = Command::new(root().join("tests/peers/unpack"))
        .output()
        .map_err(|error| format!("unpack: {error}"))?;
    if said.status.success() {
        Ok(PathBuf::from(String::from_utf8_lossy(&said.stdout).trim()))
    } else {
        Err(format!("tests/peers/unpack: {}", String::from_utf8_lossy(&said.stderr).trim()))
    }
}

/// Aegis and every peer that there is, as the page tells of them.
///
/// # Errors
/// What is no peer, or can't be had: why, in one line.
pub fn peers() -> Result<Vec<Peer>, String> {
    let versions =
        fs::read_to_string(unpacked()?.join("versions")).map_err(|error| format!("versions: {error}"))?;
    let mut all = Vec::new();
    for name in OURS {
        let version = versions.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let version = format!("Debian's package {name} {}", version.unwrap_or("?"));
        all.push(Peer { name: name.to_owned(), version, settings: texts(&settings_of(name))? });
    }
    for path in given()? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut settings = Vec::new();
        for kind in BESIDE {
            if let Ok(text) = fs::read_to_string(beside(&path, kind)) {
                settings.push((kind.to_owned(), text));
            }
        }
        let sum = Bench::good({
            let mut command = Command::new("sha256sum");
            command.arg(&path);
            command
        });
        let sum = String::from_utf8_lossy(&sum).chars().take(16).collect::<String>();
        all.push(Peer { name, version: format!("a program given, sha256 {sum}…"), settings });
    }
    Ok(all)
}

fn beside(program: &Path, kind: &str) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(format!(".{kind}"));
    name.into()
}

/// What a program given tells of a call by, when nothing beside it says more.
fn lines() -> String {
    format!("open {OPENED}\nexec {EXECUTED}\nconnect {PORT}\n")
}

/// The sides, in the order of a round's first half.
pub fn sides(peers: &[Peer]) -> Vec<String> {
    [NONE, AEGIS].into_iter().map(str::to_owned).chain(peers.iter().map(|peer| peer.name.clone())).collect()
}

/// The workload's folder.
fn workload(bench: &Bench, boot: Boot, peers: &[Peer]) -> Result<PathBuf, String> {
    let folder = bench.at(WORKLOAD);
    let settings = folder.join("settings");
    fs::create_dir_all(settings.join(AEGIS)).expect("a folder for the settings");
    for name in ["run", "prepare", "peers", "noop"] {
        fs::copy(suite::program().with_file_name("aegis-peers"), folder.join(name)).expect("it was built");
    }
    fs::copy(suite::program().with_file_name("aegis-bare"), folder.join("stand-in")).expect("it was built");
    fs::copy(settings_of(AEGIS).join("lines"), settings.join(AEGIS).join("lines")).expect("it is there");
    for peer in peers {
        let to = settings.join(&peer.name);
        fs::create_dir_all(&to).expect("a folder for the settings");
        if !OURS.contains(&peer.name.as_str()) {
            fs::write(to.join("lines"), lines()).expect("it is written");
        }
        for (name, text) in &peer.settings {
            fs::write(to.join(name), text).expect("it is written");
        }
    }
    for path in given()? {
        fs::copy(&path, settings.join(path.file_name().unwrap_or_default()).join("program"))
            .expect("it is copied");
    }
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(unpacked()?.join("root")).arg(folder.join("root"));
    Bench::good(copy);
    let mut text = numbers(boot).to_owned() + "once 1 1 1\n";
    for side in plan(boot, &sides(peers)) {
        let _ = writeln!(text, "block {side}");
    }
    fs::write(folder.join("plan"), text).expect("the plan is written");
    Ok(folder)
}

/// Where a boot's lines are kept, so that the page can be made again of them.
pub fn kept(boot: Boot) -> PathBuf {
    boot.kept("peers")
}

/// Boots, has the work done, keeps the lines.
///
/// # Errors
/// The guest did not come to its end: why, in one line.
pub fn measure(boot: Boot, peers: &[Peer]) -> Result<Vec<Block>, String> {
    let bench = Bench::new();
    let folder = workload(&bench, boot, peers)?;
    let rules = [
        Rule { name: "watch", action: "audit", operations: &["open"], paths: &[OPENED] },
        Rule { name: "no-secret", action: "deny", operations: &["open"], paths: &[SECRET] },
    ];
    let policy = bench.policy("peers", "enforce", &rules);
    let machine = bench.machine().workload(folder).policy(policy).memory_mib(MEMORY_MIB).timeout(PATIENCE);
    let machine = machine.ring_bytes(RING_BYTES).data_bytes(DATA_BYTES).counted(boot == Boot::Counted);
    let (_slot, vm) = Bench::start(machine);
    let run = vm.finish().map_err(|error| error.to_string())?;
    let out = Bench::lines(&run, &kept(boot)).map_err(|why| format!("{}: {why}", boot.name()))?;
    blocks_of(&out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_programs_is_what_is_executable_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, "x").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode");
        };
        for (name, mode) in
            [("agent-2", 0o755), ("agent-2.arguments", 0o644), ("agent-2.begin", 0o755), ("notes", 0o644)]
        {
            put(name, mode);
        }
        let found = programs(folder.path()).expect("a peer");
        assert_eq!(found, [folder.path().join("agent-2")]);
        assert_eq!(beside(&found[0], "lines"), folder.path().join("agent-2.lines"));
        put("auditd", 0o755);
        assert!(programs(folder.path()).expect_err("a name of ours").contains("auditd"));
        assert!(programs(&folder.path().join("none")).is_err());
    }
}
