//! What a failed login costs: the answer to it waits, longer each time, by the name it came under and by the address it came from.
//!
//! The failure alone waits (see [`Pauses`]): a good token or secret comes in at once, whatever others do in its name.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Config;
use crate::limit::{Pauses, network};
use crate::metrics::{CountBy, label};

/// What is remembered of a name. Device ids and client ids are shorter; what is longer is one of nobody.
const NAME_BYTES_MAX: usize = 256;

/// By what a failed login has to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PausedBy {
    /// The address it came from.
    Address,
    /// The device, service or client whose name it came under.
    Name,
}

label! { PausedBy as "by": Address = "address", Name = "name" }

/// The failures of late.
pub(crate) struct FailedLogins {
    by_address: Pauses<IpAddr>,
    by_name: Pauses<Box<str>>,
    paused: CountBy<PausedBy>,
}

impl FailedLogins {
    pub(crate) fn new(config: &Config, paused: CountBy<PausedBy>) -> Self {
        let pause_max = config.failed_login_pause_max;
        FailedLogins {
            by_address: Pauses::new(config.failed_logins_free_per_address, pause_max),
            by_name: Pauses::new(config.failed_logins_free_per_device, pause_max),
            paused,
        }
    }

    /// How long the answer waits.
    pub(crate) fn failed(&self, name: &str, from: IpAddr, now: Instant) -> Duration {
        let (pause, by) = self.entered(name, from, now);
        if !pause.is_zero() {
            self.paused.inc(by);
        }
        pause
    }

    /// Enters a failure, and says how long its answer should wait, and for what.
    pub(crate) fn entered(&self, name: &str, from: IpAddr, now: Instant) -> (Duration, PausedBy) {
        let by_address = self.by_address.failed(network(from), now);
        // Who gives no name is known by his address alone.
        let named = (1..=NAME_BYTES_MAX).contains(&name.len());
        let by_name = if named { self.by_name.failed(name.into(), now) } else { Duration::ZERO };
        if by_name > by_address { (by_name, PausedBy::Name) } else { (by_address, PausedBy::Address) }
    }

    /// A name has proved to be whose it is; its address has one failure less, since many may share that.
    pub(crate) fn succeeded(&self, name: &str, from: IpAddr, now: Instant) {
        self.by_name.succeeded(name);
        self.by_address.forgive_one(&network(from), now);
    }
}
