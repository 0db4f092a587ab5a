use super::*;

async fn bounded(dir: &TempDir) -> Store {
    let config = Config {
        quarantine_rows_max: 3,
        quarantine_bytes_max: 1_000,
        quarantine_device_rows_max: 2,
        quarantine_device_bytes_max: 25,
        ..dir.config()
    };
    Store::open(&config, &dir.1).await.unwrap()
}

fn from_device(device: i64) -> Entry {
    refused("corrupt", Some(seen(device, 1, b"never stored")))
}

const IN: Outcome = Outcome::Refused(Kept::Quarantined);
const OUT: Outcome = Outcome::Refused(Kept::OverBound);

over_both! {
    async fn bounds_hold_over_batches_restarts_and_processes(dir) {
        let store = bounded(&dir).await;
        assert_eq!(store.commit(&[from_device(1), from_device(1), from_device(1)]).await.unwrap(), [IN, IN, OUT]);
        store.close().await;

        let (store, beside) = (bounded(&dir).await, bounded(&dir).await);
        assert_eq!(beside.commit(&[from_device(1), from_device(2)]).await.unwrap(), [OUT, IN]);
        assert_eq!(store.commit(&[from_device(3)]).await.unwrap(), [OUT]);
        assert_eq!(store.quarantine_usage().await.unwrap(), Usage { rows: 3, bytes: 30 });
        assert!(store.quarantine_looks_full());
    }
}

over_both! {
    async fn what_an_operator_deletes_makes_room(dir) {
        let store = bounded(&dir).await;
        store.commit(&[from_device(1), from_device(1), from_device(2)]).await.unwrap();
        run(&mut dir.shell().await, "DELETE FROM quarantine WHERE device_id = 'd1'").await;
        assert_eq!(store.quarantine_usage().await.unwrap(), Usage { rows: 1, bytes: 10 });
        assert!(!store.quarantine_looks_full());
        assert_eq!(store.commit(&[from_device(1), from_device(1)]).await.unwrap(), [IN, IN]);
        assert_eq!(count(&mut dir.shell().await, "quarantine_usage").await, 3);
    }
}

over_both! {
    async fn over_the_bound_nothing_is_written(dir) {
        let store = bounded(&dir).await;
        store.commit(&[from_device(1), from_device(1)]).await.unwrap();
        store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
        let replayed = store.commit(&[accepted(seen(1, 1, b"b"))]).await.unwrap();
        assert_eq!(replayed, [Outcome::Replayed(Kept::OverBound)]);
        assert_eq!(count(&mut dir.shell().await, "quarantine").await, 2);
    }
}

over_both! {
    async fn evidence_cannot_be_changed(dir) {
        let store = bounded(&dir).await;
        store.commit(&[from_device(1)]).await.unwrap();
        let change = dir.in_sql_of("UPDATE quarantine SET bytes = x'00'", "UPDATE quarantine SET bytes = '\\x00'");
        try_run(&mut dir.shell().await, change).await.unwrap_err();
    }
}
