use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An entry that came on a day, with a reading of a time.
fn arrived(day: i64, seen: Seen, time_ms: i64) -> Entry {
    let Entry::Accepted(accepted) = accepted_with(seen, vec![Reading { time_ms, ..number("temperature", 21.5) }])
    else {
        unreachable!("it is accepted")
    };
    Entry::Accepted(Accepted { received_at_ms: day * DAY_MS + 5, ..accepted })
}

/// The same, with a reading of that day.
fn on_day(day: i64, seen: Seen) -> Entry {
    arrived(day, seen, day * DAY_MS + 1)
}

/// Drops what came, and is of, before the start of a day.
async fn forget_before(store: &Store, day: i64) -> Forgot {
    let now_ms = (day + 1) * DAY_MS;
    let mut next = match store.begin_to_forget(now_ms, DAY).await.unwrap() {
        Some(forgetting) => Some(forgetting),
        None => {
            sign_horizon(store).await;
            store.begin_to_forget(now_ms, DAY).await.unwrap()
        }
    };
    let mut sum = Forgot::default();
    while let Some(forgetting) = next {
        let (forgot, rest) = store.forget(forgetting).await.unwrap();
        (sum.envelopes, sum.readings, next) = (sum.envelopes + forgot.envelopes, sum.readings + forgot.readings, rest);
    }
    sum
}

/// As if a checkpoint had said that so much may be gone.
async fn sign_horizon(store: &Store) {
    let number = store.last_checkpoint().await.unwrap().map_or(1, |last| last.number + 1);
    let horizon_ms = store.horizon().await.unwrap();
    let (statement, leaves) = (String::new(), Some(Leaf::encode(&[])));
    let checkpoint = Checkpoint { number, statement, leaves, last_received_at_ms: i64::MIN, horizon_ms };
    store.add_checkpoint(&checkpoint, &[]).await.unwrap();
}

async fn prepared(dir: &TempDir) -> Store {
    let store = dir.store().await;
    store.prepare_days(0).await.unwrap();
    store
}

async fn one(store: &Store, entry: Entry) -> Outcome {
    store.commit(&[entry]).await.unwrap()[0]
}

const FORGOTTEN: Outcome = Outcome::Forgotten(Kept::Quarantined);

over_both! {
    async fn what_is_too_old_is_dropped_and_cannot_come_again(dir) {
        let store = prepared(&dir).await;
        let mut shell = dir.shell().await;
        let old: Vec<Entry> = (1..=3).flat_map(|counter| [1, 2].map(|device| on_day(0, seen(device, counter, b"a")))).collect();
        store.commit(&old).await.unwrap();
        store.commit(&[on_day(3, seen(1, 4, b"a"))]).await.unwrap();
        assert_eq!(forget_before(&store, 3).await, Forgot { envelopes: 6, readings: 6 });
        for table in ["envelope", "reading", "seen"] {
            assert_eq!(count(&mut shell, table).await, 1, "{table}");
        }
        assert_eq!(one(&store, on_day(3, seen(1, 2, b"a"))).await, FORGOTTEN);
        assert_eq!(one(&store, on_day(3, seen(2, 3, b"b"))).await, FORGOTTEN);
        assert_eq!(one(&store, on_day(3, seen(1, 4, b"a"))).await, Outcome::Duplicate);
        assert_eq!(one(&store, on_day(3, seen(2, 4, b"a"))).await, Outcome::Stored);
        assert_eq!(count(&mut shell, "quarantine WHERE reason = 'replayed'").await, 2);
        assert_eq!(forget_before(&store, 3).await, Forgot::default());
    }
}

over_both! {
    async fn what_came_early_is_remembered_while_lower_counters_are_kept(dir) {
        let store = prepared(&dir).await;
        store.commit(&[on_day(0, seen(1, 10, b"early"))]).await.unwrap();
        store.commit(&[on_day(2, seen(1, 5, b"late"))]).await.unwrap();
        assert_eq!(forget_before(&store, 1).await.envelopes, 1);
        assert_eq!(one(&store, on_day(2, seen(1, 10, b"early"))).await, Outcome::Duplicate);
        assert_eq!(one(&store, on_day(2, seen(1, 10, b"other"))).await, Outcome::Replayed(Kept::Quarantined));
        assert_eq!(one(&store, on_day(2, seen(1, 3, b"later"))).await, Outcome::Stored);
        assert_eq!(forget_before(&store, 3).await.envelopes, 2);
        assert_eq!(count(&mut dir.shell().await, "seen").await, 0);
        assert_eq!(one(&store, on_day(4, seen(1, 10, b"early"))).await, FORGOTTEN);
        assert_eq!(one(&store, on_day(4, seen(1, 11, b"new"))).await, Outcome::Stored);
    }
}

