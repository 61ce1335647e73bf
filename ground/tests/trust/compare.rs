//! What `bundle diff` sees.

use crate::Desk;

const OLD: &str = "\
schema = 1
name = \"site\"
mode = \"audit\"

[[workload]]
name = \"agent\"

[[workload]]
name = \"old\"

[[rule]]
name = \"secrets\"
workloads = [\"agent\"]
action = \"deny\"
operations = [\"open\"]
paths = [\"/etc/shadow\", \"/etc/gone\"]

[[rule]]
name = \"tools\"
workloads = [\"old\"]
action = \"audit\"
operations = [\"exec\"]
paths = [\"/usr/bin/nc\"]
";

#[test]
fn two_bundles_are_compared() {
    let desk = Desk::new();
    desk.write("old.toml", OLD);
    let new = OLD
        .replace("mode = \"audit\"", "mode = \"enforce\"")
        .replace("\"/etc/gone\"", "\"/etc/new\"")
        .replace("name = \"old\"", "name = \"new\"")
        .replace("[\"old\"]", "[\"new\"]")
        .replace("name = \"tools\"", "name = \"programs\"");
    desk.write("new.toml", &new);
    let build = "bundle build --key keys/policy.key --created 2026-11-20";
    desk.good(&format!("{build} --policy old.toml --sequence 1 --out old.aegis"));
    desk.good(&format!(
        "{build} --policy new.toml --sequence 2 --group north --expires 2027-01-01 --out new.aegis"
    ));

    assert_eq!(desk.run("bundle diff old.aegis old.aegis"), (0, String::new(), String::new()));
    let (exit, same) = desk.json("bundle diff old.aegis old.aegis");
    assert_eq!((exit, &same["same"]), (0, &true.into()));

    let (exit, found) = desk.json("bundle diff old.aegis new.aegis");
    assert_eq!((exit, &found["same"]), (1, &false.into()));
    let field = |name: &str| {
        let fields = found["manifest"].as_array().expect("a list");
        let field = fields.iter().find(|field| field["field"] == name).expect(name);
        (field["old"].clone(), field["new"].clone())
    };
    assert_eq!(field("sequence"), (1.into(), 2.into()));
    assert_eq!(field("ceiling"), ("audit".into(), "enforce".into()));
    assert_eq!(field("groups"), (serde_json::Value::Null, serde_json::json!(["north"])));
    assert_eq!(field("policy mode"), ("audit".into(), "enforce".into()));
    assert_eq!(found["workloads_added"], serde_json::json!(["new"]));
    assert_eq!(found["workloads_removed"], serde_json::json!(["old"]));
    let rules = found["rules"].as_array().expect("a list");
    let change = |name: &str| rules.iter().find(|rule| rule["rule"] == name).expect(name);
    assert_eq!(rules.len(), 3);
    assert_eq!(change("programs")["change"], "added");
    assert_eq!(change("tools")["change"], "removed");
    let secrets = change("secrets");
    assert_eq!((&secrets["change"], &secrets["fields"]), (&"changed".into(), &serde_json::json!([])));
    assert_eq!(secrets["paths_added"], serde_json::json!(["/etc/new"]));
    assert_eq!(secrets["paths_removed"], serde_json::json!(["/etc/gone"]));

    let (exit, out, _) = desk.run("bundle diff old.aegis new.aegis");
    assert_eq!(exit, 1);
    for line in [
        "expires        never -> 2027-01-01T00:00:00Z",
        "groups         any -> north",
        "~ rule secrets",
        "    - /etc/gone",
        "    + /etc/new",
        "- workload old",
        "--- old.aegis",
        "+++ new.aegis",
        "-mode = \"audit\"",
        "+mode = \"enforce\"",
    ] {
        assert!(out.lines().any(|found| found == line), "{line} is not in:\n{out}");
    }
    // Another signature is a difference, too: it is another file.
    desk.good("keys new --plain --role policy --out second.key");
    desk.good("bundle sign old.aegis --key second.key --yes --out signed.aegis");
    let (exit, found) = desk.json("bundle diff old.aegis signed.aegis");
    assert_eq!((exit, found["manifest"][0]["field"].as_str()), (1, Some("signers")));
    // What is no bundle, or a broken one, is an error: not a difference.
    for (bad, expected) in [("keys/root.cbor", "not a bundle"), ("none", "can't open it")] {
        assert!(desk.refused(2, &format!("bundle diff old.aegis {bad}")).contains(expected));
    }
    let mut bytes = desk.read("old.aegis");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    desk.write("broken.aegis", bytes);
    assert!(desk.refused(2, "bundle diff broken.aegis old.aegis").contains("its files are not those"));
}

#[test]
fn a_hostile_source_drives_no_terminal() {
    let desk = Desk::new();
    desk.write("a.toml", OLD);
    desk.write("b.toml", format!("{OLD}# \u{202e}txt \u{1b}[2J\n").replace('\u{1b}', ""));
    desk.write("c.toml", format!("{OLD}# \u{202e}txt\n"));
    let build = "bundle build --key keys/policy.key --sequence 1";
    desk.good(&format!("{build} --policy a.toml --out a.aegis"));
    desk.good(&format!("{build} --policy c.toml --out c.aegis"));
    let (exit, out, _) = desk.run("bundle diff a.aegis c.aegis");
    assert!(exit == 1 && out.contains("\\u{202e}txt") && !out.contains('\u{202e}'), "{out}");
}
