//! A real PostgreSQL (Debian's package `postgresql`), on a port and in a folder of its own.
//!
//! The script `tests/postgres` makes it, and takes it away when its standard input ends: so it goes with the process of the
//! tests, however that ends.

#![allow(dead_code, reason = "a test takes of it what it needs")]

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// A server.
pub(crate) struct Postgres {
    child: Child,
    answers: Mutex<Lines<BufReader<ChildStdout>>>,
    url: String,
}

impl Postgres {
    /// One for all tests of this process.
    pub(crate) fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(&[]))
    }

    /// One with settings of its own, each written `key=value`.
    pub(crate) fn start(settings: &[&str]) -> Postgres {
        let mut child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgres"))
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/postgres is there");
        let mut answers = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let url = answers.next().expect("Debian's package postgresql is installed").expect("it says its URL");
        Postgres { child, answers: Mutex::new(answers), url }
    }

    /// Ends as in a crash.
    pub(crate) fn kill9(&self) {
        self.obeys("kill");
    }

    /// Takes no new connections, and lets those that there are go on.
    pub(crate) fn shut_down_smart(&self) {
        self.obeys("smart");
    }

    /// Ends all connections, and then itself.
    pub(crate) fn shut_down_fast(&self) {
        self.obeys("fast");
    }

    /// Starts again, on the same port and the same data.
    pub(crate) fn start_again(&self) {
        self.obeys("start");
    }

    /// None of its processes runs any more, and each connection stays open.
    pub(crate) fn freeze(&self) {
        self.obeys("freeze");
    }

    /// They go on.
    pub(crate) fn thaw(&self) {
        self.obeys("thaw");
    }

    fn obeys(&self, word: &str) {
        let mut answers = self.answers.lock().expect("nobody panics meanwhile");
        writeln!(self.child.stdin.as_ref().expect("it is a pipe"), "{word}").expect("the script runs");
        let answer = answers.next().expect("the script runs").expect("it answers in text");
        assert_eq!(answer, word);
    }

    /// The URL of a new, empty schema: as good as a database, and made in less time.
    pub(crate) fn schema(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        run(&self.url, &format!("CREATE SCHEMA {name}"));
        format!("{}?options=-c%20search_path%3D{name}", self.url)
    }
}

/// Runs a statement as another program would; gives what it prints.
pub(crate) fn run(url: &str, sql: &str) -> String {
    let quietly =
        ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", sql];
    let output =
        Command::new("psql").args(quietly).arg("--dbname").arg(url).output().expect("psql comes with PostgreSQL");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the database speaks UTF-8").trim_end().to_owned()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
