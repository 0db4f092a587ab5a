use super::*;

fn new_service(name: &str) -> NewService {
    NewService {
        name: name.to_owned(),
        client_id: format!("client-of-{name}"),
        secret_sha256: [9; 32],
        scopes: vec!["sub:readings/#".to_owned(), "pub:commands/+/reboot".to_owned()],
        issuer: None,
        created_at_ms: 2_000,
    }
}

over_both! {
    async fn a_device_is_added_once_and_found(dir) {
        let store = dir.store().await;
        let added = store.add_device(&new_device("b")).await.unwrap();
        assert!(matches!(store.add_device(&new_device("b")).await, Err(AddError::Exists)));
        let taken = NewDevice { client_id: "client-of-b".to_owned(), ..new_device("c") };
        assert!(matches!(store.add_device(&taken).await, Err(AddError::Exists)));
        assert_eq!(store.device("c").await.unwrap(), None);
        assert_eq!(store.device("b").await.unwrap(), Some(added.clone()));

        let first = store.add_device(&new_device("a")).await.unwrap();
        assert_eq!(store.devices(None, 10).await.unwrap(), [first, added.clone()]);
        assert_eq!(store.devices(Some("a"), 10).await.unwrap(), [added]);
        assert_eq!(store.devices(None, 1).await.unwrap().len(), 1);
    }
}

over_both! {
    async fn a_device_and_a_service_are_one_issuers(dir) {
        let (store, issuer) = (dir.store().await, Some(Arc::from("https://login.example/realms/iot")));
        store.add_device(&NewDevice { issuer: issuer.clone(), ..new_device("theirs") }).await.unwrap();
        store.add_device(&new_device("ours")).await.unwrap();
        store.add_service(&NewService { issuer: issuer.clone(), ..new_service("rules") }).await.unwrap();
        let device = async |id: &str| store.device(id).await.unwrap().unwrap().issuer;
        assert_eq!((device("theirs").await, device("ours").await), (issuer.clone(), None));
        assert_eq!(store.service("rules").await.unwrap().unwrap().issuer, issuer);
        assert_eq!(store.devices(None, 10).await.unwrap()[1].issuer, issuer);
        // Nobody becomes another issuer's without a trace, and it is noticed at once.
        let version = store.registry_version().await.unwrap();
        run(&mut dir.shell().await, "UPDATE devices SET issuer = 'https://evil.example' WHERE device_id = 'ours'").await;
        run(&mut dir.shell().await, "UPDATE services SET issuer = NULL WHERE name = 'rules'").await;
        assert!(store.registry_version().await.unwrap() > version);
        let log = store.audit_log(&AuditFilter::default(), 0, 1000).await.unwrap();
        let changed = log.iter().filter(|entry| entry.action.ends_with("_issuer"));
        let changed: Vec<_> = changed.map(|entry| (&*entry.action, &*entry.subject, &*entry.detail)).collect();
        assert_eq!(changed, [("device_issuer", "ours", "https://evil.example"), ("service_issuer", "rules", "")]);
    }
}

over_both! {
    async fn a_clients_state_is_its_holders(dir) {
        let store = dir.store().await;
        store.add_device(&new_device("d")).await.unwrap();
        let service = store.add_service(&new_service("rules")).await.unwrap();
        assert!(matches!(store.add_service(&new_service("rules")).await, Err(AddError::Exists)));
        assert_eq!(store.service("rules").await.unwrap(), Some(service.clone()));
        assert_eq!(store.services(None, 10).await.unwrap(), [service]);

        let client = store.client("client-of-d").await.unwrap().unwrap();
        assert_eq!((client.holder, client.state), (Holder::Device { device_id: "d".into() }, State::Enabled));
        assert_eq!(client.secret_sha256, [7; 32]);
        let client = store.client("client-of-rules").await.unwrap().unwrap();
        assert_eq!(client.holder, Holder::Service { name: "rules".to_owned(), scopes: new_service("rules").scopes });

        assert_eq!(store.set_device_state("d", State::Disabled).await.unwrap(), Found::Yes);
        assert_eq!(store.set_service_state("rules", State::Disabled).await.unwrap(), Found::Yes);
        assert_eq!(store.set_device_state("nobody", State::Disabled).await.unwrap(), Found::No);
        assert_eq!(store.client("client-of-d").await.unwrap().unwrap().state, State::Disabled);
        assert_eq!(store.client("client-of-rules").await.unwrap().unwrap().state, State::Disabled);
        assert_eq!(store.device("d").await.unwrap().unwrap().state, State::Disabled);
        assert_eq!(store.client("nobody").await.unwrap(), None);
    }
}

