//! How many tokens one core issues and checks in a second, on a database in a file.
//!
//!     cargo bench --bench identity
//!     cargo bench --bench identity -- --count 50000
//!
//! All of it is the guard's own work, without HTTP and MQTT: the client is looked up and its secret compared, a token signed with ES256; a login
//! checks the signature and asks the registry, a second one with the same token finds it remembered.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::unwrap_used, reason = "what goes wrong ends it")]

use std::net::Ipv4Addr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sealgate::auth::{self, Asker, Auth, Config, Foreign, secret};
use sealgate::metrics::Registry;
use sealgate::store::{self, NewDevice, Store};

const COUNT: usize = 20_000;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--count").skip(1);
    let count = arguments.next().map_or(COUNT, |count| count.parse().unwrap());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure(count));
}

async fn measure(count: usize) {
    let scratch = tempfile::tempdir().unwrap();
    let config = store::Config { data_dir: scratch.path().join("data"), ..store::Config::default() };
    let store = Store::open(&config, &store::DatabaseConfig::default()).await.unwrap();
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let config = Config { requests_per_client_max: 1_000_000, token_cache_entries: count * 2, ..Config::default() };
    let metrics = auth::Metrics::new(&Registry::default());
    let (auth, _journal) =
        Auth::open(&config, store.clone(), &[7; 32], Foreign::default(), metrics, now_ms).await.unwrap();
    let mut devices = Vec::with_capacity(count);
    let mut forms = Vec::with_capacity(count);
    for number in 0..count {
        let (secret, secret_sha256) = secret::new_client_secret().unwrap();
        let client_id = secret::new_client_id().unwrap();
        forms.push(format!("grant_type=client_credentials&client_id={client_id}&client_secret={}", secret.expose()));
        devices.push(NewDevice {
            device_id: format!("d{number}").into(),
            client_id,
            secret_sha256,
            key_version_min: 1,
            group: None,
            issuer: None,
            created_at_ms: now_ms,
        });
    }
    store.add_devices(&devices, &|_| {}).await.unwrap();
    let asker = Asker { from: Ipv4Addr::LOCALHOST.into(), now: Instant::now() };

    let began = Instant::now();
    let mut tokens = Vec::with_capacity(count);
    for form in &forms {
        tokens.push(auth.answer(None, form.as_bytes(), asker, now_ms).await.unwrap().expose().to_owned());
    }
    told("tokens issued", count, began);
    for line in ["tokens checked for the first time", "tokens checked again"] {
        let began = Instant::now();
        for (number, token) in tokens.iter().enumerate() {
            auth.login(&format!("d{number}"), token, "", asker, now_ms).await.unwrap();
        }
        told(line, count, began);
    }
}

fn told(what: &str, count: usize, began: Instant) {
    let secs = began.elapsed().as_secs_f64();
    println!("{what:<36} {:>10.0} /s", count as f64 / secs);
}