over_both! {
    async fn what_is_refused_is_no_duplicate_of_what_was_dropped(dir) {
        let store = prepared(&dir).await;
        store.commit(&[on_day(0, seen(1, 1, b"a"))]).await.unwrap();
        forget_before(&store, 2).await;
        let kept = Outcome::Refused(Kept::Quarantined);
        assert_eq!(one(&store, refused("stale", Some(seen(1, 1, b"a")))).await, kept);
        assert!(!store.find_seen(&seen(1, 1, b"a")).await.unwrap());
    }
}

over_both! {
    async fn a_reading_of_another_day_goes_with_its_envelope(dir) {
        let store = prepared(&dir).await;
        let mut shell = dir.shell().await;
        let (long_ago, far_ahead) = (-900 * DAY_MS, 2 * DAY_MS + 7);
        store.commit(&[arrived(0, seen(1, 1, b"a"), far_ahead), arrived(0, seen(1, 2, b"a"), 400_000 * DAY_MS)]).await.unwrap();
        store.commit(&[arrived(1, seen(1, 3, b"a"), long_ago)]).await.unwrap();
        assert_eq!(count(&mut shell, "reading_ahead").await, 2);
        assert_eq!(forget_before(&store, 1).await, Forgot { envelopes: 2, readings: 2 });
        assert_eq!(count(&mut shell, "reading").await, 1);
        assert_eq!(count(&mut shell, "reading_ahead").await, 0);
        assert_eq!(forget_before(&store, 2).await, Forgot { envelopes: 1, readings: 1 });
        assert_eq!(count(&mut shell, "reading").await, 0);
    }
}

#[tokio::test]
async fn days_are_dropped_with_their_partitions() {
    let dir = TempDir::on_postgres();
    let store = prepared(&dir).await;
    store
        .commit(&[on_day(0, seen(1, 1, b"a")), on_day(1, seen(1, 2, b"a")), on_day(-7, seen(1, 3, b"a"))])
        .await
        .unwrap();
    assert_eq!(forget_before(&store, 2).await, Forgot { envelopes: 3, readings: 3 });
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
        AND relname ~ '^(envelope|reading)_' AND relkind = 'r' ORDER BY relname";
    let left = texts(&mut dir.shell().await, sql).await;
    let day = |table: &str, day: &str| format!("{table}_197001{day}");
    let tables = |table: &str| vec![day(table, "03"), day(table, "04"), format!("{table}_other")];
    let expected: Vec<String> = [tables("envelope"), tables("reading"), vec!["reading_ahead".to_owned()]].concat();
    let mut expected = expected;
    expected.sort();
    assert_eq!(left, expected);
}

/// As the second schema made it, before there was retention.
async fn of_the_second_schema() -> TempDir {
    let dir = TempDir::new();
    dir.store().await.close().await;
    std::fs::remove_file(dir.database()).unwrap();
    let options = SqliteConnectOptions::new().filename(dir.database()).create_if_missing(true);
    let mut old = Shell::Sqlite(options.connect().await.unwrap());
    run(&mut old, include_str!("../migrations/sqlite/0001_the_house.sql")).await;
    run(&mut old, include_str!("../migrations/sqlite/0002_presence.sql")).await;
    run(&mut old, "PRAGMA application_id = 1399153004; PRAGMA user_version = 2").await;
    let ahead = "INSERT INTO reading VALUES (1, 86400000, 1, 0, 1, NULL, 1.0, NULL, NULL), (1, 86399999, 1, 1, 1, NULL, 1.0, NULL, NULL)";
    run(&mut old, "INSERT INTO envelope VALUES (1, 1, 1, 1, NULL, 5, 1, 110, x'00')").await;
    run(&mut old, ahead).await;
    old.close().await;
    dir
}

#[tokio::test]
async fn an_older_file_learns_to_forget() {
    let dir = of_the_second_schema().await;
    let store = dir.store().await;
    let mut shell = dir.shell().await;
    assert_eq!(texts(&mut shell, "SELECT CAST(auto_vacuum AS TEXT) FROM pragma_auto_vacuum").await, ["2"]);
    assert_eq!(count(&mut shell, "reading_ahead").await, 1);
    assert_eq!(forget_before(&store, 1).await, Forgot { envelopes: 1, readings: 2 });
    assert_eq!(count(&mut shell, "reading").await, 0);
}

