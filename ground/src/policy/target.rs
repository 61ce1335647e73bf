//! What the words of a rule say it is on: files, addresses, programs by what is in them, the kernel's own surface.

use aegis_policy::{Kind, Prefix, SourceTarget, limits};

use super::check::meant;
use super::place::SourceError;
use super::source::{RawRule, Read, Text, suggest};

/// What a rule is on, in its one form, beside what its paths and trees say themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Files,
    /// Nothing of it is empty: all of both families, 0 to 65535, and 0 for any.
    Addresses {
        prefixes: Vec<Prefix>,
        ports: Vec<(u16, u16)>,
        protocols: Vec<u8>,
    },
    Hashes(Vec<[u8; 32]>),
    Surface,
}

/// Protocols with a name.
const PROTOCOLS: &[(&str, u8)] = &[("icmp", 1), ("tcp", 6), ("udp", 17)];

impl On {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Files => Kind::Files,
            Self::Addresses { .. } => Kind::Addresses,
            Self::Hashes(_) => Kind::Hashes,
            Self::Surface => Kind::Surface,
        }
    }

    /// As the compiler takes it.
    pub(crate) fn source<'r>(&self, raw: &'r RawRule) -> SourceTarget<'r> {
        let texts = |list: &'r [Text]| list.iter().map(|text| text.value.as_str()).collect();
        match self {
            Self::Files => SourceTarget::Files { paths: texts(&raw.paths), trees: texts(&raw.trees) },
            Self::Addresses { prefixes, ports, protocols } => SourceTarget::Addresses {
                prefixes: prefixes.clone(),
                ports: ports.clone(),
                protocols: protocols.clone(),
            },
            Self::Hashes(hashes) => SourceTarget::Hashes(hashes.clone()),
            Self::Surface => SourceTarget::Surface,
        }
    }
}

/// Which kind of thing a rule is on: by its keys, or by its operations when it has none.
pub(super) fn kind(raw: &RawRule) -> Read<Kind> {
    let of = |key: &str| match key {
        "paths" | "trees" => Kind::Files,
        "hashes" => Kind::Hashes,
        _ => Kind::Addresses,
    };
    let mut keys = raw.targets().into_iter().filter_map(|(key, list)| Some((key, list.first()?)));
    if let Some((key, first)) = keys.next() {
        return match keys.find(|(other, _)| of(other) != of(key)) {
            Some((other, text)) => {
                let message = format!("a rule on {key} can't be on {other}, too: make two rules");
                Err(SourceError::new(text.at, message).also(first.at, "the other"))
            }
            None => Ok(of(key)),
        };
    }
    let kind = [Kind::Addresses, Kind::Surface]
        .into_iter()
        .find(|kind| raw.operations.first().is_some_and(|word| meant(&word.value, *kind).next().is_some()));
    kind.ok_or_else(|| {
        let message = format!("rule \"{}\" is on nothing: add paths or trees (or hashes)", raw.name.value);
        SourceError::new(raw.at, message)
    })
}

/// Reads the lists of a rule of this kind.
pub(super) fn on(raw: &RawRule, kind: Kind) -> Read<On> {
    let said = match kind {
        Kind::Files => return Ok(On::Files),
        Kind::Surface => return Ok(On::Surface),
        Kind::Addresses => SourceTarget::Addresses {
            prefixes: all(&raw.addresses, prefix, limits::PREFIXES, "addresses")?,
            ports: all(&raw.ports, ports, limits::PORTS, "ports and ranges of ports")?,
            protocols: all(&raw.protocols, protocol, limits::PROTOCOLS, "protocols")?,
        },
        Kind::Hashes => SourceTarget::Hashes(all(&raw.hashes, hash, limits::RULE_HASHES, "hashes")?),
    };
    Ok(match said.one_form() {
        SourceTarget::Addresses { prefixes, ports, protocols } => {
            On::Addresses { prefixes, ports, protocols }
        }
        SourceTarget::Hashes(hashes) => On::Hashes(hashes),
        SourceTarget::Files { .. } => On::Files,
        SourceTarget::Surface => On::Surface,
    })
}

