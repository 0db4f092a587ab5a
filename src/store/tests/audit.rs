//! What the audit log has of whom, and that it only grows.

use super::*;

fn actor() -> Actor {
    Actor { who: "os:ada".into(), origin: "command line".into() }
}

fn event(at_ms: i64, action: &'static str, subject: &str) -> Event {
    Event {
        at_ms,
        who: "pump\0".to_owned(),
        origin: "::1".to_owned(),
        action,
        subject: subject.to_owned(),
        detail: String::new(),
    }
}

async fn entries(store: &Store) -> Vec<(String, String, String)> {
    let all = store.audit_log(&AuditFilter::default(), 0, 1000).await.unwrap();
    all.into_iter().map(|entry| (entry.who, entry.action, entry.subject)).collect()
}

fn said(who: &str, action: &str, subject: &str) -> (String, String, String) {
    (who.to_owned(), action.to_owned(), subject.to_owned())
}

over_both! {
    async fn each_change_is_entered_with_whose_it_is(dir) {
        let store = dir.store().await;
        let ada = store.acting_as(actor());
        let before_ms = now_ms();
        ada.add_device(&new_device("d")).await.unwrap();
        store.set_device_state("d", State::Disabled).await.unwrap();
        store.set_device_state("d", State::Disabled).await.unwrap();
        ada.set_device_group(&["d"], Some("vans")).await.unwrap();
        ada.set_client_keys(Kind::Device, "d", Some("{}")).await.unwrap();
        let all = store.audit_log(&AuditFilter::default(), 0, 1000).await.unwrap();
        assert_eq!((&*all[0].origin, &*all[1].origin, &*all[2].detail), ("command line", "", "vans"));
        for entry in &all {
            assert!((before_ms - 1_000..=now_ms() + 1_000).contains(&entry.at_ms), "{entry:?}");
        }
        assert_eq!(entries(&store).await, [
            said("os:ada", "device_added", "d"),
            said("gateway", "device_disabled", "d"),
            said("os:ada", "device_grouped", "d"),
            said("os:ada", "client_changed", "d"),
        ]);
    }
}

over_both! {
    async fn a_change_that_is_undone_is_not_entered_and_one_by_hand_is(dir) {
        let store = dir.store().await.acting_as(actor());
        store.add_device(&new_device("d")).await.unwrap();
        assert!(matches!(store.add_device(&new_device("d")).await, Err(AddError::Exists)));
        assert_eq!(store.set_device_group(&["d", "nobody"], Some("g")).await.unwrap(), Some("nobody".to_owned()));
        assert_eq!(entries(&store).await.len(), 1);
        let mut shell = dir.shell().await;
        run(&mut shell, "UPDATE devices SET state = 'disabled', key_version_min = 2").await;
        run(&mut shell, "DELETE FROM devices").await;
        let by_hand = &entries(&store).await[1..];
        assert!(by_hand.iter().all(|(who, ..)| who.starts_with("sql")), "{by_hand:?}");
        let mut actions: Vec<_> = by_hand.iter().map(|(_, action, _)| action.as_str()).collect();
        actions.sort_unstable();
        assert_eq!(actions, ["device_disabled", "device_keys", "device_removed"]);
    }
}

over_both! {
    async fn it_only_grows(dir) {
        let store = dir.store().await;
        store.note(&[event(1_000, "login", "a"), event(2_000, "login", "b"), event(3_000, "login", "c")]).await.unwrap();
        store.note(&[]).await.unwrap();
        let mut shell = dir.shell().await;
        for sql in ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit", "DELETE FROM audit WHERE subject = 'a'"] {
            assert!(try_run(&mut shell, sql).await.is_err(), "{sql}");
        }
        if !dir.1.url.is_empty() {
            assert!(try_run(&mut shell, "TRUNCATE audit").await.is_err());
        }
        assert_eq!(store.forget_audit(2_500, 1).await.unwrap(), 1);
        assert_eq!(store.forget_audit(2_500, 10).await.unwrap(), 1);
        assert_eq!(entries(&store).await, [said("pump\u{fffd}", "login", "c")]);
        assert!(try_run(&mut shell, "DELETE FROM audit").await.is_err(), "what is kept is kept");
    }
}

