//! `[site]`: what it says reaches the section, in one form, and what is wrong is said where it stands.

use aegis_bundle::Site;

use super::{DEMO, compile, format, parse};

/// No certificate: the device says what is in it. A sequence, which is what is looked at here.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

fn with(lines: &str) -> String {
    format!(
        "{DEMO}\n[site]\ninterface = \"eth0\"\naddress = \"192.0.2.10/24\"\nclient-authorities = [\"\"\"\n{PEM}\"\"\"]\n{lines}"
    )
}

#[test]
fn what_it_says_is_in_the_section() {
    let text = with(
        "gateway = \"192.0.2.1\"\nport = 8443\nnames = [\"edge-7.plant\"]\nviewers = [\"z.plant\", \"a.plant\", \"z.plant\"]\n\
         operators = [\"analyst.plant\"]\nrequests-per-minute = 30\n",
    );
    let compiled = compile(&text);
    let section = compiled.site.expect("a section");
    let site = Site::decode(&section).expect("good");
    assert_eq!((site.interface, site.prefix, site.port, site.rate), ("eth0", 24, 8443, 30));
    assert_eq!(
        (site.address.to_string(), site.gateway.map(|gateway| gateway.to_string())),
        ("192.0.2.10".to_owned(), Some("192.0.2.1".to_owned()))
    );
    assert_eq!(
        (&site.viewers[..], &site.operators[..], &site.names[..]),
        (&["a.plant", "z.plant"][..], &["analyst.plant"][..], &["edge-7.plant"][..])
    );
    assert_eq!((&site.authorities[..], site.chains.len()), (&[b"\x30\x03\x02\x01\x01".as_slice()][..], 0));
    // The compiled policy is the same with and without: nothing of it is decided by the kernel.
    assert_eq!(compiled.bytes, compile(DEMO).bytes);
    assert_eq!(compile(DEMO).site, None);
    // Put into its one form, and put together from parts, it says the same.
    assert_eq!(compile(&format(&text).expect("formatted")).site.as_ref(), Some(&section));
    let used = with("viewers = [\"a.plant\"]\n")
        + "\n[[template]]\nname = \"unused\"\n[[template.rule]]\nname = \"x\"\naction = \"deny\"\noperations = [\"exec\"]\npaths = [\"/x\"]\n";
    let composed = compile(&used);
    assert!(composed.text.starts_with("# Resolved") && composed.text.contains("[site]"), "{}", composed.text);
    assert_eq!(compile(&composed.text).site, composed.site);
}

#[test]
fn a_collector_is_in_the_section_too() {
    let collector = |path: &str| {
        let pem = format!("authorities = [\"\"\"\n{PEM}\"\"\"]\n");
        with(&format!(
            "viewers = [\"a\"]\n[site.collector]\naddress = \"[fd00::20]:9444\"\nname = \"collector.plant\"\n{path}{pem}"
        ))
    };
    for (text, path) in [(collector(""), "/"), (collector("path = \"/aegis/\"\n"), "/aegis/")] {
        let section = compile(&text).site.expect("a section");
        let site = Site::decode(&section).expect("good");
        let found = site.collector.expect("one");
        assert_eq!((found.address.to_string().as_str(), found.port), ("fd00::20", 9444));
        assert_eq!((found.name, found.path, found.authorities.len()), ("collector.plant", path, 1));
        assert_eq!(compile(&format(&text).expect("formatted")).site.as_ref(), Some(&section));
    }
    let good = collector("path = \"/aegis/\"\n");
    for (from, to, expected) in [
        ("[fd00::20]:9444", "fd00::20", "bad address"),
        ("[fd00::20]:9444", "collector.plant:9444", "bad address"),
        ("[fd00::20]:9444", "192.0.2.20:0", "bad address"),
        ("\"collector.plant\"", "\"*.plant\"", "bad name"),
        ("/aegis/", "/aegis", "bad path"),
        ("/aegis/", "/../", "bad path"),
        ("path =", "paths =", "unknown key \"paths\""),
        ("name = \"collector.plant\"\n", "", "\"name\" is missing from site.collector"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{expected}");
        let error = parse(&text).1.expect_err(expected);
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let viewers = "viewers = [\"a\"]\n";
    let good = with(viewers);
    for (from, to, expected) in [
        (viewers, "", "nobody may read anything"),
        (viewers, "viewers = [\"a\"]\noperators = [\"a\"]\n", "\"a\" is among viewers and operators"),
        (viewers, "viewers = [\"A\"]\n", "bad name \"A\""),
        (viewers, "viewers = [\"a\"]\nports = 1\n", "unknown key \"ports\" (did you mean \"port\"?)"),
        (viewers, "viewers = [\"a\"]\nport = 0\n", "a number from 1 to 65535"),
        (viewers, "viewers = [\"a\"]\nrequests-per-minute = 6001\n", "a number from 1 to 6000"),
        (viewers, "viewers = [\"a\"]\ngateway = \"192.0.2.10\"\n", "bad gateway"),
        (viewers, "viewers = [\"a\"]\ngateway = \"fd00::1\"\n", "bad gateway"),
        (viewers, "viewers = [\"a\"]\nnames = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n", "more than 4 names"),
        (viewers, "viewers = [\"a\"]\ncertificates = [\"x\"]\n", "certificates: 1 to 3 certificates as PEM"),
        ("interface = \"eth0\"\n", "", "\"interface\" is missing from site"),
        ("\"eth0\"", "\"../x\"", "bad interface"),
        ("192.0.2.10/24", "192.0.2.10", "bad address"),
        ("192.0.2.10/24", "192.0.2.10/33", "bad address"),
        ("192.0.2.10/24", "0.0.0.0/24", "bad address"),
        ("MAMCAQE=", "MAMCAQ==", "client-authorities: 1 to 1 certificates as PEM"),
        ("BEGIN CERTIFICATE", "BEGIN PRIVATE KEY", "client-authorities: 1 to 1 certificates as PEM"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{expected}");
        let error = parse(&text).1.expect_err(expected);
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
    }
}
