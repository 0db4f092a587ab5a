//! The driver that notices that the master keys have changed where they are kept.

use std::sync::Arc;

use tracing::{error, info};

use crate::seal::{Guard, MasterKeySource, MasterKeys};

/// The keys, and where they come from.
pub(super) struct Masters {
    source: MasterKeySource,
    guard: Arc<Guard>,
    stamp: Option<(u64, i64, i64)>,
    /// Whether they could not be used when they were read last, which is said once.
    has_failed: bool,
}

impl Masters {
    /// As they are now.
    pub(super) fn new(source: MasterKeySource, guard: Arc<Guard>) -> Self {
        Masters { stamp: source.stamp(), source, guard, has_failed: false }
    }

    /// Takes them anew if the file has changed; what was being written when it was read is read again.
    pub(super) async fn look(&mut self) {
        let stamp = self.source.stamp();
        if stamp != self.stamp || self.has_failed {
            self.stamp = stamp;
            self.take().await;
        }
    }

    /// Takes them anew where a change does not show by itself: a command is asked again. A variable stays as it is.
    pub(super) async fn ask(&mut self) {
        if matches!(self.source, MasterKeySource::Command(_)) {
            self.take().await;
        }
    }

    async fn take(&mut self) {
        let source = self.source.clone();
        let Ok(opened) = tokio::task::spawn_blocking(move || source.open()).await else { return };
        let (now, place) = (self.guard.masters(), self.source.place());
        let is_of_another = |masters: &MasterKeys| masters.fingerprint() != now.fingerprint();
        let has_failed = opened.as_ref().map_or(true, is_of_another);
        let was_said = std::mem::replace(&mut self.has_failed, has_failed) && has_failed;
        match opened {
            _ if was_said => {}
            Ok(masters) if is_of_another(&masters) => {
                error!(place, "The master keys are another database's now; those of before stay in use.");
            }
            Ok(masters) if masters.versions() == now.versions() => {}
            Ok(masters) => {
                info!(place, newest = masters.newest(), "The master keys have changed.");
                self.guard.replace_masters(masters);
            }
            Err(error) => error!(%error, "The master keys cannot be read; those of before stay in use."),
        }
    }
}
