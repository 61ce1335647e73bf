//! The device's configuration, and how healthy it calls itself.

use aegis_tests::{Bench, console};

#[test]
fn a_bad_configuration_leaves_the_last_good_one_in_force_and_health_says_so() {
    let bench = Bench::new();
    let device = bench.at("device");
    let good = bench.config(
        "good.toml",
        "[ring]\nsync = \"each\"\nfull = \"stop\"\n[events]\nargv = \"secrets\"\n[log]\nformat = \"json\"\n",
    );
    // An agent that does not answer is no healthy one.
    let script = "
said() { aegis health >/dev/null 2>&1; echo \"$1 $?\"; }
said healthy
agent=$(cat /run/aegis/agent.pid); kill -STOP $agent; said stopped; kill -CONT $agent
aegis health --nonsense >/dev/null 2>&1; echo \"usage $?\"
aegis status --wait 60 >/dev/null; said again
sh -c true --password=hunter2 --user=me
aegis config show";
    let run = Bench::run(bench.demo(script).config(&good).state(&device));
    let out = run.out_text();
    assert!(out.starts_with("healthy 0\nstopped 1\nusage 2\nagain 0\n# source: file\n"), "{out}");
    let codes = |run: &aegis_tests::Evidence| -> Vec<String> {
        run.kind("config").iter().map(|event| event["code"].as_str().expect("a code").to_owned()).collect()
    };
    assert_eq!(codes(&run), ["file"]);
    // What may be a secret is in no event, and the evidence says that it is so.
    let argv: Vec<String> = run.kind("exec").iter().map(|event| event["argv"].to_string()).collect();
    let struck = r#"["sh","-c","true","--password=***","--user=me"]"#;
    assert!(argv.iter().any(|argv| argv == struck), "{argv:?}");
    assert!(!argv.concat().contains("hunter2"), "{argv:?}");
    let detail = run.kind("config")[0]["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.ends_with(", of arguments: secrets"), "{detail}");
    let json = |line: &&str| line.trim_end().starts_with("{\"time\":") && line.contains("\"level\":\"");
    assert!(console(&run).lines().filter(json).count() > 5, "{}", console(&run));

    let bad = bench.config("bad.toml", "[ring]\nsink = \"none\"\n");
    let script = "aegis health; echo \"exit $?\"; aegis config show; echo \"exit $?\"";
    let run = Bench::run(bench.demo(script).config(&bad).state(&device));
    let (out, err) = (run.out_text(), run.err_text());
    assert!(out.contains("config-fault") && out.matches("exit 1").count() == 2, "{out}");
    assert!(out.contains("# source: last-good") && out.contains("sync = \"each\""), "{out}");
    assert!(err.contains("sink"), "the fault is named: {err}");
    assert_eq!(codes(&run), ["last-good"]);
    assert!(run.kind("config")[0]["detail"].as_str().is_some_and(|detail| detail.contains("sink")));
    let console = console(&run);
    assert!(console.lines().any(|line| line.contains("config") && line.contains("sink")), "{console}");
}
