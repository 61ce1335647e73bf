//! `[site]`: the isolated network that devices are read over (`docs/site.md`). From the words of a source to the section that a
//! bundle carries beside the compiled policy.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use aegis_bundle::limits::{
    SITE_AUTHORITIES, SITE_BYTES, SITE_CERTIFICATE_BYTES, SITE_CHAIN, SITE_CHAINS, SITE_CLIENTS,
    SITE_INTERFACE_BYTES, SITE_NAME_BYTES, SITE_NAMES, SITE_PATH_BYTES, SITE_RATE,
};
use aegis_bundle::{Collector, Site, is_host, is_interface, is_site_name, is_site_path};
use aegis_policy::Prefix;
use toml::de::DeValue;

use super::place::{At, Placed, SourceError};
use super::render::quoted;
use super::source::{Fields, Read, Reader, Text, Value};

const KEYS: &[&str] = &[
    "interface",
    "address",
    "gateway",
    "port",
    "names",
    "client-authorities",
    "certificates",
    "viewers",
    "operators",
    "requests-per-minute",
    "collector",
];
const COLLECTOR_KEYS: &[&str] = &["address", "name", "path", "authorities"];
/// Below which a collector's resources are when the policy does not say.
const PATH: &str = "/";
/// Where it listens when the policy does not say.
const PORT: u16 = 9443;
/// Of each client, when the policy does not say.
const RATE: u32 = 120;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The table in words, each of which means something.
#[derive(Clone, Debug)]
pub(crate) struct SiteSource {
    interface: String,
    address: IpAddr,
    prefix: u8,
    gateway: Option<IpAddr>,
    port: u16,
    names: Vec<String>,
    authorities: Vec<Pem>,
    chains: Vec<Pem>,
    viewers: Vec<String>,
    operators: Vec<String>,
    rate: u32,
    collector: Option<CollectorSource>,
}

/// `[site.collector]`.
#[derive(Clone, Debug)]
struct CollectorSource {
    address: SocketAddr,
    name: String,
    path: String,
    authorities: Vec<Pem>,
}

/// Certificates as text, and as they are.
#[derive(Clone, Debug)]
struct Pem {
    text: String,
    ders: Vec<Vec<u8>>,
}

/// Reads and judges the table.
pub(crate) fn read(reader: &Reader, value: &Value<'_>) -> Read<Placed<SiteSource>> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(reader.wrong_type(value, "a table", value.get_ref()));
    };
    let table = Fields { reader, table, span: value.span(), what: "site" };
    table.only(KEYS)?;
    let list = |key| table.optional(key).map_or(Ok(Vec::new()), |list| reader.strings(list));
    let number = |key, most, otherwise| {
        table.optional(key).map_or(Ok(otherwise), |value| reader.number(value, 1..=most))
    };
    let interface = reader.string(table.required("interface")?)?;
    let at = reader.string(table.required("address")?)?;
    let (address, prefix) = address(&at)?;
    let gateway = table.optional("gateway").map(|value| reader.string(value)).transpose()?;
    let gateway = gateway.map(|text| gateway_of(&text, address)).transpose()?;
    let port = number("port", u16::MAX.into(), PORT.into())?;
    let authorities = reader.list_of_strings(table.required("client-authorities")?)?;
    let names = |key, most| names(list(key)?, key, most);
    let site = SiteSource {
        interface: interface_of(&interface)?,
        address,
        prefix,
        gateway,
        port: u16::try_from(port).unwrap_or(PORT),
        names: names("names", SITE_NAMES)?,
        authorities: pems(authorities, "client-authorities", SITE_AUTHORITIES, 1)?,
        chains: pems(list("certificates")?, "certificates", SITE_CHAINS, SITE_CHAIN)?,
        viewers: names("viewers", SITE_CLIENTS)?,
        operators: names("operators", SITE_CLIENTS)?,
        rate: number("requests-per-minute", SITE_RATE, RATE)?,
        collector: table.optional("collector").map(|value| collector(reader, value)).transpose()?,
    };
    let here = reader.at(&value.span());
    if let Some(both) = site.viewers.iter().find(|name| site.operators.contains(name)) {
        let message =
            format!("\"{both}\" is among viewers and operators; an operator may do all that a viewer may");
        return Err(SourceError::new(here, message));
    }
    if site.viewers.is_empty() && site.operators.is_empty() {
        return Err(SourceError::new(here, "nobody may read anything: name viewers, operators or both"));
    }
    site.section().ok_or_else(|| {
        SourceError::new(here, format!("it is longer than {SITE_BYTES} bytes; bring fewer certificates"))
    })?;
    Ok(Placed { at: here, value: site })
}

