//! `sealgate device remove`.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::anyhow;
use sealgate_envelope::DeviceId;

use crate::cli::{Done, Exit, Failure, output};
use crate::store::{Found, Store};

/// Removes devices, one after the other; who is asked at a terminal types the name of each.
pub(super) async fn remove(store: &Store, ids: &[DeviceId], is_meant: bool) -> Done {
    for id in ids {
        if store.device(id.as_str()).await?.is_none() {
            return Err(anyhow!("there is no device {id}; nothing was removed").into());
        }
    }
    if !is_meant {
        confirm(ids)?;
    }
    for id in ids {
        match store.remove_device(id.as_str()).await? {
            Found::Yes => output::line(&format!("device {id} is removed"))?,
            Found::No => output::line(&format!("device {id} was removed by somebody else"))?,
        }
    }
    Ok(Exit::Done)
}

fn confirm(ids: &[DeviceId]) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Unusable(anyhow!("a removed device cannot be brought back: say --yes")));
    }
    for id in ids {
        write!(io::stderr(), "{id} loses its credentials for ever. Type its name to remove it: ")?;
        let mut typed = String::new();
        io::stdin().read_line(&mut typed)?;
        if typed.trim() != id.as_str() {
            return Err(Failure::Unusable(anyhow!("that is not {id}; nothing was removed")));
        }
    }
    Ok(())
}
