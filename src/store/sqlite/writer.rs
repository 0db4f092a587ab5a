//! The one connection that writes, and its transactions.
//!
//! A transaction takes the connection out of its place and puts it back only when the database has said that the transaction
//! is over. One that is dropped, or that ends in an error, takes the connection with it: closing rolls back, and the next
//! transaction opens a new one. So no state of a failed transaction is ever met again.

use crate::store::labels::Labels;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// The writing connection.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Place,
    labels: Labels,
}

enum Place {
    Ready(SqliteConnection),
    Lost,
    Closed,
}

/// A transaction that holds the lock for writing.
pub(super) struct Transaction<'w> {
    /// Its connection.
    pub(super) connection: SqliteConnection,
    writer: &'w mut Writer,
    /// Words that this transaction looked up or added; remembered when it is committed.
    new_labels: Vec<(Box<str>, i64)>,
    /// Whether somebody is named as who makes its changes.
    acts: bool,
}

impl Writer {
    /// With a connection that `options` can open again.
    pub(super) fn new(options: SqliteConnectOptions, connection: SqliteConnection) -> Writer {
        Writer { options, connection: Place::Ready(connection), labels: Labels::default() }
    }

    /// Begins a transaction, and waits for the lock as long as the busy timeout says.
    pub(super) async fn begin(&mut self) -> sqlx::Result<Transaction<'_>> {
        let mut connection = self.take().await?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        Ok(Transaction { connection, writer: self, new_labels: Vec::new(), acts: false })
    }

    /// Runs statements that no transaction may hold.
    pub(super) async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let mut connection = self.take().await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        self.connection = Place::Ready(connection);
        Ok(())
    }

    /// Closes the connection; no other is opened.
    pub(super) async fn close(&mut self) -> sqlx::Result<()> {
        match std::mem::replace(&mut self.connection, Place::Closed) {
            Place::Ready(connection) => connection.close().await,
            Place::Lost | Place::Closed => Ok(()),
        }
    }

    async fn take(&mut self) -> sqlx::Result<SqliteConnection> {
        if matches!(self.connection, Place::Closed) {
            return Err(sqlx::Error::PoolClosed);
        }
        match std::mem::replace(&mut self.connection, Place::Lost) {
            Place::Ready(connection) => Ok(connection),
            Place::Lost | Place::Closed => self.options.connect().await,
        }
    }
}

impl Transaction<'_> {
    /// Commits what was done, or undoes it all if that failed.
    pub(super) async fn end<T>(self, done: sqlx::Result<T>) -> sqlx::Result<T> {
        match done {
            Ok(done) => self.commit().await.map(|()| done),
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    /// Commits; when this answers, the disk has it.
    async fn commit(mut self) -> sqlx::Result<()> {
        if self.acts {
            sqlx::query("DELETE FROM acting").execute(&mut self.connection).await?;
        }
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        for (word, id) in self.new_labels {
            self.writer.labels.insert(word, id);
        }
        self.writer.connection = Place::Ready(self.connection);
        Ok(())
    }

    /// Undoes all of it and keeps the connection, if the database lets it.
    pub(super) async fn roll_back(mut self) {
        if sqlx::query("ROLLBACK").execute(&mut self.connection).await.is_ok() {
            self.writer.connection = Place::Ready(self.connection);
        }
    }

    /// Somebody is named as who makes the changes; the name goes with the transaction.
    pub(super) fn acts(&mut self) {
        self.acts = true;
    }

    /// Forgets what this transaction looked up, for it is undone in part.
    pub(super) fn forget(&mut self) {
        self.new_labels.clear();
    }

    /// The number of a word, if it is remembered.
    pub(super) fn remembered(&mut self, word: &str) -> Option<i64> {
        self.writer.labels.find(word)
    }

    /// Remembers a word once this is committed.
    pub(super) fn remember(&mut self, word: &str, id: i64) {
        self.new_labels.push((word.into(), id));
    }
}
