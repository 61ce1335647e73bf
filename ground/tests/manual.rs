//! Completions and man pages, from the commands themselves.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

fn aegisctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegisctl"));
    command.args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// The commands that `--help` of this one lists.
fn below(command: &[&str]) -> Vec<String> {
    let help = text(&aegisctl(&[command, &["--help"]].concat()));
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    // A long one goes on in the next line, further in.
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_its_page_and_is_completed() {
    let mut expected = BTreeSet::from(["aegisctl.1".to_owned()]);
    let scripts = ["bash", "zsh", "fish"].map(|shell| text(&aegisctl(&["completions", shell])));
    for command in below(&[]) {
        expected.insert(format!("aegisctl-{command}.1"));
        assert!(scripts.iter().all(|script| script.contains(&command)), "{command}");
        for inner in below(&[&command]) {
            expected.insert(format!("aegisctl-{command}-{inner}.1"));
            assert!(scripts.iter().all(|script| script.contains(&inner)), "{command} {inner}");
        }
    }
    assert!(
        expected.contains("aegisctl-policy-learn.1") && expected.contains("aegisctl-man.1"),
        "{expected:?}"
    );
    // The device's, by the table that its own help is made from.
    let device =
        ["bash", "zsh", "fish"].map(|shell| text(&aegisctl(&["completions", shell, "--of", "aegis"])));
    expected.insert("aegis.8".to_owned());
    expected.extend(aegis_cli::GROUPS.iter().map(|group| format!("aegis-{}.8", group.name)));
    for command in aegis_cli::COMMANDS.iter().filter(|command| command.name != "help") {
        expected.insert(format!("aegis-{}.8", command.name.replace(' ', "-")));
        let words = command.words().1;
        let flags = command.flags.iter().map(|flag| flag.name);
        for piece in flags.chain([words]) {
            assert!(device.iter().all(|script| script.contains(piece)), "{} {piece}", command.name);
        }
    }
    let desk = tempfile::tempdir().expect("a temporary directory");
    let directory = desk.path().join("not/there/yet");
    let directory = directory.to_str().expect("UTF-8");
    for _ in 0..2 {
        assert_eq!(text(&aegisctl(&["man", directory])), format!("{directory}: {} pages\n", expected.len()));
    }
    let found: BTreeSet<String> = std::fs::read_dir(directory)
        .expect("made")
        .map(|entry| entry.expect("read").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(found, expected);
    let read = |name: &str| std::fs::read_to_string(format!("{directory}/{name}")).expect("made");
    let page = read("aegis-events.8");
    for piece in [".TH aegis-events 8", "\\-\\-filter", "aegis events \\-\\-follow", "Exit: 0 all was shown"]
    {
        assert!(page.contains(piece), "{piece}\n{page}");
    }
    let page = read("aegisctl-policy-learn.1");
    for piece in [
        ".TH aegisctl-policy-learn 1",
        "\\fBaegisctl policy learn\\fR",
        "\\-\\-depth",
        "Exit codes: 0 written",
    ] {
        assert!(page.contains(piece), "{piece}\n{page}");
    }
}

#[test]
fn bash_completes_what_is_begun() {
    let desk = tempfile::tempdir().expect("a temporary directory");
    let script = desk.path().join("aegisctl.bash");
    std::fs::write(&script, text(&aegisctl(&["completions", "bash"]))).expect("written");
    for (words, position, expected) in [
        ("aegisctl policy lea", 2, "learn"),
        ("aegisctl com", 1, "completions"),
        ("aegisctl policy learn --dep", 3, "--depth"),
    ] {
        let line = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD={position}; cur=${{COMP_WORDS[{position}]}}; \
             _aegisctl aegisctl \"$cur\" \"${{COMP_WORDS[{}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            position - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &line]).output().expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{words}: {output:?}");
    }
}

#[test]
fn what_is_not_there_is_refused_in_one_line() {
    for arguments in [&["man", "/dev/null/at/all"][..], &["completions", "cmd.exe"], &["completions"]] {
        let output = aegisctl(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    }
}
