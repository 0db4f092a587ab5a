use super::*;

fn row(device_id: &str, state: &'static str, since_ms: i64) -> PresenceRow {
    PresenceRow {
        device_id: device_id.into(),
        state: state.into(),
        since_ms,
        reason: "connected".into(),
        address: "192.0.2.1:50000".to_owned(),
        version: "5.0".into(),
        is_elsewhere: false,
    }
}

async fn with_devices(dir: &TempDir, devices: &[&str]) -> Store {
    let store = dir.store().await;
    for device in devices {
        store.add_device(&new_device(device)).await.unwrap();
    }
    store
}

over_both! {
    async fn what_was_saved_last_of_each_device_is_read_in_pages(dir) {
        let store = with_devices(&dir, &["a", "b", "c"]).await;
        store.save_presence(&[row("b", "online", 1), row("a", "online", 2), row("c", "online", 3)]).await.unwrap();
        store.save_presence(&[row("b", "offline", 4)]).await.unwrap();
        store.close().await;
        let store = dir.store().await;
        assert_eq!(store.presence(None, 2).await.unwrap(), [row("a", "online", 2), row("b", "offline", 4)]);
        assert_eq!(store.presence(Some("b"), 2).await.unwrap(), [row("c", "online", 3)]);
        assert_eq!(store.presence(Some("c"), 2).await.unwrap(), []);
    }
}

over_both! {
    async fn a_device_that_is_deleted_takes_its_presence_along_and_it_stays_away(dir) {
        let store = with_devices(&dir, &["a", "b"]).await;
        store.save_presence(&[row("a", "online", 1), row("b", "online", 1)]).await.unwrap();
        run(&mut dir.shell().await, "DELETE FROM devices WHERE device_id = 'a'").await;
        assert_eq!(store.presence(None, 9).await.unwrap(), [row("b", "online", 1)]);
        store.save_presence(&[row("a", "offline", 2), row("b", "offline", 2)]).await.unwrap();
        assert_eq!(store.presence(None, 9).await.unwrap(), [row("b", "offline", 2)]);
    }
}

over_both! {
    async fn a_fleet_is_saved_in_one_transaction(dir) {
        let store = dir.store().await;
        let devices = dir.in_sql_of(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000)
             INSERT INTO devices (device_id, state, key_version_min, created_at) SELECT 'd' || n, 'enabled', 1, 0 FROM number",
            "INSERT INTO devices (device_id, state, key_version_min, created_at) SELECT 'd' || n, 'enabled', 1, now() FROM generate_series(1, 3000) n",
        );
        run(&mut dir.shell().await, devices).await;
        let rows: Vec<PresenceRow> = (1..=3000).map(|number| row(&format!("d{number}"), "online", number)).collect();
        store.save_presence(&rows).await.unwrap();
        assert_eq!(store.presence(None, 9999).await.unwrap().len(), 3000);
        let mut refused = rows;
        refused.iter_mut().for_each(|row| row.state = "offline".into());
        refused[2999].state = "asleep".into();
        store.save_presence(&refused).await.unwrap_err();
        let saved = store.presence(None, 9999).await.unwrap();
        assert!(saved.iter().all(|row| row.state == "online"), "all of it or nothing");
    }
}

#[tokio::test]
async fn a_database_of_the_schema_before_gets_the_table() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.0.join("data")).unwrap();
    let first = SqliteConnectOptions::new().filename(dir.database()).create_if_missing(true).connect().await.unwrap();
    let mut first = Shell::Sqlite(first);
    run(&mut first, include_str!("../migrations/sqlite/0001_the_house.sql")).await;
    run(&mut first, "PRAGMA application_id = 0x5365616C; PRAGMA user_version = 1").await;
    run(&mut first, "INSERT INTO devices VALUES ('a', 'enabled', 1, 0)").await;
    first.close().await;
    let store = dir.store().await;
    store.save_presence(&[row("a", "online", 1)]).await.unwrap();
    assert_eq!(store.presence(None, 9).await.unwrap(), [row("a", "online", 1)]);
    assert!(store.device("a").await.unwrap().is_some());
}
