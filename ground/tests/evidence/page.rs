//! The page, read by Python's HTML parser as a browser would read it.

use std::process::Command;

use aegis_export::Request;
use serde_json::Value;

use crate::desk::{Desk, said};
use crate::sample::{Device, Ring, every_kind};

/// What is on a page: elements and how many, attributes, text; and what is open at its end.
const READ: &str = r#"
import html.parser, json, sys, collections
VOID = {"meta", "br"}
# What HTML closes by itself when the next one begins or their parent ends.
LOOSE = {"td": {"td", "th", "tr"}, "th": {"td", "th", "tr"}, "tr": {"tr", "tbody"}, "dt": {"dd"}, "dd": {"dt", "div"},
         "li": {"li", "ul"}, "p": set()}
class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.elements, self.attributes = collections.Counter(), collections.Counter()
        self.open, self.wrong, self.text = [], [], []
    def handle_starttag(self, tag, attributes):
        self.elements[tag] += 1
        for name, _ in attributes:
            self.attributes[name] += 1
        while self.open and tag in LOOSE.get(self.open[-1], ()):
            self.open.pop()
        if tag not in VOID:
            self.open.append(tag)
    def handle_endtag(self, tag):
        while self.open and self.open[-1] != tag and self.open[-1] in LOOSE:
            self.open.pop()
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.wrong.append([tag, self.getpos()])
    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)
page = Page()
page.feed(open(sys.argv[1], encoding="utf-8").read())
page.close()
print(json.dumps({"elements": page.elements, "attributes": page.attributes, "open": page.open, "wrong": page.wrong,
                  "text": " ".join(" ".join(page.text).split())}))
"#;

