//! EMQX's documented answers (`en_US/access-control/authn/http.md` and `authz/http.md` of emqx-docs, 9046f8c of
//! 2024-10-19, which is 5.8), and requests as the templates of docs/brokers.md make them.

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::auth::scope::Scope;
use crate::auth::{Grant, LoginRefused};

/// `emqx_utils_json:encode` of the template, its placeholders filled in.
const AUTHN: &str =
    r#"{"username":"console","password":"eyJ.e30.c2ln","clientid":"console@1","peerhost":"203.0.113.7"}"#;

fn authz(action: &str, topic: &str) -> String {
    format!(
        r#"{{"username":"console","clientid":"console@1","action":"{action}","topic":"{topic}","qos":"1","retain":"false"}}"#
    )
}

fn service(scopes: &[&str]) -> Result<Arc<Grant>, LoginRefused> {
    let scopes = scopes.iter().map(|text| Scope::parse(text).unwrap()).collect();
    Ok(Arc::new(Grant::service("console", scopes, 1_654_254_601_999)))
}

fn answered(kind: Kind, body: &str, found: Result<Arc<Grant>, LoginRefused>) -> Value {
    let asked = Asked::parse(kind, body.as_bytes()).unwrap();
    let answer = answer(&Verdict::of(&asked.question().wish, found));
    assert_eq!(answer.max_age_secs, 0);
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn the_template_of_the_authenticator_is_a_login() {
    let asked = Asked::parse(Kind::Authenticate, AUTHN.as_bytes()).unwrap();
    let wish = Wish::LogIn { token: Token("eyJ.e30.c2ln"), from: Some([203, 0, 113, 7].into()) };
    assert_eq!(asked.question(), Question { user_name: "console", client_id: "console@1", wish });
}

/// "The value is a Unix timestamp in seconds", 1654254601 in the example.
#[test]
fn a_login_is_allowed_until_its_token_ends() {
    let allow = json!({"result": "allow", "is_superuser": false, "expire_at": 1_654_254_601});
    assert_eq!(answered(Kind::Authenticate, AUTHN, service(&[])), allow);
}

/// "option value: `allow`, `deny`, `ignore`", of which the last is never said.
#[test]
fn whatever_is_not_allowed_is_denied() {
    let deny = json!({"result": "deny"});
    for reason in LoginRefused::ALL {
        assert_eq!(answered(Kind::Authenticate, AUTHN, Err(reason)), deny, "{reason}");
        assert_eq!(answered(Kind::Authorize, &authz("publish", "a"), Err(reason)), deny, "{reason}");
    }
}

#[test]
fn each_action_has_its_scopes() {
    let (allow, deny) = (json!({"result": "allow"}), json!({"result": "deny"}));
    for (action, topic, answer) in [
        ("publish", "commands/pump/stop", &allow),
        ("publish", "readings/pump", &deny),
        ("subscribe", "readings/+", &allow),
        ("subscribe", "readings/#", &deny),
        ("subscribe", "$share/g/readings/+", &allow),
        ("subscribe", "commands/pump/stop", &deny),
        ("PUBLISH", "commands/pump/stop", &deny),
        ("all", "commands/pump/stop", &deny),
        ("", "readings/+", &deny),
    ] {
        let found = service(&["pub:commands/#", "sub:readings/+"]);
        assert_eq!(answered(Kind::Authorize, &authz(action, topic), found), *answer, "{action} {topic}");
    }
}

/// An undefined placeholder is an empty text.
#[test]
fn a_client_without_user_name_and_password_has_neither() {
    for body in [r#"{"username":"","password":"","clientid":"a"}"#, r#"{"clientid":"a"}"#] {
        let asked = Asked::parse(Kind::Authenticate, body.as_bytes()).unwrap();
        let wish = Wish::LogIn { token: Token(""), from: None };
        assert_eq!(asked.question(), Question { user_name: "", client_id: "a", wish });
    }
}

#[test]
fn what_is_not_as_the_template_says_is_malformed() {
    for (kind, body) in [
        (Kind::Authenticate, ""),
        (Kind::Authenticate, "[]"),
        (Kind::Authenticate, r#"{"username":"u","password":"p"}"#),
        (Kind::Authenticate, r#"{"username":{},"clientid":"a"}"#),
        (Kind::Authorize, r#"{"username":"u","clientid":"a","topic":"a"}"#),
        (Kind::Authorize, r#"{"username":"u","clientid":"a","action":"publish"}"#),
        (Kind::Authorize, r#"{"username":"u","clientid":"a","action":1,"topic":"a"}"#),
    ] {
        assert!(Asked::parse(kind, body.as_bytes()).is_err(), "{body}");
    }
}
