//! Who gets a token, and what it is good for: the guard of identities on a real database.

mod issuer;
pub(crate) mod world;

use sealgate::auth::{self, Auth, Config, Foreign, LoginRefused, OpenError, Principal, TokenRefused};
use sealgate::metrics::Registry;
use sealgate::mqtt::topic::{Filter, Topic};
use sealgate::store::State;

use crate::harness::Scratch;
use world::{NOW_MS, asker, open, store_in, world};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn a_device_logs_in_with_the_token_that_it_was_issued() {
    let world = world().await;
    let token = world.token(&world.device("pump:7").await).await;
    for client_id in ["pump:7", ""] {
        let grant = world.login("pump:7", &token, client_id).await.unwrap();
        assert_eq!(grant.principal(), &Principal::Device("pump:7".into()));
        assert_eq!(grant.expires_at_ms(), NOW_MS + HOUR_MS);
        assert!(grant.may_publish(&Topic::new("devices/pump:7/telemetry").unwrap()));
        assert!(!grant.may_publish(&Topic::new("devices/pump:8/telemetry").unwrap()));
    }
    assert_eq!(world.count("sealgate_auth_logins_total{result=\"accepted\"}"), 2);
}

#[tokio::test]
async fn a_token_serves_its_subject_alone() {
    let world = world().await;
    let token = world.token(&world.device("pump-7").await).await;
    world.device("pump-8").await;
    assert_eq!(world.refusal("pump-8", &token, "pump-8").await, LoginRefused::WrongUserName);
    assert_eq!(world.refusal("", &token, "pump-7").await, LoginRefused::WrongUserName);
    assert_eq!(world.refusal("pump-7", &token, "pump-8").await, LoginRefused::WrongClientId);
    assert_eq!(world.refusal("pump-7", "", "pump-7").await, LoginRefused::MissingToken);
    assert_eq!(world.refusal("pump-7", "secret", "pump-7").await, LoginRefused::Malformed);
    world.login("pump-7", &token, "pump-7").await.unwrap();
    // What is remembered answers no other way than what is not.
    assert_eq!(world.refusal("pump-8", &token, "pump-8").await, LoginRefused::WrongUserName);
    assert_eq!(world.refusal("pump-7", &token, "pump-8").await, LoginRefused::WrongClientId);
    assert_eq!(world.count("sealgate_auth_logins_total{result=\"wrong_user_name\"}"), 3);
}

#[tokio::test]
async fn a_service_has_what_its_token_says_and_names_its_connections_as_it_likes() {
    let world = world().await;
    let credentials = world.service("console", &["sub:readings/#", "pub:commands/#"]).await;
    let form = format!("{}&scope=sub:readings/%2B", credentials.form());
    let answer = world.auth.answer(None, form.as_bytes(), asker(), NOW_MS).await.unwrap();
    assert_eq!(answer.scope(), "sub:readings/+");
    assert!(!format!("{answer:?}").contains(answer.expose()), "a token does not print");
    let grant = world.login("console", answer.expose(), "console-3").await.unwrap();
    assert_eq!(grant.principal(), &Principal::Service("console".into()));
    assert!(grant.may_subscribe(&Filter::new("readings/pump-7").unwrap()));
    assert!(!grant.may_subscribe(&Filter::new("readings/#").unwrap()));
    assert!(!grant.may_publish(&Topic::new("commands/pump-7/stop").unwrap()));
}

