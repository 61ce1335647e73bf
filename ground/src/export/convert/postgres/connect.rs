//! To the server: a socket of this host, or a network that the caller vouches for.

use std::net::IpAddr;
use std::time::Duration;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};

use crate::outcome::Failure;

/// How long to wait for a server, seconds.
const TIMEOUT: u64 = 10;

/// Connects. The password comes from the URL or from `PGPASSWORD`, which other users of this host can't see.
pub(super) fn connect(url: &str) -> Result<Client, Failure> {
    let mut config: Config = url.parse().map_err(|error: postgres::Error| {
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Failure::usage(format!(
            "--database: {why}; a URL is needed, as postgresql:///evidence?host=/run/postgresql"
        ))
    })?;
    allowed(&config)?;
    if config.get_password().is_none()
        && let Some(password) = std::env::var_os("PGPASSWORD")
    {
        config.password(password.as_encoded_bytes());
    }
    if config.get_hosts().is_empty() {
        config.host("/run/postgresql");
    }
    config.connect_timeout(Duration::from_secs(TIMEOUT)).application_name("aegisctl");
    config.connect(NoTls).map_err(|error| {
        // The first line of what went wrong is what helps: connection refused, no such database.
        let mut why = super::failed(&error).message().to_owned();
        if let Some(source) = std::error::Error::source(&error)
            && error.as_db_error().is_none()
        {
            why = format!("{why}: {source}");
        }
        Failure::usage(why)
    })
}

/// There is no TLS in here: evidence and password go over a network only when the caller says that it is private.
fn allowed(config: &Config) -> Result<(), Failure> {
    if config.get_ssl_mode() == SslMode::Require {
        let why = "--database: aegisctl speaks no TLS; use a tunnel (ssh -L) or a socket of this host";
        return Err(Failure::usage(why));
    }
    let local =
        |name: &str| name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => local(name),
    });
    let numbered = config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    if (named && numbered) || config.get_ssl_mode() == SslMode::Disable {
        return Ok(());
    }
    Err(Failure::usage(
        "--database: aegisctl speaks no TLS and this server is on a network; use a tunnel (ssh -L), or add \
         sslmode=disable to the URL if nobody else is on that network",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_does_not_go_over_a_network_in_the_clear_unasked() {
        for (url, expected) in [
            ("postgresql:///evidence?host=/run/postgresql", true),
            ("postgresql://me@localhost/evidence", true),
            ("postgresql://me@127.0.0.1:5433/evidence", true),
            ("host=::1 dbname=evidence", true),
            ("postgresql://me@db.example/evidence", false),
            ("postgresql://me@10.0.0.7/evidence", false),
            ("host=localhost hostaddr=10.0.0.7 dbname=evidence", false),
            ("postgresql://me@localhost,db.example/evidence", false),
            ("postgresql://me@db.example/evidence?sslmode=disable", true),
            ("postgresql://me@localhost/evidence?sslmode=require", false),
        ] {
            let config = url.parse().expect(url);
            assert_eq!(allowed(&config).is_ok(), expected, "{url}");
        }
    }
}