fn read(desk: &Desk, name: &str) -> Value {
    let said = said(Command::new("python3").args(["-c", READ]).arg(desk.path(name)));
    assert_eq!(said.exit, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

fn text(page: &Value) -> &str {
    page["text"].as_str().expect("text")
}

#[test]
fn the_page_stands_alone_and_nothing_breaks_out_of_it() {
    let desk = Desk::with_every_kind();
    desk.good(&["report", "--html", "page.html", "all.cbor"]);
    let page = read(&desk, "page.html");
    assert_eq!((&page["open"], &page["wrong"]), (&serde_json::json!([]), &serde_json::json!([])));
    let names = |of: &str| page[of].as_object().expect("names").keys().cloned().collect::<Vec<_>>();
    // Nothing is on it but what we put there: no script, nothing to fetch, nothing that acts.
    let known = "body br caption code dd details div dl dt em figcaption figure footer h1 h2 h3 head header html i li main \
                 meta p rect section small span strong style summary svg table tbody td th thead title tr ul line";
    for element in names("elements") {
        assert!(known.split_whitespace().any(|name| name == element), "<{element}>");
    }
    let known = "aria-hidden aria-label charset class content height http-equiv lang name preserveaspectratio role scope style \
                 title viewbox width x x1 x2 y y1 y2";
    for attribute in names("attributes") {
        assert!(known.split_whitespace().any(|name| name == attribute), "{attribute}=");
    }
    let source = std::fs::read_to_string(desk.path("page.html")).expect("the page");
    assert!(source.contains("default-src 'none'"));
    for never in ["http://", "https://", "url(", "@import", "<script", "\x1b", "\u{202e}"] {
        assert!(!source.contains(never), "{never}");
    }
    // What is hostile is shown, as text.
    assert!(text(&page).contains(
        r#"/tmp/<script>alert(1)</script>&"'\\\x09\x0a\x0d\x1b[31m\xff\xfe\xe2\x80\xae/]]>'); DROP"#
    ));
    assert!(text(&page).contains(r"agent <i>\xf0"));
    assert!(text(&page).contains("vfat") || text(&page).contains("fire"), "texts of events are there");
}

#[test]
fn the_page_says_what_is_there_and_what_is_missing() {
    let desk = Desk::with_every_kind();
    let key = Device(1).key().pk.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    desk.good(&["report", "--html", "page.html", "--device-key", &key, "all.cbor"]);
    let page = read(&desk, "page.html");
    for expected in [
        "✓ Whole",
        "Events 73",
        "Denied 17",
        "Audited 3",
        "Lost, counted 18",
        "Boots 2",
        "1 of the audited ones would have been denied",
        "1 of the audited ones would have been denied, had the deadman of their workload not fallen",
        "agent-7 kernel-ring-full 12",
        "agent-7 rate-limited 5",
        "(not known) bad-record 1",
        "break-glass",
        "deadman agent-7 is only audited since 800.000000",
        "Files changed path share events /srv/keep/a 6",
        "module evil <b>.ko 1 denied",
        "accepted sequence 1 until 900.000000 (fire)",
        "≤ 2027-01-15 07:22:40",
        "10.0.0.7:443",
        "[fe80::1]:53",
        "all.cbor",
    ] {
        assert!(text(&page).contains(expected), "{expected}: {}", text(&page));
    }
    assert!(!text(&page).contains("not pinned"), "{}", text(&page));

    let mut ring = every_kind(Device(2));
    ring.damaged = vec![9];
    desk.export("damaged.cbor", Device(2), &ring, Request::from(1), 2);
    let said = desk.run(&["report", "--html", "page.html", "all.cbor", "damaged.cbor"]);
    assert_eq!((said.exit, said.out.contains("NOT WHOLE")), (1, true), "{}", said.out);
    let page = read(&desk, "page.html");
    for expected in
        ["✗ Not whole", "Key not pinned", "ring-damaged", "sequence 10 is missing", "2 exports of 2 devices"]
    {
        assert!(text(&page).contains(expected), "{expected}: {}", text(&page));
    }
}

#[test]
fn the_page_has_the_numbers_that_verify_has() {
    let desk = Desk::with_every_kind();
    let mut ring = Ring::new(Device(2));
    for boot in 1..=3 {
        ring.boot(boot, 40);
    }
    ring.damaged = vec![50, 51];
    desk.export("two", Device(2), &ring, Request::from(1), 3);
    desk.export("again", Device(2), &ring, Request::from(30), 3);
    let files = ["all.cbor", "two", "again"];
    assert_eq!(desk.run(&[&["report", "--html", "page.html"], &files[..]].concat()).exit, 1);
    let verified = desk.run(&[&["verify", "--json"], &files[..]].concat());
    let verified: Value = serde_json::from_str(&verified.out).expect("JSON");
    let sum = |list: &Value, of: &str| -> u64 {
        list.as_array().expect("a list").iter().map(|it| it[of].as_u64().expect("a number")).sum()
    };
    let lost: u64 = verified["losses"].as_object().expect("losses").values().filter_map(Value::as_u64).sum();
    let page = read(&desk, "page.html");
    let boots = verified["boots"].as_array().expect("boots").len();
    for (name, number) in [
        ("Events", verified["events"]["total"].as_u64().expect("a number")),
        ("Denied", sum(&verified["denials"], "count")),
        ("Lost, counted", lost),
        ("Boots", boots as u64),
    ] {
        assert!(text(&page).contains(&format!("{name} {number} ")), "{name} {number}: {}", text(&page));
    }
    // What the two devices have is all there is, and each has its row.
    assert!(text(&page).contains("34750f98bd59fcfc946da45aaabe933b 1 2 73 17 3 18 2027-01-15 08:00:00"));
    assert_eq!(verified["events"]["total"], 73 + 127);
    assert!(text(&page).contains("6a3803d5f059902a1c6dafbc9ba47292 2 3 127 59 0 0 2027"), "{}", text(&page));
}

#[test]
fn nothing_makes_the_page_large() {
    let desk = Desk::new();
    let mut names = Vec::new();
    // More devices than timelines, more boots and problems than rows.
    for number in 1..=40 {
        let mut ring = Ring::new(Device(number));
        for boot in 1..=20 {
            ring.boot(boot, 2);
        }
        ring.damaged = vec![10, 20, 30, 40, 50];
        let name = format!("{number:02}.cbor");
        desk.export(&name, Device(number), &ring, Request::from(1), 20);
        names.push(name);
    }
    let mut arguments = vec!["report", "--html", "page.html"];
    arguments.extend(names.iter().map(String::as_str));
    assert_eq!(desk.run(&arguments).exit, 1);
    let size = std::fs::metadata(desk.path("page.html")).expect("written").len();
    assert!(size < 1 << 20, "{size} bytes");
    let page = read(&desk, "page.html");
    assert_eq!((&page["open"], &page["wrong"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(text(&page).contains("16 more devices") && text(&page).contains("600 more"), "{}", text(&page));
    // Of 200 findings some are open, the others a click away.
    assert!(text(&page).contains("176 more rows"), "{}", text(&page));
    assert_eq!(page["elements"]["svg"], 24 * 3);
}

#[test]
fn an_empty_export_makes_a_page() {
    let desk = Desk::new();
    desk.export("empty.cbor", Device(1), &Ring::new(Device(1)), Request::from(1), 1);
    desk.good(&["report", "--html", "page.html", "empty.cbor"]);
    let page = read(&desk, "page.html");
    for expected in ["✓ Whole", "Events 0", "No rule matched anything", "counted no lost event"] {
        assert!(text(&page).contains(expected), "{expected}");
    }
    for to in ["jsonl", "ocsf"] {
        assert_eq!(desk.good(&["convert", "--to", to, "empty.cbor"]), "");
    }
    for to in ["parquet", "sqlite"] {
        desk.good(&["convert", "--to", to, "--out", to, "empty.cbor"]);
    }
    assert_eq!(desk.run(&["query", "sequence>0", "empty.cbor"]).exit, 1);
}
