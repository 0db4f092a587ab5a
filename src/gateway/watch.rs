//! The driver that notices what others have done to the database, and whether it answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::auth::{Auth, OpenError, Principal, TakenBack};
use crate::broker::Hub;
use crate::ready::{Part, Ready};
use crate::seal::Guard;
use crate::store::{Kind, Store};

/// How often the registry is asked whether another process has changed it.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// How many of them lie between two looks at what the issuer has to do: a minute.
const INTERVALS_BETWEEN_KEEPING: u32 = 120;

/// Who wants to know.
pub(super) struct Watch {
    pub(super) store: Store,
    /// The version of the registry before which nothing was remembered.
    pub(super) known: i64,
    pub(super) guard: Arc<Guard>,
    /// None where nobody logs in here.
    pub(super) auth: Option<Auth>,
    /// None where nobody is connected here.
    pub(super) hub: Option<Hub>,
    pub(super) ready: Ready,
}

impl Watch {
    /// Looks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REGISTRY_INTERVAL);
        let mut until_kept = 0;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if until_kept == 0 {
                self.keep().await;
            }
            until_kept = (until_kept + 1) % INTERVALS_BETWEEN_KEEPING;
            let version = self.store.registry_version().await;
            self.ready.set(Part::Store, version.is_ok());
            match version {
                Ok(version) if version != self.known => {
                    let before = std::mem::replace(&mut self.known, version);
                    self.guard.registry_changed();
                    if let Some(auth) = &self.auth {
                        auth.registry_changed();
                    }
                    if let Err(error) = self.end_revoked().await {
                        warn!(%error, "What was taken back cannot be read; it is tried again.");
                        self.known = before;
                    }
                }
                Ok(_) => {}
                Err(error) => warn!(%error, "The registry cannot be read."),
            }
        }
    }

    /// Ends what those have here who may no longer come in, or whose token is no longer good. Logins are judged anew already, so nobody comes
    /// in behind this.
    async fn end_revoked(&self) -> Result<(), OpenError> {
        let taken_back = match &self.auth {
            Some(auth) => auth.look_again(now_ms()).await?,
            None => Arc::new(TakenBack::default()),
        };
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
        }
        if !revoked.is_empty() || !taken_back.is_empty() {
            hub.revoke(|principal, token| revoked.contains(principal) || taken_back.covers(token));
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
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
