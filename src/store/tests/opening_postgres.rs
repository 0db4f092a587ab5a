use super::*;

async fn refuse(dir: &TempDir) -> String {
    Store::open(&dir.config(), &dir.1).await.err().expect("it is refused").to_string()
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    for other in
        ["CREATE TABLE photos (id int)", "CREATE TABLE meta (id int)", "CREATE TABLE meta (key text, number bigint)"]
    {
        let dir = TempDir::on_postgres();
        run(&mut dir.shell().await, other).await;
        let refusal = refuse(&dir).await;
        assert!(refusal.ends_with("is not a database of Sealgate"), "{refusal}");
        assert_eq!(count(&mut dir.shell().await, "pg_tables WHERE schemaname = current_schema()").await, 1);
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = TempDir::on_postgres();
    dir.store().await.close().await;
    run(&mut dir.shell().await, "UPDATE meta SET number = 999 WHERE key = 'schema'").await;
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("has schema 999, and this version of Sealgate knows schemas up to "), "{refusal}");
}

#[tokio::test]
async fn first_starts_at_once_make_one_database() {
    let dir = TempDir::on_postgres();
    let (one, two, three) = tokio::join!(dir.store(), dir.store(), dir.store());
    one.add_device(&new_device("d")).await.unwrap();
    assert!(two.device("d").await.unwrap().is_some() && three.device("d").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_loses_commits_is_refused_unless_that_is_meant() {
    let mut dir = TempDir::on_postgres();
    dir.1.url.push_str("%20-c%20synchronous_commit%3Doff");
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("has synchronous_commit = off"), "{refusal}");
    dir.1.accept_lost_commits = true;
    dir.store().await;
}

#[tokio::test]
async fn a_refusal_names_the_database_and_not_its_password() {
    let mut dir = TempDir::on_postgres();
    dir.1.url = dir.1.url.replace("sealgate@", "sealgate:sesame@").replace("/postgres?", "/nowhere?");
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("nowhere") && refusal.contains("does not exist"), "{refusal}");
    assert!(!refusal.contains("sesame") && !format!("{:?}", dir.1).contains("sesame"), "{refusal}");
}

#[tokio::test]
async fn what_came_before_its_partition_is_moved_into_it() {
    let dir = TempDir::on_postgres();
    let store = dir.store().await;
    store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
    let mut shell = dir.shell().await;
    assert_eq!((count(&mut shell, "reading_other").await, count(&mut shell, "envelope_other").await), (1, 1));
    let (one, two) = tokio::join!(store.prepare_days(0), store.prepare_days(0));
    one.and(two).unwrap();
    store.prepare_days(0).await.unwrap();
    assert_eq!((count(&mut shell, "reading_other").await, count(&mut shell, "envelope_other").await), (0, 0));
    assert_eq!((count(&mut shell, "reading_19700101").await, count(&mut shell, "envelope_19700101").await), (1, 1));
    store.commit(&[accepted(seen(1, 2, b"a"))]).await.unwrap();
    assert_eq!((count(&mut shell, "reading_19700101").await, count(&mut shell, "reading").await), (2, 2));
}
