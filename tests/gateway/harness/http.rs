//! Just enough HTTP to ask the gateway and Prometheus: one request, one connection.
//!
//! HTTP/1.0, so that an answer is never chunked and ends with its connection.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::wait::PATIENCE;

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers, as they came.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON; panics with the whole answer if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n"))
}

/// With an access token (RFC 6750).
pub(crate) fn get_as(address: SocketAddr, path: &str, token: &str) -> Answer {
    ask(address, &format!("GET {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"))
}

/// Any method with JSON and an access token.
pub(crate) fn send_json(address: SocketAddr, line: &str, token: &str, body: &str) -> Answer {
    let length = body.len();
    ask(
        address,
        &format!(
            "{line} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// Bytes as they are.
pub(crate) fn send_bytes(address: SocketAddr, request: &str) -> Answer {
    ask(address, request)
}

pub(crate) fn put(address: SocketAddr, path: &str, body: &str) -> Answer {
    let length = body.len();
    ask(address, &format!("PUT {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}"))
}

/// The fields go into the body, as `application/x-www-form-urlencoded`.
pub(crate) fn post_form(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = encoded(fields);
    let length = body.len();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// `name=value&…`, for a query or a form.
pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn ask(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parsed(&String::from_utf8(answer).expect("the answers that are asked for here are text"))
}

fn parsed(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("this is no HTTP: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("there is no status: {head:?}"));
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
        encoded
    })
}
