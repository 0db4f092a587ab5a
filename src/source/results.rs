//! What goes back through another broker: verified readings at QoS 0, and for each device what became of its messages, at QoS 1.

use bytes::Bytes;

use super::broker::QoS;
use super::clock::now_ms;
use crate::ingest::{Due, Notary, Outlets, Verified, content};

/// Both outlets of the pipeline as one.
pub(super) struct Results {
    outlets: Outlets,
    readings_over: bool,
    receipts_over: bool,
}

/// A message to publish.
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
}

impl Results {
    pub(super) fn new(outlets: Outlets) -> Self {
        Results { outlets, readings_over: false, receipts_over: false }
    }

    /// The messages of the next batch; none: the pipeline has ended. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Vec<Outgoing>> {
        let Outlets { verified, notary } = &mut self.outlets;
        while !(self.readings_over && self.receipts_over) {
            tokio::select! {
                batch = verified.recv(), if !self.readings_over => match batch {
                    Some(batch) => return Some(batch.iter().map(reading).collect()),
                    None => self.readings_over = true,
                },
                batch = notary.next(), if !self.receipts_over => match batch {
                    Some(batch) => return Some(batch.iter().flat_map(|due| receipts(notary, due)).collect()),
                    None => self.receipts_over = true,
                },
            }
        }
        None
    }
}

fn reading(verified: &Verified) -> Outgoing {
    let payload = Bytes::from(content::to_senml_json(&verified.readings));
    Outgoing { topic: format!("readings/{}", verified.device_id), payload, qos: QoS::AtMostOnce }
}

/// The receipts of one device. Who listens is the broker's to know.
fn receipts(notary: &Notary, due: &Due) -> Vec<Outgoing> {
    let sealed = notary.seal(due, now_ms());
    let topic = format!("devices/{}/receipts", due.device_id());
    sealed.into_iter().map(|payload| Outgoing { topic: topic.clone(), payload, qos: QoS::AtLeastOnce }).collect()
}
