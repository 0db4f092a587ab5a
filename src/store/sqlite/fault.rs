//! Whose fault a failed statement is, by SQLite's codes.

use crate::store::commit::Fault;

/// Of an error of the driver.
pub(super) fn of(error: &sqlx::Error) -> Fault {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse().ok()).map_or(Fault::Passing, of_code)
}

/// Of an extended result code, <https://www.sqlite.org/rescode.html>; its low byte is the primary code.
///
/// Uniqueness is not among the row's faults: the keys of a commit's rows are numbers that the store gives, and counters that
/// are used up are passed over (`ON CONFLICT DO NOTHING`). A key that is there already means that other hands were at the
/// tables, an edited `sqlite_sequence` for example, and good rows would be refused for it.
fn of_code(extended: i32) -> Fault {
    const TOOBIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const RANGE: i32 = 25;
    const PRIMARY_KEY: i32 = CONSTRAINT | (6 << 8);
    const UNIQUE: i32 = CONSTRAINT | (8 << 8);
    const ROWID: i32 = CONSTRAINT | (10 << 8);
    match (extended, extended & 0xFF) {
        (PRIMARY_KEY | UNIQUE | ROWID, _) => Fault::Passing,
        (_, TOOBIG | CONSTRAINT | MISMATCH | RANGE) => Fault::Content,
        _ => Fault::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_on_content_is_the_rows_fault() {
        const CHECK: i32 = 19 | (1 << 8);
        const NOT_NULL: i32 = 19 | (5 << 8);
        const TRIGGER: i32 = 19 | (7 << 8);
        const DATATYPE: i32 = 19 | (12 << 8);
        for code in [18, 19, 20, 25, CHECK, NOT_NULL, TRIGGER, DATATYPE] {
            assert_eq!(of_code(code), Fault::Content, "{code}");
        }
    }

    #[test]
    fn a_key_that_is_there_already_is_not() {
        for code in [1555, 2067, 2579] {
            assert_eq!(of_code(code), Fault::Passing, "{code}");
        }
    }

    #[test]
    fn busy_full_broken_and_unknown_pass() {
        const BUSY_SNAPSHOT: i32 = 5 | (2 << 8);
        const IOERR_FSYNC: i32 = 10 | (4 << 8);
        // error, perm, abort, busy, locked, nomem, readonly, interrupt, ioerr, corrupt, full, cantopen, misuse, not a database
        for code in [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 21, 26, 999, BUSY_SNAPSHOT, IOERR_FSYNC] {
            assert_eq!(of_code(code), Fault::Passing, "{code}");
        }
        assert_eq!(of(&sqlx::Error::WorkerCrashed), Fault::Passing);
    }
}