over_both! {
    async fn who_is_disabled_or_gone_may_not_come_in(dir) {
        let store = dir.store().await;
        for name in ["a", "b"] {
            store.add_device(&new_device(name)).await.unwrap();
        }
        for name in ["c", "d"] {
            store.add_service(&new_service(name)).await.unwrap();
        }
        store.set_device_state("a", State::Disabled).await.unwrap();
        store.set_service_state("d", State::Disabled).await.unwrap();
        let names = ["a", "b", "c", "d", "it's", "\"\\"];
        let not_enabled = async |kind| store.not_enabled(kind, &names).await.unwrap();
        assert_eq!(not_enabled(Kind::Device).await, ["a", "c", "d", "it's", "\"\\"]);
        assert_eq!(not_enabled(Kind::Service).await, ["a", "b", "d", "it's", "\"\\"]);
        assert!(store.not_enabled(Kind::Device, &[]).await.unwrap().is_empty());
    }
}

over_both! {
    async fn every_change_of_the_registry_raises_its_version(dir) {
        let (store, beside) = (dir.store().await, dir.store().await);
        let mut shell = dir.shell().await;
        let mut last = store.registry_version().await.unwrap();
        for sql in [
            dir.in_sql_of(
                "INSERT INTO devices (device_id, state, key_version_min, created_at) VALUES ('by-hand', 'enabled', 1, 0)",
                "INSERT INTO devices (device_id, state, key_version_min, created_at) VALUES ('by-hand', 'enabled', 1, now())",
            ),
            "UPDATE devices SET state = 'disabled'",
            dir.in_sql_of(
                "INSERT INTO services (name, scopes, state, created_at) VALUES ('s', '', 'enabled', 0)",
                "INSERT INTO services (name, scopes, state, created_at) VALUES ('s', '', 'enabled', now())",
            ),
            dir.in_sql_of(
                "INSERT INTO clients (client_id, device_id, secret_sha256) VALUES ('c', 'by-hand', zeroblob(32))",
                "INSERT INTO clients (client_id, device_id, secret_sha256) VALUES ('c', 'by-hand', sha256('c'))",
            ),
            dir.in_sql_of(
                "UPDATE clients SET secret_sha256 = zeroblob(32)",
                "UPDATE clients SET secret_sha256 = sha256('d')",
            ),
            "UPDATE services SET state = 'disabled'",
            "DELETE FROM clients",
            "DELETE FROM devices",
            "DELETE FROM services",
        ] {
            run(&mut shell, sql).await;
            let version = store.registry_version().await.unwrap();
            assert!(version > last, "{sql}");
            last = version;
        }
        beside.add_device(&new_device("d")).await.unwrap();
        assert!(store.registry_version().await.unwrap() > last);
        store.commit(&[accepted(seen(1, 1, b"a")), refused("corrupt", None)]).await.unwrap();
        assert_eq!(store.registry_version().await.unwrap(), beside.registry_version().await.unwrap());
    }
}

