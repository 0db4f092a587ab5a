//! A message that was refused, opened once more: with the keys and the devices of today, and the clock of its arrival.
//!
//! Nothing is stored here and nothing is counted: the law of the ledger has counted the message when it came.

use std::sync::Arc;

use bytes::Bytes;

use super::pipeline::decode;
use crate::seal::{Guard, LookUpError, Refusal};
use crate::store::Accepted;

/// What goes into the store of `message`, which `device_id` sent at `received_at_ms`; or why it is refused again.
pub async fn reopen(
    guard: &Guard,
    device_id: &Arc<str>,
    message: &Bytes,
    received_at_ms: i64,
) -> Result<Result<Accepted, Refusal>, LookUpError> {
    let sender = match guard.known(device_id) {
        Some(sender) => Some(sender),
        None => guard.look_up(device_id).await?,
    };
    let judged = guard.judge(message, sender.as_deref(), received_at_ms);
    Ok(judged.and_then(|genuine| {
        decode(device_id, message, received_at_ms, &genuine).map_err(|_| Refusal::bad_payload(&genuine))
    }))
}
