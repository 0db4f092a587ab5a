//! A gateway that other brokers ask, and what they say to it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Device, Gateway, PATIENCE, Scratch, Service};

pub(crate) const SECRET: &str = "5f1c0e0b7d5a4f0c9a3b2e6d8c7f1a20";
pub(crate) const WRONG: &str = "5f1c0e0b7d5a4f0c9a3b2e6d8c7f1a21";

/// A gateway that other brokers may ask, and one that does.
pub(crate) struct Asked {
    pub(crate) gateway: Gateway,
    _scratch: Scratch,
}

impl Asked {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new("hooks");
        let path = scratch.join("hooks.secret");
        fs::write(&path, format!("{SECRET}\n")).unwrap();
        let file = path.display().to_string();
        let gateway = Gateway::start_with(&[&[("hooks.secret_file", file.as_str())], settings].concat());
        Asked { gateway, _scratch: scratch }
    }

    /// As a broker asks that has the secret.
    pub(crate) fn ask(&self, hook: &str, body: &Value) -> Answer {
        let answer = post(self.gateway.public(), hook, &[bearer(SECRET)], &body.to_string());
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
        answer
    }

    /// Whether both brokers are told to let a client in.
    pub(crate) fn lets_in(&self, user_name: &str, token: &str, client_id: &str) -> bool {
        let body = vernemq_register(user_name, token, client_id);
        let said = ["vernemq/auth_on_register", "vernemq/auth_on_register_m5"]
            .map(|hook| self.ask(hook, &body).json["result"] == "ok");
        let body = json!({"username": user_name, "password": token, "clientid": client_id, "peerhost": "203.0.113.7"});
        let emqx = self.ask("emqx/authn", &body).json["result"] == "allow";
        assert!(said.iter().all(|said| *said == emqx), "{user_name} {client_id}: {said:?}, {emqx}");
        emqx
    }

    /// The same as [`Asked::lets_in`] at one hook, since between two a token may end.
    pub(crate) fn lets_in_at_all(&self, name: &str, token: &str) -> bool {
        self.ask("vernemq/auth_on_register", &vernemq_register(name, token, name)).json["result"] == "ok"
    }

    /// Whether both brokers are told that a client may publish.
    pub(crate) fn lets_publish(&self, user_name: &str, client_id: &str, topic: &str) -> bool {
        let body = vernemq_publish(user_name, client_id, topic);
        let said = ["vernemq/auth_on_publish", "vernemq/auth_on_publish_m5"]
            .map(|hook| self.ask(hook, &body).json["result"] == "ok");
        let emqx = self.emqx_lets(user_name, client_id, "publish", topic);
        assert!(said.iter().all(|said| *said == emqx), "{user_name} {topic}: {said:?}, {emqx}");
        emqx
    }

    /// Whether both brokers are told that a client may subscribe.
    pub(crate) fn lets_subscribe(&self, user_name: &str, client_id: &str, filter: &str) -> bool {
        let body = vernemq_subscribe(user_name, client_id, &[filter]);
        let said = ["vernemq/auth_on_subscribe", "vernemq/auth_on_subscribe_m5"]
            .map(|hook| self.ask(hook, &body).json["result"] == "ok");
        let emqx = self.emqx_lets(user_name, client_id, "subscribe", filter);
        assert!(said.iter().all(|said| *said == emqx), "{user_name} {filter}: {said:?}, {emqx}");
        emqx
    }

    pub(crate) fn emqx_lets(&self, user_name: &str, client_id: &str, action: &str, topic: &str) -> bool {
        let body = json!({"username": user_name, "clientid": client_id, "action": action, "topic": topic});
        self.ask("emqx/authz", &body).json["result"] == "allow"
    }

    pub(crate) fn token_of_device(&self, device: &Device) -> String {
        self.gateway.token(&device.client_id, &device.client_secret)
    }

    pub(crate) fn token_of_service(&self, service: &Service) -> String {
        self.gateway.token(&service.client_id, &service.client_secret)
    }

    pub(crate) fn count(&self, hook: &str, result: &str) -> f64 {
        self.gateway.metrics().value("sealgate_hooks_requests_total", &[("hook", hook), ("result", result)])
    }
}

pub(crate) fn vernemq_register(user_name: &str, token: &str, client_id: &str) -> Value {
    json!({"peer_addr": "203.0.113.7", "peer_port": 8888, "username": user_name, "password": token, "mountpoint": "",
        "client_id": client_id, "clean_session": false, "clean_start": false, "properties": {}})
}

pub(crate) fn vernemq_publish(user_name: &str, client_id: &str, topic: &str) -> Value {
    json!({"username": user_name, "client_id": client_id, "mountpoint": "", "qos": 1, "topic": topic,
        "payload": "aGVsbG8=", "retain": false, "properties": {}})
}

pub(crate) fn vernemq_subscribe(user_name: &str, client_id: &str, filters: &[&str]) -> Value {
    let topics: Vec<Value> = filters.iter().map(|filter| json!({"topic": filter, "qos": 1})).collect();
    json!({"username": user_name, "client_id": client_id, "mountpoint": "", "topics": topics, "properties": {}})
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(crate) fn post(address: SocketAddr, hook: &str, headers: &[String], body: &str) -> Answer {
    request(address, "POST", hook, headers, body.len(), body)
}

/// `length` is what the head says of the body.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    hook: &str,
    headers: &[String],
    length: usize,
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} /hooks/{hook} HTTP/1.0\r\ncontent-length: {length}\r\n");
    headers.iter().for_each(|header| head += &format!("{header}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let _ = stream.write_all(body.as_bytes()); // A body that is too long is answered before it is read.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // Nor is it then read to its end.
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("this is no HTTP: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), json: serde_json::from_str(body).unwrap_or_default() }
}

pub(crate) fn bearer(secret: &str) -> String {
    format!("authorization: Bearer {secret}")
}

/// As hackney makes it of `http://sealgate:SECRET@host/…`.
pub(crate) fn basic(secret: &str) -> String {
    format!("authorization: Basic {}", STANDARD.encode(format!("sealgate:{secret}")))
}