#[tokio::test]
async fn the_file_gives_back_the_room_of_what_was_dropped() {
    let dir = TempDir::new();
    let store = dir.store().await;
    let sent = |day: i64, from: i64| -> Vec<Entry> {
        let entry = |counter| {
            let Entry::Accepted(accepted) = on_day(day, seen(1, counter, b"0123456789abcdef0123456789abcdef")) else {
                unreachable!("it is accepted")
            };
            Entry::Accepted(Accepted { bytes: vec![7; 300].into(), ..accepted })
        };
        (from..from + 4_000).map(entry).collect()
    };
    for batch in 0..5 {
        store.commit(&sent(0, batch * 4_000)).await.unwrap();
    }
    store.commit(&sent(3, 20_000)).await.unwrap();
    let mut shell = dir.shell().await;
    let pages = "SELECT CAST(page_count AS TEXT) FROM pragma_page_count";
    let before: i64 = texts(&mut shell, pages).await[0].parse().unwrap();
    assert_eq!(forget_before(&store, 3).await, Forgot { envelopes: 20_000, readings: 20_000 });
    let after: i64 = texts(&mut shell, pages).await[0].parse().unwrap();
    assert!(after < before / 3, "{before} pages, then {after}");
    assert_eq!(texts(&mut shell, "SELECT integrity_check FROM pragma_integrity_check").await, ["ok"]);
}

/// What is promised of counters over days, in its fewest words.
#[derive(Default)]
struct Model {
    /// By device and counter: the tag, the day of arrival, and whether the envelope is there.
    seen: BTreeMap<(i64, i64), (Tag, i64, bool)>,
    floors: BTreeMap<i64, i64>,
}

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<(i64, i64, u8)>),
    Forget(i64),
}

impl Model {
    fn send(&mut self, day: i64, seen: &Seen) -> Outcome {
        match self.seen.get(&(seen.device, seen.counter)) {
            Some((tag, ..)) if *tag == seen.tag => Outcome::Duplicate,
            Some(_) => Outcome::Replayed(Kept::Quarantined),
            None if self.floors.get(&seen.device).is_some_and(|floor| seen.counter <= *floor) => FORGOTTEN,
            None => {
                self.seen.insert((seen.device, seen.counter), (seen.tag, day, true));
                Outcome::Stored
            }
        }
    }

    fn forget_before(&mut self, horizon: i64) {
        self.seen.values_mut().for_each(|(_, day, there)| *there &= *day >= horizon);
        for device in [1, 2] {
            let own = || self.seen.iter().filter(|((of, _), _)| *of == device);
            let kept = own().find(|(_, (.., there))| *there).map_or(i64::MAX, |((_, counter), _)| *counter);
            let last = own().map(|((_, counter), _)| *counter).filter(|counter| *counter < kept).max();
            let floor = self.floors.entry(device).or_insert(0);
            *floor = last.map_or(*floor, |last| last.max(*floor));
            let floor = *floor;
            self.seen.retain(|(of, counter), (.., there)| *of != device || *there || *counter > floor);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sent = proptest::collection::vec((1..3_i64, 1..14_i64, 0..2_u8), 1..8);
    let step = prop_oneof![3 => sent.prop_map(Step::Send), 1 => (1..4_i64).prop_map(Step::Forget)];
    proptest::collection::vec(step, 1..16)
}

async fn agree(dir: TempDir, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let store = prepared(&dir).await;
    let mut model = Model::default();
    for (day, step) in (0..).zip(steps) {
        match step {
            Step::Send(sent) => {
                let sent: Vec<Seen> =
                    sent.iter().map(|(device, counter, tag)| seen(*device, *counter, &[*tag])).collect();
                let expected: Vec<Outcome> = sent.iter().map(|seen| model.send(day, seen)).collect();
                let batch: Vec<Entry> = sent.iter().map(|seen| on_day(day, *seen)).collect();
                prop_assert_eq!(store.commit(&batch).await.unwrap(), expected);
            }
            Step::Forget(days) => {
                model.forget_before(day - days);
                forget_before(&store, day - days).await;
            }
        }
    }
    let mut shell = dir.shell().await;
    let there = model.seen.values().filter(|(.., there)| *there).count() as i64;
    prop_assert_eq!(count(&mut shell, "seen").await, model.seen.len() as i64);
    prop_assert_eq!(count(&mut shell, "envelope").await, there);
    prop_assert_eq!(count(&mut shell, "reading").await, there);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn counters_are_remembered_or_forgotten_as_the_model_says(steps in steps()) {
        model::block_on(agree(TempDir::new(), steps))?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn counters_are_remembered_or_forgotten_in_postgres_too(steps in steps()) {
        model::block_on(agree(TempDir::on_postgres(), steps))?;
    }
}
