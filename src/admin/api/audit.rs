//! `/api/audit`: who did what, for those who may look.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::access::Asking;
use super::page_of;
use super::problem::Problem;
use crate::auth::Role;
use crate::store::AuditFilter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<i64>,
    limit: Option<u32>,
    who: Option<String>,
    action: Option<String>,
    subject: Option<String>,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
}

#[derive(Serialize)]
struct Entry {
    id: i64,
    at_ms: i64,
    who: String,
    from: String,
    action: String,
    subject: String,
    detail: String,
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Entry>,
    next: Option<i64>,
}

/// Times that a database can hold: of the years 1970 to 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

pub(super) async fn list(asking: Asking, which: Result<Query<Which>, QueryRejection>) -> Result<Response, Problem> {
    asking.may(Role::Viewer)?;
    let Query(Which { after, limit, who, action, subject, since_ms, until_ms }) = which?;
    if [since_ms, until_ms].into_iter().flatten().any(|ms| !(0..=TIME_MS_MAX).contains(&ms)) {
        return Err(Problem::bad_request("since_ms and until_ms are Unix milliseconds"));
    }
    let limit = page_of(limit);
    let filter = AuditFilter { who, action, subject, since_ms, until_ms };
    let found = asking.store.audit_log(&filter, after.unwrap_or(0), limit).await?;
    let next = found.last().filter(|_| found.len() == limit as usize).map(|last| last.id);
    let entries = found.into_iter().map(|entry| Entry {
        id: entry.id,
        at_ms: entry.at_ms,
        who: entry.who,
        from: entry.origin,
        action: entry.action,
        subject: entry.subject,
        detail: entry.detail,
    });
    Ok(Json(Page { entries: entries.collect(), next }).into_response())
}
