//! Whether the router still answers: a message to ourselves, again and again.

use std::time::Duration;

use rumqttd::Notification;
use rumqttd::local::{LinkRx, LinkTx};
use tokio::time::{sleep, timeout};

/// From one probe to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// A router that takes longer is not ready.
const SLOW: Duration = Duration::from_millis(500);
/// A probe that has not come back by then too will not: together with the interval it is noticed within five seconds.
const PATIENCE: Duration = Duration::from_millis(3500);

/// Sends probes until one does not come back, and says why; tells each time whether the router is quick.
pub(super) async fn probe(
    mut sender: LinkTx,
    mut receiver: LinkRx,
    topic: &str,
    is_quick: impl Fn(bool),
) -> &'static str {
    loop {
        // Without room for the notice the message is in the router's buffer all the same.
        let _ = sender.try_publish(topic.to_owned(), Vec::new());
        let came_back = {
            let mut coming = std::pin::pin!(came_back(&mut receiver));
            match timeout(SLOW, &mut coming).await {
                Ok(came_back) => Ok(came_back),
                Err(_) => {
                    is_quick(false);
                    timeout(PATIENCE, coming).await
                }
            }
        };
        match came_back {
            Ok(true) => is_quick(true),
            Ok(false) => return "the router has ended",
            Err(_) => return "the router does not answer",
        }
        sleep(INTERVAL).await;
    }
}

/// False: nothing will come any more.
async fn came_back(receiver: &mut LinkRx) -> bool {
    loop {
        match receiver.next().await {
            Ok(Some(Notification::Forward(_))) => return true,
            Ok(Some(Notification::Unschedule)) if receiver.wake().await.is_err() => return false,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}
