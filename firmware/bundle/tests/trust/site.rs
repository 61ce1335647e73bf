//! The site section: one encoding, nothing that is not possible, and held to the manifest as the other files are.

use std::net::IpAddr;

use aegis_bundle::limits::{SITE_BYTES, SITE_CERTIFICATE_BYTES, SITE_RATE};
use aegis_bundle::{Collector, Content, Reason, Site, hash, is_site_name, is_site_path, open};
use aegis_policy::Mode;

use crate::common::*;

const DER: &[u8] = b"\x30\x03\x02\x01\x01";

fn site() -> Site<'static> {
    Site {
        interface: "eth0",
        address: [192, 0, 2, 10].into(),
        prefix: 24,
        gateway: Some([192, 0, 2, 1].into()),
        port: 9443,
        names: ["edge-7.plant"].into_iter().collect(),
        authorities: [DER].into_iter().collect(),
        chains: [[DER, DER].into_iter().collect()].into_iter().collect(),
        viewers: ["prometheus.plant"].into_iter().collect(),
        operators: ["analyst.plant"].into_iter().collect(),
        rate: 120,
        collector: None,
    }
}

fn with_collector() -> Site<'static> {
    let collector = Collector {
        address: [192, 0, 2, 20].into(),
        port: 9444,
        name: "collector.plant",
        path: "/aegis/",
        authorities: [DER].into_iter().collect(),
    };
    Site { collector: Some(collector), ..site() }
}

fn encoded(site: &Site<'_>) -> Option<Vec<u8>> {
    let mut out = vec![0; SITE_BYTES];
    let length = site.encode(&mut out)?;
    out.truncate(length);
    Some(out)
}

