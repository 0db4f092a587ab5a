//! Tokens as other issuers shape them: what they come to here, and what is none.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn config(more: &str) -> ForeignConfig {
    toml::from_str(&format!("issuer = \"https://login.example\"\n{more}")).unwrap()
}

fn members(value: &Value) -> Members {
    serde_json::from_value(value.clone()).unwrap()
}

fn mapped(more: &str, value: &Value) -> Result<Claims, LoginRefused> {
    claims(&config(more), &members(value))
}

/// Keycloak 26, client credentials of a client `pump-7`, whose names are changed.
fn keycloak() -> Value {
    json!({
        "exp": 1_700_003_600, "iat": 1_700_000_000, "jti": "trrtcc:8d2c", "iss": "https://login.example",
        "aud": ["sealgate", "account"], "sub": "5f0c4a1e-7b0e-4a43-a6e5-4b1f3c5a9c11", "typ": "Bearer", "azp": "pump-7",
        "acr": "1", "realm_access": {"roles": ["offline_access", "iot-device"]},
        "resource_access": {"account": {"roles": ["view-profile"]}}, "scope": "profile email", "client_id": "pump-7",
        "clientHost": "172.18.0.1", "clientAddress": "172.18.0.1", "preferred_username": "service-account-pump-7",
    })
}

const OF_KEYCLOAK: &str = "token_types = [\"JWT\"]\ndevice_claim = \"client_id\"\nscope_claim = \"realm_access.roles\"\ndevice_scope = \"iot-device\"";

fn with(mut value: Value, name: &str, claim: Value) -> Value {
    value[name] = claim;
    value
}

#[test]
fn a_device_of_keycloak_is_its_client() {
    let claims = mapped(OF_KEYCLOAK, &keycloak()).unwrap();
    assert_eq!((&*claims.subject, &*claims.scope, &*claims.client_id), ("pump-7", "device", "pump-7"));
    assert_eq!((claims.expires_at_ms, claims.issued_at_ms), (1_700_003_600_000, 1_700_000_000_000));
    assert_eq!(claims.audiences, ["sealgate", "account"]);
}

#[test]
fn an_access_token_of_keycloak_is_told_from_its_others() {
    let header = |kind: &str| members(&json!({"alg": "RS256", "typ": kind, "kid": "k"}));
    let check = |more: &str, kind: &str, claims: &Value| check_type(&config(more), &header(kind), &members(claims));
    assert_eq!(check(OF_KEYCLOAK, "JWT", &keycloak()), Ok(()));
    for kind in ["ID", "Refresh", "Offline", "Logout", ""] {
        let other = with(keycloak(), "typ", json!(kind));
        assert_eq!(check(OF_KEYCLOAK, "JWT", &other), Err(LoginRefused::WrongType), "{kind}");
    }
    for kind in [json!("id"), json!("refresh"), json!(7), json!(null)] {
        let other = with(keycloak(), "token_use", kind.clone());
        assert_eq!(check(OF_KEYCLOAK, "JWT", &other), Err(LoginRefused::WrongType), "{kind}");
    }
    assert_eq!(check(OF_KEYCLOAK, "JWT", &with(keycloak(), "token_use", json!("access"))), Ok(()));
    for claim in ["nonce", "at_hash", "c_hash", "events"] {
        let identity = with(keycloak(), claim, json!("x"));
        assert_eq!(check(OF_KEYCLOAK, "JWT", &identity), Err(LoginRefused::WrongType), "{claim}");
    }
    let mut unscoped = keycloak();
    unscoped.as_object_mut().unwrap().remove("realm_access");
    assert_eq!(check(OF_KEYCLOAK, "JWT", &unscoped), Err(LoginRefused::WrongType));
    // Who writes what RFC 9068 has is asked for nothing else.
    assert_eq!(check("", "at+jwt", &json!({})), Ok(()));
    assert_eq!(check("", "application/AT+JWT", &json!({})), Ok(()));
    assert_eq!(check("", "JWT", &keycloak()), Err(LoginRefused::WrongType));
    assert_eq!(check(OF_KEYCLOAK, "logout+jwt", &keycloak()), Err(LoginRefused::WrongType));
}

