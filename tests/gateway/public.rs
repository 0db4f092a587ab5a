//! The token endpoint, the keys and the metadata over real sockets, asked by a client that is not ours and by one
//! that is rude.

use std::net::SocketAddr;

use oauth2::basic::BasicClient;
use oauth2::{AuthType, ClientId, ClientSecret, Scope, TokenResponse as _, TokenUrl};
use sealgate::auth::Config;
use sealgate::proxy::ProxyProtocol;
use sealgate::public;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::auth::world::{Credentials, World, asker, world, world_of};

const FORM: &str = "application/x-www-form-urlencoded";

/// The token endpoint on a port of its own.
async fn serve(world: &World) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let sockets = vec![sealgate::http::Socket { listener, proxy_protocol: ProxyProtocol::Off, identity: None }];
    let door = public::Door::new(sockets, world.auth.clone(), &public::Config::default(), &world.registry);
    tokio::spawn(door.serve(shutdown.clone()));
    (address, shutdown)
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request on a connection of its own.
async fn request(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let mut head = format!("{line} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    let _ = stream.write_all(body).await; // A body that is too long is answered before it is read.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
    Ok(Answer { status, head, body: answer[end + 4..].to_vec() })
}

async fn post(address: SocketAddr, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [&[("host", "a"), ("content-type", FORM)], headers].concat();
    request(address, "POST /oauth/token", &headers, body.as_bytes()).await.unwrap()
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, &format!("GET {path}"), &[("host", "attacker.example")], b"").await.unwrap()
}

/// A client that is not ours: the crate `oauth2`, with a socket of ours below it.
#[tokio::test]
async fn a_foreign_client_gets_its_token_in_both_ways() {
    let world = world().await;
    let (address, _shutdown) = serve(&world).await;
    let credentials = world.service("console", &["sub:readings/#"]).await;
    let http = |request: oauth2::HttpRequest| exchange(address, request);
    for way in [AuthType::BasicAuth, AuthType::RequestBody] {
        let client = BasicClient::new(ClientId::new(credentials.id.clone()))
            .set_client_secret(ClientSecret::new(credentials.secret.clone()))
            .set_token_uri(TokenUrl::new("http://127.0.0.1:8080/oauth/token".to_owned()).unwrap())
            .set_auth_type(way);
        let asked = client.exchange_client_credentials().add_scope(Scope::new("sub:readings/+".to_owned()));
        let answer = asked.request_async(&http).await.unwrap();
        assert_eq!(answer.expires_in(), Some(std::time::Duration::from_secs(3600)));
        assert_eq!(answer.scopes().unwrap()[0].as_str(), "sub:readings/+");
        #[expect(clippy::disallowed_methods, reason = "the token was issued by the wall clock")]
        let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        world.auth.login("console", answer.access_token().secret(), "", asker(), now_ms).await.unwrap();
    }
    assert_eq!(world.count("sealgate_auth_tokens_total{result=\"issued\"}"), 2);
}

async fn exchange(address: SocketAddr, asked: oauth2::HttpRequest) -> std::io::Result<oauth2::HttpResponse> {
    let headers: Vec<_> =
        asked.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    let line = format!("{} {}", asked.method(), asked.uri().path());
    let answer = request(address, &line, &[&headers[..], &[("host", "a")]].concat(), asked.body()).await?;
    let mut response = oauth2::http::Response::builder().status(answer.status);
    for (name, value) in answer.head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        response = response.header(name, value);
    }
    Ok(response.body(answer.body).unwrap())
}

// RFC 6749 section 5.1
#[tokio::test]
async fn no_cache_keeps_a_token() {
    let world = world().await;
    let (address, _shutdown) = serve(&world).await;
    let credentials = world.device("pump-7").await;
    let answer = post(address, &[("authorization", &credentials.basic())], "grant_type=client_credentials").await;
    assert_eq!(
        (answer.status, answer.header("cache-control"), answer.header("pragma")),
        (200, Some("no-store"), Some("no-cache"))
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&"Bearer".into(), &3600.into(), &"device".into())
    );
}