over_both! {
    async fn a_device_that_is_deleted_by_hand_leaves_what_it_sent(dir) {
        let store = dir.store().await;
        let device = store.add_device(&new_device("gone")).await.unwrap();
        store.commit(&[accepted(seen(device.row, 1, b"a"))]).await.unwrap();
        run(&mut dir.shell().await, "DELETE FROM devices WHERE device_id = 'gone'").await;

        assert_eq!(store.device("gone").await.unwrap(), None);
        assert_eq!(store.client("client-of-gone").await.unwrap(), None);
        let mut shell = dir.shell().await;
        assert_eq!(count(&mut shell, "envelopes WHERE device_id = 'gone'").await, 1);
        assert_eq!(count(&mut shell, "readings WHERE device_id = 'gone'").await, 1);

        let again = store.add_device(&new_device("gone")).await.unwrap();
        assert_eq!(again.row, device.row);
        assert_eq!(store.commit(&[accepted(seen(again.row, 1, b"a"))]).await.unwrap(), [Outcome::Duplicate]);
    }
}

over_both! {
    async fn a_device_cannot_be_renamed(dir) {
        let store = dir.store().await;
        store.add_device(&new_device("d")).await.unwrap();
        try_run(&mut dir.shell().await, "UPDATE devices SET device_id = 'e'").await.unwrap_err();
    }
}

over_both! {
    async fn of_two_first_keys_one_stays(dir) {
        let (store, beside) = (dir.store().await, dir.store().await);
        let key = |kid: &str, created_at_ms| SealedSigningKey {
            kid: kid.to_owned(),
            sealed: vec![1, 2, 3],
            created_at_ms,
            signs_from_ms: created_at_ms,
            ends_at_ms: None,
        };
        assert_eq!(store.add_first_signing_key(&key("b", 1)).await.unwrap(), Added::Now);
        assert_eq!(beside.add_first_signing_key(&key("a", 2)).await.unwrap(), Added::AlreadyThere);
        beside.add_signing_key(&key("a", 2)).await.unwrap();
        assert!(matches!(beside.add_signing_key(&key("a", 3)).await, Err(AddError::Exists)));
        let kids: Vec<_> = store.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
        assert_eq!(kids, ["b", "a"]);

        assert_eq!(store.master_key_check().await.unwrap(), None);
        assert_eq!(store.set_master_key_check(&[1; 32]).await.unwrap(), Added::Now);
        assert_eq!(beside.set_master_key_check(&[2; 32]).await.unwrap(), Added::AlreadyThere);
        assert_eq!(beside.master_key_check().await.unwrap(), Some([1; 32]));
    }
}

over_both! {
    async fn devices_are_put_into_groups_and_taken_out(dir) {
        let store = dir.store().await;
        let grouped = NewDevice { group: Some("vans".into()), ..new_device("a") };
        assert_eq!(store.add_device(&grouped).await.unwrap().group.as_deref(), Some("vans"));
        store.add_device(&new_device("b")).await.unwrap();
        let groups = async || {
            let devices = store.devices(None, 10).await.unwrap();
            devices.into_iter().map(|device| device.group.as_deref().unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(groups().await, ["vans", "-"]);
        let before = store.registry_version().await.unwrap();
        let unknown = store.set_device_group(&["b", "nobody", "a"], Some("pumps")).await.unwrap();
        assert_eq!((unknown.as_deref(), groups().await), (Some("nobody"), vec!["vans".to_owned(), "-".to_owned()]));
        assert_eq!(store.set_device_group(&["b", "a", "b"], Some("pumps")).await.unwrap(), None);
        assert_eq!(groups().await, ["pumps", "pumps"]);
        assert!(store.registry_version().await.unwrap() > before);
        store.set_device_group(&["a"], None).await.unwrap();
        assert_eq!(store.device("a").await.unwrap().unwrap().group, None);
        assert_eq!(store.device("b").await.unwrap().unwrap().group.as_deref(), Some("pumps"));
    }
}

over_both! {
    async fn by_hand_a_group_has_a_name_that_settings_can_bear(dir) {
        dir.store().await.add_device(&new_device("a")).await.unwrap();
        let mut shell = dir.shell().await;
        let long = "n".repeat(65);
        for name in ["", "a b", "a.b", "é", &long] {
            try_run(&mut shell, &format!("UPDATE devices SET device_group = '{name}'")).await.unwrap_err();
        }
        for name in ["A-z_9", &long[1..]] {
            run(&mut shell, &format!("UPDATE devices SET device_group = '{name}'")).await;
        }
    }
}
