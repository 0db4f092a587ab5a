//! The registry by the thousand, in its tables.

use super::Postgres;
use super::audit::begin_as;
use super::registry::device;
use crate::store::provision::{DeviceFilter, Taken};
use crate::store::{Actor, AddError, Device, Found, NewDevice, StoreError};
use sqlx::{PgConnection, QueryBuilder};

/// Devices of one statement.
const STEP: usize = 2_000;

impl Postgres {
    pub(in crate::store) async fn add_devices(
        &self,
        actor: &Actor,
        devices: &[NewDevice],
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<(), AddError> {
        let mut transaction = begin_as(&self.0.pool, actor).await.map_err(StoreError::from)?;
        for (place, part) in devices.chunks(STEP).enumerate() {
            insert(&mut transaction, part).await.map_err(AddError::of)?;
            done(place * STEP + part.len());
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    pub(in crate::store) async fn taken(&self, device_ids: &[&str], client_ids: &[&str]) -> Result<Taken, StoreError> {
        let devices = "SELECT device_id FROM devices WHERE device_id = ANY($1)";
        let clients = "SELECT client_id FROM clients WHERE client_id = ANY($1)";
        Ok(Taken {
            device_ids: sqlx::query_scalar(devices).bind(device_ids).fetch_all(&self.0.pool).await?,
            client_ids: sqlx::query_scalar(clients).bind(client_ids).fetch_all(&self.0.pool).await?,
        })
    }

    pub(in crate::store) async fn devices_of(
        &self,
        filter: &DeviceFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Device>, StoreError> {
        let mut query = QueryBuilder::new(
            "SELECT n.id, d.device_id, d.state, d.key_version_min, to_ms(d.created_at), d.device_group, d.issuer
            FROM devices d JOIN device_name n ON n.name = d.device_id WHERE d.device_id > ",
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
            query.push(" AND starts_with(d.device_id, ").push_bind(prefix.clone());
            query.push(") AND d.device_id >= ").push_bind(prefix.clone());
        }
        query.push(" ORDER BY d.device_id LIMIT ").push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(device).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn remove(
        &self,
        actor: &Actor,
        sql: &'static str,
        name: &str,
    ) -> Result<Found, StoreError> {
        let removed = self.changed(actor, sqlx::query(sql).bind(name)).await?;
        Ok(Found::of_rows(removed))
    }
}

async fn insert(connection: &mut PgConnection, devices: &[NewDevice]) -> sqlx::Result<()> {
    let ids: Vec<&str> = devices.iter().map(|device| &*device.device_id).collect();
    let sql = "INSERT INTO devices (device_id, state, key_version_min, created_at, device_group, issuer)
        SELECT id, 'enabled', lowest, from_ms(made), device_group, issuer
        FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::text[], $5::text[])
            AS new (id, lowest, made, device_group, issuer)";
    let insert = sqlx::query(sql).bind(&ids);
    let insert = insert.bind(devices.iter().map(|device| i16::from(device.key_version_min)).collect::<Vec<_>>());
    let insert = insert.bind(devices.iter().map(|device| device.created_at_ms).collect::<Vec<_>>());
    let insert = insert.bind(devices.iter().map(|device| device.group.as_deref()).collect::<Vec<_>>());
    let insert = insert.bind(devices.iter().map(|device| device.issuer.as_deref()).collect::<Vec<_>>());
    insert.execute(&mut *connection).await?;
    let sql = "INSERT INTO clients (client_id, device_id, secret_sha256)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])";
    let insert = sqlx::query(sql).bind(devices.iter().map(|device| &*device.client_id).collect::<Vec<_>>()).bind(ids);
    let insert = insert.bind(devices.iter().map(|device| &device.secret_sha256[..]).collect::<Vec<_>>());
    insert.execute(connection).await?;
    Ok(())
}
