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
}
