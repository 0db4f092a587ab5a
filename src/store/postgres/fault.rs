//! Whose fault a failed statement is, by PostgreSQL's codes, <https://www.postgresql.org/docs/15/errcodes-appendix.html>.

use super::time::NoSuchTime;
use crate::store::commit::Fault;

/// Of an error of the driver.
pub(super) fn of(error: &sqlx::Error) -> Fault {
    match error {
        sqlx::Error::Encode(source) if source.is::<NoSuchTime>() => Fault::Content,
        _ => error.as_database_error().and_then(|error| error.code()).map_or(Fault::Passing, |code| of_code(&code)),
    }
}

/// Whether a table or a column is not there that our schema has.
pub(super) fn is_another_schema(error: &sqlx::Error) -> bool {
    const UNDEFINED_COLUMN: &str = "42703";
    const UNDEFINED_TABLE: &str = "42P01";
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == UNDEFINED_COLUMN || code == UNDEFINED_TABLE)
}

/// Of a SQLSTATE; its first two characters are the class.
///
/// Uniqueness is not among the row's faults: the keys of a commit's rows are numbers that the store gives, and counters that are used
/// up are passed over. Neither is a foreign key, which only other hands add to these tables.
fn of_code(code: &str) -> Fault {
    const NOT_NULL_VIOLATION: &str = "23502";
    const CHECK_VIOLATION: &str = "23514";
    const RAISE_EXCEPTION: &str = "P0001";
    const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    match code {
        NOT_NULL_VIOLATION | CHECK_VIOLATION | RAISE_EXCEPTION | PROGRAM_LIMIT_EXCEEDED => Fault::Content,
        // Data exceptions: no such character, out of range, not representable.
        code if code.starts_with("22") => Fault::Content,
        _ => Fault::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_checks_are_the_rows_fault() {
        for code in ["22021", "22003", "22008", "22P05", "23502", "23514", "54000", "P0001"] {
            assert_eq!(of_code(code), Fault::Content, "{code}");
        }
        assert_eq!(of(&sqlx::Error::Encode(Box::new(NoSuchTime(0)))), Fault::Content);
    }

    #[test]
    fn keys_locks_memory_disk_shutdown_and_unknown_pass() {
        for code in [
            "23505", "23503", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01", "58030", "XX000",
            "",
        ] {
            assert_eq!(of_code(code), Fault::Passing, "{code}");
        }
        assert_eq!(of(&sqlx::Error::WorkerCrashed), Fault::Passing);
        assert_eq!(of(&sqlx::Error::Encode("another".into())), Fault::Passing);
    }
}
