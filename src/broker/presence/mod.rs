//! Presence: which devices are online, told at `devices/{id}/status` and kept over restarts.
//!
//! Connections say when they begin and end, and wait for nothing: a short step of the [`Machine`] under its lock, whether the
//! database is there or not. One driver ([`keep_presence`]) tells and saves what has changed, a bounded number of devices at a time,
//! so that the lock is never held for the whole fleet. Who may read a status is the subscriber's grant's affair, and services have
//! none of their own.

mod driver;
mod machine;
mod status;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

pub use driver::keep_presence;
pub(super) use status::State;
use status::Status;

use driver::{clocks, load};
use machine::{ConnectionId, Machine};

use super::{Config, Ended, Ending, Hub, Metrics, SessionKey};
use crate::auth::Principal;
use crate::mqtt::Version;
use crate::store::{Met, Store, StoreError};

/// Which devices are online. Clones are one.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    machine: Mutex<Machine>,
    metrics: Metrics,
    /// Something is to be told, or another grace runs.
    to_tell: Notify,
    to_save: Notify,
}

/// A device's connection. Dropped, it has ended: without a word of why, as if the socket were gone.
pub struct Present {
    presence: Presence,
    device_id: Arc<str>,
    connection: ConnectionId,
    ending: Ending,
}

impl Presence {
    /// What an earlier process has saved: kept in the hub as it was told last. Whoever was online has the grace to come back.
    pub async fn open(config: &Config, store: &Store, hub: &Hub, metrics: Metrics) -> Result<Self, StoreError> {
        let machine = load(Machine::new(config.offline_grace), store, hub).await?;
        metrics.presence_online.set(gauge(machine.online()));
        let (to_tell, to_save) = (Notify::new(), Notify::new());
        Ok(Presence(Arc::new(Inner { machine: Mutex::new(machine), metrics, to_tell, to_save })))
    }

    /// A client has come in; of a device's connection its presence, of any other nothing.
    pub fn connected(&self, key: &SessionKey, peer: SocketAddr, version: Version) -> Option<Present> {
        let Principal::Device(device_id) = &key.principal else { return None };
        // As the client knows itself, whichever sort of socket it came through.
        let address = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let (_, now_ms) = clocks();
        let mut machine = self.machine();
        let (connection, change) = machine.handle_connected(device_id, address, version, now_ms);
        self.count(&machine, change, 1);
        drop(machine);
        self.0.to_tell.notify_one();
        self.0.to_save.notify_one();
        Some(Present { presence: self.clone(), device_id: device_id.clone(), connection, ending: Ending::Gone })
    }

    /// Lets so many devices at most go offline whose grace is over.
    fn handle_timeout(&self, now: Instant, devices_max: usize) {
        let mut machine = self.machine();
        let count = machine.handle_timeout(now, devices_max);
        self.count(&machine, (count > 0).then_some(State::Offline), count);
        drop(machine);
        if count > 0 {
            self.0.to_save.notify_one();
        }
    }

    /// What other gateways on the same database have saved.
    fn handle_met(&self, met: Met, now: Instant, now_ms: i64) {
        let mut machine = self.machine();
        for row in met.changed {
            if let Some(status) = Status::of_row(&row) {
                machine.handle_elsewhere(row.device_id, status);
            }
        }
        for row in met.orphans {
            if let Some(status) = Status::of_row(&row) {
                machine.handle_orphan(row.device_id, status, now, now_ms);
            }
        }
        self.0.metrics.presence_online.set(gauge(machine.online()));
        drop(machine);
        self.0.to_tell.notify_one();
    }

    fn count(&self, machine: &Machine, change: Option<State>, count: usize) {
        if let Some(state) = change {
            self.0.metrics.presence_changes.add(state, count as u64);
            self.0.metrics.presence_online.set(gauge(machine.online()));
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    /// The connection has ended. To be told before its session is given back, so that a connection that waits for the session comes
    /// after it.
    pub fn end(mut self, ended: Ended) {
        self.ending = ended.into();
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let (now, now_ms) = clocks();
        let Present { presence, device_id, connection, ending } = self;
        presence.machine().handle_ended(device_id, *connection, *ending, now, now_ms);
        presence.0.to_tell.notify_one();
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
