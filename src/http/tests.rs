//! Each bound of a connection, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::driver::HEAD_BYTES_MAX;
use super::*;
use crate::limit::CrowdBounds;
use crate::metrics::Registry;
use crate::proxy::ProxyProtocol;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3600);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const SLOW_REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";

/// No bound is met with these.
const WIDE: Limits = Limits { connections_max: 64, head_timeout: LONG, life_max: LONG, farewell_timeout: LONG };

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    /// Told when `/slow` is asked for; it answers when `slow_may_end` is told.
    slow_began: Arc<Notify>,
    slow_may_end: Arc<Notify>,
}

async fn server(limits: Limits) -> Server {
    let (slow_began, slow_may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, may_end) = (Arc::clone(&slow_began), Arc::clone(&slow_may_end));
    let slow = || async move {
        began.notify_one();
        may_end.notified().await;
        "late"
    };
    let router = Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow));
    let reads = in_time(Router::new().route("/read", post(|_: Bytes| async {})), SHORT);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let guard = Guard::new(CrowdBounds::NONE, Metrics::new(&Registry::default(), "test"));
    let socket = Socket { listener, proxy_protocol: ProxyProtocol::Off, identity: None };
    let task = tokio::spawn(serve(socket, router.merge(reads), limits, guard, stop.clone()));
    Server { address, stop, task, slow_began, slow_may_end }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection on which `bytes` were sent.
    async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// A connection that has had an answer and is kept alive.
    async fn served(&self) -> TcpStream {
        let mut stream = self.sent(REQUEST).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        stream
    }
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await; // A reset is an end too.
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_page_is_answered_and_another_is_not_found() {
    let server = server(WIDE).await;
    for (path, answer) in [("/", "HTTP/1.1 200 OK"), ("/other", "HTTP/1.1 404 Not Found")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let stream = server.sent(request.as_bytes()).await;
        assert!(read_to_end(stream).await.starts_with(answer), "{path}");
    }
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_let_go() {
    let server = server(Limits { head_timeout: SHORT, ..WIDE }).await;
    let (half, silent, idle) =
        (server.sent(b"GET / HTTP/1.1\r\nhost: ").await, server.connect().await, server.served().await);
    for stream in [half, silent, idle] {
        assert!(!read_to_end(stream).await.contains("200"));
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let server = server(Limits { head_timeout: SHORT, ..WIDE }).await;
    let mut stream = server.sent(b"GET / HTTP/1.1\r\nx: ").await;
    let trickle = async {
        while stream.write_all(b"a").await.is_ok() {
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), trickle).await.expect("it is cut off");
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_is_told_so() {
    let server = server(WIDE).await;
    let mut stream = server.sent(b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n1234").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_connection_ends_with_its_life_though_its_client_does_not_take_the_answer() {
    let server = server(Limits { life_max: SHORT, farewell_timeout: SHORT, ..WIDE }).await;
    let (idle, stuck) = (server.served().await, server.sent(SLOW_REQUEST).await);
    assert_eq!(read_to_end(idle).await, "");
    assert_eq!(read_to_end(stuck).await, "");
}

#[tokio::test]
async fn at_the_bound_a_client_waits_until_another_leaves() {
    let server = server(Limits { connections_max: 2, ..WIDE }).await;
    let held = [server.served().await, server.served().await];
    let mut next = server.sent(REQUEST).await;
    let mut byte = [0];
    let waits = tokio::time::timeout(SHORT, next.read(&mut byte)).await;
    assert!(waits.is_err(), "the third client is not served beside the others");
    drop(held);
    assert_eq!(next.read(&mut byte).await.unwrap(), 1);
}

#[tokio::test]
async fn what_was_asked_before_the_stop_is_answered_and_who_rests_is_let_go() {
    let server = server(WIDE).await;
    let (idle, asked) = (server.served().await, server.sent(SLOW_REQUEST).await);
    server.slow_began.notified().await;
    server.stop.cancel();
    assert_eq!(read_to_end(idle).await, "");
    server.slow_may_end.notify_one();
    assert!(read_to_end(asked).await.ends_with("late"));
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn an_answer_that_does_not_come_does_not_hold_the_stop() {
    let server = server(Limits { farewell_timeout: SHORT, ..WIDE }).await;
    let asked = server.sent(SLOW_REQUEST).await;
    server.slow_began.notified().await;
    server.stop.cancel();
    server.task.await.unwrap();
    assert_eq!(read_to_end(asked).await, "");
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_refused() {
    let server = server(WIDE).await;
    let mut stream = server.connect().await;
    let long = "x".repeat(HEAD_BYTES_MAX);
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n").as_bytes()).await;
    let answer = read_to_end(stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}
