use super::*;
use sqlx::Row as _;

over_both! {
    async fn a_counter_is_stored_once_whoever_asks_again(dir) {
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
}

over_both! {
    async fn within_a_batch_the_first_of_a_counter_counts(dir) {
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
}

over_both! {
    async fn what_is_stored_is_no_longer_refused(dir) {
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
}

over_both! {
    async fn commits_of_many_tasks_come_one_after_the_other(dir) {
        let store = dir.store().await;
        let commit = |store: Store| async move { store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap()[0] };
        let tasks = [tokio::spawn(commit(store.clone())), tokio::spawn(commit(store.clone())), tokio::spawn(commit(store))];
        let mut stored = 0;
        for task in tasks {
            stored += usize::from(task.await.unwrap() == Outcome::Stored);
        }
        assert_eq!(stored, 1);
    }
}

#[tokio::test]
async fn what_is_committed_is_there_after_a_crash() {
    let dir = TempDir::new();
    let store = dir.store().await;
    store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
    // Copied while it is open: the log is left as a crash leaves it.
    std::fs::copy(dir.database(), dir.0.join("copy.db")).unwrap();
    std::fs::copy(dir.0.join("data/sealgate.db-wal"), dir.0.join("copy.db-wal")).unwrap();
    // Waited for: a connection that is dropped is closed by its thread later, and takes away whatever log lies there by then.
    store.close().await;
    std::fs::remove_dir_all(dir.0.join("data")).unwrap();
    std::fs::create_dir(dir.0.join("data")).unwrap();
    std::fs::rename(dir.0.join("copy.db"), dir.database()).unwrap();
    std::fs::rename(dir.0.join("copy.db-wal"), dir.0.join("data/sealgate.db-wal")).unwrap();

    let store = dir.store().await;
    assert_eq!(store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap(), [Outcome::Duplicate]);
}

over_both! {
    async fn the_views_show_names(dir) {
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
        let sqlite = "SELECT concat_ws(' ', key_version, counter, device_time, received_at, encoding, content_format, hex(bytes))
            FROM envelopes WHERE device_id = 'boiler:1'";
        let postgres = "SELECT concat_ws(' ', key_version, counter, to_ms(device_time), to_ms(received_at), encoding, content_format,
            encode(bytes, 'hex')) FROM envelopes WHERE device_id = 'boiler:1'";
        let shown = texts(&mut shell, dir.in_sql_of(sqlite, postgres)).await;
        assert_eq!(shown, [format!("1 9 1000 2000 frame 110 {}", hex::encode("9 746167"))]);

        let sqlite = "SELECT concat_ws(' ', name, coalesce(unit, '-'), coalesce(value, '-'), coalesce(text, '-'), coalesce(sum, '-'))
            FROM readings WHERE device_id = 'boiler:1' AND time BETWEEN 0 AND 2000";
        let postgres = "SELECT concat_ws(' ', name, coalesce(unit, '-'), coalesce(value::text, '-'), coalesce(text, '-'),
            coalesce(sum::text, '-')) FROM readings WHERE device_id = 'boiler:1' AND time BETWEEN from_ms(0) AND from_ms(2000)";
        let shown = texts(&mut shell, dir.in_sql_of(sqlite, postgres)).await;
        assert_eq!(
            shown,
            ["temperature Cel 21.5 - -", "open - - true -", "state - - warm -", "raw - - AAEC -", "energy - - - 3.25"]
        );
    }
}

#[tokio::test]
async fn a_range_of_a_devices_time_is_read_without_a_scan() {
    let dir = TempDir::new();
    let _store = dir.store().await;
    let readings = plan(&dir, "SELECT * FROM readings WHERE device_id = ? AND time BETWEEN ? AND ?").await;
    assert!(readings.iter().all(|step| step.starts_with("SEARCH")), "{readings:?}");
    assert!(readings.iter().any(|step| step.contains("device=? AND time>? AND time<?")), "{readings:?}");
    let envelopes = plan(&dir, "SELECT * FROM envelopes WHERE device_id = ?").await;
    assert!(envelopes.iter().all(|step| step.starts_with("SEARCH")), "{envelopes:?}");
}

pub(super) async fn plan(dir: &TempDir, sql: &str) -> Vec<String> {
    let Shell::Sqlite(mut connection) = dir.shell().await else { panic!("SQLite explains in its own way") };
    let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn postgres_reads_a_range_of_a_devices_time_in_the_partitions_of_its_days() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    store.prepare_days(0).await.unwrap();
    let mut shell = dir.shell().await;
    // Of empty tables it would read all.
    run(&mut shell, "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").await;
    let sql = "EXPLAIN SELECT * FROM readings WHERE device_id = 'a' AND time BETWEEN '1970-01-02 01:00Z' AND '1970-01-02 02:00Z'";
    let plan = texts(&mut shell, sql).await.join("\n");
    assert!(plan.contains("reading_19700102_device_time_idx"), "{plan}");
    for other in ["reading_19700101", "reading_19700103", "reading_other"] {
        assert!(!plan.contains(other), "{plan}");
    }
}

/// What the file holds without its log.
async fn envelopes_in_the_file(dir: &TempDir) -> i64 {
    let options = SqliteConnectOptions::new().filename(dir.database()).immutable(true).read_only(true);
    let Ok(mut file) = options.connect().await else { return 0 };
    // It is written to meanwhile, so that it may not fit together.
    sqlx::query_scalar("SELECT count(*) FROM envelope").fetch_one(&mut file).await.unwrap_or(0)
}

#[tokio::test]
async fn the_log_is_copied_back_beside_the_commits() {
    let dir = TempDir::new();
    let store = dir.store().await;
    for batch in 0_i64.. {
        let entries: Vec<Entry> = (0..1_000).map(|place| accepted(seen(1, batch * 1_000 + place, b"a"))).collect();
        store.commit(&entries).await.unwrap();
        if envelopes_in_the_file(&dir).await > 0 {
            break;
        }
        // SQLite itself begins with it at 128 MiB.
        let log = std::fs::metadata(dir.0.join("data/sealgate.db-wal")).unwrap().len();
        assert!(log < 100 << 20, "{log}");
    }
    store.close().await;
    assert!(!dir.0.join("data/sealgate.db-wal").exists());
}
