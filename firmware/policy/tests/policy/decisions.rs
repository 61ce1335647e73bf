//! Decisions by hand, one line each.

use aegis_event::Verdict::{self, Allowed, Audited, Denied};
use aegis_policy::{
    Access, Effect, Family, Mode, Operation, Operations, Policy, Prefix, SourceRule, SourceTarget, compile,
};

use crate::{demo, rule, source};

/// 10.1.1.1 in IPv6 clothes.
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 1, 1];

fn file(path: &str, operation: Operation) -> Access<'_> {
    Access::File { path: path.as_bytes(), operation, digest: None }
}

fn decided(bytes: &[u8], workload: u16, access: &Access<'_>) -> (Verdict, String) {
    let policy = Policy::decode(bytes).expect("good");
    let decision = policy.decide(workload, access);
    assert_eq!(decision.effect.is_some(), decision.rule.is_some());
    (decision.verdict, decision.rule.map_or(String::new(), |rule| rule.name.to_owned()))
}

#[test]
fn deny_beats_audit_then_the_first_rule_is_named() {
    let decide = |mode, workload, path: &str, operation| {
        let bytes = compile(&demo(mode)).expect("good source");
        decided(&bytes, workload, &file(path, operation))
    };
    let by = |verdict, name: &str| (verdict, name.to_owned());
    let read = Operation::OpenRead;
    assert_eq!(decide(Mode::Enforce, 1, "/etc/shadow", read), by(Denied, "no-shadow"));
    assert_eq!(decide(Mode::Enforce, 2, "/etc/shadow", read), by(Audited, "watch"));
    assert_eq!(decide(Mode::Audit, 1, "/etc/shadow", read), by(Audited, "no-shadow"));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/passwd", read), by(Audited, "watch"));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/shadow", Operation::Exec), by(Allowed, ""));
    assert_eq!(decide(Mode::Enforce, 1, "/etc/hosts", read), by(Allowed, ""));
    assert_eq!(decide(Mode::Enforce, 99, "/etc/shadow", read), by(Allowed, ""));
}

/// Each pair of effects on one file, in both orders and modes.
#[test]
fn the_greater_effect_decides() {
    for (low, high) in Effect::ALL
        .into_iter()
        .flat_map(|low| Effect::ALL.into_iter().filter(move |high| low <= *high).map(move |high| (low, high)))
    {
        for (first, second) in [(low, high), (high, low)] {
            let rules = vec![rule("first", first, &[1], &["/x"]), rule("second", second, &[1], &["/x"])];
            let bytes = compile(&source(Mode::Enforce, &["a"], rules.clone())).expect("good");
            let name = if first >= second { "first" } else { "second" };
            let found = decided(&bytes, 1, &file("/x", Operation::OpenRead));
            assert_eq!(found, (high.verdict(), name.to_owned()), "{first:?} {second:?}");
            let bytes = compile(&source(Mode::Audit, &["a"], rules)).expect("good");
            let found = decided(&bytes, 1, &file("/x", Operation::OpenRead));
            let (first, second) = (first.under(Mode::Audit), second.under(Mode::Audit));
            let name = if first >= second { "first" } else { "second" };
            assert_eq!(found, (first.max(second).verdict(), name.to_owned()), "audit: {first:?} {second:?}");
        }
    }
}

#[test]
fn each_kind_matches_its_own() {
    let of =
        |name, effect, operations, target| SourceRule { operations, target, ..rule(name, effect, &[1], &[]) };
    let net = |text: &str, bits| Prefix::new(text.parse().expect("an address"), bits);
    let addresses = |prefixes, ports, protocols| SourceTarget::Addresses { prefixes, ports, protocols };
    let bytes = compile(&source(
        Mode::Enforce,
        &["a"],
        vec![
            of("tree", Effect::Deny, Operations::FILE, SourceTarget::trees(&["/srv"])),
            of("but", Effect::Override, Operations::OPEN, SourceTarget::trees(&["/srv/open"])),
            of("hash", Effect::Deny, Operations::only(Operation::Exec), SourceTarget::Hashes(vec![[7; 32]])),
            of("out", Effect::Deny, Operations::ADDRESS, addresses(vec![], vec![], vec![])),
            of(
                "web",
                Effect::Override,
                Operations::only(Operation::Connect),
                addresses(vec![net("10.0.0.0", 8)], vec![(80, 80), (8_000, 8_010)], vec![6]),
            ),
            of("surface", Effect::Audit, Operations::only(Operation::Bpf), SourceTarget::Surface),
        ],
    ))
    .expect("good");
    let to = |address: &'static [u8], port, protocol, operation| Access::Address {
        family: if address.len() == 4 { Family::Inet } else { Family::Inet6 },
        address,
        port,
        protocol,
        operation,
    };
    let program = |path: &'static str, digest| Access::File {
        path: path.as_bytes(),
        operation: Operation::Exec,
        digest: Some(digest),
    };
    for (access, verdict, name) in [
        (file("/srv", Operation::Change), Denied, "tree"),
        (file("/srv/x", Operation::UnixConnect), Denied, "tree"),
        (file("/srvx", Operation::OpenRead), Allowed, ""),
        (file("/srv/open/x", Operation::OpenRead), Allowed, "but"),
        (file("/srv/open/x", Operation::Exec), Denied, "tree"),
        (program("/bin/x", &[7; 32]), Denied, "hash"),
        (program("/bin/x", &[8; 32]), Allowed, ""),
        (file("/bin/x", Operation::Exec), Allowed, ""),
        (to(&[10, 1, 1, 1], 80, 6, Operation::Connect), Allowed, "web"),
        (to(&MAPPED, 8_005, 6, Operation::Connect), Allowed, "web"),
        (to(&[10, 1, 1, 1], 80, 17, Operation::Connect), Denied, "out"),
        (to(&[10, 1, 1, 1], 81, 6, Operation::Connect), Denied, "out"),
        (to(&[10, 1, 1, 1], 80, 6, Operation::Bind), Denied, "out"),
        (to(&[11, 1, 1, 1], 80, 6, Operation::Connect), Denied, "out"),
        (to(&[0; 16], 80, 6, Operation::Connect), Denied, "out"),
        (Access::Surface(Operation::Bpf), Audited, "surface"),
        (Access::Surface(Operation::Mount), Allowed, ""),
    ] {
        assert_eq!(decided(&bytes, 1, &access), (verdict, name.to_owned()), "{access:?}");
    }
}
