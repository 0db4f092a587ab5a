//! One HTTP exchange, over a connection of its own, within bounds of time and size.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::HOST;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an exchange may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How large an answer may be: a page of metrics is the largest.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Only `http://host:port/…` is understood.
    #[error("only addresses of the form http://host:port/path are understood")]
    Address,
    /// It took too long.
    #[error("no answer within 10 s")]
    Deadline,
    /// The connection cannot be made.
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    /// It is broken, or what came is no HTTP.
    #[error("the exchange failed: {0}")]
    Exchange(#[from] hyper::Error),
    /// The body is broken or too large.
    #[error("the answer cannot be read: {0}")]
    Body(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// Fetches what is at an `http://` address.
pub async fn get(address: &str) -> Result<Response<Vec<u8>>, HttpError> {
    let uri: Uri = address.parse().map_err(|_| HttpError::Address)?;
    let request = Request::get(uri).body(Vec::new()).expect("a GET of an address is a request");
    exchange(request).await
}

/// Sends a request and reads the answer whole.
pub(super) async fn exchange(request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpError> {
    timeout(DEADLINE, exchange_now(request)).await.map_err(|_| HttpError::Deadline)?
}

async fn exchange_now(mut request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, HttpError> {
    let uri = request.uri().clone();
    let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(HttpError::Address);
    };
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with `sender`, and what goes wrong with it shows there.
    tokio::spawn(connection);
    let host = authority.as_str().parse().map_err(|_| HttpError::Address)?;
    request.headers_mut().insert(HOST, host);
    // Origin form, RFC 9112 section 3.2.1.
    *request.uri_mut() = uri.path_and_query().map_or_else(Uri::default, |path| Uri::from(path.clone()));
    let answer = sender.send_request(request.map(|body| Full::new(Bytes::from(body)))).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body.to_vec()))
}
