use super::*;

/// Messages of two devices, for three reasons, a minute apart; numbers count from 1 in an empty quarantine.
async fn with_evidence(dir: &TempDir) -> Store {
    let store = dir.store().await;
    let messages = [("a", "corrupt"), ("b", "bad_seal"), ("a", "bad_seal"), ("b", "stale"), ("a", "corrupt")];
    let entries = messages.iter().zip(0..).map(|((device_id, reason), minute)| {
        Entry::Refused(Refused {
            device_id: (*device_id).into(),
            received_at_ms: minute * 60_000,
            reason,
            encoding: "frame",
            bytes: format!("message {minute}").into(),
            unless_stored: None,
        })
    });
    store.commit(&entries.collect::<Vec<_>>()).await.unwrap();
    store
}

async fn minutes(store: &Store, which: &EvidenceFilter) -> Vec<i64> {
    let found = store.evidence(which, 0, 100).await.unwrap();
    found.iter().map(|evidence| evidence.received_at_ms / 60_000).collect()
}

over_both! {
    async fn evidence_is_read_in_pages_oldest_first(dir) {
        let store = with_evidence(&dir).await;
        let all = EvidenceFilter::default();
        let mut seen = Vec::new();
        let mut page = store.evidence(&all, 0, 2).await.unwrap();
        assert_eq!(page[0], Evidence {
            id: page[0].id,
            device_id: "a".to_owned(),
            received_at_ms: 0,
            reason: "corrupt".to_owned(),
            encoding: "frame".to_owned(),
            len: 9,
        });
        while let Some(last) = page.last() {
            assert!(page.len() <= 2);
            let after = last.id;
            seen.extend(page.iter().map(|evidence| evidence.received_at_ms / 60_000));
            page = store.evidence(&all, after, 2).await.unwrap();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}

over_both! {
    async fn a_filter_lets_through_what_fits_all_of_it(dir) {
        let store = with_evidence(&dir).await;
        let any = EvidenceFilter::default();
        let of_a = EvidenceFilter { device_id: Some("a".to_owned()), ..any.clone() };
        assert_eq!(minutes(&store, &of_a).await, [0, 2, 4]);
        let corrupt = EvidenceFilter { reason: Some("corrupt".to_owned()), ..of_a.clone() };
        assert_eq!(minutes(&store, &corrupt).await, [0, 4]);
        let since = EvidenceFilter { since_ms: Some(60_000), ..of_a.clone() };
        assert_eq!(minutes(&store, &since).await, [2, 4]);
        let between = EvidenceFilter { since_ms: Some(60_000), until_ms: Some(180_000), ..any.clone() };
        assert_eq!(minutes(&store, &between).await, [1, 2]);
        let ids: Vec<i64> = store.evidence(&any, 0, 100).await.unwrap().iter().map(|evidence| evidence.id).collect();
        let some = EvidenceFilter { ids: vec![ids[4], ids[1]], ..any.clone() };
        assert_eq!(minutes(&store, &some).await, [1, 4]);
        let early = EvidenceFilter { id_max: Some(ids[1]), ..any };
        assert_eq!(minutes(&store, &early).await, [0, 1]);
        assert_eq!(store.last_evidence().await.unwrap(), ids[4]);
    }
}

over_both! {
    async fn messages_are_as_they_came_until_they_are_deleted_and_the_counts_follow(dir) {
        let store = with_evidence(&dir).await;
        let page = store.evidence(&EvidenceFilter::default(), 0, 100).await.unwrap();
        let (first, last) = (page[0].id, page[4].id);
        let bytes = store.evidence_bytes(&[last, first, last + 1]).await.unwrap();
        assert_eq!(bytes, [(first, b"message 0".to_vec()), (last, b"message 4".to_vec())]);

        assert_eq!(store.delete_evidence(&[first, last, last + 1]).await.unwrap(), 2);
        assert_eq!(store.delete_evidence(&[first, last]).await.unwrap(), 0);
        assert_eq!(store.delete_evidence(&[]).await.unwrap(), 0);
        assert_eq!(store.evidence_bytes(&[first]).await.unwrap(), []);
        assert_eq!(store.quarantine_usage().await.unwrap(), Usage { rows: 3, bytes: 27 });
        assert_eq!(count(&mut dir.shell().await, "quarantine_usage WHERE device_id = 'a' AND row_count = 1").await, 1);
    }
}

over_both! {
    async fn an_empty_quarantine_has_no_last_message(dir) {
        let store = dir.store().await;
        assert_eq!(store.last_evidence().await.unwrap(), 0);
        assert_eq!(store.evidence(&EvidenceFilter::default(), 0, 100).await.unwrap(), []);
    }
}

over_both! {
    async fn what_is_committed_from_quarantine_is_stored_once_and_never_quarantined_again(dir) {
        let store = with_evidence(&dir).await;
        let poisoned = accepted_with(seen(1, 4, b"p"), vec![number("poison", 1.0)]);
        poison(&dir).await;
        store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
        let batch = [accepted(seen(1, 1, b"a")), accepted(seen(1, 1, b"forged")), accepted(seen(1, 2, b"b")), poisoned];
        let outcomes = store.commit_from_quarantine(&batch).await.unwrap();
        let (replayed, bad) = (Outcome::Replayed(Kept::OverBound), Outcome::BadPayload(Kept::OverBound));
        assert_eq!(outcomes, [Outcome::Duplicate, replayed, Outcome::Stored, bad]);
        assert_eq!(store.commit_from_quarantine(&batch[2..3]).await.unwrap(), [Outcome::Duplicate]);
        assert_eq!(count(&mut dir.shell().await, "quarantine").await, 5);
        assert_eq!(count(&mut dir.shell().await, "reading").await, 2);
    }
}

over_both! {
    async fn refusals_are_counted_even_without_room_and_the_worst_is_named(dir) {
        const HOUR: i64 = 3_600_000;
        let config = Config { quarantine_device_rows_max: 1, ..dir.config() };
        let store = Store::open(&config, &dir.1).await.unwrap();
        let [bad, fair] = [store.add_device(&new_device("d1")).await.unwrap(), store.add_device(&new_device("d2")).await.unwrap()];
        let refused = |device_id: &str, hour: i64, reason| Entry::Refused(Refused {
            device_id: device_id.into(),
            received_at_ms: hour * HOUR + 5,
            reason,
            encoding: "frame",
            bytes: "x".into(),
            unless_stored: None,
        });
        let accepted = |row: i64, counter: i64, hour: i64| {
            let Entry::Accepted(accepted) = accepted(seen(row, counter, b"a")) else { unreachable!() };
            Entry::Accepted(Accepted { received_at_ms: hour * HOUR + 5, ..accepted })
        };
        let mut batch = vec![refused("d1", 10, "corrupt"), refused("d1", 10, "bad_seal"), refused("d1", 10, "corrupt")];
        batch.extend((0..4).map(|counter| accepted(bad.row, counter, 8)));
        batch.extend((0..40).map(|counter| accepted(fair.row, counter, 10)));
        // The same counter under another tag is refused by the database alone.
        batch.push(accepted(fair.row, 50, 10));
        store.commit(&batch).await.unwrap();
        let Entry::Accepted(mut other) = accepted(fair.row, 50, 10) else { unreachable!() };
        other.seen.tag = Tag::new(b"b").unwrap();
        store.commit(&[Entry::Accepted(other), refused("d1", 8, "stale")]).await.unwrap();

        let period = Period::since(10 * HOUR + 1, 11 * HOUR + 5);
        let worst = store.worst(period, 5).await.unwrap();
        let share = |accepted, refused, damaged, forged| Share { accepted, refused, damaged, forged };
        assert_eq!(worst.len(), 2);
        assert_eq!(worst[0], Integrity {
            device_id: "d1".to_owned(),
            now: share(0, 3, 2, 1),
            before: share(4, 1, 0, 0),
            hours: (8 * HOUR, 10 * HOUR),
        });
        assert_eq!((worst[1].device_id.as_str(), worst[1].now), ("d2", share(41, 1, 0, 0)));
        assert_eq!(store.worst(period, 1).await.unwrap().len(), 1);
        // What comes out of the quarantine was counted when it came.
        store.commit_from_quarantine(&[refused("d1", 10, "corrupt")]).await.unwrap();
        assert_eq!(store.worst(period, 1).await.unwrap(), worst[..1]);
    }
}