// RFC 6749 section 5.2
#[tokio::test]
async fn each_fault_of_a_request_has_its_error() {
    let world = world().await;
    let (address, _shutdown) = serve(&world).await;
    let good = world.service("console", &["sub:readings/#"]).await;
    let wrong = Credentials { id: good.id.clone(), secret: "wrong".to_owned() };
    let unknown = Credentials { id: "unknown".to_owned(), secret: good.secret.clone() };
    let basic = [("authorization", good.basic())];
    let grant = "grant_type=client_credentials";
    for (headers, body, status, error) in [
        (&[][..], wrong.form(), 401, "invalid_client"),
        (&[], unknown.form(), 401, "invalid_client"),
        (&[], grant.to_owned(), 401, "invalid_client"),
        (&[("authorization", wrong.basic())], grant.to_owned(), 401, "invalid_client"),
        (&[("authorization", "Bearer x".to_owned())], grant.to_owned(), 401, "invalid_client"),
        (&basic, good.form(), 400, "invalid_request"),
        (&[basic[0].clone(), basic[0].clone()], grant.to_owned(), 400, "invalid_request"),
        (&basic, format!("{grant}&{grant}"), 400, "invalid_request"),
        (&basic, String::new(), 400, "invalid_request"),
        (&basic, "grant_type=password&username=a&password=b".to_owned(), 400, "unsupported_grant_type"),
        (&basic, format!("{grant}&scope=sub:%23"), 400, "invalid_scope"),
        (&basic, format!("{grant}&scope=device"), 400, "invalid_scope"),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = post(address, &headers, &body).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &Value::from(error)), "{body}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{body}");
    }
    assert_eq!(world.count("sealgate_auth_tokens_total{result=\"invalid_client\"}"), 5);
    assert_eq!(world.count("sealgate_public_answers_total{class=\"4xx\"}"), 12);
}

#[tokio::test]
async fn only_a_form_of_a_modest_size_is_read() {
    let world = world().await;
    let (address, _shutdown) = serve(&world).await;
    let form = world.device("pump-7").await.form();
    for (kind, status) in [
        (FORM, 200),
        ("Application/X-WWW-Form-urlencoded; charset=UTF-8", 200),
        ("application/json", 415),
        ("text/plain", 415),
        ("", 415),
    ] {
        let headers = [("host", "a"), ("content-type", kind)];
        let answer = request(address, "POST /oauth/token", &headers, form.as_bytes()).await.unwrap();
        assert_eq!(answer.status, status, "{kind}");
    }
    let long = format!("{form}&x={}", "x".repeat(16 * 1024));
    assert_eq!(post(address, &[], &long).await.status, 413);
    assert_eq!(get(address, "/oauth/token").await.status, 405);
    assert_eq!(get(address, "/").await.status, 404);
}

#[tokio::test]
async fn the_public_keys_are_public_and_alone() {
    let world = world().await;
    let (address, _shutdown) = serve(&world).await;
    let answer = get(address, "/oauth/jwks").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/jwk-set+json")));
    let keys = answer.json();
    let key = keys["keys"][0].as_object().unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    assert_eq!(key.keys().collect::<Vec<_>>(), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
}

// RFC 8414 sections 2 and 3.1
#[tokio::test]
async fn the_metadata_follow_the_issuer_and_not_the_host_header() {
    for (issuer, path) in [("http://127.0.0.1:8080", ""), ("https://gate.example/iot", "/iot")] {
        let config = Config { identifier: issuer.parse().unwrap(), ..Config::default() };
        let world = world_of(&config).await;
        let (address, _shutdown) = serve(&world).await;
        let answer = get(address, &format!("/.well-known/oauth-authorization-server{path}")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let metadata = answer.json();
        assert_eq!(metadata["issuer"], issuer);
        assert_eq!(metadata["token_endpoint"], format!("{issuer}/oauth/token"));
        assert_eq!(metadata["jwks_uri"], format!("{issuer}/oauth/jwks"));
        assert_eq!(metadata["response_types_supported"], Value::Array(vec![]));
        for found in ["/oauth/jwks".to_owned(), format!("{path}/oauth/jwks")] {
            assert_eq!(get(address, &found).await.status, 200, "{found}");
        }
    }
}

#[tokio::test]
async fn a_listener_that_others_can_hear_is_a_gauge() {
    for (text, exposed) in [("", 0), ("listen = \"0.0.0.0:0\"\nplaintext = \"i-accept\"", 1)] {
        let world = world().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sockets = vec![sealgate::http::Socket { listener, proxy_protocol: ProxyProtocol::Off, identity: None }];
        drop(public::Door::new(sockets, world.auth.clone(), &toml::from_str(text).unwrap(), &world.registry));
        assert_eq!(world.count("sealgate_public_plaintext"), exposed);
    }
}
