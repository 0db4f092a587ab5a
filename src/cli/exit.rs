//! With what a command ends: a code that a script can act on, and one clear line for a person.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::Mistakes;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was tried.
    Unusable = 2,
    /// The envelope that was inspected is refused.
    Refused = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command was not done.
pub(super) enum Failure {
    /// The configuration is wrong.
    Configuration(Mistakes),
    /// What the command line names is wrong, or cannot be read.
    Unusable(anyhow::Error),
    /// Anything that is found out while doing it.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Failed(error.into())
    }
}

/// Tells the person who waits, and says with what the process is to end.
pub(super) fn report(failure: Failure) -> Exit {
    let (exit, text) = match failure {
        Failure::Configuration(mistakes) => (Exit::Unusable, mistakes.to_string()),
        Failure::Unusable(error) => (Exit::Unusable, sentence(&error)),
        Failure::Failed(error) if wants_no_more(&error) => return Exit::Done,
        Failure::Failed(error) => (Exit::Failed, sentence(&error)),
    };
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(stderr, "sealgate: {line}");
    }
    exit
}

/// The parser of the command line has its own words, help and version among them.
pub(super) fn of_the_parser(unusable: &clap::Error) -> ExitCode {
    let _ = unusable.print();
    ExitCode::from(if unusable.use_stderr() { Exit::Unusable } else { Exit::Done })
}

/// The error and its causes in one line; a cause that is part of the sentence already is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(|cause| cause.to_string().replace('\n', ", ")) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            let _ = write!(line, ": {cause}");
        }
    }
    line
}

/// `sealgate device list | head` has seen enough; that is no failure.
fn wants_no_more(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_sentence_is_one_line_and_says_nothing_twice() {
        let error = anyhow!("the disk\nis full").context("the file s cannot be written").context("no key was made");
        assert_eq!(sentence(&error), "no key was made: the file s cannot be written: the disk, is full");
        let told = anyhow!("is full").context("the disk is full");
        assert_eq!(sentence(&told), "the disk is full");
    }
}
