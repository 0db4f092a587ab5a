//! One statement for many rows.
//!
//! A statement costs a way to the connection's thread and back, which is two switches of threads, so rows go in by the thousand.
//! The number of rows is part of the text, and each text is prepared once and kept, so there are a few sizes. Where rows are
//! inserted, a statement has as many or more places than rows, by less than half: what is not bound is null, and a row whose first
//! column is null is passed over. Where rows are asked for, any number is made up of smaller ones.

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, Type};
use std::sync::Arc;

/// A statement around a list of rows.
pub(super) struct Bulk {
    columns: usize,
    statements: [(usize, Arc<str>); SIZES.len()],
    fit: Fit,
}

/// Which statement takes a number of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The largest that they fill.
    Filled,
    /// The smallest that has room for all.
    Roomy,
}

/// Rows in one statement. The largest stays below SQLite's 32,766 parameters with the nine columns of a reading.
const SIZES: [usize; 20] = [1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];

impl Bulk {
    /// The text before the rows, how many columns a row has, and the text after them.
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Bulk {
        Bulk::with(Fit::Filled, columns, |rows| format!("{head} {rows} {tail}"))
    }

    /// The text before the rows, how many columns a row has, of which the first is never null, and the text after them.
    pub(super) fn inserting(head: &str, columns: usize, tail: &str) -> Bulk {
        let text = |rows: &str| format!("{head} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL {tail}");
        Bulk::with(Fit::Roomy, columns, text)
    }

    fn with(fit: Fit, columns: usize, text: impl Fn(&str) -> String) -> Bulk {
        let row = format!("({})", vec!["?"; columns].join(","));
        let text = |rows: usize| Arc::from(text(&vec![row.as_str(); rows].join(",")));
        Bulk { columns, statements: SIZES.map(|rows| (rows, text(rows))), fit }
    }

    /// Runs it over all rows; answers how many rows it wrote.
    pub(super) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Row),
    ) -> sqlx::Result<u64> {
        let mut written = 0;
        for (sql, rows) in self.split(rows) {
            let arguments = self.arguments(rows, &bind);
            written += sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *connection).await?.rows_affected();
        }
        Ok(written)
    }

    /// Runs it over all rows; answers what it returns.
    pub(super) async fn fetch<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(&T, &mut Row),
    ) -> sqlx::Result<Vec<SqliteRow>> {
        let mut found = Vec::new();
        for (sql, rows) in self.split(rows) {
            let arguments = self.arguments(rows, &bind);
            found.extend(sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(&mut *connection).await?);
        }
        Ok(found)
    }

    /// The rows in parts, largest first, each with the statement of its size.
    fn split<'a, T>(&self, mut rows: &'a [T]) -> impl Iterator<Item = (Arc<str>, &'a [T])> + use<'_, 'a, T> {
        std::iter::from_fn(move || {
            let (size, sql) = self.statement_for(rows.len())?;
            let (part, rest) = rows.split_at(rows.len().min(*size));
            rows = rest;
            Some((sql.clone(), part))
        })
    }

    /// The statement for as many of so many rows as it takes; none for no row.
    fn statement_for(&self, rows: usize) -> Option<&(usize, Arc<str>)> {
        let filled = self.statements.iter().find(|(size, _)| *size <= rows)?;
        match self.fit {
            Fit::Filled => Some(filled),
            Fit::Roomy => self.statements.iter().rev().find(|(size, _)| *size >= rows).or(Some(filled)),
        }
    }

    fn arguments<T>(&self, rows: &[T], bind: impl Fn(&T, &mut Row)) -> SqliteArguments {
        let mut arguments = Row(SqliteArguments::default());
        arguments.0.reserve(rows.len() * self.columns, 0);
        for row in rows {
            bind(row, &mut arguments);
        }
        arguments.0
    }
}

/// Where a row's values go, in the order of its columns.
pub(super) struct Row(SqliteArguments);

impl Row {
    /// A number.
    pub(super) fn int(&mut self, value: impl Into<i64>) {
        self.add(value.into());
    }

    /// A number, or null.
    pub(super) fn int_or_null(&mut self, value: Option<i64>) {
        self.add(value);
    }

    /// A floating point number, or null.
    pub(super) fn real_or_null(&mut self, value: Option<f64>) {
        self.add(value);
    }

    /// Text.
    pub(super) fn text(&mut self, value: &str) {
        self.add(value);
    }

    /// Text, or null.
    pub(super) fn text_or_null(&mut self, value: Option<&str>) {
        self.add(value);
    }

    /// Bytes.
    pub(super) fn blob(&mut self, value: &[u8]) {
        self.add(value);
    }

    fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        self.0.add(value).expect("numbers, text and bytes are bound as they are");
    }
}
