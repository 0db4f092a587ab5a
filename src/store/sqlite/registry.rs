//! Devices, services and clients in their tables.
//!
//! That `registry_version` grows and that a client goes with its holder is done by triggers, and so holds for whoever writes.

use super::Sqlite;
use super::audit::begin_as;
use super::writer::Transaction;
use crate::store::registry::{
    AddError, Client, Device, Found, Holder, Kind, NewDevice, NewService, Service, State, first_unknown,
    scopes_of_column,
};
use crate::store::{Actor, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

impl Sqlite {
    pub(in crate::store) async fn add_device(&self, actor: &Actor, device: &NewDevice) -> Result<Device, AddError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await.map_err(StoreError::from)?;
        let inserted = insert_device(&mut transaction, device).await;
        transaction.end(inserted).await.map_err(AddError::of)
    }

    pub(in crate::store) async fn device(&self, device_id: &str) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT n.id, d.* FROM devices d JOIN device_name n ON n.name = d.device_id WHERE d.device_id = ?";
        let row = sqlx::query(sql).bind(device_id).fetch_optional(&self.0.readers).await?;
        Ok(row.as_ref().map(device).transpose()?)
    }

    pub(in crate::store) async fn devices(&self, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError> {
        let sql = "SELECT n.id, d.* FROM devices d JOIN device_name n ON n.name = d.device_id
            WHERE d.device_id > ? ORDER BY d.device_id LIMIT ?";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(device).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn set_device_state(
        &self,
        actor: &Actor,
        device_id: &str,
        state: State,
    ) -> Result<Found, StoreError> {
        self.set_state(actor, "UPDATE devices SET state = ? WHERE device_id = ?", device_id, state).await
    }

    pub(in crate::store) async fn set_device_group(
        &self,
        actor: &Actor,
        ids: &[&str],
        group: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await?;
        // One text whatever the number of names is.
        let sql = "UPDATE devices SET device_group = ? WHERE device_id IN (SELECT value FROM json_each(?)) RETURNING device_id";
        let names = serde_json::to_string(ids).expect("strings are JSON");
        let changed = sqlx::query_scalar(sql).bind(group).bind(names).fetch_all(&mut transaction.connection).await;
        if let Ok(found) = &changed
            && let Some(unknown) = first_unknown(ids, found)
        {
            transaction.roll_back().await;
            return Ok(Some(unknown));
        }
        transaction.end(changed).await?;
        Ok(None)
    }

    pub(in crate::store) async fn add_service(&self, actor: &Actor, service: &NewService) -> Result<Service, AddError> {
        let mut writer = self.0.writer.lock().await;
        let mut transaction = begin_as(&mut writer, actor).await.map_err(StoreError::from)?;
        let inserted = insert_service(&mut transaction, service).await;
        transaction.end(inserted).await.map_err(AddError::of)
    }

    pub(in crate::store) async fn service(&self, name: &str) -> Result<Option<Service>, StoreError> {
        let sql = "SELECT s.*, c.client_id FROM services s JOIN clients c ON c.service = s.name WHERE s.name = ?";
        let row = sqlx::query(sql).bind(name).fetch_optional(&self.0.readers).await?;
        Ok(row.as_ref().map(service).transpose()?)
    }

    pub(in crate::store) async fn services(&self, after: Option<&str>, limit: u32) -> Result<Vec<Service>, StoreError> {
        let sql = "SELECT s.*, c.client_id FROM services s JOIN clients c ON c.service = s.name
            WHERE s.name > ? ORDER BY s.name LIMIT ?";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(limit).fetch_all(&self.0.readers).await?;
        Ok(rows.iter().map(service).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn set_service_state(
        &self,
        actor: &Actor,
        name: &str,
        state: State,
    ) -> Result<Found, StoreError> {
        self.set_state(actor, "UPDATE services SET state = ? WHERE name = ?", name, state).await
    }

    pub(in crate::store) async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        let sql = "SELECT c.client_id, c.device_id, c.service, c.secret_sha256, c.public_keys,
                c.old_secret_sha256, c.old_secret_until, coalesce(d.state, s.state) AS state, s.scopes
            FROM clients c LEFT JOIN devices d ON d.device_id = c.device_id LEFT JOIN services s ON s.name = c.service
            WHERE c.client_id = ?";
        let row = sqlx::query(sql).bind(client_id).fetch_optional(&self.0.readers).await?;
        Ok(row.as_ref().map(client).transpose()?)
    }

    pub(in crate::store) async fn set_client_keys(
        &self,
        actor: &Actor,
        kind: Kind,
        name: &str,
        public_keys: Option<&str>,
    ) -> Result<Found, StoreError> {
        let sql = match kind {
            Kind::Device => "UPDATE clients SET public_keys = ? WHERE device_id = ?",
            Kind::Service => "UPDATE clients SET public_keys = ? WHERE service = ?",
        };
        let changed = self.0.changed(actor, sqlx::query(sql).bind(public_keys).bind(name)).await?;
        Ok(Found::of_rows(changed))
    }

    pub(in crate::store) async fn not_enabled(&self, kind: Kind, names: &[&str]) -> Result<Vec<String>, StoreError> {
        let sql = match kind {
            Kind::Device => {
                "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT device_id FROM devices WHERE state = 'enabled')"
            }
            Kind::Service => {
                "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT name FROM services WHERE state = 'enabled')"
            }
        };
        let names = serde_json::to_string(names).expect("strings are JSON");
        Ok(sqlx::query_scalar(sql).bind(names).fetch_all(&self.0.readers).await?)
    }

    pub(in crate::store) async fn registry_version(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'registry_version'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.readers).await?)
    }

    pub(in crate::store) async fn identity_version(&self) -> Result<i64, StoreError> {
        let sql = "SELECT value FROM meta WHERE key = 'identity_version'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.readers).await?)
    }

    async fn set_state(&self, actor: &Actor, sql: &'static str, name: &str, state: State) -> Result<Found, StoreError> {
        let changed = self.0.changed(actor, sqlx::query(sql).bind(state.as_str()).bind(name)).await?;
        Ok(Found::of_rows(changed))
    }
}