fn collector(reader: &Reader, value: &Value<'_>) -> Read<CollectorSource> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err(reader.wrong_type(value, "a table", value.get_ref()));
    };
    let table = Fields { reader, table, span: value.span(), what: "site.collector" };
    table.only(COLLECTOR_KEYS)?;
    let address = reader.string(table.required("address")?)?;
    let name = reader.string(table.required("name")?)?;
    let path = table.optional("path").map(|value| reader.string(value)).transpose()?;
    let authorities = reader.list_of_strings(table.required("authorities")?)?;
    if !is_site_name(&name.value) {
        return fail(
            name.at,
            format!("bad name \"{}\": one of the collector's certificate (DNS:)", name.value),
        );
    }
    if let Some(path) = path.as_ref().filter(|path| !is_site_path(&path.value)) {
        let rule = format!(
            "it begins and ends with /, is of letters, digits, ., _, -, at most {SITE_PATH_BYTES} bytes"
        );
        return fail(path.at, format!("bad path \"{}\": {rule}", path.value));
    }
    Ok(CollectorSource {
        address: endpoint(&address)?,
        name: name.value,
        path: path.map_or_else(|| PATH.to_owned(), |path| path.value),
        authorities: pems(authorities, "authorities", SITE_AUTHORITIES, 1)?,
    })
}

/// `ADDRESS:PORT`: names can't be asked for on an isolated network.
fn endpoint(text: &Text) -> Read<SocketAddr> {
    match text.value.parse::<SocketAddr>() {
        Ok(address) if is_host(address.ip()) && address.port() > 0 => Ok(address),
        _ => fail(
            text.at,
            format!("bad address \"{}\": \"192.0.2.20:9444\", or \"[fd00::20]:9444\" of IPv6", text.value),
        ),
    }
}

impl SiteSource {
    /// What a bundle carries; `None`: it is too long.
    pub(crate) fn section(&self) -> Option<Vec<u8>> {
        let site = Site {
            interface: &self.interface,
            address: self.address,
            prefix: self.prefix,
            gateway: self.gateway,
            port: self.port,
            names: self.names.iter().map(String::as_str).collect(),
            authorities: self.authorities.iter().flat_map(|pem| &pem.ders).map(Vec::as_slice).collect(),
            chains: self.chains.iter().map(|pem| pem.ders.iter().map(Vec::as_slice).collect()).collect(),
            viewers: self.viewers.iter().map(String::as_str).collect(),
            operators: self.operators.iter().map(String::as_str).collect(),
            rate: self.rate,
            collector: self.collector.as_ref().map(|collector| Collector {
                address: collector.address.ip(),
                port: collector.address.port(),
                name: &collector.name,
                path: &collector.path,
                authorities: collector
                    .authorities
                    .iter()
                    .flat_map(|pem| &pem.ders)
                    .map(Vec::as_slice)
                    .collect(),
            }),
        };
        let mut out = vec![0; SITE_BYTES];
        let length = site.encode(&mut out)?;
        out.truncate(length);
        Some(out)
    }

    /// What is reached over the device's card: its network, and all that a gateway leads to.
    pub(crate) fn reached(&self) -> Prefix {
        Prefix::new(self.address, if self.gateway.is_some() { 0 } else { self.prefix })
    }

    /// The table again, in its one form.
    pub(crate) fn render(&self) -> String {
        let mut out = String::from("\n[site]\n");
        // Writing to a String can't fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { address, prefix, port, rate, .. } = self;
        writeln!(out, "interface = {}\naddress = \"{address}/{prefix}\"", quoted(&self.interface))?;
        if let Some(gateway) = self.gateway {
            writeln!(out, "gateway = \"{gateway}\"")?;
        }
        writeln!(out, "port = {port}")?;
        let texts = |list: &[Pem]| list.iter().map(|pem| pem.text.clone()).collect::<Vec<_>>();
        for (key, items) in [
            ("names", &self.names),
            ("client-authorities", &texts(&self.authorities)),
            ("certificates", &texts(&self.chains)),
            ("viewers", &self.viewers),
            ("operators", &self.operators),
        ] {
            if !items.is_empty() {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                writeln!(out, "{key} = [{}]", items.join(", "))?;
            }
        }
        writeln!(out, "requests-per-minute = {rate}")?;
        let Some(CollectorSource { address, name, path, authorities }) = &self.collector else {
            return Ok(());
        };
        let authorities: Vec<String> = authorities.iter().map(|pem| quoted(&pem.text)).collect();
        writeln!(
            out,
            "\n[site.collector]\naddress = \"{address}\"\nname = {}\npath = {}",
            quoted(name),
            quoted(path)
        )?;
        writeln!(out, "authorities = [{}]", authorities.join(", "))
    }
}

