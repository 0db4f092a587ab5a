//! The machine with a clock of the test's own, and beside it what a watcher with a notebook would expect.

use proptest::prelude::*;

use super::*;

const GRACE: Duration = Duration::from_secs(10);
const ALL: usize = usize::MAX;

#[expect(clippy::disallowed_methods, reason = "a test's clock has to begin somewhere")]
fn start() -> Instant {
    Instant::now()
}

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

/// A machine, and a clock that begins at 0 ms.
struct Bench {
    machine: Machine,
    began: Instant,
    ms: u64,
}

impl Bench {
    fn new() -> Self {
        Bench { machine: Machine::new(GRACE), began: start(), ms: 0 }
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_millis(self.ms)
    }

    fn now_ms(&self) -> i64 {
        self.ms as i64
    }

    fn connect(&mut self, device: &str, port: u16) -> ConnectionId {
        let now_ms = self.now_ms();
        self.machine.handle_connected(&device.into(), address(port), Version::V5, now_ms).0
    }

    fn end(&mut self, device: &str, connection: ConnectionId, ending: Ending) {
        let (now, now_ms) = (self.now(), self.now_ms());
        self.machine.handle_ended(&device.into(), connection, ending, now, now_ms);
    }

    fn pass(&mut self, ms: u64) {
        self.ms += ms;
        let now = self.now();
        self.machine.handle_timeout(now, ALL);
    }

    /// State, since, reason and port of what is to be told of the one device.
    fn told(&mut self) -> Vec<(State, i64, Reason, u16)> {
        let told = std::iter::from_fn(|| self.machine.poll_untold());
        told.map(|(_, status)| (status.state, status.since_ms, status.reason, status.address.port())).collect()
    }

    fn unsaved(&mut self) -> Vec<Arc<str>> {
        std::iter::from_fn(|| self.machine.poll_unsaved()).map(|(device_id, _)| device_id).collect()
    }
}

/// What another gateway has saved of a device.
fn elsewhere(bench: &mut Bench, device: &str, state: State, port: u16) {
    let status = Status { state, since_ms: 5, reason: Reason::Connected, address: address(port), version: Version::V5 };
    while bench.machine.poll_unsaved().is_some() {}
    bench.machine.handle_elsewhere(device.into(), status);
}

#[test]
fn what_ends_here_is_no_end_of_a_device_that_came_to_another_gateway() {
    let mut bench = Bench::new();
    let connection = bench.connect("pump", 1);
    elsewhere(&mut bench, "pump", State::Online, 2);
    assert_eq!(bench.told().last().map(|told| (told.0, told.3)), Some((State::Online, 2)));
    bench.end("pump", connection, Ending::Gone);
    bench.pass(60_000);
    assert_eq!((bench.told(), bench.machine.online()), (vec![], 1));
    elsewhere(&mut bench, "pump", State::Offline, 2);
    assert_eq!((bench.told().len(), bench.machine.online()), (1, 0));
}

#[test]
fn a_grace_ends_where_the_device_came_to_another_gateway() {
    let mut bench = Bench::new();
    let connection = bench.connect("pump", 1);
    bench.end("pump", connection, Ending::Gone);
    elsewhere(&mut bench, "pump", State::Online, 2);
    bench.told();
    bench.pass(60_000);
    assert_eq!((bench.told(), bench.machine.online()), (vec![], 1));
    assert!(bench.machine.poll_timeout().is_none());
}

#[test]
fn a_device_that_comes_back_is_here_again_and_saved_so() {
    let mut bench = Bench::new();
    bench.connect("pump", 1);
    elsewhere(&mut bench, "pump", State::Online, 1);
    let connection = bench.connect("pump", 1);
    assert!(bench.machine.has_unsaved());
    // What was read before that is older.
    let older = Status {
        state: State::Online,
        since_ms: 5,
        reason: Reason::Connected,
        address: address(2),
        version: Version::V5,
    };
    bench.machine.handle_elsewhere("pump".into(), older);
    bench.end("pump", connection, Ending::Gone);
    bench.pass(60_000);
    assert_eq!(bench.told().last().map(|told| (told.0, told.3)), Some((State::Offline, 1)));
}

#[test]
fn an_older_connection_counts_again_when_the_newer_one_has_ended_elsewhere() {
    let mut bench = Bench::new();
    bench.connect("pump", 1);
    elsewhere(&mut bench, "pump", State::Online, 2);
    elsewhere(&mut bench, "pump", State::Offline, 2);
    assert!(bench.machine.has_unsaved());
    assert_eq!((bench.told().last().map(|told| told.0), bench.machine.online()), (Some(State::Online), 1));
}

