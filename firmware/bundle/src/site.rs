//! The site section: what a policy says of the isolated network that the device is read over (`docs/site.md`). The third file of
//! a bundle's contents, for policies that have one; without it no card of the device is ever up.

use core::net::IpAddr;

use heapless::Vec;
use minicbor::Encoder;
use minicbor::encode::Write;

use crate::cbor::{Canonical, Reader, Written};
use crate::limits::{
    SITE_AUTHORITIES, SITE_CERTIFICATE_BYTES, SITE_CHAIN, SITE_CHAINS, SITE_CLIENTS, SITE_INTERFACE_BYTES,
    SITE_NAME_BYTES, SITE_NAMES, SITE_PATH_BYTES, SITE_RATE,
};
use crate::manifest::strictly;
use crate::refusal::Reason;

/// Name of the site section among the contents.
pub const SITE: &str = "site";

/// Keys of the section's map (`docs/formats/bundle.cddl`).
mod key {
    pub(super) const INTERFACE: u8 = 1;
    pub(super) const ADDRESS: u8 = 2;
    pub(super) const GATEWAY: u8 = 3;
    pub(super) const PORT: u8 = 4;
    pub(super) const NAMES: u8 = 5;
    pub(super) const AUTHORITIES: u8 = 6;
    pub(super) const CHAINS: u8 = 7;
    pub(super) const VIEWERS: u8 = 8;
    pub(super) const OPERATORS: u8 = 9;
    pub(super) const RATE: u8 = 10;
    pub(super) const COLLECTOR: u8 = 11;
}

/// A certificate, DER; nobody looked into it yet.
pub type Certificate<'a> = &'a [u8];
/// A device's certificate, and what leads from it to the authority that clients know; the device's first.
pub type Chain<'a> = Vec<Certificate<'a>, SITE_CHAIN>;
/// Names of clients, strictly ascending.
pub type Clients<'a> = Vec<&'a str, SITE_CLIENTS>;

/// Who takes exports that the device pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector<'a> {
    /// Its address, as the device reaches it: nobody is asked for one.
    pub address: IpAddr,
    /// And its port.
    pub port: u16,
    /// A name of its certificate.
    pub name: &'a str,
    /// What the names of its resources begin with: see [`is_site_path`].
    pub path: &'a str,
    /// Who vouches for it; at least one.
    pub authorities: Vec<Certificate<'a>, SITE_AUTHORITIES>,
}

/// What a policy says of the site network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site<'a> {
    /// The card, as the kernel names it.
    pub interface: &'a str,
    /// The device's own address there, and the one that it listens at.
    pub address: IpAddr,
    /// How many bits of it are the network's.
    pub prefix: u8,
    /// Who leads out of that network; `None`: nobody.
    pub gateway: Option<IpAddr>,
    /// The port that it listens at.
    pub port: u16,
    /// Names that the device's certificate is asked for, beside its address; strictly ascending.
    pub names: Vec<&'a str, SITE_NAMES>,
    /// Who vouches for clients; at least one.
    pub authorities: Vec<Certificate<'a>, SITE_AUTHORITIES>,
    /// Certificates of devices: a device takes the first that is for its key.
    pub chains: Vec<Chain<'a>, SITE_CHAINS>,
    /// Clients that read health and metrics, by a name of their certificate.
    pub viewers: Clients<'a>,
    /// Clients that read events, too.
    pub operators: Clients<'a>,
    /// Requests a minute, of each client.
    pub rate: u32,
    /// Where exports are pushed to; `None`: nothing is pushed.
    pub collector: Option<Collector<'a>>,
}

impl<'a> Site<'a> {
    /// Reads the one section that `bytes` is. Strict: what would not be written is not read.
    ///
    /// # Errors
    /// [`Reason::BadSite`], and those of what is no CBOR.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Reason> {
        strictly(bytes, read, Self::is_possible).map_err(|reason| match reason {
            Reason::BadManifest => Reason::BadSite,
            other => other,
        })
    }

    /// Writes the section to the front of `out` and returns how many bytes it took; `None` when there is no room, or it would not be
    /// read again.
    #[cfg(feature = "build")]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let length = self.write_to(out)?;
        Site::decode(&out[..length]).is_ok().then_some(length)
    }

    /// What the types leave open.
    fn is_possible(&self) -> bool {
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        let is_certificate = |der: &&[u8]| !der.is_empty();
        is_interface(self.interface)
            && is_host(self.address)
            && (1..=bits).contains(&self.prefix)
            && self.gateway.is_none_or(|gateway| {
                is_host(gateway) && gateway != self.address && gateway.is_ipv4() == self.address.is_ipv4()
            })
            && self.port > 0
            && are_names(&self.names)
            && !self.authorities.is_empty()
            && self.authorities.iter().all(is_certificate)
            && self.chains.iter().all(|chain| !chain.is_empty() && chain.iter().all(is_certificate))
            && are_names(&self.viewers)
            && are_names(&self.operators)
            // One that may read events reads the rest anyhow: of each client there is one word.
            && !self.viewers.iter().any(|name| self.operators.contains(name))
            && (1..=SITE_RATE).contains(&self.rate)
            && self.collector.as_ref().is_none_or(|collector| {
                is_host(collector.address)
                    && collector.port > 0
                    && is_site_name(collector.name)
                    && is_site_path(collector.path)
                    && !collector.authorities.is_empty()
                    && collector.authorities.iter().all(is_certificate)
            })
    }
}

/// True when it can be the name of a network card: 1 to 15 letters, digits, `.`, `_`, `-`.
pub fn is_interface(name: &str) -> bool {
    (1..=SITE_INTERFACE_BYTES).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !matches!(name, "." | "..")
}

