use super::*;
use sqlx::Row;

#[tokio::test]
async fn a_counter_is_stored_once_whoever_asks_again() {
    let dir = TempDir::new();
    let store = dir.store().await;
    let first = [accepted(seen(1, 1, b"a")), accepted(seen(1, 2, b"b"))];
    assert_eq!(store.commit(&first).await.unwrap(), [Outcome::Stored, Outcome::Stored]);

    let again = [accepted(seen(1, 2, b"b")), accepted(seen(1, 3, b"c")), accepted(seen(1, 1, b"forged"))];
    let outcomes = store.commit(&again).await.unwrap();
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Stored, Outcome::Replayed(Kept::Quarantined)]);

    let mut shell = dir.shell().await;
    assert_eq!(count(&mut shell, "seen").await, 3);
    assert_eq!(count(&mut shell, "envelope").await, 3);
    assert_eq!(count(&mut shell, "reading").await, 3);
    assert_eq!(count(&mut shell, "quarantine WHERE reason = 'replayed' AND device_id = 'd1'").await, 1);
    // The number that seen gives is the envelope's, though the batch was judged twice.
    assert_eq!(count(&mut shell, "seen s JOIN envelope e ON e.id = s.envelope AND e.counter = s.counter").await, 3);
}

#[tokio::test]
async fn within_a_batch_the_first_of_a_counter_counts() {
    let dir = TempDir::new();
    let store = dir.store().await;
    let batch = [
        accepted(seen(1, 1, b"a")),
        accepted(seen(1, 1, b"a")),
        accepted(seen(1, 1, b"b")),
        accepted(seen(2, 1, b"b")),
    ];
    let outcomes = store.commit(&batch).await.unwrap();
    let replayed = Outcome::Replayed(Kept::Quarantined);
    assert_eq!(outcomes, [Outcome::Stored, Outcome::Duplicate, replayed, Outcome::Stored]);
}

#[tokio::test]
async fn what_is_stored_is_no_longer_refused() {
    let dir = TempDir::new();
    let store = dir.store().await;
    let stored = seen(1, 1, b"a");
    store.commit(&[accepted(stored)]).await.unwrap();
    assert!(store.find_seen(&stored).await.unwrap());
    assert!(!store.find_seen(&seen(1, 1, b"b")).await.unwrap());

    let batch = [refused("stale", Some(stored)), refused("stale", Some(seen(1, 1, b"b"))), refused("corrupt", None)];
    let kept = Outcome::Refused(Kept::Quarantined);
    assert_eq!(store.commit(&batch).await.unwrap(), [Outcome::Duplicate, kept, kept]);
    assert_eq!(count(&mut dir.shell().await, "quarantine").await, 2);
}

#[tokio::test]
async fn what_is_committed_is_there_after_a_crash() {
    let dir = TempDir::new();
    let store = dir.store().await;
    store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
    // Dropped without being closed: the log is left as a crash leaves it.
    std::fs::copy(dir.database(), dir.0.join("copy.db")).unwrap();
    std::fs::copy(dir.0.join("data/sealgate.db-wal"), dir.0.join("copy.db-wal")).unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.0.join("data")).unwrap();
    std::fs::create_dir(dir.0.join("data")).unwrap();
    std::fs::rename(dir.0.join("copy.db"), dir.database()).unwrap();
    std::fs::rename(dir.0.join("copy.db-wal"), dir.0.join("data/sealgate.db-wal")).unwrap();

    let store = dir.store().await;
    assert_eq!(store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap(), [Outcome::Duplicate]);
}

#[tokio::test]
async fn the_views_show_names() {
    let dir = TempDir::new();
    let store = dir.store().await;
    let device = store.add_device(&new_device("boiler:1")).await.unwrap();
    let bare = |name: &str, value| Reading { unit: None, value, ..number(name, 0.0) };
    let readings = vec![
        number("temperature", 21.5),
        bare("open", Some(Value::Boolean(true))),
        bare("state", Some(Value::String("warm".to_owned()))),
        bare("raw", Some(Value::Data("AAEC".to_owned()))),
        Reading { sum: Some(3.25), ..bare("energy", None) },
    ];
    store.commit(&[accepted_with(seen(device.row, 9, b"tag"), readings)]).await.unwrap();

    let mut shell = dir.shell().await;
    let row = sqlx::query("SELECT * FROM envelopes WHERE device_id = 'boiler:1'").fetch_one(&mut shell).await.unwrap();
    assert_eq!((row.get::<i64, _>("key_version"), row.get::<i64, _>("counter")), (1, 9));
    assert_eq!((row.get::<i64, _>("device_time"), row.get::<i64, _>("received_at")), (1_000, 2_000));
    assert_eq!((row.get::<&str, _>("encoding"), row.get::<i64, _>("content_format")), ("frame", 110));
    assert_eq!(row.get::<&[u8], _>("bytes"), b"9 746167");

    let sql = "SELECT name || ' ' || ifnull(unit, '-') || ' ' || ifnull(value, '-') || ' ' || ifnull(text, '-') || ' ' || ifnull(sum, '-')
        FROM readings WHERE device_id = 'boiler:1' AND time BETWEEN 0 AND 2000";
    let shown: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut shell).await.unwrap();
    assert_eq!(
        shown,
        ["temperature Cel 21.5 - -", "open - - true -", "state - - warm -", "raw - - AAEC -", "energy - - - 3.25"]
    );
}

#[tokio::test]
async fn a_range_of_a_devices_time_is_read_without_a_scan() {
    let dir = TempDir::new();
    let _store = dir.store().await;
    let sql = "EXPLAIN QUERY PLAN SELECT * FROM readings WHERE device_id = ? AND time BETWEEN ? AND ?";
    let plan = sqlx::query(sql).fetch_all(&mut dir.shell().await).await.unwrap();
    let plan: Vec<&str> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
    assert!(plan.iter().any(|step| step.contains("device=? AND time>? AND time<?")), "{plan:?}");

    let sql = "EXPLAIN QUERY PLAN SELECT * FROM envelopes WHERE device_id = ?";
    let plan = sqlx::query(sql).fetch_all(&mut dir.shell().await).await.unwrap();
    let plan: Vec<&str> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "{plan:?}");
}
