//! A way to PostgreSQL that breaks when it is told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes on in both directions, on threads of its own, until the process ends.
pub(crate) struct Cutter {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// How many of the next answers to COMMIT of a batch go no further, and take their connection along.
    answers_to_lose: AtomicUsize,
    lost: AtomicUsize,
    /// Whether the next answer that is lost is the last thing that comes through.
    parts_then: AtomicBool,
    /// Nobody is let through.
    parted: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// The server's word that a transaction is committed: CommandComplete, its length, and the tag,
/// <https://www.postgresql.org/docs/15/protocol-message-formats.html>.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// What a transaction of messages begins with, and no other.
const BATCH: &[u8] = b"pg_current_xact_id";

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
                if state.parted.load(Ordering::SeqCst) {
                    continue;
                }
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
        self.state.cut();
    }

    /// Ends all connections and lets none through any more.
    pub(crate) fn part(&self) {
        self.state.part();
    }

    /// Lets connections through again.
    pub(crate) fn join_again(&self) {
        self.state.parted.store(false, Ordering::SeqCst);
    }

    /// Loses the answer to the next COMMIT of a batch, and from then on lets nothing through.
    pub(crate) fn part_at_an_answer_to_commit(&self) {
        self.state.parts_then.store(true, Ordering::SeqCst);
        self.lose_an_answer_to_commit();
    }

    /// Whether nothing is let through.
    pub(crate) fn is_parted(&self) -> bool {
        self.state.parted.load(Ordering::SeqCst)
    }

    /// Loses the answer to the next COMMIT of a batch, and the connection with it.
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
        let batches = Arc::new(AtomicBool::new(false));
        let (state, has_batches) = (self.clone(), batches.clone());
        thread::spawn(move || {
            pass(from, to, |bytes| {
                batches.fetch_or(contains(bytes, BATCH), Ordering::SeqCst);
                true
            })
        });
        thread::spawn(move || {
            pass(server, client, |bytes| !(has_batches.load(Ordering::SeqCst) && state.loses(bytes)))
        });
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn part(&self) {
        self.parted.store(true, Ordering::SeqCst);
        self.cut();
    }

    fn loses(&self, bytes: &[u8]) -> bool {
        let committed = contains(bytes, COMMITTED);
        let less = |count: usize| count.checked_sub(1);
        let loses = committed && self.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
        self.lost.fetch_add(usize::from(loses), Ordering::SeqCst);
        if loses && self.parts_then.swap(false, Ordering::SeqCst) {
            self.part();
        }
        loses
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
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
