//! TLS 1.3 alone, certificates on both sides always, nothing remembered between connections.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aegis_bundle::{Collector, Site};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The device's clock is not trusted to be right, only not to be earlier than what is known.
#[derive(Debug)]
struct Clock {
    /// Unix seconds.
    floor: u64,
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(UnixTime::since_unix_epoch(clock.max(std::time::Duration::from_secs(self.floor))))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn authorities(ders: &[&[u8]], whose: &str) -> Result<RootCertStore, String> {
    let mut authorities = RootCertStore::empty();
    for der in ders {
        let added = authorities.add(CertificateDer::from(der.to_vec()));
        added.map_err(|error| format!("bad-authority: {error} (a certificate of {whose})"))?;
    }
    Ok(authorities)
}

/// The device's certificate, with what leads to its authority, and its key.
fn own(
    site: &Site<'_>,
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain =
        crate::keep::chain_for(site, key).ok_or("no-certificate: none of the policy's is for this key")?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    Ok((chain, PrivatePkcs8KeyDer::from(key.to_vec()).into()))
}

fn bad_own(error: &rustls::Error) -> String {
    format!("bad-certificate: {error} (of `certificates`)")
}

/// What the connection to a collector is held to: the policy's authorities vouch for it by the policy's name, and the device shows its
/// certificate.
pub(crate) fn client(
    site: &Site<'_>,
    collector: &Collector<'_>,
    key: &[u8],
    floor: u64,
) -> Result<Arc<ClientConfig>, String> {
    let (chain, key) = own(site, key)?;
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(Clock { floor }))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities(&collector.authorities, "`authorities` of the collector")?)
        .with_client_auth_cert(chain, key)
        .map_err(|error| bad_own(&error))?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What every connection of a client's is held to; why it can't be had.
pub(crate) fn server(site: &Site<'_>, key: &[u8], floor: u64) -> Result<Arc<ServerConfig>, String> {
    let authorities = authorities(&site.authorities, "`client-authorities`")?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider())
        .build()
        .map_err(|error| format!("bad-authority: {error}"))?;
    let (chain, key) = own(site, key)?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(Clock { floor }))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|error| bad_own(&error))?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
