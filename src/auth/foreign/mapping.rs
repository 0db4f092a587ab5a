//! What a foreign issuer's claims mean here. Pure.
//!
//! Issuers agree on little beside `iss`, `aud` and `exp`: where a device's id stands, and what makes a token a device's, the settings say.
//! What comes out are [`Claims`] as our own issuer would have written them, so that nothing behind this knows whose token it was.

use serde_json::Value;

use super::config::{ForeignConfig, is_group};
use crate::auth::claims::{Claims, audiences};
use crate::auth::jose::Members;
use crate::auth::refusal::LoginRefused;
use crate::auth::scope::{self, Scope};

/// 9999-12-31T23:59:59Z
const TIME_SECS_MAX: f64 = 253_402_300_799.0;
/// The longest name of a device or a service.
const NAME_BYTES_MAX: usize = 64;

/// Whether the header and the claims are those of an access token, as far as this issuer's tokens can be told apart.
pub(in crate::auth) fn check_type(
    config: &ForeignConfig,
    header: &Members,
    claims: &Members,
) -> Result<(), LoginRefused> {
    let kind = header.text("typ").unwrap_or("JWT");
    let known =
        |name: &String| kind.eq_ignore_ascii_case(name) || kind.eq_ignore_ascii_case(&format!("application/{name}"));
    if !config.token_types.iter().any(known) {
        return Err(LoginRefused::WrongType);
    }
    // RFC 9068 section 2.1: that type says it all.
    if kind.to_ascii_lowercase().ends_with("at+jwt") {
        return Ok(());
    }
    // Keycloak says it in a claim: Bearer, ID, Refresh, Offline, Logout; Cognito in another: access, id.
    let other = !says_access(claims, "typ") || !says_access(claims, "token_use");
    // What stands in an ID token alone (OpenID Connect Core sections 2 and 3.3.2.11) or in one of events (RFC 8417 section 2.2).
    let of_others = ["nonce", "at_hash", "c_hash", "s_hash", "events"];
    let identity = of_others.iter().any(|name| claims.member(name).is_some());
    let unscoped = found(claims, &config.scope_claim).is_none() && config.groups_claim.is_none();
    if other || identity || unscoped { Err(LoginRefused::WrongType) } else { Ok(()) }
}

/// Whether an answer about a token (RFC 7662) is about an access token that is good for whoever shows it: refresh tokens are introspected, too
/// (section 2.1), and one that is bound to a key (RFC 9449 section 6.2) proves nothing without it.
pub(super) fn check_introspected_type(answer: &Members) -> Result<(), LoginRefused> {
    let names = ["token_type", "typ", "token_use"];
    if names.iter().all(|name| says_access(answer, name)) { Ok(()) } else { Err(LoginRefused::WrongType) }
}

/// Whether a member that tells of which kind a token is, if it is there, tells of an access token for its bearer.
fn says_access(members: &Members, name: &str) -> bool {
    let access = |kind: &str| ["bearer", "access_token", "access"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    members.member(name).is_none_or(|kind| kind.as_str().is_some_and(access))
}

/// The claims in our words.
pub(in crate::auth) fn claims(config: &ForeignConfig, members: &Members) -> Result<Claims, LoginRefused> {
    let malformed = LoginRefused::Malformed;
    let scopes = words(found(members, &config.scope_claim));
    let groups = words_of_list(config.groups_claim.as_deref().and_then(|claim| found(members, claim)));
    let is_device = config.device_scope.is_empty() || scopes.contains(&config.device_scope.as_str());
    let (claim, scope) = match is_device {
        true => (&config.device_claim, scope::DEVICE.to_owned()),
        false => (&config.service_claim, service_scope(config, &scopes, &groups).ok_or(malformed)?),
    };
    let name = found(members, claim).and_then(Value::as_str);
    let name = name.filter(|name| (1..=NAME_BYTES_MAX).contains(&name.len())).ok_or(malformed)?;
    let time = |name: &str| members.member(name).map(|value| time_ms(value).ok_or(malformed)).transpose();
    // RFC 9068 section 2.2, and what issuers wrote before it.
    let client = ["client_id", "azp", "cid", "appid"].iter().find_map(|name| members.text(name));
    Ok(Claims {
        issuer: members.text("iss").ok_or(malformed)?.to_owned(),
        audiences: members.member("aud").and_then(audiences).ok_or(malformed)?,
        subject: name.to_owned(),
        client_id: client.unwrap_or_default().to_owned(),
        scope,
        token_id: members.text("jti").unwrap_or_default().to_owned(),
        issued_at_ms: time("iat")?.unwrap_or_default(),
        key_id: String::new(),
        expires_at_ms: time("exp")?.ok_or(malformed)?,
        not_before_ms: time("nbf")?,
        group: groups.iter().find(|group| is_group(group)).map(|group| (*group).to_owned()),
    })
}

/// Those scopes that say something here, and those of the groups.
fn service_scope(config: &ForeignConfig, scopes: &[&str], groups: &[&str]) -> Option<String> {
    let own = scopes.iter().filter_map(|text| Scope::parse(text).ok());
    let of_groups = groups.iter().filter_map(|group| config.group_scopes.get(*group)).flatten().cloned();
    let mut texts: Vec<String> = Vec::new();
    for text in own.chain(of_groups).map(|scope| scope.to_string()) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    scope::join(&texts).ok()?;
    Some(texts.join(" "))
}

/// The claim of this name; where there is none, a dot leads into an object.
fn found<'a>(members: &'a Members, name: &str) -> Option<&'a Value> {
    if let Some(value) = members.member(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(members.member(first)?, |value, name| value.get(name))
}

/// The words of a string that blanks divide, or of an array.
fn words(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        other => words_of_list(other),
    }
}

/// One string, or those of an array. What is no string is passed over.
fn words_of_list(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// RFC 7519 section 2: a number of seconds, which may have a fraction; never a string (CVE-2026-25537).
fn time_ms(value: &Value) -> Option<i64> {
    let secs = value.as_f64().filter(|secs| (0.0..=TIME_SECS_MAX).contains(secs))?;
    Some((secs.floor() as i64) * 1000)
}

#[cfg(test)]
mod tests;
