//! `/api/services`: whoever may add one, or give it a role, may do everything; so that is an admin's.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::access::Asking;
use super::devices::{device_id, done};
use super::page_of;
use super::problem::Problem;
use crate::auth::scope::{self, Scope};
use crate::auth::{IssuerUrl, Role};
use crate::provision;
use crate::store::{Service, State};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    after: Option<String>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    scopes: Vec<String>,
    issuer: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    client_id: &'a str,
    scopes: &'a [String],
    state: &'static str,
    issuer: Option<&'a str>,
    created_at_ms: i64,
}

#[derive(Serialize)]
struct Page<'a> {
    services: Vec<Shown<'a>>,
    next: Option<&'a str>,
}

/// Shown this once.
#[derive(Serialize)]
struct Credentials<'a> {
    name: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    scopes: &'a [String],
}

impl<'a> Shown<'a> {
    fn of(service: &'a Service) -> Self {
        let Service { name, client_id, scopes, issuer, state, created_at_ms } = service;
        Shown {
            name,
            client_id,
            scopes,
            state: state.as_str(),
            issuer: issuer.as_deref(),
            created_at_ms: *created_at_ms,
        }
    }
}

pub(super) async fn list(asking: Asking, which: Result<Query<Which>, QueryRejection>) -> Result<Response, Problem> {
    asking.may(Role::Viewer)?;
    let Query(Which { after, limit }) = which?;
    if after.as_ref().is_some_and(|after| after.contains('\0')) {
        return Err(Problem::bad_request("no name holds a zero"));
    }
    let limit = page_of(limit);
    let services = asking.store.services(after.as_deref(), limit).await?;
    let next = services.last().filter(|_| services.len() == limit as usize).map(|last| &*last.name);
    Ok(Json(Page { services: services.iter().map(Shown::of).collect(), next }).into_response())
}

pub(super) async fn show(asking: Asking, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    asking.may(Role::Viewer)?;
    let name = device_id(&name?.0)?;
    let service = asking.store.service(name.as_str()).await?.ok_or_else(|| Problem::not_found("such service"))?;
    Ok(Json(Shown::of(&service)).into_response())
}

pub(super) async fn add(asking: Asking, new: Result<Json<New>, JsonRejection>) -> Result<Response, Problem> {
    asking.may(Role::Admin)?;
    let Json(New { name, scopes, issuer }) = new?;
    let bad = |error: &dyn std::fmt::Display| Problem::bad_request(error.to_string());
    let name = device_id(&name)?;
    let scopes = scopes.iter().map(|scope| Scope::parse(scope).map(|scope| scope.to_string()));
    let scopes: Vec<String> = scopes.collect::<Result<_, _>>().map_err(|error| bad(&error))?;
    scope::join(&scopes).map_err(|error| bad(&error))?;
    if scopes.is_empty() {
        return Err(Problem::bad_request("a service has at least one scope"));
    }
    let issuer = issuer.as_deref().map(IssuerUrl::parse).transpose().map_err(|error| bad(&error))?;
    let admitted = provision::admit(&asking.store, &name, scopes.clone(), issuer.as_ref(), asking.now_ms).await?;
    let credentials = Credentials {
        name: name.as_str(),
        client_id: &admitted.client_id,
        client_secret: issuer.is_none().then(|| admitted.client_secret.expose()),
        scopes: &scopes,
    };
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(credentials)).into_response())
}

pub(super) async fn enable(asking: Asking, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    set_state(asking, name, State::Enabled).await
}

pub(super) async fn disable(asking: Asking, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    set_state(asking, name, State::Disabled).await
}

async fn set_state(
    asking: Asking,
    name: Result<Path<String>, PathRejection>,
    state: State,
) -> Result<Response, Problem> {
    asking.may(Role::Admin)?;
    let name = device_id(&name?.0)?;
    done(asking.store.set_service_state(name.as_str(), state).await?, "service")
}

pub(super) async fn remove(asking: Asking, name: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    asking.may(Role::Admin)?;
    let name = device_id(&name?.0)?;
    done(asking.store.remove_service(name.as_str()).await?, "service")
}
