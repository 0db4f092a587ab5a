use super::*;

/// A device with two readings in each of some envelopes, each a minute after the one before; the second of each envelope is of the
/// same time as the first.
async fn with_readings(store: &Store, device_id: &str, envelopes: i64) -> Sender {
    let device = store.add_device(&new_device(device_id)).await.unwrap();
    let entries = (1..=envelopes).map(|counter| {
        let of = |name: &str, value: Value| Reading {
            time_ms: counter * 60_000,
            value: Some(value),
            unit: None,
            ..number(name, 0.0)
        };
        let readings = vec![of("level", Value::Number(counter as f64)), of("state", Value::String("warm".to_owned()))];
        accepted_with(seen(device.row, counter, device_id.as_bytes()), readings)
    });
    store.commit(&entries.collect::<Vec<_>>()).await.unwrap();
    Sender { row: device.row, device_id: device_id.to_owned() }
}

async fn read(
    store: &Store,
    sender: &Sender,
    since_ms: Option<i64>,
    until_ms: Option<i64>,
    page: u32,
) -> Vec<StoredReading> {
    let mut all: Vec<StoredReading> = Vec::new();
    loop {
        let after = all.last().map(|last| last.place);
        let rows = store.readings(sender, since_ms, until_ms, after, page).await.unwrap();
        assert!(rows.len() <= page as usize);
        if rows.is_empty() {
            return all;
        }
        all.extend(rows);
    }
}

over_both! {
    async fn readings_of_a_device_are_read_in_pages_by_time_however_the_pages_are_cut(dir) {
        let store = dir.store().await;
        let (a, b) = (with_readings(&store, "a", 5).await, with_readings(&store, "b", 2).await);
        let all = read(&store, &a, None, None, 100).await;
        let facts: Vec<_> = all.iter().map(|reading| (reading.time_ms, reading.name.as_str(), reading.value)).collect();
        let expected: Vec<_> = (1..=5).flat_map(|counter| {
            [(counter * 60_000, "level", Some(counter as f64)), (counter * 60_000, "state", None)]
        }).collect();
        assert_eq!(facts, expected);
        assert_eq!((all[1].text.as_deref(), all[1].sum, all[0].text.as_deref()), (Some("warm"), None, None));
        assert!(all[0].envelope() == all[1].envelope() && all[1].envelope() < all[2].envelope());
        for page in 1..=4 {
            assert_eq!(read(&store, &a, None, None, page).await, all, "pages of {page}");
        }
        assert_eq!(read(&store, &a, Some(120_000), Some(240_000), 3).await, all[2..6]);
        assert_eq!(read(&store, &a, Some(300_001), None, 3).await, []);
        assert_eq!(read(&store, &b, None, None, 100).await.len(), 4);
    }
}

over_both! {
    async fn a_sender_outlives_its_device(dir) {
        let store = dir.store().await;
        let (b, a) = (with_readings(&store, "b", 1).await, with_readings(&store, "a", 1).await);
        run(&mut dir.shell().await, "DELETE FROM devices WHERE device_id = 'a'").await;
        assert_eq!(store.senders(None, 10).await.unwrap(), [a.clone(), b.clone()]);
        assert_eq!(store.senders(Some("a"), 10).await.unwrap(), [b]);
        assert_eq!(store.sender("a").await.unwrap(), Some(a.clone()));
        assert_eq!(store.sender("c").await.unwrap(), None);
        assert_eq!(store.count_senders().await.unwrap(), 2);
        assert_eq!(read(&store, &a, None, None, 10).await.len(), 2);
    }
}

#[tokio::test]
async fn a_time_that_is_finer_than_a_millisecond_is_read_once() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    let a = with_readings(&store, "a", 2).await;
    run(&mut dir.shell().await, "UPDATE reading SET time = time + interval '7 microseconds'").await;
    let times: Vec<i64> = read(&store, &a, None, None, 1).await.iter().map(|reading| reading.time_ms).collect();
    assert_eq!(times, [60_000, 60_000, 120_000, 120_000]);
}

#[tokio::test]
async fn a_page_is_a_range_of_the_table_in_sqlite() {
    let dir = TempDir::new();
    let _store = dir.store().await;
    let plan = super::commit::plan(&dir, sqlite::readings::PAGE).await;
    assert!(plan.iter().all(|step| step.starts_with("SEARCH")), "nothing is scanned, nothing sorted: {plan:?}");
    assert!(plan[0].contains("device=? AND") && plan[0].contains("time"), "{plan:?}");
}

#[tokio::test]
async fn a_page_is_a_range_of_the_partitions_indexes_in_postgres() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    store.prepare_days(0).await.unwrap();
    let mut shell = dir.shell().await;
    run(&mut shell, "INSERT INTO label (text) VALUES ('level')").await;
    let fill = "INSERT INTO reading (time, envelope, value, device, name, place)
        SELECT from_ms(86400000::bigint * day + minute * 60000), day * 1000 + minute, 1, device, 1, 0
        FROM generate_series(0, 3) day, generate_series(1, 500) minute, generate_series(1, 20) device";
    run(&mut shell, fill).await;
    run(&mut shell, "ANALYZE reading; ANALYZE label").await;
    let prepare = format!(
        "PREPARE page (bigint, timestamptz, bigint, smallint, timestamptz, bigint) AS {}",
        postgres::readings::PAGE
    );
    run(&mut shell, &prepare).await;
    for mode in ["force_generic_plan", "force_custom_plan"] {
        run(&mut shell, &format!("SET plan_cache_mode = {mode}")).await;
        let sql = "EXPLAIN EXECUTE page (1, '1970-01-02 01:00Z', 7, 0, '1970-01-03 01:00Z', 100)";
        let plan = texts(&mut shell, sql).await.join("\n");
        assert!(
            plan.contains("reading_19700102_device_time_idx") && !plan.contains("Seq Scan on reading"),
            "{mode}:\n{plan}"
        );
        for other in ["reading_19700101", "reading_19700104"] {
            assert!(!plan.contains(other), "{mode}:\n{plan}");
        }
    }
}
