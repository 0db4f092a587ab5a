//! The driver that notices what others have done to the database, and whether it answers.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::auth::Auth;
use crate::ready::{Part, Ready};
use crate::seal::Guard;
use crate::store::Store;

/// How often the registry is asked whether another process has changed it.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// Who wants to know.
pub(super) struct Watch {
    pub(super) store: Store,
    /// The version of the registry before which nothing was remembered.
    pub(super) known: i64,
    pub(super) guard: Arc<Guard>,
    /// None where nobody logs in here.
    pub(super) auth: Option<Auth>,
    pub(super) ready: Ready,
}

impl Watch {
    /// Looks until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(REGISTRY_INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let version = self.store.registry_version().await;
            self.ready.set(Part::Store, version.is_ok());
            match version {
                Ok(version) if std::mem::replace(&mut self.known, version) != version => {
                    self.guard.registry_changed();
                    if let Some(auth) = &self.auth {
                        auth.registry_changed();
                    }
                }
                Ok(_) => {}
                Err(error) => warn!(%error, "The registry cannot be read."),
            }
        }
    }
}
