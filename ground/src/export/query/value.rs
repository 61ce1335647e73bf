//! What fields are compared with, and how.

use std::net::IpAddr;

use aegis_event::{Kind, Verdict};

use super::field::Got;
use crate::hex;

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    IsNot,
    Like,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Operator {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Like => "~",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    fn orders(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Is => order.is_eq(),
            Self::IsNot => order.is_ne(),
            Self::Like => false,
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// What a field is compared with, in the field's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Text(Vec<u8>),
    /// For `~`: `*` stands for any bytes, `?` for any one.
    Pattern(Vec<u8>),
    Number(u64),
    Id([u8; 16]),
    /// The first so many bits of an address.
    Network(IpAddr, u8),
    /// Microseconds since 1970.
    Time(i64),
    Flag(bool),
    Kind(Kind),
    Verdict(Verdict),
}

impl Operand {
    /// Whether the comparison holds. What an event does not have is equal to nothing.
    pub(super) fn holds(&self, operator: Operator, got: Option<&Got<'_>>) -> bool {
        let Some(got) = got else { return operator == Operator::IsNot };
        let equal = |equal: bool| if operator == Operator::IsNot { !equal } else { equal };
        match (self, got) {
            (Self::Text(text), Got::Text(got)) => equal(text[..] == got[..]),
            (Self::Number(number), Got::Number(got)) => operator.orders(got.cmp(number)),
            (Self::Time(time), Got::Time(got)) => operator.orders(got.cmp(time)),
            (Self::Id(id), Got::Id(got)) => equal(id == got),
            (Self::Network(network, bits), Got::Address(got)) => equal(inside(*network, *bits, *got)),
            (Self::Flag(flag), Got::Flag(got)) => equal(flag == got),
            (Self::Kind(kind), Got::Kind(got)) => equal(kind == got),
            (Self::Verdict(verdict), Got::Verdict(got)) => equal(verdict == got),
            (Self::Pattern(pattern), got) => match got {
                Got::Text(text) => matches(pattern, text),
                Got::Id(id) => matches(pattern, hex::encode(id).as_bytes()),
                Got::Address(address) => matches(pattern, address.to_string().as_bytes()),
                Got::Kind(kind) => matches(pattern, kind.name().as_bytes()),
                Got::Verdict(verdict) => matches(pattern, verdict.name().as_bytes()),
                Got::Number(_) | Got::Time(_) | Got::Flag(_) => false,
            },
            // The parser gives every field an operand of its own type.
            _ => false,
        }
    }
}

/// An address is in a network.
fn inside(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let shares = |network: &[u8], address: &[u8]| {
        let (whole, rest) = (usize::from(bits / 8), bits % 8);
        network[..whole] == address[..whole]
            && (rest == 0 || (network[whole] ^ address[whole]) >> (8 - rest) == 0)
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => shares(&network.octets(), &address.octets()),
        (IpAddr::V6(network), IpAddr::V6(address)) => shares(&network.octets(), &address.octets()),
        _ => false,
    }
}

/// Glob over bytes. Goes back to the last `*` only, so that it takes at most pattern × text steps.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Behind the last `*`, and where its run of bytes ends so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((behind, end)) = star else { return false };
                star = Some((behind, end + 1));
                (p, t) = (behind, end + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_values() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("**", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("/srv/*", "/srv/a/b", true),
            ("/srv/*", "/srv", false),
            ("*.key", "/etc/a.key", true),
            ("*.key", "/etc/a.keys", false),
            ("a*b*c", "axxbxxbxc", true),
            ("a*b*c", "axxcxxb", false),
            ("*a*a*a*", "aa", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert!(matches(b"*\xff?", b"x\xff\0"));
        // The worst case stays small.
        assert!(!matches("*a".repeat(200).as_bytes(), &[b'b'; 4096]));
    }

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |text: &str, address: &str| {
            let (network, bits) = network(text).expect("a network");
            inside(network, bits, address.parse().expect("an address"))
        };
        for (net, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("192.168.4.0/22", "192.168.7.255", true),
            ("192.168.4.0/22", "192.168.8.0", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::1", "::1", true),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
        ] {
            assert_eq!(holds(net, address), expected, "{net} {address}");
        }
        for bad in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "/8", "host", "1.1.1.1/-1"] {
            assert_eq!(network(bad), None, "{bad}");
        }
    }
}
