//! HTTP as a client, for the few things that the gateway asks of others: one request, one answer of bounded size and time.
//!
//! No redirect is followed: what is asked may hold a secret, which belongs to nobody but whom the settings name.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;
use tokio::time::timeout;

use crate::tls::ClientConfig;

/// From the start of the connection to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// A client. Clones share its connections.
#[derive(Clone)]
pub struct Fetch(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why there is no answer. It repeats nothing of what was asked.
#[derive(Debug, Error)]
pub enum FetchError {
    /// It took too long.
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    /// No connection, or none that lasted.
    #[error("{0}")]
    Failed(String),
    /// The answer is longer than it may be.
    #[error("the answer cannot be read, or has more than {BODY_BYTES_MAX} bytes")]
    Body,
}

impl Fetch {
    /// With these authorities for https.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config((*tls).clone()).https_or_http().enable_http1().build();
        Fetch(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// One request, one answer.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, FetchError> {
        let request = request.map(|body| Full::new(Bytes::from(body)));
        timeout(TIMEOUT, self.exchange(request)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Vec<u8>>, FetchError> {
        let answer = self.0.request(request).await.map_err(|error| FetchError::Failed(chain(&error)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| FetchError::Body)?;
        Ok(Response::from_parts(head, body.to_bytes().to_vec()))
    }
}

/// An error and what caused it: the outermost alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one request with these bytes.
    async fn answered(bytes: Vec<u8>) -> Result<Response<Vec<u8>>, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let _ = stream.write_all(&bytes).await;
        });
        let fetch = Fetch::new(crate::tls::client_config(None, None).unwrap());
        let answer = fetch.send(Request::post(url).body(b"a=b".to_vec()).unwrap()).await;
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn an_answer_is_read_whatever_its_status() {
        let answer = answered(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno".to_vec()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.into_body().as_slice()), (400, &b"no"[..]));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let answer =
            answered(b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        assert_eq!(answer.unwrap().status().as_u16(), 307);
    }

    #[tokio::test]
    async fn an_answer_has_a_bound() {
        let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1).into_bytes();
        bytes.resize(bytes.len() + BODY_BYTES_MAX + 1, b'x');
        assert!(matches!(answered(bytes).await, Err(FetchError::Body)));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_with_its_cause() {
        let fetch = Fetch::new(crate::tls::client_config(None, None).unwrap());
        let told =
            fetch.send(Request::get("http://127.0.0.1:1/").body(Vec::new()).unwrap()).await.unwrap_err().to_string();
        assert!(told.contains("refused"), "{told}");
    }
}
