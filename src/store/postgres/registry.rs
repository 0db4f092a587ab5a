//! Devices, services and clients in their tables.
//!
//! That `registry_version` grows and that a client goes with its holder is done by the database, and so holds for whoever writes.

use super::Postgres;
use super::audit::begin_as;
use crate::store::registry::{
    AddError, Client, Device, Found, Holder, Kind, NewDevice, NewService, Service, State, first_unknown,
    scopes_of_column,
};
use crate::store::{Actor, StoreError};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use std::sync::Arc;

impl Postgres {
    pub(in crate::store) async fn add_device(&self, actor: &Actor, device: &NewDevice) -> Result<Device, AddError> {
        let mut transaction = begin_as(&self.0.pool, actor).await.map_err(StoreError::from)?;
        let device = insert_device(&mut transaction, device).await.map_err(AddError::of)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(device)
    }

    pub(in crate::store) async fn device(&self, device_id: &str) -> Result<Option<Device>, StoreError> {
        let sql = "SELECT n.id, d.device_id, d.state, d.key_version_min, to_ms(d.created_at), d.device_group, d.issuer
            FROM devices d JOIN device_name n ON n.name = d.device_id WHERE d.device_id = $1";
        let row = sqlx::query(sql).bind(device_id).fetch_optional(&self.0.pool).await?;
        Ok(row.as_ref().map(device).transpose()?)
    }

    pub(in crate::store) async fn devices(&self, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError> {
        let sql = "SELECT n.id, d.device_id, d.state, d.key_version_min, to_ms(d.created_at), d.device_group, d.issuer
            FROM devices d JOIN device_name n ON n.name = d.device_id
            WHERE d.device_id > $1 ORDER BY d.device_id LIMIT $2";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(device).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn set_device_state(
        &self,
        actor: &Actor,
        device_id: &str,
        state: State,
    ) -> Result<Found, StoreError> {
        self.set_state(actor, "UPDATE devices SET state = $1 WHERE device_id = $2", device_id, state).await
    }

    pub(in crate::store) async fn set_device_group(
        &self,
        actor: &Actor,
        ids: &[&str],
        group: Option<&str>,
    ) -> Result<Option<String>, StoreError> {
        let mut transaction = begin_as(&self.0.pool, actor).await?;
        let sql = "UPDATE devices SET device_group = $1 WHERE device_id = ANY($2) RETURNING device_id";
        let changed = sqlx::query_scalar(sql).bind(group).bind(ids).fetch_all(&mut *transaction).await?;
        let unknown = first_unknown(ids, &changed);
        match unknown {
            Some(_) => transaction.rollback().await?,
            None => transaction.commit().await?,
        }
        Ok(unknown)
    }

    pub(in crate::store) async fn add_service(&self, actor: &Actor, service: &NewService) -> Result<Service, AddError> {
        let mut transaction = begin_as(&self.0.pool, actor).await.map_err(StoreError::from)?;
        let service = insert_service(&mut transaction, service).await.map_err(AddError::of)?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(service)
    }

    pub(in crate::store) async fn service(&self, name: &str) -> Result<Option<Service>, StoreError> {
        let sql = "SELECT s.name, c.client_id, s.scopes, s.state, to_ms(s.created_at) AS created_at, s.issuer
            FROM services s JOIN clients c ON c.service = s.name WHERE s.name = $1";
        let row = sqlx::query(sql).bind(name).fetch_optional(&self.0.pool).await?;
        Ok(row.as_ref().map(service).transpose()?)
    }

    pub(in crate::store) async fn services(&self, after: Option<&str>, limit: u32) -> Result<Vec<Service>, StoreError> {
        let sql = "SELECT s.name, c.client_id, s.scopes, s.state, to_ms(s.created_at) AS created_at, s.issuer
            FROM services s JOIN clients c ON c.service = s.name WHERE s.name > $1 ORDER BY s.name LIMIT $2";
        let rows = sqlx::query(sql).bind(after.unwrap_or("")).bind(i64::from(limit)).fetch_all(&self.0.pool).await?;
        Ok(rows.iter().map(service).collect::<sqlx::Result<_>>()?)
    }

    pub(in crate::store) async fn set_service_state(
        &self,
        actor: &Actor,
        name: &str,
        state: State,
    ) -> Result<Found, StoreError> {
        self.set_state(actor, "UPDATE services SET state = $1 WHERE name = $2", name, state).await
    }

    pub(in crate::store) async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        let sql =
            "SELECT c.client_id, c.device_id, c.service, c.secret_sha256, c.public_keys,
                c.old_secret_sha256, to_ms(c.old_secret_until) AS old_secret_until, coalesce(d.state, s.state) AS state, s.scopes
            FROM clients c LEFT JOIN devices d ON d.device_id = c.device_id LEFT JOIN services s ON s.name = c.service
            WHERE c.client_id = $1";
        let row = sqlx::query(sql).bind(client_id).fetch_optional(&self.0.pool).await?;
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
            Kind::Device => "UPDATE clients SET public_keys = $1 WHERE device_id = $2",
            Kind::Service => "UPDATE clients SET public_keys = $1 WHERE service = $2",
        };
        let changed = self.changed(actor, sqlx::query(sql).bind(public_keys).bind(name)).await?;
        Ok(Found::of_rows(changed))
    }

    pub(in crate::store) async fn not_enabled(&self, kind: Kind, names: &[&str]) -> Result<Vec<String>, StoreError> {
        let sql = match kind {
            Kind::Device => {
                "SELECT n FROM unnest($1::text[]) n
                WHERE NOT EXISTS (SELECT FROM devices WHERE device_id = n AND state = 'enabled')"
            }
            Kind::Service => {
                "SELECT n FROM unnest($1::text[]) n
                WHERE NOT EXISTS (SELECT FROM services WHERE name = n AND state = 'enabled')"
            }
        };
        Ok(sqlx::query_scalar(sql).bind(names).fetch_all(&self.0.pool).await?)
    }

    pub(in crate::store) async fn registry_version(&self) -> Result<i64, StoreError> {
        let sql = "SELECT number FROM meta WHERE key = 'registry_version'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.pool).await?)
    }

    pub(in crate::store) async fn identity_version(&self) -> Result<i64, StoreError> {
        let sql = "SELECT number FROM meta WHERE key = 'identity_version'";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.0.pool).await?)
    }

    async fn set_state(&self, actor: &Actor, sql: &'static str, name: &str, state: State) -> Result<Found, StoreError> {
        let changed = self.changed(actor, sqlx::query(sql).bind(state.as_str()).bind(name)).await?;
        Ok(Found::of_rows(changed))
    }
}

