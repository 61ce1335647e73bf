//! Who asks, and how often: by the names that the policy has for clients, and by the addresses that connections come from. Tables
//! of fixed size; the time is passed in.

use std::net::IpAddr;
use std::time::Duration;

use aegis_bundle::Site;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::limits;
use crate::request::Role;

/// Fills at a rate, holds so much.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Thousandths of one that may be taken, times 60.
    level: u64,
    at: Duration,
}

/// What one of them is worth in a bucket.
const ONE: u64 = 60_000;

impl Bucket {
    const fn full(most: u32, at: Duration) -> Self {
        Self { level: most as u64 * ONE, at }
    }

    /// Takes one; else after how many seconds there is one.
    fn take(&mut self, per_minute: u32, most: u32, now: Duration) -> Result<(), u64> {
        let rate = u64::from(per_minute.max(1));
        let passed = u64::try_from(now.saturating_sub(self.at).as_millis()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(passed.saturating_mul(rate)).min(u64::from(most) * ONE);
        // What is less than a millisecond counts the next time: who asks more often than that has his rate, too.
        self.at = self.at.saturating_add(Duration::from_millis(passed)).min(now);
        match self.level.checked_sub(ONE) {
            Some(left) => {
                self.level = left;
                Ok(())
            }
            None => Err((ONE - self.level).div_ceil(rate * 1000).max(1)),
        }
    }
}

/// A client of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    role: Role,
    /// Of its bucket.
    index: usize,
}

impl Client {
    pub(super) const fn role(&self) -> Role {
        self.role
    }
}

/// Everybody whom the policy names, and nobody as one more.
pub(super) struct Who {
    named: Vec<(String, Role, Bucket)>,
    per_minute: u32,
    most: u32,
}

impl Who {
    pub(super) fn of(site: &Site<'_>) -> Self {
        let most = (site.rate.saturating_mul(limits::BURST_SECONDS) / 60).max(limits::BURST_LEAST);
        let of = |names: &[&str], role| {
            let full = Bucket::full(most, Duration::ZERO);
            names.iter().map(|name| ((*name).to_owned(), role, full)).collect::<Vec<_>>()
        };
        let nobody = of(&[""], Role::Nobody);
        let named = [of(&site.operators, Role::Operator), of(&site.viewers, Role::Viewer), nobody].concat();
        Self { named, per_minute: site.rate, most }
    }

    /// Whose certificate this is: rustls proved that an authority of the policy's vouches for it. Of several names that
    /// the policy knows the first of its own order counts, operators first.
    pub(super) fn client(&self, chain: Option<&[CertificateDer<'_>]>) -> Client {
        let nobody = Client { role: Role::Nobody, index: self.named.len() - 1 };
        let Some(own) = chain.and_then(<[_]>::first) else { return nobody };
        let Ok(certificate) = EndEntityCert::try_from(own) else { return nobody };
        let names: Vec<&str> = certificate.valid_dns_names().take(limits::PEERS).collect();
        let known = |name: &str| names.iter().any(|found| found.eq_ignore_ascii_case(name));
        let found = self.named.iter().position(|(name, ..)| known(name));
        found.map_or(nobody, |index| Client { role: self.named[index].1, index })
    }

    /// One request of it; else after how many seconds it may ask again.
    pub(super) fn take(&mut self, client: &Client, now: Duration) -> Result<(), u64> {
        let (per_minute, most) = (self.per_minute, self.most);
        self.named[client.index].2.take(per_minute, most, now)
    }
}

/// Where connections come from.
#[derive(Default)]
pub(super) struct Peers {
    known: Vec<Peer>,
    open: usize,
}

struct Peer {
    address: [u8; 8],
    open: usize,
    handshakes: Bucket,
}

/// An IPv4 address, or the network that an IPv6 address is of: who has one of it has them all.
fn network(address: IpAddr) -> [u8; 8] {
    let mut network = [0; 8];
    match address.to_canonical() {
        IpAddr::V4(v4) => network[4..].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => network.copy_from_slice(&v6.octets()[..8]),
    }
    network
}

impl Peers {
    /// One more connection from there; false: not now.
    pub(super) fn take(&mut self, address: IpAddr, now: Duration) -> bool {
        if self.open >= limits::CONNECTIONS {
            return false;
        }
        let address = network(address);
        let at = self.known.iter().position(|peer| peer.address == address).unwrap_or_else(|| {
            if self.known.len() >= limits::PEERS {
                // There are fewer connections than peers, so that one has none.
                let idle = self.known.iter().enumerate().filter(|(_, peer)| peer.open == 0);
                let quiet = idle.min_by_key(|(_, peer)| peer.handshakes.at).map(|(index, _)| index);
                self.known.swap_remove(quiet.unwrap_or(0));
            }
            let handshakes = Bucket::full(limits::HANDSHAKES_AT_ONCE, now);
            self.known.push(Peer { address, open: 0, handshakes });
            self.known.len() - 1
        });
        let peer = &mut self.known[at];
        let per_minute = limits::HANDSHAKES_PER_SECOND * 60;
        if peer.open >= limits::PEER_CONNECTIONS
            || peer.handshakes.take(per_minute, limits::HANDSHAKES_AT_ONCE, now).is_err()
        {
            return false;
        }
        peer.open += 1;
        self.open += 1;
        true
    }

