//! TLS 1.3 alone, client certificates always, nothing remembered between connections.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aegis_bundle::Site;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};

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

/// What every connection is held to; why it can't be had.
pub(super) fn config(site: &Site<'_>, key: &[u8], floor: u64) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = RootCertStore::empty();
    for der in &site.authorities {
        let added = authorities.add(CertificateDer::from(der.to_vec()));
        added.map_err(|error| format!("bad-authority: {error} (a certificate of `client-authorities`)"))?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
        .build()
        .map_err(|error| format!("bad-authority: {error}"))?;
    let chain =
        crate::keep::chain_for(site, key).ok_or("no-certificate: none of the policy's is for this key")?;
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
    let key = PrivatePkcs8KeyDer::from(key.to_vec());
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Clock { floor }))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key.into())
        .map_err(|error| format!("bad-certificate: {error} (of `certificates`)"))?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