async fn insert_device(connection: &mut PgConnection, new: &NewDevice) -> sqlx::Result<Device> {
    let sql = "INSERT INTO devices (device_id, state, key_version_min, created_at, device_group, issuer)
        VALUES ($1, $2, $3, from_ms($4), $5, $6)";
    let device = sqlx::query(sql).bind(&*new.device_id).bind(State::Enabled.as_str());
    let device = device.bind(i16::from(new.key_version_min)).bind(new.created_at_ms).bind(new.group.as_deref());
    device.bind(new.issuer.as_deref()).execute(&mut *connection).await?;
    let client = sqlx::query("INSERT INTO clients (client_id, device_id, secret_sha256) VALUES ($1, $2, $3)");
    let client = client.bind(&new.client_id).bind(&*new.device_id).bind(&new.secret_sha256[..]);
    client.execute(&mut *connection).await?;
    let name = sqlx::query_scalar("SELECT id::bigint FROM device_name WHERE name = $1").bind(&*new.device_id);
    Ok(new.added(name.fetch_one(connection).await?))
}

async fn insert_service(connection: &mut PgConnection, new: &NewService) -> sqlx::Result<Service> {
    let sql = "INSERT INTO services (name, scopes, state, created_at, issuer) VALUES ($1, $2, $3, from_ms($4), $5)";
    let service = sqlx::query(sql).bind(&new.name).bind(new.scopes.join(" ")).bind(State::Enabled.as_str());
    service.bind(new.created_at_ms).bind(new.issuer.as_deref()).execute(&mut *connection).await?;
    let client = sqlx::query("INSERT INTO clients (client_id, service, secret_sha256) VALUES ($1, $2, $3)");
    client.bind(&new.client_id).bind(&new.name).bind(&new.secret_sha256[..]).execute(connection).await?;
    Ok(new.added())
}

pub(super) fn device(row: &PgRow) -> sqlx::Result<Device> {
    let (id, key_version_min): (i32, i16) = (row.try_get(0)?, row.try_get(3)?);
    Ok(Device {
        row: id.into(),
        device_id: Arc::from(row.try_get::<&str, _>(1)?),
        state: state(row)?,
        key_version_min: u8::try_from(key_version_min).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        group: row.try_get::<Option<&str>, _>(5)?.map(Arc::from),
        issuer: row.try_get::<Option<&str>, _>(6)?.map(Arc::from),
        created_at_ms: row.try_get(4)?,
    })
}

fn service(row: &PgRow) -> sqlx::Result<Service> {
    Ok(Service {
        name: row.try_get("name")?,
        client_id: row.try_get("client_id")?,
        scopes: scopes(row)?,
        issuer: row.try_get::<Option<&str>, _>("issuer")?.map(Arc::from),
        state: state(row)?,
        created_at_ms: row.try_get("created_at")?,
    })
}

fn client(row: &PgRow) -> sqlx::Result<Client> {
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

fn old_secret(row: &PgRow) -> sqlx::Result<Option<([u8; 32], i64)>> {
    let (hash, until): (Option<&[u8]>, Option<i64>) =
        (row.try_get("old_secret_sha256")?, row.try_get("old_secret_until")?);
    let hash = hash.map(|hash| hash.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))).transpose()?;
    Ok(hash.zip(until))
}

fn state(row: &PgRow) -> sqlx::Result<State> {
    Ok(State::of_column(row.try_get("state")?))
}

fn scopes(row: &PgRow) -> sqlx::Result<Vec<String>> {
    Ok(scopes_of_column(row.try_get("scopes")?))
}
