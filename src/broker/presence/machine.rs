//! Who is online: connections that come and go and time in, statuses to tell and to save out. Pure.
//!
//! A device is online from its first connection on, until it has been away for the whole grace; so a device that comes back in
//! time, or whose session another connection takes over, was never offline. Each connection has a number, and the end of one that
//! is not the device's present one changes nothing, however late it is told.
//!
//! What is to be told or saved is a mark on the device and its place in a queue, and never there twice: whatever happens
//! meanwhile, the memory is bounded by the number of devices, and the latest status goes out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::status::{Reason, State, Status};
use crate::broker::Ending;
use crate::mqtt::Version;

/// A number that no other connection of this process has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConnectionId(u64);

/// Of all devices that ever came.
pub(super) struct Machine {
    grace: Duration,
    devices: HashMap<Arc<str>, Device>,
    /// Devices that are away and still online, by the moment at which they no longer are.
    leaving: BTreeMap<(Instant, Arc<str>), Left>,
    untold: VecDeque<Arc<str>>,
    unsaved: VecDeque<Arc<str>>,
    last_connection: u64,
    online: usize,
}

struct Device {
    status: Status,
    link: Link,
    /// It came to another gateway since: what ends here is no end of it.
    is_elsewhere: bool,
    is_untold: bool,
    is_unsaved: bool,
}

/// What a device has of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    /// One.
    Connected(ConnectionId),
    /// None; it goes offline at this moment.
    Leaving(Instant),
    /// None, and nothing is waited for.
    None,
}

/// How a connection ended.
struct Left {
    since_ms: i64,
    reason: Reason,
}

impl Machine {
    /// Knows nobody yet.
    pub(super) fn new(grace: Duration) -> Self {
        Machine {
            grace,
            devices: HashMap::new(),
            leaving: BTreeMap::new(),
            untold: VecDeque::new(),
            unsaved: VecDeque::new(),
            last_connection: 0,
            online: 0,
        }
    }

    /// Takes up what an earlier process has saved of a device. One that was online has the grace to come back; how its connection
    /// ended nobody saw, and `now` is the first moment of which it is known that it had none. One that is at another gateway stays there.
    pub(super) fn load(&mut self, device_id: Arc<str>, status: Status, is_elsewhere: bool, now: Instant, now_ms: i64) {
        let mut link = Link::None;
        self.online += usize::from(status.state == State::Online);
        if status.state == State::Online && !is_elsewhere {
            link = self.leave(&device_id, Left { since_ms: now_ms, reason: Reason::GatewayRestarted }, now);
        }
        self.devices.insert(device_id, Device { status, link, is_elsewhere, is_untold: false, is_unsaved: false });
    }

    /// Another gateway has saved this of a device. What is not saved yet here is newer.
    pub(super) fn handle_elsewhere(&mut self, device_id: Arc<str>, status: Status) {
        let is_online = status.state == State::Online;
        let Some(device) = self.devices.get_mut(&device_id) else {
            let device =
                Device { status, link: Link::None, is_elsewhere: is_online, is_untold: false, is_unsaved: false };
            self.devices.insert(device_id.clone(), device);
            self.online += usize::from(is_online);
            return self.tell(&device_id);
        };
        if device.is_unsaved {
            return;
        }
        device.is_elsewhere = is_online;
        match device.link {
            // Its newer connection has ended there, and an older one is still here.
            Link::Connected(_) if !is_online => return self.changed(&device_id),
            Link::Connected(_) | Link::None => {}
            Link::Leaving(deadline) => {
                device.link = Link::None;
                self.leaving.remove(&(deadline, device_id.clone()));
            }
        }
        let was = std::mem::replace(&mut device.status, status);
        self.online = self.online + usize::from(is_online) - usize::from(was.state == State::Online);
        if was != status {
            self.tell(&device_id);
        }
    }

    /// A device was online at a gateway that lives no more, and has the grace to come to another.
    pub(super) fn handle_orphan(&mut self, device_id: Arc<str>, status: Status, now: Instant, now_ms: i64) {
        match self.devices.get_mut(&device_id) {
            Some(Device { link: Link::Connected(_), .. }) => return self.changed(&device_id),
            Some(Device { link: Link::Leaving(_), .. }) => return,
            Some(device) => self.online -= usize::from(device.status.state == State::Online),
            None => {}
        }
        self.load(device_id.clone(), status, false, now, now_ms);
        self.tell(&device_id);
    }