#[test]
fn a_section_has_one_encoding() {
    let v6 = Site { address: [0xfd00, 0, 0, 1, 0, 0, 0, 7].into(), prefix: 64, gateway: None, ..site() };
    for (site, entries) in [(site(), 10), (v6, 10), (with_collector(), 11)] {
        let bytes = encoded(&site).expect("possible");
        assert_eq!(Site::decode(&bytes), Ok(site));
        for cut in 0..bytes.len() {
            assert!(Site::decode(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        assert!(Site::decode(&[&bytes[..], &[0]].concat()).is_err());
        // A byte more for the number of entries: the same to a lax reader.
        assert!(Site::decode(&[&[0xb8, entries], &bytes[1..]].concat()).is_err());
    }
    assert_eq!(Site::decode(b"\xa0"), Err(Reason::BadSite));
}

#[test]
fn what_is_not_possible_is_refused() {
    type Change = fn(&mut Site<'static>);
    fn of<'s>(site: &'s mut Site<'static>) -> &'s mut Collector<'static> {
        site.collector.as_mut().expect("one")
    }
    let address = |text: &str| text.parse::<IpAddr>().expect("an address");
    let long: &'static [u8] = Box::leak(vec![0x30; SITE_CERTIFICATE_BYTES + 1].into_boxed_slice());
    let table: &[(&str, Change)] = &[
        ("no interface", |site| site.interface = ""),
        ("a path", |site| site.interface = ".."),
        ("a path", |site| site.interface = "a/b"),
        ("too long", |site| site.interface = "0123456789abcdef"),
        ("no prefix", |site| site.prefix = 0),
        ("more bits than there are", |site| site.prefix = 33),
        ("no port", |site| site.port = 0),
        ("no rate", |site| site.rate = 0),
        ("too high a rate", |site| site.rate = SITE_RATE + 1),
        ("nobody vouches", |site| site.authorities.clear()),
        ("an empty certificate", |site| site.authorities[0] = b""),
        ("an empty chain", |site| site.chains[0].clear()),
        ("one name for both", |site| site.viewers[0] = "analyst.plant"),
        ("not in order", |site| site.viewers.push("a").expect("room")),
        ("twice", |site| site.viewers.push("prometheus.plant").expect("room")),
        ("no name", |site| site.viewers[0] = ""),
        ("upper case", |site| site.viewers[0] = "Prometheus"),
        ("a wildcard", |site| site.operators[0] = "*.plant"),
        ("no machine", |site| of(site).address = [0, 0, 0, 0].into()),
        ("no port of the collector", |site| of(site).port = 0),
        ("no name of the collector", |site| of(site).name = ""),
        ("no path", |site| of(site).path = ""),
        ("nobody vouches for the collector", |site| of(site).authorities.clear()),
        ("an empty certificate for it", |site| of(site).authorities[0] = b""),
    ];
    for (what, change) in table {
        let mut site = with_collector();
        change(&mut site);
        assert_eq!(encoded(&site), None, "{what}");
    }
    for (own, gateway) in [
        ("0.0.0.0", None),
        ("255.255.255.255", None),
        ("224.0.0.1", None),
        ("::", None),
        ("ff02::1", None),
        ("192.0.2.1", Some("192.0.2.1")),
        ("192.0.2.1", Some("fd00::1")),
        ("192.0.2.1", Some("0.0.0.0")),
    ] {
        let site = Site { address: address(own), gateway: gateway.map(address), ..site() };
        assert_eq!(encoded(&site), None, "{own} {gateway:?}");
    }
    let site = Site { authorities: [long].into_iter().collect(), ..site() };
    assert_eq!(encoded(&site), None, "a certificate that is too long");
}

#[test]
fn names_are_those_of_certificates() {
    for name in ["a", "edge-7.plant", "0.1", "a.".repeat(63).trim_end_matches('.')] {
        assert!(is_site_name(name), "{name}");
    }
    for name in
        ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "A", "a b", "ä", &"a".repeat(64), &"a.".repeat(70)]
    {
        assert!(!is_site_name(name), "{name}");
    }
}

#[test]
fn paths_are_those_that_a_name_can_follow() {
    for path in ["/", "/a/", "/aegis/edge-7/", "/a.b/.c/"] {
        assert!(is_site_path(path), "{path}");
    }
    for path in [
        "",
        "a/",
        "/a",
        "//",
        "/a//",
        "/../",
        "/a/./",
        "/a b/",
        "/a?b/",
        "/%41/",
        &format!("/{}/", "a".repeat(127)),
    ] {
        assert!(!is_site_path(path), "{path}");
    }
}

#[test]
fn a_bundle_brings_it_as_a_third_file() {
    let (compiled, section) = (policy(Mode::Enforce), encoded(&site()).expect("possible"));
    let content = |bytes: &[u8]| Content { length: bytes.len() as u64, hash: hash(bytes) };
    let mut with = manifest(&compiled, TOML);
    with.site = Some(content(&section));
    let root = root(&[1], 1);
    let opened = |files: &[&[u8]]| {
        let bytes = pack(&encode(&with), files, &[1]);
        open(&bytes, &context(&root))
            .map(|accepted| accepted.bundle.site.map(<[u8]>::to_vec))
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(opened(&[&compiled, TOML, &section]), Ok(Some(section.clone())));
    assert_eq!(opened(&[&compiled, TOML]), Err(Reason::ContentLength));
    assert_eq!(opened(&[&compiled, TOML, &section, b"x"]), Err(Reason::ContentLength));
    let mut other = section.clone();
    *other.last_mut().expect("not empty") ^= 1;
    assert_eq!(opened(&[&compiled, TOML, &other]), Err(Reason::ContentHash));
    // One that is listed as it is, and says nothing that is possible.
    let bad = b"\xa0";
    let mut with_bad = with.clone();
    with_bad.site = Some(content(bad));
    let bytes = pack(&encode(&with_bad), &[&compiled, TOML, bad], &[1]);
    assert_eq!(open(&bytes, &context(&root)).err().map(|refusal| refusal.reason), Some(Reason::BadSite));
    // Without one there are two files, and a bundle says nothing of a site.
    let bytes = pack(&encode(&manifest(&compiled, TOML)), &[&compiled, TOML], &[1]);
    assert_eq!(open(&bytes, &context(&root)).expect("good").bundle.site, None);
}
