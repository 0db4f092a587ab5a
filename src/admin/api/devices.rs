//! `/api/devices`: who may send readings; a new device gets its credentials in the answer, this once.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::access::Asking;
use super::problem::Problem;
use super::{Api, page_of};
use crate::auth::{IssuerUrl, Role};
use crate::provision::{self, DeviceWish};
use crate::seal::{DeviceId, GroupName};
use crate::store::{Device, DeviceFilter, Found, State as DeviceState};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<String>,
    limit: Option<u32>,
    group: Option<String>,
    state: Option<Wanted>,
    prefix: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Enabled,
    Disabled,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    device_id: String,
    group: Option<String>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Null: in none.
    group: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    device_id: &'a str,
    state: &'static str,
    group: Option<&'a str>,
    issuer: Option<&'a str>,
    key_version_min: u8,
    created_at_ms: i64,
}

#[derive(Serialize)]
struct Page<'a> {
    devices: Vec<Shown<'a>>,
    /// What `after` is for the page behind; null: there is none.
    next: Option<&'a str>,
}

/// Shown this once.
#[derive(Serialize)]
struct Credentials<'a> {
    device_id: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    seal_key: &'a str,
    key_version: u8,
}

impl<'a> Shown<'a> {
    fn of(device: &'a Device) -> Self {
        Shown {
            device_id: &device.device_id,
            state: device.state.as_str(),
            group: device.group.as_deref(),
            issuer: device.issuer.as_deref(),
            key_version_min: device.key_version_min,
            created_at_ms: device.created_at_ms,
        }
    }
}

pub(super) async fn list(asking: Asking, which: Result<Query<Which>, QueryRejection>) -> Result<Response, Problem> {
    asking.may(Role::Viewer)?;
    let Query(Which { after, limit, group, state, prefix }) = which?;
    let state = state.map(|state| match state {
        Wanted::Enabled => DeviceState::Enabled,
        Wanted::Disabled => DeviceState::Disabled,
    });
    let texts = [&after, &group, &prefix];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(Problem::bad_request("no name holds a zero"));
    }
    let limit = page_of(limit);
    let devices = asking.store.devices_of(&DeviceFilter { group, state, prefix }, after.as_deref(), limit).await?;
    let next = devices.last().filter(|_| devices.len() == limit as usize).map(|last| &*last.device_id);
    Ok(Json(Page { devices: devices.iter().map(Shown::of).collect(), next }).into_response())
}

pub(super) async fn show(asking: Asking, id: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    asking.may(Role::Viewer)?;
    let id = device_id(&id?.0)?;
    let device = asking.store.device(id.as_str()).await?.ok_or_else(|| Problem::not_found("such device"))?;
    Ok(Json(Shown::of(&device)).into_response())
}

pub(super) async fn add(
    State(api): State<Api>,
    asking: Asking,
    new: Result<Json<New>, JsonRejection>,
) -> Result<Response, Problem> {
    asking.may(Role::Operator)?;
    let Json(new) = new?;
    let id = device_id(&new.device_id)?;
    let group = new.group.as_deref().map(group_name).transpose()?;
    let issuer = new.issuer.as_deref().map(IssuerUrl::parse).transpose();
    let issuer = issuer.map_err(|error| Problem::bad_request(error.to_string()))?;
    let wish = DeviceWish { id: &id, group: group.as_ref(), issuer: issuer.as_ref() };
    let enrolled = provision::enrol(&asking.store, &api.guard.masters(), wish, asking.now_ms).await?;
    let seal_key = Zeroizing::new(hex::encode(enrolled.key.as_bytes()));
    let credentials = Credentials {
        device_id: id.as_str(),
        client_id: &enrolled.client_id,
        client_secret: issuer.is_none().then(|| enrolled.client_secret.expose()),
        seal_key: &seal_key,
        key_version: enrolled.key_version,
    };
    let place = format!("/api/devices/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC));
    let headers = [(LOCATION, place), (CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(credentials)).into_response())
}

pub(super) async fn change(
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
    change: Result<Json<Change>, JsonRejection>,
) -> Result<Response, Problem> {
    asking.may(Role::Operator)?;
    let (id, Json(Change { group })) = (device_id(&id?.0)?, change?);
    let group = group.as_deref().map(group_name).transpose()?;
    let unknown = asking.store.set_device_group(&[id.as_str()], group.as_ref().map(GroupName::as_str)).await?;
    if unknown.is_some() { Err(Problem::not_found("such device")) } else { Ok(StatusCode::NO_CONTENT.into_response()) }
}

pub(super) async fn enable(asking: Asking, id: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    set_state(asking, id, DeviceState::Enabled).await
}

pub(super) async fn disable(asking: Asking, id: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    set_state(asking, id, DeviceState::Disabled).await
}

async fn set_state(
    asking: Asking,
    id: Result<Path<String>, PathRejection>,
    state: DeviceState,
) -> Result<Response, Problem> {
    asking.may(Role::Operator)?;
    let id = device_id(&id?.0)?;
    done(asking.store.set_device_state(id.as_str(), state).await?, "device")
}

pub(super) async fn remove(asking: Asking, id: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    asking.may(Role::Admin)?;
    let id = device_id(&id?.0)?;
    done(asking.store.remove_device(id.as_str()).await?, "device")
}

/// What came of a change.
pub(super) fn done(found: Found, what: &str) -> Result<Response, Problem> {
    match found {
        Found::Yes => Ok(StatusCode::NO_CONTENT.into_response()),
        Found::No => Err(Problem::not_found(&format!("such {what}"))),
    }
}

/// A name that a device or a service can have.
pub(super) fn device_id(text: &str) -> Result<DeviceId, Problem> {
    text.parse().map_err(|_| Problem::bad_request("a name is 1 to 64 of A-Z a-z 0-9 . _ : -"))
}

fn group_name(text: &str) -> Result<GroupName, Problem> {
    text.parse().map_err(|error: crate::seal::NoGroupName| Problem::bad_request(error.to_string()))
}
