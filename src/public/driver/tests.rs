//! Each bound of a connection, over real sockets.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve_within(listener, router, shutdown.clone(), limits));
    Server { address, shutdown, task, slow_began, slow_may_end }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A connection that has had an answer and is kept alive.
    async fn served(&self) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(REQUEST).await.unwrap();
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
async fn a_client_that_never_ends_its_header_is_let_go() {
    let server = server(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let (silent, idle) = (server.connect().await, server.served().await);
    for stream in [stream, silent, idle] {
        assert!(!read_to_end(stream).await.contains("200"));
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_life_though_its_client_does_not_take_the_answer() {
    let server = server(Limits { life_max: SHORT, farewell_timeout: SHORT, ..Limits::default() }).await;
    let idle = server.served().await;
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_to_end(idle).await, "");
    assert_eq!(read_to_end(stuck).await, "");
}

#[tokio::test]
async fn at_the_bound_a_client_waits_until_another_leaves() {
    let server = server(Limits { connections_max: 1, ..Limits::default() }).await;
    let first = server.served().await;
    let waits = tokio::time::timeout(SHORT, server.served()).await;
    assert!(waits.is_err(), "the second client is not served beside the first");
    drop(first);
    server.served().await;
}

#[tokio::test]
async fn what_was_asked_before_the_shutdown_is_answered() {
    let server = server(Limits::default()).await;
    let idle = server.served().await;
    let mut asked = server.connect().await;
    asked.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    server.slow_began.notified().await;
    server.shutdown.cancel();
    assert_eq!(read_to_end(idle).await, "");
    server.slow_may_end.notify_one();
    assert!(read_to_end(asked).await.ends_with("late"));
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_header_beyond_the_limit_is_refused() {
    let server = server(Limits::default()).await;
    let mut stream = server.connect().await;
    let long = "x".repeat(HEADER_BYTES_MAX);
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n").as_bytes()).await;
    let answer = read_to_end(stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}