/// True when it can be a name of a certificate (RFC 5280, dNSName): labels of lower-case letters, digits and `-`, with dots between.
pub fn is_site_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= SITE_NAME_BYTES && name.split('.').all(is_label)
}

/// True when a single machine can have it.
pub fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// True when it can be the path that a collector's resources begin with (RFC 3986, section 3.3): absolute, with an end that a name can
/// follow, of letters, digits, `.`, `_`, `-` and `/`; no part of it is empty, or nothing but dots.
pub fn is_site_path(path: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            && part.bytes().any(|byte| byte != b'.')
    };
    path.len() <= SITE_PATH_BYTES
        && path.strip_prefix('/').is_some_and(|rest| {
            rest.is_empty() || rest.strip_suffix('/').is_some_and(|rest| rest.split('/').all(is_part))
        })
}

fn are_names(names: &[&str]) -> bool {
    names.is_sorted_by(|a, b| a < b) && names.iter().all(|name| is_site_name(name))
}

fn read<'a>(input: &mut Reader<'a>) -> Result<Site<'a>, Reason> {
    let entries = input.map_of(&[10, 11])?;
    input.key(key::INTERFACE)?;
    let interface = input.str(SITE_INTERFACE_BYTES)?;
    input.key(key::ADDRESS)?;
    if input.array(2)? != 2 {
        return Err(Reason::BadSite);
    }
    let address = address(input)?;
    let prefix = u8::try_from(input.u64()?).map_err(|_| Reason::BadSite)?;
    input.key(key::GATEWAY)?;
    let gateway = if input.null()? { None } else { Some(self::address(input)?) };
    input.key(key::PORT)?;
    let port = input.u16()?;
    let name = |input: &mut Reader<'a>| Ok(input.str(SITE_NAME_BYTES)?);
    let certificate = |input: &mut Reader<'a>| Ok(input.bytes(SITE_CERTIFICATE_BYTES)?);
    input.key(key::NAMES)?;
    let names = list(input, name)?;
    input.key(key::AUTHORITIES)?;
    let authorities = list(input, certificate)?;
    input.key(key::CHAINS)?;
    let chains = list(input, |input| list(input, certificate))?;
    input.key(key::VIEWERS)?;
    let viewers = list(input, name)?;
    input.key(key::OPERATORS)?;
    let operators = list(input, name)?;
    let rate = input.u32_at(key::RATE)?;
    let mut collector = None;
    if entries == 11 {
        input.key(key::COLLECTOR)?;
        if input.array(5)? != 5 {
            return Err(Reason::BadSite);
        }
        collector = Some(Collector {
            address: self::address(input)?,
            port: input.u16()?,
            name: input.str(SITE_NAME_BYTES)?,
            path: input.str(SITE_PATH_BYTES)?,
            authorities: list(input, certificate)?,
        });
    }
    Ok(Site {
        interface,
        address,
        prefix,
        gateway,
        port,
        names,
        authorities,
        chains,
        viewers,
        operators,
        rate,
        collector,
    })
}

fn address(input: &mut Reader<'_>) -> Result<IpAddr, Reason> {
    let bytes = input.bytes(16)?;
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).map(IpAddr::from).map_err(|_| Reason::BadSite)
}

fn list<'a, T, const N: usize>(
    input: &mut Reader<'a>,
    item: impl Fn(&mut Reader<'a>) -> Result<T, Reason>,
) -> Result<Vec<T, N>, Reason> {
    let mut items = Vec::new();
    for _ in 0..input.array(N)? {
        items.push(item(input)?).map_err(|_| Reason::BadSite)?;
    }
    Ok(items)
}

impl Canonical for Site<'_> {
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Written<W> {
        out.map(10 + u64::from(self.collector.is_some()))?;
        out.u8(key::INTERFACE)?.str(self.interface)?;
        out.u8(key::ADDRESS)?.array(2)?;
        write_address(out, self.address)?;
        out.u8(self.prefix)?;
        out.u8(key::GATEWAY)?;
        match self.gateway {
            Some(gateway) => write_address(out, gateway)?,
            None => drop(out.null()?),
        }
        out.u8(key::PORT)?.u16(self.port)?;
        out.u8(key::NAMES)?;
        write_names(out, &self.names)?;
        out.u8(key::AUTHORITIES)?;
        write_chain(out, &self.authorities)?;
        out.u8(key::CHAINS)?.array(self.chains.len() as u64)?;
        self.chains.iter().try_for_each(|chain| write_chain(out, chain))?;
        out.u8(key::VIEWERS)?;
        write_names(out, &self.viewers)?;
        out.u8(key::OPERATORS)?;
        write_names(out, &self.operators)?;
        out.u8(key::RATE)?.u32(self.rate)?;
        if let Some(collector) = &self.collector {
            out.u8(key::COLLECTOR)?.array(5)?;
            write_address(out, collector.address)?;
            out.u16(collector.port)?.str(collector.name)?.str(collector.path)?;
            write_chain(out, &collector.authorities)?;
        }
        Ok(())
    }
}

fn write_address<W: Write>(out: &mut Encoder<W>, address: IpAddr) -> Written<W> {
    match address {
        IpAddr::V4(v4) => out.bytes(&v4.octets())?,
        IpAddr::V6(v6) => out.bytes(&v6.octets())?,
    };
    Ok(())
}

fn write_names<W: Write>(out: &mut Encoder<W>, names: &[&str]) -> Written<W> {
    out.array(names.len() as u64)?;
    names.iter().try_for_each(|name| out.str(name).map(drop))
}

fn write_chain<W: Write>(out: &mut Encoder<W>, certificates: &[Certificate<'_>]) -> Written<W> {
    out.array(certificates.len() as u64)?;
    certificates.iter().try_for_each(|der| out.bytes(der).map(drop))
}
