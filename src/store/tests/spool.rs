//! The spool over real files, and what the database remembers of it.

use super::*;
use bytes::Bytes;

const WORDS: [&str; 4] = ["frame", "corrupt", "retry", "replay"];

fn spooling(dir: &TempDir) -> Config {
    Config { on_outage: OnOutage::Spool, spool_bytes_max: 64 * 1024, ..dir.config() }
}

async fn opened(dir: &TempDir, store: &Store) -> Spool {
    Spool::open(&spooling(dir), store, WORDS.to_vec()).await.unwrap().expect("it is wanted")
}

fn accepted(counter: i64, bytes: &'static [u8]) -> Entry {
    let reading = |value, sum| Reading { name: "a".to_owned(), unit: None, time_ms: -1, value, sum };
    Entry::Accepted(Accepted {
        device_id: "pump".into(),
        seen: Seen { device: 7, key_version: 1, counter, tag: Tag::new(&[9; 32]).unwrap() },
        device_time_ms: None,
        received_at_ms: 5,
        encoding: "frame",
        content_format: 60,
        bytes: Bytes::from_static(bytes),
        readings: vec![
            reading(Some(Value::Number(0.1)), None),
            reading(Some(Value::Data("-_".to_owned())), Some(2.5)),
            reading(None, Some(1.0)),
        ],
    })
}

fn refused() -> Entry {
    let bytes = Bytes::from_static(b"?");
    let (reason, encoding) = ("corrupt", "frame");
    Entry::Refused(Refused {
        device_id: "pump".into(),
        received_at_ms: 6,
        reason,
        encoding,
        bytes,
        unless_stored: None,
    })
}

async fn put(spool: &Spool, entries: &[Entry]) -> Result<(), SpoolError> {
    let messages: Vec<_> = entries.iter().map(|entry| Spooled { entry, origin: "replay" }).collect();
    spool.put(&messages).await
}

fn shown(waiting: &[Waiting]) -> Vec<String> {
    waiting.iter().map(|waiting| format!("{:?} {}", waiting.entry, waiting.origin)).collect()
}

#[tokio::test]
async fn what_is_put_comes_out_in_order_and_outlives_the_process() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    let spool = opened(&dir, &store).await;
    let entries = [accepted(1, b"one"), refused(), accepted(2, b"two")];
    put(&spool, &entries[..2]).await.unwrap();
    put(&spool, &entries[2..]).await.unwrap();
    let usage = spool.usage();
    assert_eq!(usage.rows, 3);
    spool.close().await;

    let spool = opened(&dir, &store).await;
    assert_eq!(spool.usage(), usage, "counted again by SQL");
    let waiting = spool.next(10, 1 << 20).await.unwrap();
    assert_eq!(shown(&waiting), entries.each_ref().map(|entry| format!("{entry:?} replay")));
    assert!(waiting.iter().all(|waiting| spool.was_recovered(waiting)));
    put(&spool, &entries[..1]).await.unwrap();
    spool.remove(&waiting).await.unwrap();
    let rest = spool.next(10, 1 << 20).await.unwrap();
    assert_eq!((rest.len(), spool.usage().rows), (1, 1));
    assert!(!spool.was_recovered(&rest[0]));
    spool.remove(&rest).await.unwrap();
    assert_eq!(spool.usage(), Usage::default());
}

#[tokio::test]
async fn a_part_has_its_bounds_and_one_message_at_least() {
    let dir = TempDir::on_postgres();
    let spool = opened(&dir, &dir.store().await).await;
    put(&spool, &[accepted(1, &[1; 600]), accepted(2, &[2; 600]), accepted(3, &[3; 600])]).await.unwrap();
    for (rows_max, bytes_max, expected) in [(2, 1 << 20, 2), (10, 1200, 2), (10, 1199, 1), (10, 1, 1)] {
        assert_eq!(spool.next(rows_max, bytes_max).await.unwrap().len(), expected, "{rows_max} {bytes_max}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_there_in_part() {
    let dir = TempDir::on_postgres();
    let spool = opened(&dir, &dir.store().await).await;
    let many: Vec<Entry> = (1..=100).map(|counter| accepted(counter, &[0; 1000])).collect();
    assert!(matches!(put(&spool, &many).await, Err(SpoolError::Full)));
    assert_eq!((spool.usage(), spool.next(10, 1 << 20).await.unwrap().len()), (Usage::default(), 0));
    put(&spool, &many[..40]).await.unwrap();
    assert!(matches!(put(&spool, &many[40..80]).await, Err(SpoolError::Full)));
    let waiting = spool.next(100, 1 << 20).await.unwrap();
    spool.remove(&waiting).await.unwrap();
    put(&spool, &many[40..80]).await.expect("there is room again");
}

#[tokio::test]
async fn what_the_database_has_is_not_drained_by_whoever_starts_next() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    let spool = opened(&dir, &store).await;
    put(&spool, &[refused(), refused(), refused()]).await.unwrap();
    let part = spool.next(2, 1 << 20).await.unwrap();
    let entries: Vec<Entry> = part.iter().map(|waiting| waiting.entry.clone()).collect();
    store.commit_from_spool(&entries, spool.mark(&part).await).await.unwrap();
    spool.close().await;

    let spool = opened(&dir, &store).await;
    let rest = spool.next(10, 1 << 20).await.unwrap();
    assert_eq!((rest.len(), spool.usage().rows), (1, 1));
    // All that is there goes, and no number is given again.
    store.commit_from_spool(&[rest[0].entry.clone()], spool.mark(&rest).await).await.unwrap();
    spool.close().await;
    let spool = opened(&dir, &store).await;
    put(&spool, &[refused()]).await.unwrap();
    spool.close().await;
    assert_eq!(opened(&dir, &store).await.usage().rows, 1);
    assert_eq!(store.quarantine_usage().await.unwrap().rows, 3);
}

#[tokio::test]
async fn a_file_that_is_something_else_is_left_alone() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    std::fs::write(dir.config().data_dir.join("spool.db"), [7; 4096]).unwrap();
    let refusal = Spool::open(&spooling(&dir), &store, Vec::new()).await.err().expect("it is refused");
    assert!(matches!(refusal, OpenError::NotOurs { .. }), "{refusal}");
}

#[tokio::test]
async fn without_a_wish_and_a_file_there_is_none() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    assert!(Spool::open(&dir.config(), &store, Vec::new()).await.unwrap().is_none());
    opened(&dir, &store).await.close().await;
    let left_over = Spool::open(&dir.config(), &store, Vec::new()).await.unwrap().expect("it is there");
    assert!(!left_over.takes_more());
}