#[test]
fn an_orphan_has_the_grace_and_a_device_that_is_here_is_none() {
    let mut bench = Bench::new();
    bench.connect("here", 1);
    let (now, now_ms) = (bench.now(), bench.now_ms());
    for device in ["here", "gone"] {
        let status = Status {
            state: State::Online,
            since_ms: 5,
            reason: Reason::Connected,
            address: address(9),
            version: Version::V5,
        };
        bench.machine.handle_orphan(device.into(), status, now, now_ms);
    }
    assert_eq!(bench.machine.online(), 2);
    bench.told();
    bench.pass(10_000);
    assert_eq!(bench.told(), [(State::Offline, 0, Reason::GatewayRestarted, 9)]);
    assert_eq!(bench.machine.online(), 1);
}

#[test]
fn a_device_is_offline_after_the_grace_since_the_end_of_its_connection() {
    let mut bench = Bench::new();
    let connection = bench.connect("pump", 1);
    assert_eq!(bench.told(), [(State::Online, 0, Reason::Connected, 1)]);
    bench.pass(5000);
    bench.end("pump", connection, Ending::Silent);
    assert_eq!(bench.machine.poll_timeout(), Some(bench.now() + GRACE));
    bench.pass(9999);
    assert_eq!((bench.told(), bench.machine.online()), (vec![], 1));
    bench.pass(1);
    assert_eq!(bench.told(), [(State::Offline, 5000, Reason::Ended(Ending::Silent), 1)]);
    assert_eq!((bench.machine.online(), bench.machine.poll_timeout()), (0, None));
    bench.pass(1);
    bench.connect("pump", 2);
    assert_eq!(bench.told(), [(State::Online, 15_001, Reason::Connected, 2)]);
}

#[test]
fn who_comes_back_within_the_grace_was_never_away() {
    let mut bench = Bench::new();
    let first = bench.connect("pump", 1);
    bench.told();
    bench.end("pump", first, Ending::Gone);
    bench.pass(9999);
    let second = bench.connect("pump", 1);
    assert_eq!((bench.told(), bench.machine.poll_timeout()), (vec![], None));
    bench.end("pump", second, Ending::Gone);
    bench.connect("pump", 2);
    bench.pass(60_000);
    assert_eq!(
        bench.told(),
        [(State::Online, 0, Reason::Connected, 2)],
        "the address is another one, and since the same"
    );
}

#[test]
fn a_late_end_of_an_earlier_connection_changes_nothing() {
    let mut bench = Bench::new();
    let first = bench.connect("pump", 1);
    bench.connect("pump", 1);
    bench.told();
    bench.end("pump", first, Ending::TakenOver);
    bench.pass(60_000);
    assert_eq!((bench.told(), bench.machine.online()), (vec![], 1));
}

#[test]
fn nobody_goes_offline_because_the_gateway_shuts_down() {
    let mut bench = Bench::new();
    let connection = bench.connect("pump", 1);
    bench.told();
    bench.end("pump", connection, Ending::ShuttingDown);
    bench.pass(60_000);
    assert_eq!((bench.told(), bench.machine.poll_timeout()), (vec![], None));
}

#[test]
fn after_a_restart_who_was_online_has_the_grace_to_come_back() {
    let mut bench = Bench::new();
    bench.ms = 100_000;
    let status = |state, since_ms| {
        let reason = if state == State::Online { Reason::Connected } else { Reason::Ended(Ending::ByClient) };
        Status { state, since_ms, reason, address: address(1), version: Version::V311 }
    };
    let (now, now_ms) = (bench.now(), bench.now_ms());
    for (device, state) in [("back", State::Online), ("lost", State::Online), ("off", State::Offline)] {
        bench.machine.load(device.into(), status(state, 7), false, now, now_ms);
    }
    assert_eq!((bench.told(), bench.machine.online()), (vec![], 2));
    bench.pass(3000);
    bench.machine.handle_connected(&"back".into(), address(1), Version::V311, 103_000);
    bench.pass(7000);
    assert_eq!(bench.told(), [(State::Offline, 100_000, Reason::GatewayRestarted, 1)]);
    assert_eq!(bench.unsaved(), ["lost".into()]);
    bench.connect("off", 2);
    assert_eq!(bench.told(), [(State::Online, 110_000, Reason::Connected, 2)]);
}

#[test]
fn what_was_not_saved_comes_again_once_and_as_it_is_then() {
    let mut bench = Bench::new();
    let connection = bench.connect("pump", 1);
    assert_eq!(bench.unsaved(), ["pump".into()]);
    bench.end("pump", connection, Ending::Gone);
    bench.pass(60_000);
    bench.machine.handle_not_saved(&"pump".into());
    let (_, status) = bench.machine.poll_unsaved().unwrap();
    assert_eq!(status.state, State::Offline);
    assert!(!bench.machine.has_unsaved());
}

#[test]
fn a_device_that_flaps_takes_one_place_in_each_queue() {
    let mut bench = Bench::new();
    for port in 1..1000 {
        let connection = bench.connect("pump", port);
        bench.end("pump", connection, Ending::Gone);
        bench.pass(if port % 3 == 0 { 60_000 } else { 1 });
    }
    let Machine { devices, leaving, untold, unsaved, .. } = &bench.machine;
    assert_eq!((devices.len(), untold.len(), unsaved.len()), (1, 1, 1));
    assert!(leaving.len() <= 1);
}