#[tokio::test]
async fn a_reconnect_costs_no_signature_check() {
    let world = world().await;
    let token = world.token(&world.device("pump-7").await).await;
    for _ in 0..10 {
        world.login("pump-7", &token, "pump-7").await.unwrap();
    }
    assert_eq!(world.signature_checks(), 1);
    assert_eq!(world.count("sealgate_auth_cache_hits_total"), 9);
    world.auth.registry_changed();
    world.login("pump-7", &token, "pump-7").await.unwrap();
    assert_eq!(world.signature_checks(), 1, "a change of the registry is no reason to check a signature again");
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let world = world().await;
    let token = world.token(&world.device("pump-7").await).await;
    // Letters at the end of an ES256 signature that leave no stray bits.
    let forged = format!("{}AAAA{}", &token[..token.len() - 40], &token[token.len() - 36..]);
    for checks in 1..=3 {
        assert_eq!(world.refusal("pump-7", &forged, "pump-7").await, LoginRefused::WrongSignature);
        assert_eq!(world.signature_checks(), checks);
    }
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_time() {
    let world = world().await;
    let token = world.token(&world.device("pump-7").await).await;
    world.login("pump-7", &token, "pump-7").await.unwrap();
    let at = |now_ms| world.auth.login("pump-7", &token, "pump-7", asker(), now_ms);
    assert!(at(NOW_MS + HOUR_MS - 1).await.is_ok());
    assert_eq!(at(NOW_MS + HOUR_MS).await.unwrap_err().reason, LoginRefused::Expired);
    assert_eq!(world.signature_checks(), 1);
}

#[tokio::test]
async fn a_disabled_device_gets_neither_token_nor_login_and_comes_back_when_it_is_enabled() {
    let world = world().await;
    let credentials = world.device("pump-7").await;
    let token = world.token(&credentials).await;
    world.login("pump-7", &token, "pump-7").await.unwrap();

    world.store.set_device_state("pump-7", State::Disabled).await.unwrap();
    world.auth.registry_changed();
    assert_eq!(world.refusal("pump-7", &token, "pump-7").await, LoginRefused::Disabled);
    let refused = world.auth.answer(None, credentials.form().as_bytes(), asker(), NOW_MS).await;
    assert_eq!(refused.unwrap_err().reason, TokenRefused::InvalidClient);

    world.store.set_device_state("pump-7", State::Enabled).await.unwrap();
    world.auth.registry_changed();
    world.login("pump-7", &token, "pump-7").await.unwrap();
}

#[tokio::test]
async fn a_disabled_service_is_refused() {
    let world = world().await;
    let token = world.token(&world.service("console", &["sub:#"]).await).await;
    world.store.set_service_state("console", State::Disabled).await.unwrap();
    assert_eq!(world.refusal("console", &token, "").await, LoginRefused::Disabled);
}

#[tokio::test]
async fn a_token_outlives_a_restart() {
    let world = world().await;
    let token = world.token(&world.device("pump-7").await).await;
    let again = open(&store_in(&world.scratch).await, &Config::default(), &Registry::default()).await.unwrap();
    again.login("pump-7", &token, "pump-7", asker(), NOW_MS).await.unwrap();
}

#[tokio::test]
async fn two_that_start_at_once_sign_with_one_key() {
    let scratch = Scratch::new("auth");
    let (first, second) = (store_in(&scratch).await, store_in(&scratch).await);
    let (config, registries) = (Config::default(), [Registry::default(), Registry::default()]);
    let (one, other) = tokio::join!(open(&first, &config, &registries[0]), open(&second, &config, &registries[1]));
    let keys = |auth: Auth| serde_json::to_value(auth.jwks(NOW_MS)).unwrap();
    assert_eq!(keys(one.unwrap()), keys(other.unwrap()));
}

#[tokio::test]
async fn another_gateways_token_is_refused() {
    let (ours, other) = (world().await, world().await);
    ours.device("pump-7").await;
    let foreign = other.token(&other.device("pump-7").await).await;
    assert_eq!(ours.refusal("pump-7", &foreign, "pump-7").await, LoginRefused::UnknownKey);
}

#[tokio::test]
async fn keys_under_another_storage_key_do_not_open() {
    let world = world().await;
    let metrics = auth::Metrics::new(&Registry::default());
    let opened =
        Auth::open(&Config::default(), world.store.clone(), &[8; 32], Foreign::default(), metrics, NOW_MS).await;
    assert!(matches!(opened.err(), Some(OpenError::Key(_))));
}

#[tokio::test]
async fn what_may_be_done_elsewhere_is_remembered_until_the_registry_changes() {
    let world = world().await;
    world.device("pump-7").await;
    world.service("console", &["sub:readings/+"]).await;
    let grant = world.auth.standing("pump-7", "pump-7").await.unwrap();
    assert_eq!(grant.principal(), &Principal::Device("pump-7".into()));
    assert!(
        world.auth.standing("console", "console@1").await.unwrap().may_subscribe(&Filter::new("readings/+").unwrap())
    );
    for (user_name, client_id, reason) in [
        ("nobody", "nobody", LoginRefused::UnknownPrincipal),
        ("", "", LoginRefused::UnknownPrincipal),
        ("a\0b", "a\0b", LoginRefused::UnknownPrincipal),
        ("pump-7", "pump-8", LoginRefused::WrongClientId),
        ("pump-7", "", LoginRefused::WrongClientId),
        ("pump-7", "pump-7@1", LoginRefused::UnknownPrincipal),
    ] {
        assert_eq!(world.auth.standing(user_name, client_id).await.unwrap_err(), reason, "{user_name} {client_id}");
    }
    world.store.set_device_state("pump-7", State::Disabled).await.unwrap();
    world.auth.standing("pump-7", "pump-7").await.unwrap();
    world.auth.registry_changed();
    assert_eq!(world.auth.standing("pump-7", "pump-7").await.unwrap_err(), LoginRefused::Disabled);
    // A store that is away grants nothing, not even what was known before.
    world.store.clone().close().await;
    world.auth.registry_changed();
    assert_eq!(world.auth.standing("console", "console@1").await.unwrap_err(), LoginRefused::StoreUnavailable);
}
