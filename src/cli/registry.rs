//! What `device` and `client` say alike: of names that are taken or unknown, and of states.

use anyhow::anyhow;

use super::{Done, Exit, Failure, output};
use crate::store::{AddError, Found, State};

/// Rows of one question to the database.
pub(super) const PAGE: u32 = 1000;

/// Why a device or a service (`kind`) was not added.
pub(super) fn not_added(kind: &str, name: &str, error: AddError) -> Failure {
    Failure::Failed(match error {
        AddError::Exists => anyhow!("there is a {kind} {name} already; nothing was changed"),
        AddError::Store(error) => error.into(),
    })
}

/// Tells what came of setting a state.
pub(super) fn state_is_set(kind: &str, name: &str, state: State, found: Found) -> Done {
    match found {
        Found::Yes => output::line(&format!("{kind} {name} is {}", word(state)))?,
        Found::No => return Err(anyhow!("there is no {kind} {name}").into()),
    }
    Ok(Exit::Done)
}

/// A state as it is printed.
pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Enabled => "enabled",
        State::Disabled => "disabled",
    }
}
