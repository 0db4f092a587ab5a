//! Whether each device was there when that changed last. What the words mean is `broker`'s affair.

use std::borrow::Cow;
use std::sync::Arc;

/// What is kept of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRow {
    /// Its name.
    pub device_id: Arc<str>,
    /// `online` or `offline`.
    pub state: Cow<'static, str>,
    /// Since when, Unix ms.
    pub since_ms: i64,
    /// Why.
    pub reason: Cow<'static, str>,
    /// Of its last connection: IP address and port.
    pub address: String,
    /// Of its last connection: of MQTT.
    pub version: Cow<'static, str>,
    /// It came to another gateway, which lives.
    pub is_elsewhere: bool,
}

/// What there is to know of other gateways on the same database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// What others have saved since it was asked last; a row may come again.
    pub changed: Vec<PresenceRow>,
    /// Devices that were online at one that lives no more; they are this gateway's now.
    pub orphans: Vec<PresenceRow>,
    /// The database's clock, Unix ms: since when to ask the next time.
    pub asked_at_ms: i64,
}

/// Whether this gateway may say of others that they live no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burial {
    /// It has seen the database all the time that others need to give a sign.
    Allowed,
    /// It has not.
    TooEarly,
}
