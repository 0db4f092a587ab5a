use super::*;

fn entry(counter: i64, name: &str) -> Entry {
    accepted_with(seen(1, counter, b"tag"), vec![number("temperature", 1.0), number(name, 2.0)])
}

over_both! {
    async fn one_row_that_the_database_refuses_does_not_hold_a_thousand_up(dir) {
        let store = dir.store().await;
        poison(&dir).await;
        let batch: Vec<Entry> = (0..1000).map(|n| entry(n, if n == 617 { "poison" } else { "humidity" })).collect();
        let outcomes = store.commit(&batch).await.unwrap();
        assert_eq!(outcomes[617], Outcome::BadPayload(Kept::Quarantined));
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Stored).count(), 999);

        let mut shell = dir.shell().await;
        assert_eq!(count(&mut shell, "reading").await, 1998);
        assert_eq!(count(&mut shell, "quarantine WHERE reason = 'bad_payload' AND device_id = 'd1'").await, 1);
        // Its counter is not used up, and its word is not remembered.
        assert_eq!(store.commit(&[entry(617, "humidity")]).await.unwrap(), [Outcome::Stored]);
        assert_eq!(store.commit(&[entry(1617, "poison")]).await.unwrap(), [Outcome::BadPayload(Kept::Quarantined)]);
    }
}

over_both! {
    async fn halves_know_what_earlier_halves_stored(dir) {
        let store = dir.store().await;
        poison(&dir).await;
        let batch = [entry(1, "poison"), entry(1, "a"), entry(2, "b"), entry(2, "b"), entry(3, "poison"), entry(1, "a")];
        let bad = Outcome::BadPayload(Kept::Quarantined);
        let outcomes = store.commit(&batch).await.unwrap();
        assert_eq!(outcomes, [bad, Outcome::Stored, Outcome::Stored, Outcome::Duplicate, bad, Outcome::Duplicate]);
    }
}

over_both! {
    async fn a_row_that_even_the_quarantine_refuses_is_settled(dir) {
        let store = dir.store().await;
        poison(&dir).await;
        let closed = dir.in_sql_of(
            "CREATE TRIGGER closed BEFORE INSERT ON quarantine BEGIN SELECT RAISE(ABORT, 'closed'); END",
            "ALTER TABLE quarantine ADD CONSTRAINT closed CHECK (false)",
        );
        run(&mut dir.shell().await, closed).await;
        let batch = [entry(1, "poison"), refused("corrupt", None), entry(2, "a")];
        let outcomes = store.commit(&batch).await.unwrap();
        assert_eq!(outcomes, [Outcome::BadPayload(Kept::OverBound), Outcome::Refused(Kept::OverBound), Outcome::Stored]);
    }
}

over_both! {
    async fn a_lock_passes(dir) {
        let mut dir = dir;
        dir.1.statement_timeout = std::time::Duration::from_millis(100);
        let store = dir.store().await;
        let mut shell = dir.shell().await;
        run(&mut shell, dir.in_sql_of("BEGIN IMMEDIATE", "BEGIN; LOCK TABLE seen")).await;
        let error = store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap_err();
        assert!(matches!(error, CommitError::Passing(_)), "{error}");
        let reason = dir.in_sql_of("database is locked", "canceling statement due to statement timeout");
        assert!(error.to_string().contains(reason), "{error}");
        run(&mut shell, "ROLLBACK").await;
        assert_eq!(store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap(), [Outcome::Stored]);
    }
}

over_both! {
    /// An error of another kind than content, in the middle of a transaction.
    async fn after_a_broken_transaction_the_same_batch_is_stored_once(dir) {
        let store = dir.store().await;
        let batch = [accepted(seen(1, 1, b"a")), accepted(seen(1, 2, b"a"))];
        run(&mut dir.shell().await, "ALTER TABLE reading RENAME TO away").await;
        assert!(matches!(store.commit(&batch).await, Err(CommitError::Passing(_))));
        assert_eq!(count(&mut dir.shell().await, "seen").await, 0);
        run(&mut dir.shell().await, "ALTER TABLE away RENAME TO reading").await;
        assert_eq!(store.commit(&batch).await.unwrap(), [Outcome::Stored, Outcome::Stored]);
    }
}

/// Numbers come from `sqlite_sequence`, and a row under a number that is taken is as good as any.
#[tokio::test]
async fn a_good_row_is_held_and_not_refused_when_its_number_is_taken() {
    let dir = TempDir::new();
    let store = dir.store().await;
    store.commit(&[entry(1, "a"), entry(2, "a")]).await.unwrap();
    run(&mut dir.shell().await, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'envelope'").await;
    assert!(matches!(store.commit(&[entry(3, "a")]).await, Err(CommitError::Passing(_))));
    assert_eq!(count(&mut dir.shell().await, "quarantine").await, 0);
    run(&mut dir.shell().await, "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'envelope'").await;
    assert_eq!(store.commit(&[entry(3, "a"), entry(2, "a")]).await.unwrap(), [Outcome::Stored, Outcome::Duplicate]);
}

over_both! {
    async fn a_commit_that_is_given_up_leaves_the_store_working(dir) {
        let store = dir.store().await;
        let batch: Vec<Entry> = (0..2000).map(|n| entry(n, "humidity")).collect();
        let hurry = std::time::Duration::from_millis(1);
        let _ = tokio::time::timeout(hurry, store.commit(&batch)).await;
        let outcomes = store.commit(&batch).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "all or nothing");
        assert_eq!(count(&mut dir.shell().await, "seen").await, 2000);
    }
}

over_both! {
    async fn a_closed_store_says_so(dir) {
        let store = dir.store().await;
        store.clone().close().await;
        assert!(store.commit(&[accepted(seen(1, 1, b"a"))]).await.is_err());
        assert!(store.device("d1").await.is_err());
        assert!(!dir.0.join("data/sealgate.db-wal").exists());
    }
}

/// What no check of ours keeps out and the database does not take: each among a thousand that are good.
#[tokio::test]
async fn postgres_refuses_characters_and_times_that_it_has_not_and_nothing_else() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    let long_ago = Reading { time_ms: i64::MIN, ..number("a", 1.0) };
    let far_ahead = Reading { time_ms: i64::MAX, ..number("a", 1.0) };
    let text = |text: &str| Reading { value: Some(Value::String(text.to_owned())), ..number("a", 1.0) };
    let unit = Reading { unit: Some("C\0".to_owned()), ..number("a", 1.0) };
    let poison = [text("N\0L"), number("n\0l", 1.0), unit, long_ago, far_ahead];
    let taken = [number("a", f64::NAN), number("a", f64::INFINITY), number("a", f64::MIN_POSITIVE), text("\u{10FFFF}")];
    let entries = poison.iter().chain(&taken).cloned().map(|reading| vec![reading]);
    let mut batch: Vec<Entry> = (0..1000).map(|n| entry(n, "humidity")).collect();
    for (place, readings) in (0..).step_by(97).zip(entries) {
        batch[place] = accepted_with(seen(1, place as i64, b"tag"), readings);
    }
    let outcomes = store.commit(&batch).await.unwrap();
    let refused: Vec<usize> = (0..1000).filter(|place| outcomes[*place] != Outcome::Stored).collect();
    assert_eq!(refused, [0, 97, 194, 291, 388]);
    assert!(refused.iter().all(|place| outcomes[*place] == Outcome::BadPayload(Kept::Quarantined)));
    assert_eq!(count(&mut dir.shell().await, "quarantine WHERE reason = 'bad_payload'").await, 5);
    assert_eq!(count(&mut dir.shell().await, "envelope").await, 995);
}
