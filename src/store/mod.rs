//! The cellar: our nouns in, SQL inside.
//!
//! Everything that must outlive the process lies here: who may come in (devices, services, their clients), what was accepted
//! (envelopes and their readings), what was refused (the quarantine), who was online last, and the keys that others sealed. A batch is committed
//! in one transaction, and a counter of a device is used up at most once. A [`Spool`] keeps what waits for a database that is away. This room knows no MQTT, no envelope and no token:
//! a device id is a name, a tag is bytes, a secret is a hash.
//!
//! What counts as a duplicate, as a replay or as too much is decided by pure code (`judge`, `halving`, `quarantine`), so
//! and the steps of a commit by `commit`, so that both databases behind this face give the same answers. SQL is written in
//! `sqlite`, `postgres` and `migrations` alone.

/// The same call to whichever database it is.
macro_rules! ask {
    ($database:expr, $method:ident($($argument:expr),*)) => {
        match $database {
            Engine::Sqlite(sqlite) => sqlite.$method($($argument),*).await,
            Engine::Postgres(postgres) => postgres.within(postgres.$method($($argument),*)).await,
        }
    };
}

mod audit;
mod batch;
mod checkpoint;
mod commit;
mod config;
mod directory;
mod error;
mod evidence;
mod halving;
mod integrity;
mod judge;
mod keys;
mod labels;
mod leaf;
mod metrics;
mod node;
mod postgres;
mod presence;
mod provision;
mod quarantine;
mod readings;
mod registry;
mod retention;
mod rotation;
mod sqlite;
mod tokens;
mod upkeep;

pub use audit::{Actor, AuditFilter, Audited, Event};
pub use batch::{Accepted, Entry, Kept, Outcome, Reading, Refused, Seen, Tag, Value};
pub use checkpoint::{Audit, Checkpoint, MeasuredRow, Span, StoredEnvelope, Uncovered};
pub use config::{Config, DatabaseConfig, OnOutage};
pub use error::{CommitError, Doubt, OpenError, StoreError};
pub use evidence::{Evidence, EvidenceFilter};
pub use integrity::{Integrity, Period, Share, Trend};
pub use keys::{Added, SealedSigningKey};
pub use leaf::{BadLeaves, Leaf};
pub use metrics::Metrics;
pub use node::node_id;
pub use presence::{Burial, Met, PresenceRow};
pub use provision::{DeviceFilter, Taken};
pub use readings::{ReadingPlace, Sender, StoredReading};
pub use registry::{AddError, Client, Device, Found, Holder, Kind, NewDevice, NewService, Service, State};
pub use retention::{Forgetting, Forgot};
pub use rotation::{KeyUsage, NewSecret};
pub use sqlite::spool::{Mark, Spool, SpoolError, Spooled, Waiting};
pub use tokens::RevokedToken;
pub use upkeep::Upkeep;

use postgres::Postgres;
use sqlite::Sqlite;
use sqlite::spool::SpoolId;
use std::sync::Arc;
use std::time::Duration;

/// The database, and in whose name it is changed. Cloning is cheap, and clones share connections.
#[derive(Clone)]
pub struct Store(Engine, Arc<Actor>);

