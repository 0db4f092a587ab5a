//! Bounds in time and by address: how fast somebody may be, how many may come from one place, how long a failure waits for its answer.
//!
//! Each is pure, or a value behind a lock to which the drivers say what time it is. What is counted, and what is answered, is the
//! affair of the doors that ask here.

mod crowd;
mod pace;
mod pauses;

pub use crowd::{Crowd, CrowdBounds, Guest, TooMany};
pub use pace::{Pace, Rate};
pub use pauses::Pauses;

use std::net::{IpAddr, Ipv6Addr};

/// Whom an address belongs to, as far as it shows. One customer of a provider has a whole /64 of IPv6 (RFC 6177), and so counts as one.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        four @ IpAddr::V4(_) => four,
        this @ IpAddr::V6(Ipv6Addr::LOCALHOST) => this,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_an_address_of_version_4_or_half_of_one_of_version_6() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::1"), "::1");
    }
}
