//! A host that runs fleets: it gives each device a socket, a login, a clock and, if asked to, faults.
//!
//! Tokens are fetched with the crate `oauth2`, packets made and read with the codec of `rumqttc`, and what a fault must lead to is
//! derived from what was changed: nothing here is the gateway's own code, so that the two can be held against each other.
//!
//! | module | what happens there |
//! |---|---|
//! | `settings` | what fleet, where, how fast, with which faults |
//! | `credentials` | what `sealgate device add` printed |
//! | `sensor` | readings that look like some |
//! | `fault`, `forge` | what can go wrong, how it is done to an envelope, and what the specification says of it |
//! | `unit` | one device: readings in, messages out, acknowledgements and receipts back; pure |
//! | `driver`, `connection`, `pace`, `token`, `link` | one device's clock, socket, rate, login and language |
//! | `fleet` | all of them |
//! | `tally`, `ledger`, `summary` | what was sent and acknowledged: counted, written down, told |

mod connection;
mod credentials;
mod driver;
mod fault;
mod fleet;
mod forge;
pub mod http;
mod ledger;
mod link;
mod pace;
mod sensor;
mod settings;
mod summary;
mod tally;
mod token;
mod unit;

pub use credentials::{BadCredentials, Credentials};
pub use fault::{BadFault, Expected, Fault, FaultRates};
pub use fleet::Fleet;
pub use ledger::{Acknowledged, Ledger};
pub use link::MqttVersion;
pub use settings::{
    Account, BadSettings, Content, Encodings, GatewayPolicy, KeepUntil, MqttVersions, PAYLOAD_BYTES_MAX, PubAck,
    RATE_MAX, Settings,
};
pub use summary::{Row, Summary};
pub use tally::{Cell, Counts, Receipts, Tally};