#[test]
fn a_service_has_the_scopes_that_say_something_here_and_those_of_its_groups() {
    let more = "groups_claim = \"groups\"\n[group_scopes]\nops = [\"sealgate:operator\", \"sub:a\"]\nall = [\"sub:#\"]";
    let token = json!({
        "iss": "https://login.example", "aud": "sealgate", "sub": "ada", "exp": 2, "scope": "openid sub:a pub:b/# pub:",
        "groups": ["ops", "unknown", 7],
    });
    let claims = mapped(more, &token).unwrap();
    assert_eq!((&*claims.subject, &*claims.scope), ("ada", "sub:a pub:b/# sealgate:operator"));
    assert_eq!(claims.group.as_deref(), Some("ops"));
    let of = |groups: Value| mapped(more, &with(token.clone(), "groups", groups)).unwrap().group;
    assert_eq!(of(json!(["/realm/vans", "", "vans"])).as_deref(), Some("vans"), "the first that can be one");
    assert_eq!((of(json!([])), of(json!(["a b"])), of(json!(7))), (None, None, None));
    let nothing = mapped("", &with(token, "scope", json!("openid"))).unwrap();
    assert_eq!(nothing.scope, "", "it may come in and do nothing");
}

#[test]
fn scopes_are_read_from_a_string_and_from_an_array() {
    let token = |scopes: Value| json!({"iss": "https://login.example", "aud": "sealgate", "sub": "pump", "exp": 2, "scp": scopes});
    for scopes in [json!("device other"), json!(["other", "device"])] {
        assert_eq!(mapped("scope_claim = \"scp\"", &token(scopes)).unwrap().scope, "device");
    }
    for scopes in [json!("devices"), json!(7), json!(null), json!({"device": true})] {
        assert_eq!(mapped("scope_claim = \"scp\"", &token(scopes.clone())).unwrap().scope, "", "{scopes}");
    }
    assert_eq!(mapped("device_scope = \"\"", &token(json!(null))).unwrap().scope, "device", "each is a device's");
}

#[test]
fn a_claim_may_have_a_dot_in_its_name_and_a_dot_may_lead_inward() {
    let token = json!({
        "iss": "https://login.example", "aud": "sealgate", "exp": 2, "scope": "device",
        "https://login.example/id": "pump", "resource": {"device": {"id": "van"}},
    });
    assert_eq!(mapped("device_claim = \"https://login.example/id\"", &token).unwrap().subject, "pump");
    assert_eq!(mapped("device_claim = \"resource.device.id\"", &token).unwrap().subject, "van");
    for missing in ["resource.device", "resource.id", "sub", "scope.id"] {
        let more = format!("device_claim = \"{missing}\"");
        assert_eq!(mapped(&more, &token).err(), Some(LoginRefused::Malformed), "{missing}");
    }
}

// The class of CVE-2026-25537: a time of the wrong type must refuse the token, not skip its check.
#[test]
fn a_time_of_the_wrong_type_is_refused() {
    for name in ["exp", "nbf", "iat"] {
        for value in [json!("1700003600"), json!(null), json!([1]), json!(-1), json!(1e300), json!(true)] {
            let token = with(keycloak(), name, value.clone());
            assert_eq!(mapped(OF_KEYCLOAK, &token).err(), Some(LoginRefused::Malformed), "{name} {value}");
        }
    }
    let claims = mapped(OF_KEYCLOAK, &with(keycloak(), "exp", json!(1_700_003_600.9))).unwrap();
    assert_eq!(claims.expires_at_ms, 1_700_003_600_000, "a fraction is cut off, to the earlier end");
}

#[test]
fn a_name_is_neither_empty_nor_endless() {
    for name in [json!(""), json!("x".repeat(65)), json!(7), json!(["pump"])] {
        let token = with(keycloak(), "client_id", name.clone());
        assert_eq!(mapped(OF_KEYCLOAK, &token).err(), Some(LoginRefused::Malformed), "{name}");
    }
}

proptest! {
    #[test]
    fn no_claims_panic(text in "\\{(\"(sub|scope|exp|aud|iss|groups)\":(\"[a-z: ]{0,9}\"|[0-9]{1,4}|null|\\[\\]),?){0,6}\\}") {
        if let Ok(members) = serde_json::from_str::<Members>(&text) {
            let _ = claims(&config("groups_claim = \"groups\""), &members);
            let _ = check_type(&config(""), &members, &members);
        }
    }
}
