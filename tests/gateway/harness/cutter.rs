//! A way to PostgreSQL that breaks when it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes on in both directions, on threads of its own, until the process ends.
pub(crate) struct Cutter {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How many of the next answers to COMMIT go no further, and take their connection along.
    answers_to_lose: AtomicUsize,
    lost: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// The server's word that a transaction is committed: CommandComplete, its length, and the tag,
/// <https://www.postgresql.org/docs/15/protocol-message-formats.html>.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

impl Cutter {
    /// Before the server of `url`; gives the same URL by way of this one.
    pub(crate) fn before(url: &str) -> (Self, String) {
        let (head, rest) = url.split_once('@').expect("a user and a host");
        let (server, tail) = rest.split_once('/').expect("a host and a database");
        let server: SocketAddr = server.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let cutter = Cutter { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = cutter.state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Where there is no server, there is no connection.
                let Ok(server) = TcpStream::connect(server) else { continue };
                state.join(client, server);
            }
        });
        let through = format!("{head}@{}/{tail}", cutter.address);
        (cutter, through)
    }

    /// Ends all connections, in the middle of whatever they carry.
    pub(crate) fn cut(&self) {
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Loses the answer to the next COMMIT, and the connection with it.
    pub(crate) fn lose_an_answer_to_commit(&self) {
        self.state.answers_to_lose.fetch_add(1, Ordering::SeqCst);
    }

    /// How many answers to COMMIT were lost.
    pub(crate) fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl State {
    fn join(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let streams = [&client, &server].map(|stream| stream.try_clone().unwrap());
        self.open.lock().unwrap().extend(streams);
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pass(from, to, |_| true));
        let state = self.clone();
        thread::spawn(move || pass(server, client, |bytes| !state.loses(bytes)));
    }

    fn loses(&self, bytes: &[u8]) -> bool {
        let committed = bytes.windows(COMMITTED.len()).any(|window| window == COMMITTED);
        let less = |count: usize| count.checked_sub(1);
        let loses = committed && self.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        self.lost.fetch_add(usize::from(loses), Ordering::SeqCst);
        loses
    }
}

/// An answer is small and is written at once, so that it comes in one piece.
fn pass(mut from: TcpStream, mut to: TcpStream, mut goes_on: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !goes_on(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