pub(super) async fn insert_device(transaction: &mut Transaction<'_>, new: &NewDevice) -> sqlx::Result<Device> {
    let connection = &mut transaction.connection;
    let sql = "INSERT INTO devices (device_id, state, key_version_min, created_at, device_group, issuer) VALUES (?, ?, ?, ?, ?, ?)";
    let device = sqlx::query(sql).bind(&*new.device_id).bind(State::Enabled.as_str()).bind(new.key_version_min);
    let device = device.bind(new.created_at_ms).bind(new.group.as_deref()).bind(new.issuer.as_deref());
    device.execute(&mut *connection).await?;
    let client = sqlx::query("INSERT INTO clients (client_id, device_id, secret_sha256) VALUES (?, ?, ?)");
    let client = client.bind(&new.client_id).bind(&*new.device_id).bind(&new.secret_sha256[..]);
    client.execute(&mut *connection).await?;
    let name = sqlx::query_scalar("SELECT id FROM device_name WHERE name = ?").bind(&*new.device_id);
    Ok(new.added(name.fetch_one(connection).await?))
}

async fn insert_service(transaction: &mut Transaction<'_>, new: &NewService) -> sqlx::Result<Service> {
    let connection = &mut transaction.connection;
    let sql = "INSERT INTO services (name, scopes, state, created_at, issuer) VALUES (?, ?, ?, ?, ?)";
    let service = sqlx::query(sql).bind(&new.name).bind(new.scopes.join(" ")).bind(State::Enabled.as_str());
    service.bind(new.created_at_ms).bind(new.issuer.as_deref()).execute(&mut *connection).await?;
    let client = sqlx::query("INSERT INTO clients (client_id, service, secret_sha256) VALUES (?, ?, ?)");
    client.bind(&new.client_id).bind(&new.name).bind(&new.secret_sha256[..]).execute(connection).await?;
    Ok(new.added())
}

pub(super) fn device(row: &SqliteRow) -> sqlx::Result<Device> {
    Ok(Device {
        row: row.try_get("id")?,
        device_id: Arc::from(row.try_get::<&str, _>("device_id")?),
        state: state(row)?,
        key_version_min: row.try_get("key_version_min")?,
        group: row.try_get::<Option<&str>, _>("device_group")?.map(Arc::from),
        issuer: row.try_get::<Option<&str>, _>("issuer")?.map(Arc::from),
        created_at_ms: row.try_get("created_at")?,
    })
}

fn service(row: &SqliteRow) -> sqlx::Result<Service> {
    Ok(Service {
        name: row.try_get("name")?,
        client_id: row.try_get("client_id")?,
        scopes: scopes(row)?,
        issuer: row.try_get::<Option<&str>, _>("issuer")?.map(Arc::from),
        state: state(row)?,
        created_at_ms: row.try_get("created_at")?,
    })
}

fn client(row: &SqliteRow) -> sqlx::Result<Client> {
    let device: Option<&str> = row.try_get("device_id")?;
    let holder = match device {
        Some(device_id) => Holder::Device { device_id: device_id.into() },
        None => Holder::Service { name: row.try_get("service")?, scopes: scopes(row)? },
    };
    let secret: &[u8] = row.try_get("secret_sha256")?;
    let secret_sha256 = secret.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Client {
        client_id: row.try_get("client_id")?,
        holder,
        secret_sha256,
        old_secret: old_secret(row)?,
        public_keys: row.try_get("public_keys")?,
        state: state(row)?,
    })
}

fn old_secret(row: &SqliteRow) -> sqlx::Result<Option<([u8; 32], i64)>> {
    let (hash, until): (Option<&[u8]>, Option<i64>) =
        (row.try_get("old_secret_sha256")?, row.try_get("old_secret_until")?);
    let hash = hash.map(|hash| hash.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))).transpose()?;
    Ok(hash.zip(until))
}

fn state(row: &SqliteRow) -> sqlx::Result<State> {
    Ok(State::of_column(row.try_get("state")?))
}

fn scopes(row: &SqliteRow) -> sqlx::Result<Vec<String>> {
    Ok(scopes_of_column(row.try_get("scopes")?))
}
