//! `site`: the site section of a bundle, what a client of the endpoint asks for, and where items of CBOR end.

use std::net::IpAddr;

use aegis_bundle::limits::{SITE_BYTES, SITE_RATE};
use aegis_bundle::{Collector, Site, is_site_name, is_site_path};
use aegis_site::items::Items;
use aegis_site::offer::Offer;
use aegis_site::request::{Asked, Refused, Role};

use crate::Seed;

/// First byte of an input whose rest is a section; of one that is a request's target; of one that is what the agent says.
const SECTION: u8 = 0;
const TARGET: u8 = 1;
const OFFER: u8 = 2;
/// Of an `Accept`; of a CBOR sequence, in pieces as long as the byte after says.
const ACCEPT: u8 = 3;
const ITEMS: u8 = 4;

/// A section that is read has one encoding and says what is possible; a target is known or refused, and who has no name gets nothing.
pub fn run(data: &[u8]) -> bool {
    let Some((mode, rest)) = data.split_first() else { return false };
    match mode % 5 {
        SECTION => section(rest),
        TARGET => target(rest),
        ACCEPT => accept(rest),
        ITEMS => rest.split_first().is_some_and(|(most, rest)| items(rest, usize::from(*most).max(1))),
        _ => Offer::decode(rest.to_vec()).is_some_and(|offer| {
            assert_eq!(offer.bytes(), rest);
            assert!(offer.device().len() == 16 && offer.is_same(&offer));
            possible(&offer.site());
            true
        }),
    }
}

fn section(bytes: &[u8]) -> bool {
    let Ok(site) = Site::decode(bytes) else { return false };
    possible(&site);
    let mut out = vec![0; SITE_BYTES];
    if let Some(length) = site.encode(&mut out) {
        assert_eq!(&out[..length], bytes);
    } else {
        assert!(bytes.len() > SITE_BYTES, "read, and not to be written");
    }
    true
}

fn possible(site: &Site<'_>) {
    assert!(!site.address.is_unspecified() && !site.address.is_multicast());
    assert!(site.port > 0 && (1..=SITE_RATE).contains(&site.rate) && !site.authorities.is_empty());
    assert!(site.gateway.is_none_or(|gateway| gateway.is_ipv4() == site.address.is_ipv4()));
    assert!(!site.interface.contains('/') && !site.interface.is_empty());
    let names = site.names.iter().chain(&site.viewers).chain(&site.operators);
    assert!(names.into_iter().all(|name| is_site_name(name)));
    assert!(!site.viewers.iter().any(|name| site.operators.contains(name)));
    if let Some(collector) = &site.collector {
        assert!(collector.port > 0 && is_site_name(collector.name) && is_site_path(collector.path));
        assert!(collector.path.starts_with('/') && !collector.path.split('/').any(|part| part == ".."));
        assert!(!collector.authorities.is_empty());
    }
}

fn target(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    for method in ["GET", "HEAD", "POST", ""] {
        let nobody = Asked::read(Role::Nobody, method, text);
        assert!(matches!(nobody, Err(Refused::Role | Refused::Long)));
        let viewer = Asked::read(Role::Viewer, method, text);
        let operator = Asked::read(Role::Operator, method, text);
        // What a viewer may an operator may, too; what else he may is events.
        assert!(viewer.is_err() || viewer == operator);
        assert!(operator.is_err() || viewer == operator || text.starts_with("/events"));
        for refused in [viewer, operator].into_iter().filter_map(Result::err) {
            assert!((400..500).contains(&refused.status().0));
        }
        if let Ok(asked) = operator {
            assert!(matches!(method, "GET" | "HEAD"));
            assert!(
                asked.since() == 0
                    || text.trim_start_matches("/events?since=").trim_start_matches('0')
                        == asked.since().to_string()
            );
        }
    }
    Asked::read(Role::Operator, "GET", text).is_ok()
}

/// Nothing but events comes in another form; who does not name one gets lines.
fn accept(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let asked = |target| Asked::read(Role::Operator, "GET", target).expect("known");
    let (lines, other) = (asked("/events?since=7"), asked("/metrics"));
    assert_eq!(other.accepting(text), other);
    let accepted = lines.accepting(text);
    assert_eq!(accepted.since(), 7);
    assert!(accepted == lines || text.to_ascii_lowercase().contains("application/cbor-seq"));
    accepted != lines
}

/// Items end at the same places, however long the pieces are that they come in.
fn items(bytes: &[u8], most: usize) -> bool {
    let ends = |most: usize| {
        let (mut items, mut ends, mut before) = (Items::default(), Vec::new(), 0);
        for piece in bytes.chunks(most) {
            let mut at = 0;
            while let Some(end) = items.end(&piece[at..])? {
                assert!(end > 0 && at + end <= piece.len());
                at += end;
                ends.push(before + at);
            }
            before += piece.len();
        }
        Ok::<_, aegis_site::items::NoItem>(ends)
    };
    let whole = ends(bytes.len().max(1));
    assert_eq!(ends(most), whole);
    whole.is_ok_and(|ends| !ends.is_empty())
}

fn made(address: IpAddr, gateway: Option<IpAddr>, chains: usize) -> Vec<u8> {
    let site = Site {
        interface: "eth0",
        address,
        prefix: 24,
        gateway,
        port: 9443,
        names: ["edge-7.plant"].into_iter().collect(),
        authorities: [b"\x30\x03\x02\x01\x01".as_slice()].into_iter().collect(),
        chains: (0..chains).map(|_| [b"\x30\x00".as_slice()].into_iter().collect()).collect(),
        viewers: ["prometheus.plant"].into_iter().collect(),
        operators: ["analyst.plant", "b.plant"].into_iter().collect(),
        rate: 120,
        collector: gateway.map(|address| Collector {
            address,
            port: 9444,
            name: "collector.plant",
            path: "/aegis/",
            authorities: [b"\x30\x00".as_slice()].into_iter().collect(),
        }),
    };
    let mut out = vec![0; SITE_BYTES];
    let length = site.encode(&mut out).expect("possible");
    out.truncate(length);
    out
}

/// A section of each family, each path, an offer.
pub fn seeds() -> Vec<Seed> {
    let v4 = made([192, 0, 2, 10].into(), Some([192, 0, 2, 1].into()), 2);
    let v6 = made([0xfd00, 0, 0, 1, 0, 0, 0, 7].into(), None, 0);
    let with = |mode: u8, rest: &[u8]| [&[mode], rest].concat();
    let offer = Offer::new(1_800_000_000, &[7; 16], &v4).expect("one");
    vec![
        ("v4", with(SECTION, &v4)),
        ("v6", with(SECTION, &v6)),
        ("events", with(TARGET, b"/events?since=4711")),
        ("health", with(TARGET, b"/health/ready")),
        ("metrics", with(TARGET, b"/metrics")),
        ("offer", with(OFFER, offer.bytes())),
        ("accept", with(ACCEPT, b"application/x-ndjson;q=0.5, application/cbor-seq")),
        ("items", with(ITEMS, b"\x03\x83\x01\x41\x07\x42\xa1\x00\xa3\x00\x01\x01\xf6\x02\x67damaged")),
    ]
}
