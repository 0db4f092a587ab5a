use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Every file with its mode and content.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.clone(), (mode(&path), fs::read(path).unwrap()))).collect()
}

async fn refuse(dir: &TempDir) -> String {
    Store::open(&dir.config(), &DatabaseConfig::default()).await.err().expect("it is refused").to_string()
}

#[tokio::test]
async fn every_file_is_the_gateways_alone() {
    let dir = TempDir::new();
    let store = dir.store().await;
    store.commit(&[accepted(seen(1, 1, b"a"))]).await.unwrap();
    assert_eq!(mode(&dir.0.join("data")), 0o700);
    for file in ["sealgate.db", "sealgate.db-wal", "sealgate.db-shm"] {
        assert_eq!(mode(&dir.0.join("data").join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn what_others_may_read_is_taken_from_them() {
    let dir = TempDir::new();
    dir.store().await.close().await;
    fs::set_permissions(dir.0.join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.database(), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = dir.store().await;
    assert_eq!(mode(&dir.0.join("data")), 0o700);
    assert_eq!(mode(&dir.database()), 0o600);
}

#[tokio::test]
async fn a_directory_of_other_things_is_not_locked_up() {
    let dir = TempDir::new();
    let data = dir.0.join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(data.join("photo.jpg"), "").unwrap();
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("open to others (mode 0755)"), "{refusal}");
    assert_eq!(mode(&data), 0o755);
    assert!(!dir.database().exists());
}

#[tokio::test]
async fn a_file_in_the_place_of_the_directory_is_named() {
    let dir = TempDir::new();
    fs::write(dir.0.join("data"), "").unwrap();
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("data/sealgate.db cannot be used"), "{refusal}");
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let dir = TempDir::new();
    let data = dir.0.join("data");
    fs::create_dir(&data).unwrap();
    let other = SqliteConnectOptions::new().filename(dir.database()).create_if_missing(true).connect().await.unwrap();
    let mut other = Shell::Sqlite(other);
    run(&mut other, "CREATE TABLE photos (id)").await;
    let unstamped = fs::read(dir.database()).unwrap();
    run(&mut other, "PRAGMA user_version = 1").await;
    other.close().await;
    for content in [fs::read(dir.database()).unwrap(), unstamped, b"a letter".to_vec(), vec![0; 4096]] {
        fs::write(dir.database(), content).unwrap();
        let before = contents(&data);
        let refusal = refuse(&dir).await;
        assert!(refusal.ends_with("sealgate.db is not a database of Sealgate"), "{refusal}");
        assert!(before == contents(&data));
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_nothing_changed() {
    let dir = TempDir::new();
    dir.store().await.close().await;
    let mut shell = dir.shell().await;
    run(&mut shell, "PRAGMA user_version = 999").await;
    shell.close().await;
    fs::set_permissions(dir.database(), fs::Permissions::from_mode(0o640)).unwrap();
    let before = contents(&dir.0.join("data"));
    let refusal = refuse(&dir).await;
    assert!(refusal.contains("has schema 999, and this version of Sealgate knows schemas up to "), "{refusal}");
    assert!(before == contents(&dir.0.join("data")));
}

#[tokio::test]
async fn a_newer_schema_is_seen_in_the_log_of_a_crash() {
    let dir = TempDir::new();
    let store = dir.store().await;
    run(&mut dir.shell().await, "PRAGMA user_version = 999").await;
    let crashed = TempDir::new();
    fs::create_dir(crashed.0.join("data")).unwrap();
    for file in ["sealgate.db", "sealgate.db-wal"] {
        fs::copy(dir.0.join("data").join(file), crashed.0.join("data").join(file)).unwrap();
    }
    store.close().await;
    let before = contents(&crashed.0.join("data"));
    let refusal = refuse(&crashed).await;
    assert!(refusal.contains("has schema 999"), "{refusal}");
    // SQLite may leave its index of the log; the log and the database are as they were.
    let after = contents(&crashed.0.join("data"));
    assert!(before.iter().all(|(path, content)| after.get(path) == Some(content)));
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_database() {
    let dir = TempDir::new();
    let (one, two) = tokio::join!(dir.store(), dir.store());
    one.add_device(&new_device("d")).await.unwrap();
    assert!(two.device("d").await.unwrap().is_some());
}

#[tokio::test]
async fn an_interrupted_first_start_goes_on() {
    let dir = TempDir::new();
    fs::create_dir(dir.0.join("data")).unwrap();
    let mut blank = SqliteConnectOptions::new().filename(dir.database()).create_if_missing(true);
    blank = blank.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    blank.connect().await.unwrap().close().await.unwrap();
    dir.store().await.add_device(&new_device("d")).await.unwrap();
}
