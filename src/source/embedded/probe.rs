//! Whether the router still answers: a message to ourselves, again and again.

use std::time::Duration;

use rumqttd::Notification;
use rumqttd::local::{LinkRx, LinkTx};
use tokio::time::{sleep, timeout};

/// From one probe to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// A probe that has not come back by then will not: together with the interval it is noticed within five seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Sends probes until one does not come back, and says why.
pub(super) async fn probe(mut sender: LinkTx, mut receiver: LinkRx, topic: &str) -> &'static str {
    loop {
        if sender.try_publish(topic.to_owned(), Vec::new()).is_err() {
            return "the router takes no messages";
        }
        match timeout(PATIENCE, came_back(&mut receiver)).await {
            Ok(true) => {}
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
