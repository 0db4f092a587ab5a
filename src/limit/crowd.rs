//! Who is connected, by address: so that nobody fills a door that is everybody's, and nobody wears it out by coming and going.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::network;
use super::pace::{Pace, Rate};

/// After so many entries those are looked through that say nothing any more.
const SWEEP_EVERY: usize = 4096;

/// What one address may do.
#[derive(Clone, Copy, Debug)]
pub struct CrowdBounds {
    /// Connections at a time.
    pub open_max: usize,
    /// Connections a second, with a second's worth at once.
    pub per_second_max: u64,
}

impl CrowdBounds {
    /// Whatever an address likes.
    pub const NONE: CrowdBounds = CrowdBounds { open_max: usize::MAX, per_second_max: u64::MAX };
}

/// The connections of one door. Clones are one.
#[derive(Clone)]
pub struct Crowd(Arc<Inner>);

struct Inner {
    bounds: CrowdBounds,
    visitors: Mutex<Visitors>,
}

#[derive(Default)]
struct Visitors {
    by_network: HashMap<IpAddr, Visitor>,
    entries: usize,
}

struct Visitor {
    open: usize,
    pace: Pace,
}

/// Why an address may not come in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// It has as many connections as it may.
    Open,
    /// It comes too often.
    PerSecond,
}

/// One connection in the crowd, until it is dropped.
pub struct Guest {
    crowd: Crowd,
    network: IpAddr,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(bounds: CrowdBounds) -> Self {
        Crowd(Arc::new(Inner { bounds, visitors: Mutex::default() }))
    }

    /// Lets a connection of `address` in. This machine's own addresses have no bound.
    ///
    /// # Errors
    /// Which bound it meets. It counts as none then, and not against the rate.
    pub fn enter(&self, address: IpAddr, now: Instant) -> Result<Guest, TooMany> {
        let network = network(address);
        // Behind a proxy on this machine that does not say for whom it speaks, all come from here.
        let bounds = if network.is_loopback() { CrowdBounds::NONE } else { self.0.bounds };
        let mut visitors = self.visitors();
        visitors.sweep(now);
        let visitor = visitors.by_network.entry(network).or_insert_with(|| Visitor { open: 0, pace: Pace::new(now) });
        if visitor.open >= bounds.open_max {
            return Err(TooMany::Open);
        }
        if !visitor.pace.try_take(Rate::per_second(bounds.per_second_max), now) {
            return Err(TooMany::PerSecond);
        }
        visitor.open += 1;
        drop(visitors);
        Ok(Guest { crowd: self.clone(), network })
    }

    /// Nothing panics while it holds the lock.
    fn visitors(&self) -> MutexGuard<'_, Visitors> {
        self.0.visitors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitors {
    /// Forgets who has nothing open and was not here lately. An address stays for a second at most after its last connection, so there
    /// are never many more than connections.
    fn sweep(&mut self, now: Instant) {
        self.entries += 1;
        if self.entries >= SWEEP_EVERY {
            self.entries = 0;
            self.by_network.retain(|_, visitor| visitor.open > 0 || !visitor.pace.is_settled(now));
            self.by_network.shrink_to(self.by_network.len() * 2);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(visitor) = self.crowd.visitors().by_network.get_mut(&self.network) {
            visitor.open -= 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn crowd(open_max: usize, per_second_max: u64) -> Crowd {
        Crowd::new(CrowdBounds { open_max, per_second_max })
    }

    #[test]
    fn an_address_has_its_bound_and_others_have_theirs() {
        let (crowd, now) = (crowd(2, 1_000), Instant::now());
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let first = crowd.enter(one, now).ok().unwrap();
        let _second = crowd.enter(one, now).ok().unwrap();
        assert_eq!(crowd.enter(one, now).err(), Some(TooMany::Open));
        assert!(crowd.enter(other, now).is_ok());
        drop(first);
        assert!(crowd.enter(one, now).is_ok());
    }

    #[test]
    fn all_addresses_of_one_customer_count_as_one() {
        let (crowd, now) = (crowd(1, 1_000), Instant::now());
        let _guest = crowd.enter(address("2001:db8::1"), now).ok().unwrap();
        assert_eq!(crowd.enter(address("2001:db8::ffff:1"), now).err(), Some(TooMany::Open));
        assert!(crowd.enter(address("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn this_machine_has_no_bound() {
        let (crowd, now) = (crowd(1, 1), Instant::now());
        for loopback in ["127.0.0.1", "127.0.0.1", "::1", "::1", "::ffff:127.0.0.1"] {
            std::mem::forget(crowd.enter(address(loopback), now).ok().unwrap());
        }
    }

    #[test]
    fn who_comes_and_goes_meets_the_rate() {
        let (crowd, now) = (crowd(10, 3), Instant::now());
        let come_and_go = |now| crowd.enter(address("192.0.2.1"), now).map(drop);
        assert_eq!([(); 4].map(|()| come_and_go(now)), [Ok(()), Ok(()), Ok(()), Err(TooMany::PerSecond)]);
        assert_eq!(come_and_go(now + Duration::from_millis(400)), Ok(()));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (crowd, start) = (crowd(10, 10), Instant::now());
        let stays = crowd.enter(address("192.0.2.1"), start).ok();
        for number in 0..3 * SWEEP_EVERY as u32 {
            let now = start + Duration::from_millis(u64::from(number));
            let _ = crowd.enter(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number).into(), now);
        }
        let known = crowd.visitors().by_network.len();
        assert!(known <= SWEEP_EVERY + 200, "{known}");
        assert!(crowd.visitors().by_network.contains_key(&address("192.0.2.1")));
        drop(stays);
    }
}
