//! The registry by the thousand, in its tables.

use super::Sqlite;
use super::audit::begin_as;
use super::registry::{device, insert_device};
use crate::store::provision::{DeviceFilter, Taken};
use crate::store::{Actor, AddError, Device, Found, NewDevice, StoreError};
use sqlx::QueryBuilder;

/// Devices between two words to whoever waits.
const STEP: usize = 1_000;

impl Sqlite {
    pub(in crate::store) async fn add_devices(
        &self,
        actor: &Actor,
        devices: &[NewDevice],
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<(), AddError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await.map_err(StoreError::from)?;
        let mut inserted = Ok(());
        for (place, device) in devices.iter().enumerate() {
            inserted = insert_device(&mut transaction, device).await.map(|_| ());
            if inserted.is_err() {
                break;
            }
            if (place + 1) % STEP == 0 {
                done(place + 1);
            }
        }
        transaction.end(inserted).await.map_err(AddError::of)
    }

    pub(in crate::store) async fn taken(&self, device_ids: &[&str], client_ids: &[&str]) -> Result<Taken, StoreError> {
        let json = |names: &[&str]| serde_json::to_string(names).expect("strings are JSON");
        let devices = "SELECT device_id FROM devices WHERE device_id IN (SELECT value FROM json_each(?))";
        let clients = "SELECT client_id FROM clients WHERE client_id IN (SELECT value FROM json_each(?))";
        Ok(Taken {
            device_ids: sqlx::query_scalar(devices).bind(json(device_ids)).fetch_all(&self.0.readers).await?,
            client_ids: sqlx::query_scalar(clients).bind(json(client_ids)).fetch_all(&self.0.readers).await?,
        })
    }

    pub(in crate::store) async fn devices_of(
        &self,
        filter: &DeviceFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Device>, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT n.id, d.* FROM devices d JOIN device_name n ON n.name = d.device_id WHERE d.device_id > ",
        );
        query.push_bind(after.unwrap_or("").to_owned());
        let DeviceFilter { group, state, prefix } = filter;
        if let Some(group) = group {
            query.push(" AND d.device_group = ").push_bind(group.clone());
        }
        if let Some(state) = state {
            query.push(" AND d.state = ").push_bind(state.as_str());
        }
        if let Some(prefix) = prefix {
            query.push(" AND substr(d.device_id, 1, length(").push_bind(prefix.clone());
            query.push(")) = ").push_bind(prefix.clone());
            query.push(" AND d.device_id >= ").push_bind(prefix.clone());
        }
        query.push(" ORDER BY d.device_id LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(device).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn remove(
        &self,
        actor: &Actor,
        sql: &'static str,
        name: &str,
    ) -> Result<Found, StoreError> {
        let removed = self.0.changed(actor, sqlx::query(sql).bind(name)).await?;
        Ok(Found::of_rows(removed))
    }
}