over_both! {
    async fn a_filter_narrows_and_pages_go_on(dir) {
        let store = dir.store().await;
        let events: Vec<Event> = (0..10).map(|nth| event(nth, if nth % 2 == 0 { "login" } else { "login_refused" }, "a")).collect();
        store.note(&events).await.unwrap();
        let filter = AuditFilter { action: Some("login".to_owned()), since_ms: Some(2), until_ms: Some(8), ..AuditFilter::default() };
        let first = store.audit_log(&filter, 0, 2).await.unwrap();
        let second = store.audit_log(&filter, first[1].id, 10).await.unwrap();
        let times: Vec<i64> = first.iter().chain(&second).map(|entry| entry.at_ms).collect();
        assert_eq!(times, [2, 4, 6]);
        for (who, subject) in [(Some("nobody"), None), (None, Some("b"))] {
            let filter = AuditFilter { who: who.map(str::to_owned), subject: subject.map(str::to_owned), ..AuditFilter::default() };
            assert!(store.audit_log(&filter, 0, 10).await.unwrap().is_empty());
        }
    }
}

over_both! {
    async fn of_two_that_rotate_at_once_one_does(dir) {
        let (store, beside) = (dir.store().await, dir.store().await);
        let key = |kid: &str, ms: i64| SealedSigningKey {
            kid: kid.to_owned(), sealed: vec![1], created_at_ms: ms, signs_from_ms: ms + 5, ends_at_ms: None,
        };
        store.add_first_signing_key(&key("a", 1)).await.unwrap();
        let version = store.identity_version().await.unwrap();
        let (one, other) = (key("b", 2), key("c", 2));
        let (one, other) = tokio::join!(
            store.rotate_signing_key(&one, "a", 100),
            beside.rotate_signing_key(&other, "a", 200),
        );
        let added = [one.unwrap(), other.unwrap()];
        assert_eq!(added.iter().filter(|added| **added == Added::Now).count(), 1, "{added:?}");
        let keys = store.signing_keys().await.unwrap();
        assert_eq!((keys.len(), keys[1].signs_from_ms, keys[1].ends_at_ms), (2, 7, None));
        let end = if added[0] == Added::Now { 100 } else { 200 };
        assert_eq!(keys[0].ends_at_ms, Some(end));
        assert!(store.identity_version().await.unwrap() > version, "gateways learn of it");
        // An end that is set is not put off.
        let newest = keys[1].kid.clone();
        assert_eq!(store.rotate_signing_key(&key("d", 3), &newest, 900).await.unwrap(), Added::Now);
        let ends: Vec<_> = store.signing_keys().await.unwrap().iter().map(|key| key.ends_at_ms).collect();
        assert_eq!(ends, [Some(end), Some(900), None]);
        assert_eq!(store.remove_signing_keys(end + 1).await.unwrap(), 1);
        assert_eq!(store.signing_keys().await.unwrap().len(), 2);
    }
}

over_both! {
    async fn a_token_is_taken_back_until_its_end(dir) {
        let store = dir.store().await;
        let token = |id: &str, expires_at_ms| RevokedToken { id: id.to_owned(), subject: "d".to_owned(), expires_at_ms };
        let version = store.identity_version().await.unwrap();
        assert_eq!(store.acting_as(actor()).revoke_token(&token("t1", 1_000)).await.unwrap(), Added::Now);
        assert!(store.identity_version().await.unwrap() > version);
        assert_eq!(store.revoke_token(&token("t1", 1_000)).await.unwrap(), Added::AlreadyThere);
        store.revoke_token(&token("t2", 2_000)).await.unwrap();
        let sorted = |mut ids: Vec<String>| { ids.sort(); ids };
        assert_eq!(sorted(store.revoked_tokens(999).await.unwrap()), ["t1", "t2"]);
        assert_eq!(store.revoked_tokens(1_000).await.unwrap(), ["t2"]);
        store.forget_revoked_tokens(2_000).await.unwrap();
        assert_eq!(store.revoked_tokens(0).await.unwrap(), ["t2"]);
        assert_eq!(entries(&store).await, [said("os:ada", "token_revoked", "d"), said("gateway", "token_revoked", "d")]);
    }
}

#[expect(clippy::disallowed_methods, reason = "the database enters the time of its own clock")]
fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}
