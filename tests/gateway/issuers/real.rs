//! A real issuer, `oidc-provider` on Node: discovery, its keys and their algorithms, its tokens by client credentials, introspection, and a
//! key that it has changed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::Value;

use super::{add, answer, keys_are_there, login};
use crate::harness::{Client, Gateway, Scratch, encoded, eventually};

/// The provider, running.
struct Provider {
    process: Child,
    url: String,
}

/// Where it is installed, once for all tests: beside what else is built for them.
fn installed() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
        std::fs::create_dir_all(&place).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/issuer");
        let is_there = place.join("node_modules/oidc-provider/package.json").is_file()
            && std::fs::read(place.join("package-lock.json")).ok()
                == std::fs::read(source.join("package-lock.json")).ok();
        for file in ["package.json", "package-lock.json", "issuer.mjs"] {
            std::fs::copy(source.join(file), place.join(file)).unwrap();
        }
        if !is_there {
            let npm = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&place).output();
            let npm = npm.expect("npm is installed: tests/all packages");
            assert!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
        }
        place
    })
}

impl Provider {
    /// On this port, or any free one if it is 0, with a key of its own for this algorithm.
    fn start(port: u16, algorithm: &str) -> Self {
        let mut node = Command::new("node");
        node.args(["issuer.mjs", &port.to_string(), algorithm]).current_dir(installed());
        let node = node_with(&mut node);
        let mut process = node.spawn().expect("node is installed: tests/all packages");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("http://"), "the provider did not start: {line:?}");
        Provider { process, url: line.trim().to_owned() }
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// A token that it issues to this client.
    fn token(&self, client: &str, scope: &str) -> String {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", "a secret of the tests"),
            ("scope", scope),
        ];
        let (body, address) = (encoded(&fields), SocketAddr::from(([127, 0, 0, 1], self.port())));
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!(
            "POST /token HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close\r\ncontent-length: {}",
            body.len()
        );
        write!(stream, "{head}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let start = body.find('{').unwrap_or_else(|| panic!("{answer}"));
        let end = body.rfind('}').unwrap() + 1;
        let answer: Value = serde_json::from_str(&body[start..end]).unwrap_or_else(|_| panic!("{answer}"));
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }
}

fn node_with(node: &mut Command) -> &mut Command {
    node.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null())
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_real_provider_lets_its_devices_in_with_keys_of_each_kind_and_changed_ones() {
    let mut provider = Provider::start(0, "RS256");
    let (url, port) = (provider.url.clone(), provider.port());
    let setting = format!("[{{ issuer = \"{url}\", refresh = \"1s\" }}]");
    let gateway = Gateway::start_with(&[("auth.issuer", &setting)]);
    keys_are_there(&gateway);
    add(&gateway, "pump", &url);
    gateway.prints(&["client", "add", "console", "--issuer", &url, "--scope", "sub:readings/#"]);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        if algorithm != "RS256" {
            drop(provider);
            provider = Provider::start(port, algorithm);
        }
        let token = provider.token("pump", "device");
        let code = eventually("its key is known", || {
            let code = answer(&gateway, "pump", token.clone());
            (code == ReasonCode::Success).then_some(code)
        });
        assert_eq!(code, ReasonCode::Success, "{algorithm}");
        assert_eq!(answer(&gateway, "console", token), ReasonCode::NotAuthorized, "it is the pump's");
        let console = login("console", provider.token("console", "sub:readings/#"));
        Client::connect(&gateway, Version::V5, &console);
    }
}

#[test]
fn a_real_provider_says_what_its_opaque_tokens_are_worth() {
    let (provider, scratch) = (Provider::start(0, "ES256"), Scratch::new("oidc"));
    let secret = scratch.join("secret");
    std::fs::write(&secret, "a secret of the tests").unwrap();
    let setting = format!(
        "[{{ issuer = \"{url}\", device_claim = \"client_id\", introspection_url = \"{url}/token/introspection\", \
         introspection_client_id = \"gate\", introspection_client_secret_file = \"{}\" }}]",
        secret.display(),
        url = provider.url,
    );
    let gateway = Gateway::start_with(&[("auth.issuer", &setting)]);
    keys_are_there(&gateway);
    add(&gateway, "opaque-pump", &provider.url);
    let token = provider.token("opaque-pump", "device");
    assert_eq!(token.matches('.').count(), 0, "it is opaque");
    let mut client = Client::connect(&gateway, Version::V5, &login("opaque-pump", token.clone()));
    gateway.prints(&["device", "disable", "opaque-pump"]);
    client.until_closed();
    assert_eq!(answer(&gateway, "opaque-pump", token), ReasonCode::NotAuthorized);
    assert_eq!(answer(&gateway, "opaque-pump", "nonsense".to_owned()), ReasonCode::NotAuthorized);
}