#[test]
fn no_more_devices_than_asked_for_go_offline_in_one_step() {
    let mut bench = Bench::new();
    for number in 0..10 {
        let device = format!("d{number}");
        let connection = bench.connect(&device, 1);
        bench.end(&device, connection, Ending::Gone);
    }
    bench.ms += 60_000;
    let now = bench.now();
    let steps = [4, 4, 4, 4].map(|most| bench.machine.handle_timeout(now, most));
    assert_eq!((steps, bench.machine.online()), ([4, 4, 2, 0], 0));
}

/// What happens in the world.
#[derive(Debug, Clone)]
enum Event {
    Connect(usize, u16),
    /// The end of one of all connections so far, be it over already.
    End(usize, Ending),
    Pass(u64),
    /// The driver takes what is to be told.
    Tell,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let ending = prop::sample::select(vec![Ending::ByClient, Ending::Silent, Ending::Gone, Ending::TakenOver]);
    let event = prop_oneof![
        4 => (0..DEVICES, 1..3u16).prop_map(|(device, port)| Event::Connect(device, port)),
        4 => (any::<prop::sample::Index>(), ending).prop_map(|(which, ending)| Event::End(which.index(50), ending)),
        3 => prop::sample::select(vec![1, 4999, 5000, 10_000]).prop_map(Event::Pass),
        2 => Just(Event::Tell),
    ];
    prop::collection::vec(event, 1..80)
}

const DEVICES: usize = 3;

/// The notebook: for each device its connection, and since when it has none.
#[derive(Default, Clone)]
struct Noted {
    connection: Option<usize>,
    away: Option<(u64, Ending)>,
    online_since: Option<u64>,
    last_told: Option<Status>,
}

proptest! {
    #[test]
    fn what_is_told_is_what_a_watcher_saw(events in events(), tells_each_time in any::<bool>()) {
        let mut bench = Bench::new();
        let mut noted = vec![Noted::default(); DEVICES];
        let mut connections: Vec<(usize, ConnectionId)> = Vec::new();
        for event in events {
            match event {
                Event::Connect(device, port) => {
                    connections.push((device, bench.connect(&name(device), port)));
                    let ms = bench.ms;
                    let Noted { connection, away, online_since, .. } = &mut noted[device];
                    (*connection, *away) = (Some(connections.len() - 1), None);
                    online_since.get_or_insert(ms);
                }
                Event::End(which, ending) => {
                    let Some((device, connection)) = connections.get(which).copied() else { continue };
                    bench.end(&name(device), connection, ending);
                    let ms = bench.ms;
                    let noted = &mut noted[device];
                    if noted.connection.take_if(|connection| *connection == which).is_some() {
                        noted.away = Some((ms, ending));
                    }
                }
                Event::Pass(ms) => bench.pass(ms),
                Event::Tell => {}
            }
            for noted in &mut noted {
                if noted.away.is_some_and(|(since, _)| bench.ms >= since + GRACE.as_millis() as u64) {
                    noted.online_since = None;
                }
            }
            prop_assert_eq!(bench.machine.online(), noted.iter().filter(|noted| noted.online_since.is_some()).count());
            if matches!(event, Event::Tell) || tells_each_time {
                check_told(&mut bench, &mut noted, tells_each_time)?;
            }
        }
        check_told(&mut bench, &mut noted, tells_each_time)?;
    }
}

fn check_told(bench: &mut Bench, noted: &mut [Noted], tells_each_time: bool) -> Result<(), TestCaseError> {
    for (device_id, status) in std::iter::from_fn(|| bench.machine.poll_untold()) {
        let noted = noted.iter_mut().enumerate().find(|(number, _)| name(*number) == *device_id).unwrap().1;
        match status.state {
            State::Online => prop_assert_eq!(status.since_ms as u64, noted.online_since.unwrap()),
            State::Offline => {
                prop_assert_eq!((noted.connection, noted.online_since), (None, None), "offline while it is there");
                let (since, ending) = noted.away.unwrap();
                prop_assert_eq!((status.since_ms as u64, status.reason), (since, Reason::Ended(ending)));
                prop_assert!(bench.ms >= since + GRACE.as_millis() as u64, "before the grace was over");
            }
        }
        if let (Some(last), true) = (noted.last_told, tells_each_time) {
            let alternates = last.state != status.state;
            let moved =
                last.state == State::Online && last.since_ms == status.since_ms && last.address != status.address;
            prop_assert!(alternates || moved, "{:?} after {:?}", status, last);
        }
        noted.last_told = Some(status);
    }
    for noted in noted.iter().filter(|noted| noted.connection.is_some() || noted.away.is_some()) {
        let last = noted.last_told.map(|status| status.state);
        prop_assert_eq!(last == Some(State::Online), noted.online_since.is_some(), "the last that was told is right");
    }
    Ok(())
}

fn name(device: usize) -> String {
    format!("d{device}")
}
