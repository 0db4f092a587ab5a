//! The issuer beyond its tokens: keys that rotate, what a token is worth, taking one back, clients that sign for themselves, and what the
//! audit log has of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sealgate::auth::{Config, LoginRefused, Rotation, TokenRefused};
use sealgate::store::{AuditFilter, Kind, State};
use serde_json::{Value, json};

use super::world::{Credentials, NOW_MS, World, asker, world, world_of};

const HOUR_MS: i64 = 3_600_000;

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

impl World {
    async fn token_at(&self, credentials: &Credentials, now_ms: i64) -> String {
        let answer = self.auth.answer(None, credentials.form().as_bytes(), asker(), now_ms).await;
        answer.unwrap().expose().to_owned()
    }

    async fn is_let_in(&self, name: &str, token: &str, now_ms: i64) -> Result<(), LoginRefused> {
        self.auth.login(name, token, "", asker(), now_ms).await.map(|_| ()).map_err(|refused| refused.reason)
    }

    fn kids(&self, now_ms: i64) -> Vec<String> {
        let jwks = serde_json::to_value(self.auth.jwks(now_ms)).unwrap();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    async fn introspected(&self, asks: &Credentials, token: &str) -> Value {
        let body = format!("{}&token={token}", asks.form().replace("grant_type=client_credentials&", ""));
        serde_json::to_value(self.auth.introspect(None, body.as_bytes(), asker(), NOW_MS).await.unwrap()).unwrap()
    }

    async fn revoke(&self, asks: &Credentials, token: &str) -> Result<(), TokenRefused> {
        let body = format!("token={token}&token_type_hint=access_token");
        let revoked = self.auth.revoke(Some(&asks.basic()), body.as_bytes(), asker(), NOW_MS).await;
        revoked.map_err(|refused| refused.reason)
    }
}

#[tokio::test]
async fn a_new_key_is_shown_before_it_signs_and_the_old_one_until_its_tokens_have_ended() {
    let world = world().await;
    let pump = world.device("pump").await;
    let old = world.token_at(&pump, NOW_MS).await;
    world.auth.rotate(Rotation::Overlapping, NOW_MS).await.unwrap();
    let both = world.kids(NOW_MS);
    assert_eq!((both.len(), &both[0]), (2, &kid(&old)));
    let before = world.token_at(&pump, NOW_MS + 599_000).await;
    let after = world.token_at(&pump, NOW_MS + 600_000).await;
    assert_eq!((kid(&before), kid(&after)), (kid(&old), both[1].clone()));
    // The last token of the old key is good to its end.
    let end_ms = NOW_MS + 599_000 + HOUR_MS;
    for (token, is_in) in [(&before, true), (&after, true), (&old, false)] {
        assert_eq!(world.is_let_in("pump", token, end_ms - 1).await.is_ok(), is_in);
    }
    assert_eq!(world.kids(end_ms + 200_000), [both[1].clone()]);
}

#[tokio::test]
async fn a_key_that_another_may_have_is_believed_no_more() {
    let world = world().await;
    let pump = world.device("pump").await;
    let token = world.token(&pump).await;
    let grant = world.login("pump", &token, "pump").await.unwrap();
    world.auth.rotate(Rotation::AtOnce, NOW_MS).await.unwrap();
    let taken_back = world.auth.look_again(NOW_MS).await.unwrap();
    assert!(taken_back.covers(&grant.token()), "its connection ends");
    assert_eq!(world.refusal("pump", &token, "pump").await, LoginRefused::Revoked);
    let next = world.token(&pump).await;
    assert_eq!(world.kids(NOW_MS), [kid(&next)]);
    assert!(!taken_back.covers(&world.login("pump", &next, "pump").await.unwrap().token()));
}

#[tokio::test]
async fn a_key_that_is_old_makes_way_by_itself() {
    let day = Duration::from_secs(24 * 3600);
    let world = world_of(&Config { signing_key_lifetime: day, ..Config::default() }).await;
    let announced_ms = NOW_MS + 23 * HOUR_MS + 3_000_000;
    world.auth.keep(announced_ms - 1).await.unwrap();
    assert_eq!(world.kids(announced_ms).len(), 1);
    world.auth.keep(announced_ms).await.unwrap();
    world.auth.keep(announced_ms).await.unwrap();
    assert_eq!(world.kids(announced_ms).len(), 2, "once");
    let later_ms = announced_ms + 50 * HOUR_MS;
    world.auth.keep(later_ms).await.unwrap();
    assert_eq!(
        world.store.signing_keys().await.unwrap().len(),
        2,
        "what has long ended is removed, and the next is made"
    );
}

// RFC 7662 section 2.2
#[tokio::test]
async fn what_a_token_is_worth_is_told_to_whom_it_concerns() {
    let world = world().await;
    let (pump, van) = (world.device("pump").await, world.device("van").await);
    let checker = world.service("checker", &["introspect"]).await;
    let token = world.token(&pump).await;
    for asks in [&pump, &checker] {
        let told = world.introspected(asks, &token).await;
        assert_eq!(told["active"], json!(true), "{told}");
        assert_eq!(
            (&told["sub"], &told["client_id"], &told["scope"]),
            (&json!("pump"), &json!(pump.id), &json!("device"))
        );
        assert_eq!((&told["exp"], &told["iat"]), (&claims(&token)["exp"], &json!(NOW_MS / 1000)));
        assert_eq!((&told["iss"], &told["jti"]), (&claims(&token)["iss"], &claims(&token)["jti"]));
    }
    let nothing = json!({"active": false});
    assert_eq!(world.introspected(&van, &token).await, nothing, "another device's is none of its business");
    assert_eq!(world.introspected(&checker, "no.token.atall").await, nothing);
    world.store.set_device_state("pump", State::Disabled).await.unwrap();
    assert_eq!(world.introspected(&checker, &token).await, nothing);
    // RFC 7662 section 2.3
    let stranger = Credentials { id: pump.id.clone(), secret: van.secret.clone() };
    let body = format!("token={token}");
    let refused = world.auth.introspect(Some(&stranger.basic()), body.as_bytes(), asker(), NOW_MS).await;
    assert_eq!(refused.unwrap_err().reason, TokenRefused::InvalidClient);
    let refused = world.auth.introspect(Some(&checker.basic()), b"", asker(), NOW_MS).await;
    assert_eq!(refused.unwrap_err().reason, TokenRefused::InvalidRequest);
    assert_eq!(world.count(r#"sealgate_auth_introspections_total{result="positive"}"#), 2);
    assert_eq!(world.count(r#"sealgate_auth_introspections_total{result="negative"}"#), 3);
    assert_eq!(world.count(r#"sealgate_auth_introspections_total{result="refused"}"#), 2);
}

// RFC 7009 sections 2.1 and 2.2
#[tokio::test]
async fn a_client_takes_its_own_token_back() {
    let world = world().await;
    let (pump, van) = (world.device("pump").await, world.device("van").await);
    let (token, other) = (world.token(&pump).await, world.token(&pump).await);
    let grant = world.login("pump", &token, "pump").await.unwrap();
    assert_eq!(world.revoke(&van, &token).await, Err(TokenRefused::UnauthorizedClient));
    assert!(world.login("pump", &token, "pump").await.is_ok());
    assert_eq!(world.revoke(&pump, &token).await, Ok(()));
    assert_eq!(world.refusal("pump", &token, "pump").await, LoginRefused::Revoked);
    assert!(world.auth.look_again(NOW_MS).await.unwrap().covers(&grant.token()), "its connection ends");
    assert!(world.login("pump", &other, "pump").await.is_ok(), "another token of the same device is good");
    assert_eq!(world.introspected(&pump, &token).await, json!({"active": false}));
    // What is none, or none any more, is as good as taken back.
    for none in [token.as_str(), "none", "a.b.c"] {
        assert_eq!(world.revoke(&pump, none).await, Ok(()), "{none}");
    }
    assert_eq!(world.count(r#"sealgate_auth_revocations_total{result="positive"}"#), 1);
}

#[tokio::test]
async fn who_takes_tokens_back_without_end_is_told_to_slow_down() {
    let world = world().await;
    let pump = world.device("pump").await;
    let asker = asker();
    let revoke = async |token: &str| {
        let body = format!("token={token}");
        let revoked = world.auth.revoke(Some(&pump.basic()), body.as_bytes(), asker, NOW_MS).await;
        revoked.map_err(|refused| refused.reason)
    };
    let (first, second) = (world.token(&pump).await, world.token(&pump).await);
    assert_eq!(revoke(&first).await, Ok(()));
    assert_eq!(revoke(&second).await, Err(TokenRefused::TooOften));
    assert!(world.login("pump", &second, "pump").await.is_ok());
    assert_eq!(world.store.revoked_tokens(NOW_MS).await.unwrap().len(), 1);
}

// RFC 8707 section 2
#[tokio::test]
async fn a_token_for_another_resource_is_of_no_use_here() {
    let other = "https://archive.example".to_owned();
    let world = world_of(&Config { other_audiences: vec![other], ..Config::default() }).await;
    let pump = world.device("pump").await;
    let ask = async |resource: &str| {
        let body = format!("{}&resource={resource}", pump.form());
        world.auth.answer(None, body.as_bytes(), asker(), NOW_MS).await
    };
    let token = ask("https://archive.example").await.unwrap().expose().to_owned();
    assert_eq!(claims(&token)["aud"], json!("https://archive.example"));
    assert_eq!(world.refusal("pump", &token, "pump").await, LoginRefused::WrongAudience);
    assert!(ask("sealgate").await.is_ok());
    assert_eq!(ask("https://evil.example").await.unwrap_err().reason, TokenRefused::InvalidTarget);
}

fn assertion(key: &SigningKey, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "ES256"})), part(claims));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

// RFC 7523 section 2.2
#[tokio::test]
async fn a_client_that_signs_for_itself_needs_no_secret() {
    let world = world().await;
    let (pump, van) = (world.device("pump").await, world.device("van").await);
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_encoded_point(false);
    let (x, y) = (URL_SAFE_NO_PAD.encode(point.x().unwrap()), URL_SAFE_NO_PAD.encode(point.y().unwrap()));
    let jwk = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string();
    world.store.set_client_keys(Kind::Device, "pump", Some(&jwk)).await.unwrap();
    let ask = async |client: &Credentials, jti: &str| {
        let claims = json!({
            "iss": client.id, "sub": client.id, "aud": "http://127.0.0.1:8080/oauth/token",
            "exp": NOW_MS / 1000 + 60, "jti": jti,
        });
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let signed = assertion(&key, &claims);
        let body = format!("grant_type=client_credentials&client_assertion_type={kind}&client_assertion={signed}");
        let answer = world.auth.answer(None, body.as_bytes(), asker(), NOW_MS).await;
        answer.map(|token| token.expose().to_owned()).map_err(|refused| refused.reason)
    };
    let token = ask(&pump, "1").await.unwrap();
    assert!(world.login("pump", &token, "pump").await.is_ok());
    assert_eq!(ask(&pump, "1").await, Err(TokenRefused::InvalidClient), "an assertion is good once");
    assert_eq!(ask(&van, "2").await, Err(TokenRefused::InvalidClient), "van has no key");
    world.store.set_device_state("pump", State::Disabled).await.unwrap();
    assert_eq!(ask(&pump, "3").await, Err(TokenRefused::InvalidClient));
}

#[tokio::test]
async fn who_asks_again_and_again_is_told_to_slow_down() {
    let world = world_of(&Config { requests_per_client_max: 3, ..Config::default() }).await;
    let (pump, van) = (world.device("pump").await, world.device("van").await);
    let asker = asker();
    let ask = async |credentials: &Credentials| {
        let answer = world.auth.answer(None, credentials.form().as_bytes(), asker, NOW_MS).await;
        answer.map(|_| ()).map_err(|refused| refused.reason)
    };
    // Who does not know the secret uses nothing up.
    let thief = Credentials { id: pump.id.clone(), secret: van.secret.clone() };
    for _ in 0..10 {
        assert_eq!(ask(&thief).await, Err(TokenRefused::InvalidClient));
    }
    for _ in 0..3 {
        assert_eq!(ask(&pump).await, Ok(()));
    }
    assert_eq!(ask(&pump).await, Err(TokenRefused::TooOften));
    assert_eq!(ask(&van).await, Ok(()), "others are not slowed down");
}

#[tokio::test]
async fn an_operator_is_who_has_a_role() {
    let world = world().await;
    let chief = world.service("chief", &["sealgate:operator", "sealgate:viewer"]).await;
    let (rules, pump) = (world.service("rules", &["sub:#"]).await, world.device("pump").await);
    let operator =
        async |token: &str| world.auth.operator(token, asker(), NOW_MS).await.map_err(|refused| refused.reason);
    let token = world.token(&chief).await;
    let found = operator(&token).await.unwrap();
    assert_eq!((&*found.name, found.role.as_str()), ("chief", "operator"));
    for nobody in [&rules, &pump] {
        assert_eq!(operator(&world.token(nobody).await).await, Err(LoginRefused::NoOperator));
    }
    world.store.set_service_state("chief", State::Disabled).await.unwrap();
    world.auth.registry_changed();
    assert_eq!(operator(&token).await, Err(LoginRefused::Disabled));
}

#[tokio::test]
async fn logins_and_tokens_are_entered_and_a_flood_of_failures_is_not() {
    let mut world = world().await;
    let pump = world.device("pump").await;
    let token = world.token(&pump).await;
    world.login("pump", &token, "pump").await.unwrap();
    for _ in 0..1000 {
        world.refusal("pump", "x", "pump").await;
    }
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    world.journal.take().unwrap().run(stop).await;
    let all = world.store.audit_log(&AuditFilter::default(), 0, 10_000).await.unwrap();
    let of = |action: &str| all.iter().filter(|entry| entry.action == action).collect::<Vec<_>>();
    let (issued, login) = (of("token_issued"), of("login"));
    assert_eq!((issued.len(), login.len()), (1, 1));
    let jti = claims(&token)["jti"].as_str().unwrap().to_owned();
    assert_eq!(
        (&*issued[0].who, &*issued[0].subject, issued[0].detail.clone()),
        (&*pump.id, "pump", format!("{jti} device"))
    );
    assert_eq!((&*login[0].who, &*login[0].origin, &*login[0].detail), ("pump", "127.0.0.1", "pump"));
    assert_eq!(login[0].at_ms, NOW_MS);
    let refused = of("login_refused").len() as u64;
    assert!((1..1000).contains(&refused), "{refused}");
    assert_eq!(world.count(r#"sealgate_auth_audit_left_out_total{cause="flood"}"#), 1000 - refused);
    assert!(all.iter().all(|entry| !format!("{entry:?}").contains(&pump.secret)));
}