fn all<T>(list: &[Text], one: fn(&str) -> Result<T, String>, most: usize, what: &str) -> Read<Vec<T>> {
    if let Some(more) = list.get(most) {
        return Err(SourceError::new(more.at, format!("more than {most} {what}; make two rules")));
    }
    list.iter().map(|text| one(&text.value).map_err(|message| SourceError::new(text.at, message))).collect()
}

/// An address, or an address and how many bits of it count.
pub(super) fn prefix(text: &str) -> Result<Prefix, String> {
    let bad = |mend: &str| Err(format!("bad address \"{text}\": {mend}"));
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else {
        return bad(
            "an IPv4 or IPv6 address is needed, or one with /BITS behind it; names are not looked up",
        );
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => match bits.parse::<u8>() {
            Ok(number) if number <= most && number.to_string() == bits => number,
            _ => return bad(&format!("behind the / stands a number from 0 to {most}")),
        },
    };
    let prefix = Prefix::new(address, bits);
    // In IPv6 clothes it has other bits, and the same address.
    if Prefix::new(address, most).first() == prefix.first() {
        Ok(prefix)
    } else {
        bad(&format!("it has bits behind its /{bits}; write {prefix}"))
    }
}

/// A port, or the first and the last one of a range.
pub(super) fn ports(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| number.to_string() == text);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => Err(format!("bad ports \"{text}\": write \"{last}-{first}\"")),
        _ => Err(format!("bad port \"{text}\": a number from 0 to 65535, or a range, \"8000-8010\"")),
    }
}

/// A protocol's name or number.
pub(super) fn protocol(text: &str) -> Result<u8, String> {
    if let Some((_, number)) = PROTOCOLS.iter().find(|(name, _)| *name == text) {
        return Ok(*number);
    }
    match text.parse::<u8>() {
        Ok(0) => Err("protocol 0 is none: leave protocols out for all".to_owned()),
        Ok(number) if number.to_string() == text => Ok(number),
        _ => {
            let known: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
            let near = suggest(text, &known);
            Err(format!("bad protocol \"{text}\"{near}: tcp, udp, icmp, or a number from 1 to 255"))
        }
    }
}

/// The name of a protocol, or its number.
pub(super) fn protocol_name(number: u8) -> String {
    let known = PROTOCOLS.iter().find(|(_, of)| *of == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// A SHA-256 digest.
pub(super) fn hash(text: &str) -> Result<[u8; 32], String> {
    crate::hex::array(text).map_err(|_| {
        let digits = text.chars().count();
        format!("bad hash \"{text}\": 64 hexadecimal digits are needed, as sha256sum prints them ({digits} characters)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, expected) in [
            ("10.0.0.1", Ok("10.0.0.1")),
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("::1", Ok("::1")),
            ("2001:db8::/32", Ok("2001:db8::/32")),
            ("::ffff:10.0.0.0/104", Ok("10.0.0.0/8")),
            ("::ffff:10.0.0.1", Ok("10.0.0.1")),
            ("10.0.0.1/8", Err("it has bits behind its /8; write 10.0.0.0/8")),
            ("10.0.0.0/33", Err("behind the / stands a number from 0 to 32")),
            ("10.0.0.0/08", Err("behind the / stands a number from 0 to 32")),
            ("::/129", Err("behind the / stands a number from 0 to 128")),
            ("example.org", Err("names are not looked up")),
            ("10.0.0", Err("names are not looked up")),
        ] {
            match (prefix(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.to_string(), expected, "{text}"),
                (Err(message), Err(expected)) => assert!(message.ends_with(expected), "{text}: {message}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn ports_and_protocols_are_read() {
        for (text, expected) in [
            ("80", Some((80, 80))),
            ("0-65535", Some((0, 65_535))),
            ("8-7", None),
            ("65536", None),
            ("08", None),
        ] {
            assert_eq!(ports(text).ok(), expected, "{text}");
        }
        for (text, expected) in
            [("tcp", Some(6)), ("132", Some(132)), ("0", None), ("256", None), ("TCP", None)]
        {
            assert_eq!(protocol(text).ok(), expected, "{text}");
        }
    }
}