    /// It is over.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        let address = network(address);
        if let Some(peer) = self.known.iter_mut().find(|peer| peer.address == address) {
            peer.open = peer.open.saturating_sub(1);
        }
        self.open = self.open.saturating_sub(1);
    }
}

const _: () = assert!(limits::CONNECTIONS < limits::PEERS);

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_bucket_gives_its_rate_and_says_when_there_is_more() {
        let mut bucket = Bucket::full(5, Duration::ZERO);
        for _ in 0..5 {
            assert_eq!(bucket.take(6, 5, Duration::ZERO), Ok(()));
        }
        assert_eq!(bucket.take(6, 5, Duration::ZERO), Err(10));
        assert_eq!(bucket.take(6, 5, seconds(4)), Err(6));
        assert_eq!(bucket.take(6, 5, seconds(10)), Ok(()));
        assert_eq!(bucket.take(6, 5, seconds(10)), Err(10));
        // A long rest is no credit beyond what it holds.
        for _ in 0..5 {
            assert_eq!(bucket.take(6, 5, seconds(1_000_000)), Ok(()));
        }
        assert!(bucket.take(6, 5, seconds(1_000_000)).is_err());
        // A clock that goes back takes nothing away, and gives nothing.
        assert!(bucket.take(6, 5, Duration::ZERO).is_err());
    }

    /// Found by wrk: what passes between two requests is less than what is counted in.
    #[test]
    fn who_asks_without_a_rest_has_his_rate_all_the_same() {
        let mut bucket = Bucket::full(1000, Duration::ZERO);
        let asked =
            (0..400_000).filter(|number| bucket.take(6000, 1000, Duration::from_micros(number * 50)).is_ok());
        // A burst, and 20 s of a hundred each.
        assert!((2999..=3000).contains(&asked.count()));
    }

    #[test]
    fn connections_are_bounded_by_address_and_in_all() {
        let mut peers = Peers::default();
        let address = |last| IpAddr::from([192, 0, 2, last]);
        for _ in 0..limits::PEER_CONNECTIONS {
            assert!(peers.take(address(1), Duration::ZERO));
        }
        assert!(!peers.take(address(1), Duration::ZERO), "another of the same");
        let mut open = limits::PEER_CONNECTIONS;
        for last in 2..=255 {
            open += usize::from(peers.take(address(last), Duration::ZERO));
        }
        assert_eq!((open, peers.open), (limits::CONNECTIONS, limits::CONNECTIONS));
        peers.give_back(address(1));
        assert!(peers.take(address(99), Duration::ZERO) && !peers.take(address(98), Duration::ZERO));
    }

    #[test]
    fn handshakes_of_one_address_do_not_take_anothers() {
        let mut peers = Peers::default();
        let (bad, good) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut taken = 0;
        for _ in 0..10_000 {
            if peers.take(bad, Duration::ZERO) {
                taken += 1;
                peers.give_back(bad);
            }
        }
        assert_eq!(taken, limits::HANDSHAKES_AT_ONCE);
        assert!(peers.take(good, Duration::ZERO));
        // All addresses of one network of IPv6 are one.
        let v6 = |last| IpAddr::from([0xfd00, 0, 0, 1, 0, 0, 0, last]);
        for last in 0..limits::HANDSHAKES_AT_ONCE {
            assert!(peers.take(v6(last as u16), Duration::ZERO));
            peers.give_back(v6(last as u16));
        }
        assert!(!peers.take(v6(999), Duration::ZERO));
        // Whoever comes, the table does not grow.
        for network in 0..1000 {
            let other = IpAddr::from([0xfd00, 1, 0, network, 0, 0, 0, 1]);
            assert!(peers.take(other, seconds(1)));
            peers.give_back(other);
        }
        assert!(peers.known.len() <= limits::PEERS);
    }
}