fn fail<T>(at: At, message: String) -> Read<T> {
    Err(SourceError::new(at, message))
}

fn interface_of(text: &Text) -> Read<String> {
    if is_interface(&text.value) {
        return Ok(text.value.clone());
    }
    let rule =
        format!("1 to {SITE_INTERFACE_BYTES} of A-Z, a-z, 0-9, ., _, -, as the kernel names the card (eth0)");
    fail(text.at, format!("bad interface \"{}\": {rule}", text.value))
}

/// `ADDRESS/BITS`: one machine's, and how much of it is the network's.
fn address(text: &Text) -> Read<(IpAddr, u8)> {
    let parsed = text.value.split_once('/').and_then(|(address, bits)| {
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        (is_host(address) && (1..=most).contains(&bits)).then_some((address, bits))
    });
    match parsed {
        Some(parsed) => Ok(parsed),
        None => fail(
            text.at,
            format!(
                "bad address \"{}\": the device's own, and its network's bits: \"192.0.2.10/24\"",
                text.value
            ),
        ),
    }
}

fn gateway_of(text: &Text, own: IpAddr) -> Read<IpAddr> {
    match text.value.parse::<IpAddr>() {
        Ok(gateway) if is_host(gateway) && gateway != own && gateway.is_ipv4() == own.is_ipv4() => {
            Ok(gateway)
        }
        _ => fail(
            text.at,
            format!(
                "bad gateway \"{}\": another machine's address, of the same family as the device's",
                text.value
            ),
        ),
    }
}

/// In their one order, each once.
fn names(list: Vec<Text>, key: &str, most: usize) -> Read<Vec<String>> {
    if let Some(more) = list.get(most) {
        return fail(more.at, format!("more than {most} {key}"));
    }
    for name in &list {
        if !is_site_name(&name.value) {
            let rule = format!("labels of a-z, 0-9, - with dots between, at most {SITE_NAME_BYTES} bytes");
            return fail(name.at, format!("bad name \"{}\": {rule}, as in a certificate (DNS:)", name.value));
        }
    }
    let mut names: Vec<String> = list.into_iter().map(|name| name.value).collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Texts of certificates, each of `each` at most.
fn pems(list: Vec<Text>, key: &str, most: usize, each: usize) -> Read<Vec<Pem>> {
    if let Some(more) = list.get(most) {
        return fail(more.at, format!("more than {most} {key}"));
    }
    list.into_iter()
        .map(|text| {
            let ders = ders(&text.value).filter(|ders| (1..=each).contains(&ders.len()));
            match ders {
                Some(ders) => Ok(Pem { text: text.value, ders }),
                None => fail(
                    text.at,
                    format!("{key}: 1 to {each} certificates as PEM, each of {SITE_CERTIFICATE_BYTES} bytes at most, are needed here"),
                ),
            }
        })
        .collect()
}

/// The certificates of a text: what is between their marks is base64 of DER (RFC 7468, section 5), and there is nothing else.
fn ders(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let end = rest.find(END)? + END.len();
        let (one, after) = rest.split_at(end);
        if !one.starts_with(BEGIN) {
            return None;
        }
        let (label, der) = pem_rfc7468::decode_vec(one.as_bytes()).ok()?;
        if label != "CERTIFICATE" || !is_sequence(&der) || der.len() > SITE_CERTIFICATE_BYTES {
            return None;
        }
        all.push(der);
        rest = after.trim_start();
    }
    Some(all)
}

/// One SEQUENCE of DER, as long as it says (X.690, 8.1.3). What is in it the device says.
fn is_sequence(der: &[u8]) -> bool {
    let (length, rest) = match der {
        [0x30, length @ 0..=0x7f, rest @ ..] | [0x30, 0x81, length @ 0x80..=0xff, rest @ ..] => {
            (usize::from(*length), rest)
        }
        [0x30, 0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return false,
    };
    rest.len() == length
}
