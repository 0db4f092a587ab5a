//! The audit log: what was done to whom, by whom, from where and when. It only grows.
//!
//! A change of a device, a service, a client or a key enters itself: the database does it, in the transaction of the change, whoever makes
//! it and be it by hand with SQL. What is no change of a row (a login, a token) is an [`Event`] that [`Store::note`] enters. Rows are neither
//! changed nor taken away, which the database refuses too; but for those that are older than [`Store::forget_audit`] is told to keep.

use super::{Engine, Store, StoreError};
use std::sync::Arc;

/// Who makes the changes of a [`Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A user of this machine as `os:NAME`, an operator by his subject, or `gateway`.
    pub who: Arc<str>,
    /// An address, or `command line`; empty: from within.
    pub origin: Arc<str>,
}

impl Actor {
    /// The gateway itself.
    pub(super) fn gateway() -> Self {
        Actor { who: "gateway".into(), origin: "".into() }
    }

    /// As it can stand in a column.
    pub(super) fn columns(&self) -> (String, String) {
        (column(&self.who), column(&self.origin))
    }
}

/// What is to be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, Unix ms.
    pub at_ms: i64,
    /// Who did it, by its own account where it was refused.
    pub who: String,
    /// From which address.
    pub origin: String,
    /// What: a word, as `login`.
    pub action: &'static str,
    /// To whom or what.
    pub subject: String,
    /// What else there is to say.
    pub detail: String,
}

/// What was entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Its number; what is entered later has a greater one.
    pub id: i64,
    /// When, Unix ms.
    pub at_ms: i64,
    /// Who did it.
    pub who: String,
    /// From where.
    pub origin: String,
    /// What.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// What else there is to say.
    pub detail: String,
}

/// Which entries: those for which all holds that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this one.
    pub who: Option<String>,
    /// Of this kind.
    pub action: Option<String>,
    /// To this one.
    pub subject: Option<String>,
    /// Not before this, Unix ms.
    pub since_ms: Option<i64>,
    /// Before this, Unix ms.
    pub until_ms: Option<i64>,
}

impl Store {
    /// The same store, whose changes are entered as this one's.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Store {
        Store(self.0.clone(), Arc::new(actor))
    }

    /// Enters what is no change of a row, all of it or nothing.
    pub async fn note(&self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        ask!(&self.0, note(events))
    }

    /// What was entered, oldest first: after the number `after`, at most `limit`.
    pub async fn audit_log(&self, which: &AuditFilter, after: i64, limit: u32) -> Result<Vec<Audited>, StoreError> {
        ask!(&self.0, audit_log(which, after, limit))
    }

    /// Takes away what was entered before `horizon_ms`, at most `limit` rows, oldest first; answers how many those were.
    pub async fn forget_audit(&self, horizon_ms: i64, limit: u32) -> Result<u64, StoreError> {
        ask!(&self.0, forget_audit(horizon_ms, limit))
    }
}

/// A text as both databases take it: PostgreSQL has no room for NUL.
pub(super) fn column(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
