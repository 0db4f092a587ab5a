//! The driver that notices what others have done to the database, and whether it answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::masters::Masters;
use crate::auth::{Auth, OpenError, Principal};
use crate::broker::Hub;
use crate::ready::{Part, Ready};
use crate::seal::Guard;
use crate::store::{Kind, Store, StoreError};

/// How often it is asked whether another process has changed something.
const INTERVAL: Duration = Duration::from_millis(500);

/// How many of them lie between two looks at what the issuer has to do: a minute.
const INTERVALS_BETWEEN_KEEPING: u32 = 120;

/// Who wants to know.
pub(super) struct Watch {
    pub(super) store: Store,
    /// Before this nothing was remembered.
    pub(super) known: Known,
    pub(super) guard: Arc<Guard>,
    pub(super) masters: Masters,
    /// None where nobody logs in here.
    pub(super) auth: Option<Auth>,
    /// None where nobody is connected here.
    pub(super) hub: Option<Hub>,
    pub(super) ready: Ready,
}

/// What was there when it was looked at last, as numbers that grow with each change.
pub(super) struct Known {
    /// Devices, services and clients.
    registry: i64,
    /// What tokens rest on.
    identity: i64,
}

impl Known {
    /// As it is now.
    pub(super) async fn ask(store: &Store) -> Result<Known, StoreError> {
        Ok(Known { registry: store.registry_version().await?, identity: store.identity_version().await? })
    }
}

impl Watch {
    /// Looks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        let mut until_kept = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if until_kept == 0 {
                self.keep().await;
                self.masters.ask().await;
            }
            self.masters.look().await;
            until_kept = (until_kept + 1) % INTERVALS_BETWEEN_KEEPING;
            let known = Known::ask(&self.store).await;
            self.ready.set(Part::Store, known.is_ok());
            match known {
                Ok(known) => self.look_at(known).await,
                Err(error) => warn!(%error, "The registry cannot be read."),
            }
        }
    }

    /// What cannot be read now is looked at again at the next tick.
    async fn look_at(&mut self, now: Known) {
        if now.registry != self.known.registry {
            self.guard.registry_changed();
            if let Some(auth) = &self.auth {
                auth.registry_changed();
            }
            match self.end_disabled().await {
                Ok(()) => self.known.registry = now.registry,
                Err(error) => warn!(%error, "Who was disabled cannot be read; it is tried again."),
            }
        }
        if now.identity != self.known.identity {
            match self.end_taken_back().await {
                Ok(()) => self.known.identity = now.identity,
                Err(error) => warn!(%error, "Which tokens were taken back cannot be read; it is tried again."),
            }
        }
    }

    /// Ends what those have here who may no longer come in. Logins are judged anew already, so nobody comes in behind this.
    async fn end_disabled(&self) -> Result<(), StoreError> {
        let Some(hub) = &self.hub else { return Ok(()) };
        let (devices, services): (Vec<Principal>, Vec<Principal>) =
            hub.principals().into_iter().partition(|principal| matches!(principal, Principal::Device(_)));
        let mut revoked = HashSet::new();
        for (kind, principals) in [(Kind::Device, devices), (Kind::Service, services)] {
            let names: Vec<&str> = principals.iter().map(|principal| &**principal.name()).collect();
            let gone: HashSet<String> = self.store.not_enabled(kind, &names).await?.into_iter().collect();
            revoked.extend(principals.into_iter().filter(|principal| gone.contains(&**principal.name())));
        }
        if !revoked.is_empty() {
            info!(logins = revoked.len(), "Logins were taken back; their connections and sessions end.");
            hub.revoke(|principal, _| revoked.contains(principal));
        }
        Ok(())
    }

    /// Ends what came with a token that is no longer good. Logins know of it before.
    async fn end_taken_back(&self) -> Result<(), OpenError> {
        let Some(auth) = &self.auth else { return Ok(()) };
        let taken_back = auth.look_again(now_ms()).await?;
        if let Some(hub) = self.hub.as_ref().filter(|_| !taken_back.is_empty()) {
            hub.revoke(|_, token| taken_back.covers(token));
        }
        Ok(())
    }

    /// What the issuer has to do now and then.
    async fn keep(&self) {
        if let Some(auth) = &self.auth
            && let Err(error) = auth.keep(now_ms()).await
        {
            warn!(%error, "The keys that sign tokens cannot be looked after; it is tried again.");
        }
        // A key may have ended by the clock of whoever rotated it before it did by ours.
        if let Err(error) = self.end_taken_back().await {
            warn!(%error, "Which tokens were taken back cannot be read; it is tried again.");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
