//! The tables under a transaction of the writing connection.

use super::fault;
use super::statements::Statements;
use super::writer::Transaction;
use crate::store::Usage;
use crate::store::batch::Seen;
use crate::store::commit::{Ahead, Envelope, Fault, Measured, Tables};
use crate::store::integrity::Refusals;
use crate::store::quarantine::Suspect;
use std::collections::HashMap;
use std::ops::Range;

/// A batch on its way into the tables.
pub(super) struct Batch<'w> {
    /// The lock for writing.
    pub(super) transaction: Transaction<'w>,
    pub(super) statements: &'w Statements,
}

impl Tables for Batch<'_> {
    fn fault(error: &sqlx::Error) -> Fault {
        fault::of(error)
    }

    /// Behind the number of the newest envelope, be it deleted since.
    async fn reserve(&mut self, count: usize) -> sqlx::Result<Range<i64>> {
        let last = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'envelope'");
        let last: i64 = last.fetch_optional(&mut self.transaction.connection).await?.unwrap_or(0);
        Ok(last + 1..last + 1 + count as i64)
    }

    async fn begin_part(&mut self) -> sqlx::Result<()> {
        self.say("SAVEPOINT part").await
    }

    async fn keep_part(&mut self) -> sqlx::Result<()> {
        self.say("RELEASE part").await
    }

    async fn undo_part(&mut self) -> sqlx::Result<()> {
        self.transaction.forget();
        self.say("ROLLBACK TO part").await?;
        self.say("RELEASE part").await
    }

    async fn use_up(&mut self, new: &[Envelope<'_>]) -> sqlx::Result<u64> {
        self.statements.use_up(&mut self.transaction.connection, new).await
    }

    async fn find_seen(&mut self, asked: &[Seen]) -> sqlx::Result<Vec<(Seen, i64)>> {
        self.statements.find_seen(&mut self.transaction.connection, asked).await
    }

    async fn add_envelopes(&mut self, new: &[(Envelope<'_>, i64)]) -> sqlx::Result<()> {
        self.statements.add_envelopes(&mut self.transaction.connection, new).await
    }

    async fn add_readings(&mut self, new: Vec<Measured<'_>>) -> sqlx::Result<()> {
        self.statements.add_readings(&mut self.transaction.connection, new).await
    }

    async fn add_ahead(&mut self, new: &[Ahead]) -> sqlx::Result<()> {
        self.statements.add_ahead(&mut self.transaction.connection, new).await
    }

    async fn add_leaves(&mut self, leaves: &[u8]) -> sqlx::Result<()> {
        let insert = sqlx::query("INSERT OR FAIL INTO uncovered (leaves) VALUES (?)").bind(leaves);
        insert.execute(&mut self.transaction.connection).await?;
        Ok(())
    }

    fn remembered(&mut self, word: &str) -> Option<i64> {
        self.transaction.remembered(word)
    }

    async fn number(&mut self, words: &[&str]) -> sqlx::Result<HashMap<String, i64>> {
        let connection = &mut self.transaction.connection;
        let mut found: HashMap<_, _> = self.statements.find_labels(connection, words).await?.into_iter().collect();
        let new: Vec<&str> = words.iter().copied().filter(|word| !found.contains_key(*word)).collect();
        found.extend(self.statements.add_labels(connection, &new).await?);
        found.iter().for_each(|(word, number)| self.transaction.remember(word, *number));
        Ok(found)
    }

    async fn find_usage(&mut self, devices: &[&str]) -> sqlx::Result<Vec<(String, Usage)>> {
        self.statements.find_usage(&mut self.transaction.connection, devices).await
    }

    async fn count_refusals(&mut self, more: &[Refusals<'_>]) -> sqlx::Result<()> {
        self.statements.count_refusals(&mut self.transaction.connection, more).await
    }

    async fn add_suspects(&mut self, new: &[Suspect<'_>]) -> sqlx::Result<()> {
        self.statements.add_suspects(&mut self.transaction.connection, new).await
    }
}

impl Batch<'_> {
    async fn say(&mut self, sql: &'static str) -> sqlx::Result<()> {
        sqlx::query(sql).execute(&mut self.transaction.connection).await?;
        Ok(())
    }
}
