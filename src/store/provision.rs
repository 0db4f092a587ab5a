//! The registry filled and searched by the thousand.

use super::{AddError, Device, Engine, Found, NewDevice, State, Store, StoreError};

/// Which devices: those for which all holds that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// In this group.
    pub group: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Whose names begin so.
    pub prefix: Option<String>,
}

/// What is taken already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Names of devices.
    pub device_ids: Vec<String>,
    /// Ids of clients.
    pub client_ids: Vec<String>,
}

impl Store {
    /// Adds devices with their clients, all of them in one transaction or none; `done` hears how many are there so far.
    pub async fn add_devices(&self, devices: &[NewDevice], done: &(dyn Fn(usize) + Sync)) -> Result<(), AddError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.add_devices(&self.1, devices, done).await,
            // It takes as long as it takes: each statement has its own bound.
            Engine::Postgres(postgres) => postgres.add_devices(&self.1, devices, done).await,
        }
    }

    /// Which of these names and client ids are taken.
    pub async fn taken(&self, device_ids: &[&str], client_ids: &[&str]) -> Result<Taken, StoreError> {
        ask!(&self.0, taken(device_ids, client_ids))
    }

    /// Devices that a filter lets through, in the order of their names, after `after`, at most `limit`.
    pub async fn devices_of(
        &self,
        filter: &DeviceFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Device>, StoreError> {
        ask!(&self.0, devices_of(filter, after, limit))
    }

    /// Removes a device and its client. What it sent stays, under its name.
    pub async fn remove_device(&self, device_id: &str) -> Result<Found, StoreError> {
        ask!(&self.0, remove(&self.1, "DELETE FROM devices WHERE device_id = $1", device_id))
    }

    /// Removes a service and its client.
    pub async fn remove_service(&self, name: &str) -> Result<Found, StoreError> {
        ask!(&self.0, remove(&self.1, "DELETE FROM services WHERE name = $1", name))
    }
}
