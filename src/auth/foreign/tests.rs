//! Issuers as the settings say, without a network: who is added, and Keycloak's tokens whole.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::auth::validator::Validator;

const NOW_MS: i64 = 1_800_000_100_000;

#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn foreign(table: &str) -> Foreign {
    Foreign::new(&toml::from_str(table).unwrap(), &Registry::default(), 1).unwrap()
}

fn login_example(more: &str) -> Foreign {
    foreign(&format!("[[issuer]]\nissuer = \"https://login.example\"\n{more}"))
}

#[test]
fn so_many_devices_are_added_in_a_second_and_the_others_in_the_next() {
    let (foreign, start) = (login_example("register = \"on_login\""), start());
    let of = |now: Instant| foreign.registration("https://login.example", now);
    let now = (0..1_000).filter(|_| of(start) == Registration::Now).count();
    assert_eq!(now as u64, REGISTERED_PER_SECOND);
    assert_eq!(of(start), Registration::Later);
    assert_eq!(of(start + Duration::from_secs(1)), Registration::Now);
    assert_eq!(foreign.registration("https://other.example", start), Registration::Never);
}

#[test]
fn nobody_is_added_unless_the_settings_say_so() {
    assert_eq!(login_example("").registration("https://login.example", start()), Registration::Never);
}

/// What the realm `iot` of a Keycloak 26 shows at `protocol/openid-connect/certs` and gives out to the service account of `pump-7`, by keys of
/// OpenSSL whose private halves were thrown away; names and numbers are made up.
fn keycloak() -> Value {
    serde_json::from_str(include_str!("fixtures/keycloak.json")).unwrap()
}

/// The settings for it, as the manual has them.
fn settings_of_the_manual() -> String {
    let manual = include_str!("../../../docs/identity.md");
    let chapter = manual.split_once("### Keycloak").unwrap().1;
    let settings = chapter.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    settings.replace("[[auth.issuer]]", "[[issuer]]").replace("login.example.com", "login.example")
}

#[test]
fn a_device_of_keycloak_comes_in_by_the_settings_of_the_manual_and_only_with_its_access_token() {
    let (foreign, keycloak) = (foreign(&settings_of_the_manual()), keycloak());
    let keys = documents::keys(keycloak["certs"].to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1, "the key to encrypt with is passed over");
    foreign.issuers[0].keeper.ring().replace(keys);
    let validator = Validator::new(foreign.trusted(), Registry::default().counter("checks_total", "Checks."));
    let check = |name: &str, now_ms: i64| validator.check(keycloak[name].as_str().unwrap(), now_ms);

    let claims = check("access", NOW_MS).unwrap();
    assert_eq!((&*claims.subject, &*claims.scope, &*claims.client_id), ("pump-7", "device", "pump-7"));
    assert_eq!(claims.expires_at_ms, 1_800_000_300_000);
    assert_eq!(check("access", claims.expires_at_ms).err(), Some(LoginRefused::Expired));
    for (name, reason) in [
        ("id", LoginRefused::WrongType),
        ("refresh", LoginRefused::WrongType),
        ("of_the_key_to_encrypt", LoginRefused::UnknownKey),
        ("of_a_key_of_another", LoginRefused::WrongSignature),
    ] {
        assert_eq!(check(name, NOW_MS).err(), Some(reason), "{name}");
    }
}
