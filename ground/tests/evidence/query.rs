//! Searches.

use aegis_export::Request;

use crate::desk::Desk;
use crate::sample::{Device, Ring};

#[test]
fn expressions_find_what_they_say() {
    let desk = Desk::with_every_kind();
    let all = desk.lines(&["show", "--format", "json", "all.cbor"]);
    for (expression, field, expected) in [
        ("kind=open and verdict=deny and workload=agent-7", "sequence", "[\"69\",\"71\"]"),
        ("verdict=audit", "path", "[\"\",\"/srv/keep/a\",\"/srv/secret\"]"),
        ("glass_broken=true", "path", "[\"/srv/secret\"]"),
        ("deadman=true and to~/srv/keep/* and match=name", "hook", "[\"inode_rename\"]"),
        ("operation=change and match=tree", "kind", "[\"create\"]"),
        ("hook=mmap_file", "match", "[\"hash\"]"),
        ("match=limit and attributes>=0x40", "operation", "[\"open-write\"]"),
        ("file_mode=0x8180", "kind", "[\"create\"]"),
        ("match=net and address=fefe::/16 and port=8080", "kind", "[\"bind\"]"),
        ("family=16 and socket_type=1", "kind", "[\"bind\",\"socket\"]"),
        (
            "local_address=10.0.0.0/8 and local_port=40000 and received>8000000000 and sent=77",
            "kind",
            "[\"flow\"]",
        ),
        ("address=10.0.0.7", "kind", "[\"connect\",\"flow\"]"),
        ("text~'*.ko' and number=2", "kind", "[\"module\"]"),
        ("kind=signal and target=300", "number", "[\"9\"]"),
        ("old_uid=1000 and new_uid=0", "kind", "[\"privilege\"]"),
        ("read>0 or written=18446744073709551615", "kind", "[\"volume\",\"volume\"]"),
        ("kind=deadman and workload=agent-7", "kind", "[\"deadman\"]"),
        ("cause=rate-limited", "count", "[\"5\"]"),
        ("path ~ /etc/*", "path", "[\"/etc/hostname\"]"),
        ("path ~ '*\\xff\\xfe*'", "sequence", "[\"10\"]"),
        ("kind=connect and (address=10.0.0.0/8 or address=fe80::/10)", "port", "[\"443\",\"53\"]"),
        ("kind=connect and not port=443", "address", "[\"fe80::1\"]"),
        ("argv ~ 'env -i*'", "kind", "[\"exec\"]"),
        ("kind=exit and signal>0", "signal", "[\"9\"]"),
        ("cause=kernel-ring-full and count>=12", "workload", "[\"agent-7\"]"),
        ("cause=cut and first=26 and last=25 and total=1", "kind", "[\"gap\"]"),
        ("level=high and percent>=70", "kind", "[\"ring-level\"]"),
        ("kind=seal and epoch>=7 and code~seal-*", "code", "[\"seal-state-lost\"]"),
        ("kind=image and code=fell-back and epoch=1", "detail", "[\"slot b\"]"),
        ("kind=workload and code=ended and epoch=1 and workload=agent-7", "detail", "[\"exit 1\"]"),
        ("kind=config and detail~'*`syn`'", "code", "[\"last-good\"]"),
        ("kind=storage and detail~*else", "code", "[\"data-remade\"]"),
        ("mode=enforcing and reason=self-test-passed", "kind", "[\"glass-mended\",\"mode\"]"),
        ("code=accepted and kind!=policy", "kind", "[\"break-glass\",\"root\"]"),
        ("inode=18446744073709551615 and uid=1000 and flags=0x401", "sequence", "[\"10\"]"),
        ("boot ~ 0202* and kind=start", "sequence", "[\"67\"]"),
        ("time < 2027-01-15T07:43:00Z and kind=exit", "status", "[\"0\",\"0\",\"3\"]"),
        ("time >= 2027-01-15T07:43:20Z and kind=start", "sequence", "[\"67\"]"),
        ("sequence>=73", "kind", "[\"stop\"]"),
    ] {
        let found = desk.lines(&["query", expression, "--json", "all.cbor"]);
        let text = |value: &serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let mut values: Vec<String> = found.iter().map(|line| text(&line[field])).collect();
        values.sort();
        assert_eq!(format!("{values:?}").replace(", ", ","), expected, "{expression}");
        // The very lines that show has.
        assert!(found.iter().all(|line| all.contains(line)), "{expression}");
        let count = desk.good(&["query", expression, "--count", "all.cbor"]);
        assert_eq!(count, format!("{}\n", found.len()), "{expression}");
        // Of an expression and its opposite, each event has one.
        let rest = desk.good(&["query", &format!("not ({expression})"), "--count", "all.cbor"]);
        assert_eq!(rest.trim().parse::<usize>().expect("a number") + found.len(), all.len(), "{expression}");
    }
}

#[test]
fn the_exit_code_says_whether_something_was_found() {
    let desk = Desk::with_every_kind();
    let query = |arguments: &[&str]| desk.run(&[&["query"], arguments].concat());
    assert_eq!(query(&["kind=open", "all.cbor"]).exit, 0);
    let none = query(&["workload=nobody", "all.cbor"]);
    assert_eq!((none.exit, none.out.as_str(), none.err.as_str()), (1, "", ""));
    let none = query(&["workload=nobody", "--count", "--json", "all.cbor"]);
    assert_eq!((none.exit, none.out.as_str()), (1, "{\"count\":0}\n"));
    assert_eq!(query(&["kind=open", "missing.cbor"]).exit, 2);
    assert_eq!(query(&["kind=open"]).exit, 2);
    let limited = query(&["kind=open", "--limit", "2", "all.cbor"]);
    assert_eq!((limited.exit, limited.out.lines().count()), (0, 2));
}

#[test]
fn a_mistake_is_pointed_at() {
    let desk = Desk::with_every_kind();
    let said = desk.run(&["query", "kind=open and verdct=\u{1b}deny", "all.cbor"]);
    assert_eq!((said.exit, said.out.as_str()), (2, ""));
    assert_eq!(
        said.err,
        "  kind=open and verdct=?deny\n                ^^^^^^\n\
         aegisctl: expression, column 15: no such field; did you mean `verdict`?\n"
    );
    let said = desk.run(&["query", "path = 'ü' kind=open", "all.cbor"]);
    assert!(said.err.contains("\n             ^^^^\n"), "{}", said.err);
}

#[test]
fn several_devices_are_told_apart() {
    let desk = Desk::new();
    for (name, device) in [("a", Device(1)), ("b", Device(2))] {
        let mut ring = Ring::new(device);
        ring.boot(1, 2);
        desk.export(name, device, &ring, Request::from(1), 1);
    }
    let found = desk.good(&["query", "verdict=deny", "a", "b"]);
    let devices: std::collections::BTreeSet<&str> =
        found.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((found.lines().count(), devices.len()), (2, 2), "{found}");
    assert!(devices.iter().all(|device| device.len() == 8));
}
