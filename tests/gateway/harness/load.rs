//! Devices that publish as fast as they are acknowledged, until their connections end, however that may be.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use sealgate::mqtt::{Packet, ReasonCode, Version};

use super::client::Client;
use super::device::Device;
use super::gateway::Gateway;

/// Connections under load, each on a thread of its own. They go on alone if a test fails, and end with its gateway.
pub(crate) struct Load {
    acknowledged: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Report>>,
}

/// What one device knows when its connection has ended.
pub(crate) struct Report {
    /// The counters of messages that were acknowledged as stored.
    pub(crate) acknowledged: BTreeSet<i64>,
    /// Envelopes that were sent, wholly or in part, and not answered; in order.
    pub(crate) unanswered: Vec<Vec<u8>>,
    /// What the gateway said last, if it said goodbye.
    pub(crate) goodbye: Option<ReasonCode>,
}

impl Load {
    /// Each device publishes with `window` messages on the way.
    pub(crate) fn start(gateway: &Gateway, devices: &[Arc<Device>], window: usize) -> Self {
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let threads = devices.iter().map(|device| {
            let client = Client::of_device(gateway, Version::V5, device);
            let source = Source { client, device: device.clone(), window, acknowledged: acknowledged.clone() };
            thread::spawn(move || source.run())
        });
        Load { threads: threads.collect(), acknowledged }
    }

    /// How many messages have been acknowledged up to now.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until all connections have ended; one report for each device, in order.
    pub(crate) fn reports(self) -> Vec<Report> {
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

struct Source {
    client: Client,
    device: Arc<Device>,
    window: usize,
    acknowledged: Arc<AtomicUsize>,
}

struct Sent {
    /// None: the connection broke while it was sent.
    packet_id: Option<NonZeroU16>,
    counter: i64,
    envelope: Vec<u8>,
}

impl Source {
    fn run(mut self) -> Report {
        let mut waiting = VecDeque::new();
        let mut report = Report { acknowledged: BTreeSet::new(), unanswered: Vec::new(), goodbye: None };
        loop {
            while waiting.len() < self.window && report.goodbye.is_none() {
                waiting.push_back(self.send());
            }
            match self.client.receive_or_end() {
                Some(Packet::PubAck(ack)) => {
                    let sent: Sent = waiting.pop_front().expect("what is acknowledged was sent");
                    assert_eq!(Some(ack.packet_id), sent.packet_id, "in order, [MQTT-4.6.0-2]");
                    assert_eq!(ack.code, ReasonCode::Success);
                    report.acknowledged.insert(sent.counter);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Some(Packet::Disconnect(goodbye)) => report.goodbye = Some(goodbye.code),
                Some(other) => panic!("nobody asked for this: {other:?}"),
                None => break,
            }
        }
        report.unanswered = waiting.into_iter().map(|sent| sent.envelope).collect();
        report
    }

    fn send(&mut self) -> Sent {
        let draft = self.device.draft(1.0);
        let envelope = draft.seal();
        let packet_id = self.client.try_publish(&self.device.topic(), envelope.clone()).ok();
        Sent { packet_id, counter: draft.counter.try_into().unwrap(), envelope }
    }
}
