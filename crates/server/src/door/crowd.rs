//! How many may stand at the door unfinished, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::node::prefix;

/// Unfinished connections of one IPv4 address or one IPv6 /64: sixteen hosts are needed to take all
/// 1,024 places. Honest clients behind one address finish within two round trips, so at 600 ms of
/// 2G still 64 / 1.2 s = 53 a second pass.
const PER_ADDRESS_MAX: usize = 64;

/// Everybody who has not finished yet. 40 B for each address of those who stand there, as many as
/// there are places at most, and one that waits for a place: 41 KB by default.
#[derive(Debug)]
pub(crate) struct Crowd {
    places: Arc<Semaphore>,
    /// Places.
    all: u32,
    addresses: Arc<Addresses>,
}

#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, usize>>);

/// The right to stand at the door; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one_of_its_address: Stand,
    _one_of_all: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Stand {
    /// None for loopback.
    address: Option<IpAddr>,
    addresses: Arc<Addresses>,
}

impl Crowd {
    pub(crate) fn new(places: usize) -> Self {
        let all = u32::try_from(places).unwrap_or(u32::MAX);
        Self { places: Arc::new(Semaphore::new(places)), all, addresses: Arc::default() }
    }

    /// Waits until nobody stands there. Whoever comes meanwhile waits behind this.
    ///
    /// # Cancel safety
    /// Dropping the future lets those in who came.
    pub(crate) async fn is_gone(&self) {
        // The semaphore is never closed.
        drop(self.places.acquire_many(self.all).await);
    }

    /// A place for a connection from this address, for which it waits no longer than `patience`. At
    /// once none, if its address has its share already.
    ///
    /// # Errors
    /// The address has its share, or nobody else left in time.
    pub(super) async fn enter(&self, address: IpAddr, patience: Duration) -> Result<Place, Full> {
        let stand = self.stand(address).ok_or(Full::Address)?;
        match timeout(patience, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Place { _one_of_its_address: stand, _one_of_all: permit }),
            _ => Err(Full::Door),
        }
    }

    /// Loopback has no share of its own: tests, tools and a reverse proxy on the same machine come from
    /// there.
    fn stand(&self, address: IpAddr) -> Option<Stand> {
        let addresses = Arc::clone(&self.addresses);
        if address.to_canonical().is_loopback() {
            return Some(Stand { address: None, addresses });
        }
        let address = prefix(address);
        {
            let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= PER_ADDRESS_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Stand { address: Some(address), addresses })
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// For this address.
    Address,
    /// For anybody.
    Door,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn enter(crowd: &Crowd, address: &str) -> Result<Place, Full> {
        crowd.enter(address.parse().unwrap(), Duration::ZERO).await
    }

    #[tokio::test]
    async fn an_address_has_its_share_and_no_more() {
        let crowd = Crowd::new(1_024);
        for (same, another) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")] {
            let mut inside = Vec::new();
            for _ in 0..PER_ADDRESS_MAX {
                inside.push(enter(&crowd, same).await.unwrap());
            }
            assert_eq!(enter(&crowd, same).await.unwrap_err(), Full::Address);
            assert!(enter(&crowd, another).await.is_ok());
            inside.pop();
            let last = enter(&crowd, same).await.unwrap();
            assert_eq!(enter(&crowd, same).await.unwrap_err(), Full::Address);
            drop((inside, last));
        }
        let mut hosts = Vec::new();
        for host in 0..PER_ADDRESS_MAX {
            hosts.push(enter(&crowd, &format!("2001:db8::{host:x}")).await.unwrap());
        }
        assert_eq!(enter(&crowd, "2001:db8::ffff").await.unwrap_err(), Full::Address, "one /64");
        drop(hosts);
        assert!(crowd.addresses.0.lock().unwrap().is_empty(), "who left takes no room");
    }

    #[tokio::test]
    async fn loopback_is_bounded_by_the_door_alone() {
        let crowd = Crowd::new(PER_ADDRESS_MAX + 1);
        let mut inside = Vec::new();
        for _ in 0..=PER_ADDRESS_MAX {
            inside.push(enter(&crowd, "127.0.0.1").await.unwrap());
        }
        assert_eq!(enter(&crowd, "::1").await.unwrap_err(), Full::Door);
        assert_eq!(enter(&crowd, "192.0.2.1").await.unwrap_err(), Full::Door);
        inside.pop();
        assert!(enter(&crowd, "192.0.2.1").await.is_ok());
        assert!(crowd.addresses.0.lock().unwrap().is_empty(), "who was refused takes no room");
    }
}