    /// A device has connected.
    pub(super) fn handle_connected(
        &mut self,
        device_id: &Arc<str>,
        address: SocketAddr,
        version: Version,
        now_ms: i64,
    ) -> (ConnectionId, Option<State>) {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        let fresh = Status { state: State::Online, since_ms: now_ms, reason: Reason::Connected, address, version };
        let Some(device) = self.devices.get_mut(device_id) else {
            let device = Device {
                status: fresh,
                link: Link::Connected(connection),
                is_elsewhere: false,
                is_untold: false,
                is_unsaved: false,
            };
            self.devices.insert(device_id.clone(), device);
            self.online += 1;
            self.changed(device_id);
            return (connection, Some(State::Online));
        };
        if let Link::Leaving(deadline) = std::mem::replace(&mut device.link, Link::Connected(connection)) {
            self.leaving.remove(&(deadline, device_id.clone()));
        }
        let was = device.status;
        device.status = match was.state {
            State::Online => Status { since_ms: was.since_ms, ..fresh },
            State::Offline => fresh,
        };
        let was_elsewhere = std::mem::replace(&mut device.is_elsewhere, false);
        if device.status != was || was_elsewhere {
            self.changed(device_id);
        }
        let change = (was.state == State::Offline).then_some(State::Online);
        self.online += usize::from(change.is_some());
        (connection, change)
    }

    /// A connection has ended. When the gateway shuts down nobody goes offline for it: the next one finds out who comes back.
    pub(super) fn handle_ended(
        &mut self,
        device_id: &Arc<str>,
        connection: ConnectionId,
        ending: Ending,
        now: Instant,
        now_ms: i64,
    ) {
        let Some(device) = self.devices.get_mut(device_id) else { return };
        if device.link != Link::Connected(connection) {
            return;
        }
        device.link = Link::None;
        if ending != Ending::ShuttingDown && !device.is_elsewhere {
            let link = self.leave(device_id, Left { since_ms: now_ms, reason: Reason::Ended(ending) }, now);
            self.devices.entry(device_id.clone()).and_modify(|device| device.link = link);
        }
    }

    /// Time has come to [`Machine::poll_timeout`]: so many devices at most whose grace is over go offline. Says how many.
    pub(super) fn handle_timeout(&mut self, now: Instant, devices_max: usize) -> usize {
        for count in 0..devices_max {
            let Some(first) = self.leaving.first_entry().filter(|first| first.key().0 <= now) else { return count };
            let ((_, device_id), Left { since_ms, reason }) = first.remove_entry();
            if let Some(device) = self.devices.get_mut(&device_id) {
                device.link = Link::None;
                device.status = Status { state: State::Offline, since_ms, reason, ..device.status };
            }
            self.online -= 1;
            self.changed(&device_id);
        }
        devices_max
    }

    /// When the next grace is over.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.leaving.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// The next status that is to be told.
    pub(super) fn poll_untold(&mut self) -> Option<(Arc<str>, Status)> {
        let device_id = next(&mut self.untold)?;
        let device = self.devices.get_mut(&device_id)?;
        device.is_untold = false;
        Some((device_id, device.status))
    }

    /// The next status that is to be saved.
    pub(super) fn poll_unsaved(&mut self) -> Option<(Arc<str>, Status)> {
        let device_id = next(&mut self.unsaved)?;
        let device = self.devices.get_mut(&device_id)?;
        device.is_unsaved = false;
        Some((device_id, device.status))
    }

    /// What was polled could not be saved; its turn comes again, unless it is due already.
    pub(super) fn handle_not_saved(&mut self, device_id: &Arc<str>) {
        let Some(device) = self.devices.get_mut(device_id) else { return };
        if !std::mem::replace(&mut device.is_unsaved, true) {
            self.unsaved.push_back(device_id.clone());
        }
    }

    /// True: something is to be saved.
    pub(super) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Devices that are online.
    pub(super) fn online(&self) -> usize {
        self.online
    }

    fn leave(&mut self, device_id: &Arc<str>, left: Left, now: Instant) -> Link {
        let deadline = now + self.grace;
        self.leaving.insert((deadline, device_id.clone()), left);
        Link::Leaving(deadline)
    }

    fn tell(&mut self, device_id: &Arc<str>) {
        let Some(device) = self.devices.get_mut(device_id) else { return };
        if !std::mem::replace(&mut device.is_untold, true) {
            self.untold.push_back(device_id.clone());
        }
    }

    fn changed(&mut self, device_id: &Arc<str>) {
        self.tell(device_id);
        let Some(device) = self.devices.get_mut(device_id) else { return };
        if !std::mem::replace(&mut device.is_unsaved, true) {
            self.unsaved.push_back(device_id.clone());
        }
    }
}

/// Takes the first one out. Once it is empty, a queue gives the room back that a whole fleet took.
fn next(queue: &mut VecDeque<Arc<str>>) -> Option<Arc<str>> {
    let device_id = queue.pop_front()?;
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    Some(device_id)
}

#[cfg(test)]
mod tests;
