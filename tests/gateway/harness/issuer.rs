//! An issuer of somebody else's, in this process, that does what a test wants: other keys, no answer, tokens of any shape. How often it was
//! asked is counted.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// A running issuer.
pub(crate) struct Issuer {
    address: SocketAddr,
    house: Arc<House>,
}

struct House {
    /// The number of the key that signs; its id is `k` and the number.
    key: AtomicUsize,
    is_silent: AtomicBool,
    stops: AtomicBool,
    /// How often the keys were asked for.
    fetches: AtomicUsize,
    /// What introspection says of which token.
    opaque: Mutex<HashMap<String, Value>>,
    introspections: AtomicUsize,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let house = Arc::new(House {
            key: AtomicUsize::new(1),
            is_silent: AtomicBool::new(false),
            stops: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            opaque: Mutex::default(),
            introspections: AtomicUsize::new(0),
        });
        let served = Arc::clone(&house);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if served.stops.load(Ordering::SeqCst) {
                    return;
                }
                let house = Arc::clone(&served);
                std::thread::spawn(move || house.serve(stream, address));
            }
        });
        Issuer { address, house }
    }

    /// Its identifier.
    pub(crate) fn url(&self) -> String {
        url(self.address)
    }

    /// The setting `auth.issuer` with this issuer alone, and more keys of its table.
    pub(crate) fn setting(&self, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        format!("[{{ issuer = \"{}\"{more} }}]", self.url())
    }

    /// Signs with another key from now on, and shows no other.
    pub(crate) fn rotate(&self) {
        self.house.key.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether connections are closed without an answer.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.house.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.house.fetches.load(Ordering::SeqCst)
    }

    /// How often it was asked what a token is worth.
    pub(crate) fn introspections(&self) -> usize {
        self.house.introspections.load(Ordering::SeqCst)
    }

    /// Has an opaque token mean this.
    pub(crate) fn means(&self, token: &str, answer: Value) {
        self.house.opaque.lock().unwrap().insert(token.to_owned(), answer);
    }

    /// The claims of an access token of `subject`.
    pub(crate) fn claims(&self, subject: &str, scope: &str) -> Value {
        #[expect(clippy::disallowed_methods, reason = "a token bears the time")]
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        json!({
            "iss": self.url(), "aud": "sealgate", "sub": subject, "client_id": subject, "iat": now, "exp": now + 3600,
            "jti": format!("{subject}-{now}"), "scope": scope,
        })
    }

    /// A token of these claims, under the key of now.
    pub(crate) fn sign(&self, kind: &str, claims: &Value) -> String {
        self.sign_as(kind, self.house.key.load(Ordering::SeqCst), claims)
    }

    /// A token that names a key by its number.
    pub(crate) fn sign_as(&self, kind: &str, number: usize, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"alg": "ES256", "typ": kind, "kid": format!("k{number}")});
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature: Signature = key(number).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// An access token.
    pub(crate) fn token(&self, subject: &str, scope: &str) -> String {
        self.sign("at+jwt", &self.claims(subject, scope))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.house.stops.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl House {
    fn serve(&self, mut stream: TcpStream, address: SocketAddr) {
        if self.is_silent.load(Ordering::SeqCst) {
            return;
        }
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let Some((head, body)) = request(&mut stream) else { return };
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/.well-known/openid-configuration" => {
                json!({"issuer": url(address), "jwks_uri": format!("{}/jwks", url(address))})
            }
            "/jwks" => {
                self.fetches.fetch_add(1, Ordering::SeqCst);
                json!({"keys": [jwk(self.key.load(Ordering::SeqCst))]})
            }
            "/introspect" => {
                self.introspections.fetch_add(1, Ordering::SeqCst);
                let token = body.split('&').find_map(|field| field.strip_prefix("token=")).unwrap_or_default();
                self.opaque.lock().unwrap().get(token).cloned().unwrap_or(json!({"active": false}))
            }
            _ => json!({}),
        };
        let body = answer.to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ";
        let _ = write!(stream, "{head}{}\r\n\r\n{body}", body.len());
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

fn key(number: usize) -> SigningKey {
    let mut scalar = [1; 32];
    scalar[31] = u8::try_from(number).unwrap();
    SigningKey::from_slice(&scalar).unwrap()
}

fn jwk(number: usize) -> Value {
    let point = key(number).verifying_key().to_encoded_point(false);
    let (x, y) = (URL_SAFE_NO_PAD.encode(point.x().unwrap()), URL_SAFE_NO_PAD.encode(point.y().unwrap()));
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": format!("k{number}"), "alg": "ES256", "use": "sig"})
}