#[derive(Clone)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens the database, and makes what of it is not there.
    ///
    /// The data directory is 0700 and every file of the database in it 0600 afterwards. What is refused is left as it was found.
    ///
    /// For a file once in a process and directory, and clones from there: looking at the file before SQLite opens it ends, by POSIX,
    /// the locks that this process has on it (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
    pub async fn open(config: &Config, database: &DatabaseConfig) -> Result<Store, OpenError> {
        let engine = match database.url.as_str() {
            "" => Engine::Sqlite(Sqlite::open(config).await?),
            _ => Engine::Postgres(Postgres::open(config, database).await?),
        };
        Ok(Store(engine, Arc::new(Actor::gateway())))
    }

    /// Waits for the transaction at hand and closes all connections.
    pub async fn close(self) {
        match self.0 {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Adds a device and the client that it logs in with.
    pub async fn add_device(&self, device: &NewDevice) -> Result<Device, AddError> {
        ask!(&self.0, add_device(&self.1, device))
    }

    /// The device of this name.
    pub async fn device(&self, device_id: &str) -> Result<Option<Device>, StoreError> {
        ask!(&self.0, device(device_id))
    }

    /// Devices in the order of their names, after `after`, at most `limit`.
    pub async fn devices(&self, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError> {
        ask!(&self.0, devices(after, limit))
    }

    /// Enables or disables a device, and with it its client.
    pub async fn set_device_state(&self, device_id: &str, state: State) -> Result<Found, StoreError> {
        ask!(&self.0, set_device_state(&self.1, device_id, state))
    }

    /// Puts devices into a group, or takes them out of theirs: all of them, or none if one is not there, whose name is given back.
    pub async fn set_device_group(&self, ids: &[&str], group: Option<&str>) -> Result<Option<String>, StoreError> {
        ask!(&self.0, set_device_group(&self.1, ids, group))
    }

    /// Adds a service and the client that it logs in with.
    pub async fn add_service(&self, service: &NewService) -> Result<Service, AddError> {
        ask!(&self.0, add_service(&self.1, service))
    }

    /// The service of this name.
    pub async fn service(&self, name: &str) -> Result<Option<Service>, StoreError> {
        ask!(&self.0, service(name))
    }

    /// Services in the order of their names, after `after`, at most `limit`.
    pub async fn services(&self, after: Option<&str>, limit: u32) -> Result<Vec<Service>, StoreError> {
        ask!(&self.0, services(after, limit))
    }

    /// Enables or disables a service.
    pub async fn set_service_state(&self, name: &str, state: State) -> Result<Found, StoreError> {
        ask!(&self.0, set_service_state(&self.1, name, state))
    }

    /// The client of this id, be it a device's or a service's. A device's client is disabled when the device is.
    pub async fn client(&self, client_id: &str) -> Result<Option<Client>, StoreError> {
        ask!(&self.0, client(client_id))
    }

    /// Gives the client of this device or service public keys, as `auth` reads them, or takes them away.
    pub async fn set_client_keys(&self, kind: Kind, name: &str, keys: Option<&str>) -> Result<Found, StoreError> {
        ask!(&self.0, set_client_keys(&self.1, kind, name, keys))
    }

    /// Those of `names` who may not come in: disabled, or gone.
    pub async fn not_enabled(&self, kind: Kind, names: &[&str]) -> Result<Vec<String>, StoreError> {
        ask!(&self.0, not_enabled(kind, names))
    }

    /// Grows with each change of a device, a service or a client, whichever process makes it and be it by hand with SQL.
    pub async fn registry_version(&self) -> Result<i64, StoreError> {
        ask!(&self.0, registry_version())
    }

    /// Commits a batch in one transaction; the outcomes are in the order of the entries, as if each came alone after the one
    /// before.
    ///
    /// On an error nothing of the batch is stored, and it may be given again; but for [`CommitError::Unknown`], which
    /// [`Store::resolve`] has to be asked about first.
    pub async fn commit(&self, batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.commit(batch).await,
            Engine::Postgres(postgres) => postgres.commit(batch).await,
        }
    }

    /// What became of a batch whose COMMIT was not answered; none: nothing of it is stored, and it may be given again.
    pub async fn resolve(&self, doubt: &Doubt) -> Result<Option<Vec<Outcome>>, StoreError> {
        match &self.0 {
            // A file is not cut off.
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.within(postgres.resolve(doubt)).await,
        }
    }

    /// Commits messages that are in quarantine: as [`Store::commit`], but what is not stored is not put there a second time.
    pub async fn commit_from_quarantine(&self, batch: &[Entry]) -> Result<Vec<Outcome>, CommitError> {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.commit_from_quarantine(batch).await,
            Engine::Postgres(postgres) => postgres.commit_from_quarantine(batch).await,
        }
    }

    /// Commits messages out of a spool: as [`Store::commit`], and notes in the same transaction how far the spool is drained. Without
    /// messages the note alone is committed, and so it is known that the database commits.
    pub async fn commit_from_spool(&self, batch: &[Entry], drained: Mark) -> Result<Vec<Outcome>, CommitError> {
        match &self.0 {
            // It has no spool.
            Engine::Sqlite(sqlite) => sqlite.commit(batch).await,
            Engine::Postgres(postgres) => postgres.commit_from_spool(batch, drained).await,
        }
    }

    /// Up to which number this database has the messages of a spool; none: it does not know that spool.
    async fn spool_mark(&self, spool: SpoolId) -> Result<Option<i64>, StoreError> {
        ask!(&self.0, spool_mark(spool))
    }

    /// Makes a spool known; false: this database has none.
    async fn add_spool_mark(&self, spool: SpoolId) -> Result<bool, StoreError> {
        ask!(&self.0, add_spool_mark(spool))
    }

    /// Makes what the coming days need, and does nothing where they need nothing. What comes meanwhile is stored all the same.
    pub async fn prepare_days(&self, now_ms: i64) -> Result<(), StoreError> {
        match &self.0 {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.within(postgres.prepare_days(now_ms)).await,
        }
    }

    /// Begins to drop what is older than `keep`; [`Store::forget`] does it.
    ///
    /// None: no checkpoint has said yet that so much may be gone; ask again when there was time for one.
    pub async fn begin_to_forget(&self, now_ms: i64, keep: Duration) -> Result<Option<Forgetting>, StoreError> {
        let forgetting = Forgetting::new(now_ms, keep);
        let forgetting = match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.set_horizon(forgetting).await,
            Engine::Postgres(postgres) => postgres.within(postgres.set_horizon(forgetting, now_ms)).await,
        }?;
        let signed_ms = self.last_checkpoint().await?.map_or(0, |last| last.horizon_ms);
        Ok((forgetting.horizon_ms <= signed_ms || forgetting.horizon_ms <= 0).then_some(forgetting))
    }

    /// Drops a part of what is too old, and says what is left; none: nothing is.
    pub async fn forget(&self, forgetting: Forgetting) -> Result<(Forgot, Option<Forgetting>), StoreError> {
        let (forgot, next) = ask!(&self.0, forget(&forgetting))?;
        Ok((forgot, next.map(|stage| Forgetting { stage, ..forgetting })))
    }

    /// How large the database is.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        ask!(&self.0, bytes())
    }

    /// How many batches may be under way at a time.
    pub fn writers(&self) -> usize {
        match &self.0 {
            Engine::Sqlite(_) => 1,
            Engine::Postgres(postgres) => postgres.writers(),
        }
    }

    /// What was saved of the presence of devices, in the order of their names, after `after`, at most `limit`.
    pub async fn presence(&self, after: Option<&str>, limit: u32) -> Result<Vec<PresenceRow>, StoreError> {
        ask!(&self.0, presence(after, limit))
    }

    /// Saves the presence of devices, each in place of what was saved of it, in one transaction. A device that is not in the
    /// registry is passed over, and so is the end of one that came to another gateway since.
    pub async fn save_presence(&self, rows: &[PresenceRow]) -> Result<(), StoreError> {
        ask!(&self.0, save_presence(rows))
    }

    /// Gives a sign of life, and asks what other gateways on this database have saved since `since_ms`; 0: since the start.
    pub async fn meet(&self, since_ms: i64, burial: Burial) -> Result<Met, StoreError> {
        match &self.0 {
            // A file has one gateway.
            Engine::Sqlite(_) => Ok(Met::default()),
            Engine::Postgres(postgres) => postgres.within(postgres.meet(since_ms, burial)).await,
        }
    }

    /// Whether other gateways may share this database.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Engine::Postgres(_))
    }

    /// Whether this very envelope is stored.
    pub async fn find_seen(&self, seen: &Seen) -> Result<bool, StoreError> {
        ask!(&self.0, find_seen(seen))
    }

    /// What the quarantine holds now.
    pub async fn quarantine_usage(&self) -> Result<Usage, StoreError> {
        ask!(&self.0, quarantine_usage())
    }

    /// Who has ever been a device, in the order of their names, after `after`, at most `limit`.
    pub async fn senders(&self, after: Option<&str>, limit: u32) -> Result<Vec<Sender>, StoreError> {
        ask!(&self.0, senders(after, limit))
    }

    /// How many have ever been a device.
    pub async fn count_senders(&self) -> Result<u64, StoreError> {
        ask!(&self.0, count_senders())
    }

    /// Who has ever been the device of this name.
    pub async fn sender(&self, device_id: &str) -> Result<Option<Sender>, StoreError> {
        ask!(&self.0, sender(device_id))
    }

    /// Readings of one sender in the order of their time, after `after`, at most `limit`; from `since_ms` on and before `until_ms`.
    pub async fn readings(
        &self,
        sender: &Sender,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
        after: Option<ReadingPlace>,
        limit: u32,
    ) -> Result<Vec<StoredReading>, StoreError> {
        ask!(&self.0, readings(sender, since_ms, until_ms, after, limit))
    }

    /// What of the quarantine a filter lets through, oldest first: after the number `after`, at most `limit`.
    pub async fn evidence(&self, which: &EvidenceFilter, after: i64, limit: u32) -> Result<Vec<Evidence>, StoreError> {
        ask!(&self.0, evidence(which, after, limit))
    }

    /// The messages themselves, of those of these numbers that are in quarantine.
    pub async fn evidence_bytes(&self, ids: &[i64]) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        ask!(&self.0, evidence_bytes(ids))
    }

    /// Takes messages out of quarantine for ever, in one transaction; answers how many were there.
    pub async fn delete_evidence(&self, ids: &[i64]) -> Result<u64, StoreError> {
        ask!(&self.0, delete_evidence(ids))
    }

    /// The greatest number in quarantine; 0: it is empty.
    pub async fn last_evidence(&self) -> Result<i64, StoreError> {
        ask!(&self.0, last_evidence())
    }

    /// Whether the quarantine as a whole was full when [`Store::quarantine_usage`] was last asked. Costs nothing and may be
    /// late, so it is a hint: the bound itself is kept by [`Store::commit`].
    pub fn quarantine_looks_full(&self) -> bool {
        match &self.0 {
            Engine::Sqlite(sqlite) => sqlite.quarantine_looks_full(),
            Engine::Postgres(postgres) => postgres.quarantine_looks_full(),
        }
    }
}

/// What the quarantine holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many messages.
    pub rows: u64,
    /// Their bytes in sum.
    pub bytes: u64,
}

#[cfg(test)]
mod tests;
