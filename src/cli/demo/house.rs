//! The demo's gateway: on free ports, with a database of its own that goes when the demo does.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use firmware_sim::host::{Credentials, Settings};
use sealgate_envelope::{DeviceId, Key};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::counted::Counted;
use crate::auth::secret::new_client_id;
use crate::cli::device::enrol;
use crate::cli::{self, Failure};
use crate::config::Config;
use crate::gateway::{Addresses, Cellar, Gateway, TaskEnded};
use crate::shutdown::{self, Shutdown};

/// A gateway that runs.
pub(super) struct House {
    mqtt: SocketAddr,
    public: SocketAddr,
    admin: SocketAddr,
    data_dir: PathBuf,
    /// Removed at the end; none: the data are the caller's to keep.
    temporary: Option<Temporary>,
    running: JoinHandle<Result<(), TaskEnded>>,
    shutdown: Shutdown,
}

/// A directory that is removed with this.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl House {
    /// Adds the devices, and opens the doors.
    pub(super) async fn open(
        mut config: Config,
        settings: &cli::Settings,
        devices: u32,
    ) -> Result<(House, Vec<Credentials>), Failure> {
        let temporary = choose_data_dir(&mut config, settings)?;
        choose_ports(&mut config, settings);
        let data_dir = config.store.data_dir.clone();
        let credentials = enrol_all(&config, devices).await?;
        let shutdown = Shutdown::new();
        tokio::spawn(shutdown::watch(shutdown.clone(), config.shutdown.clone(), async || std::future::pending().await));
        let gateway = Gateway::start(config).await?;
        let Addresses { mqtt: Some(mqtt), public: Some(public), admin: Some(admin), .. } = gateway.addresses() else {
            return Err(anyhow!("the demo's devices come to a door of its own: leave out ingest.source").into());
        };
        let running = tokio::spawn(gateway.run(shutdown.clone()));
        Ok((House { mqtt, public, admin, data_dir, temporary, running, shutdown }, credentials))
    }

    /// Where everything is, a line each.
    pub(super) fn places(&self) -> String {
        let House { mqtt, public, admin, .. } = self;
        let mut lines = String::new();
        let fate = if self.temporary.is_some() { "   (removed at the end; --data DIR keeps it)" } else { "" };
        for (what, place) in [
            ("MQTT", mqtt.to_string()),
            ("tokens", format!("http://{public}/oauth/token")),
            ("metrics", format!("http://{admin}/metrics")),
            ("database", format!("{}{fate}", self.data_dir.join(DATABASE).display())),
        ] {
            let _ = writeln!(lines, "  {what:<10} {place}");
        }
        lines
    }

    /// The same settings for a fleet of this house.
    pub(super) fn point(&self, settings: Settings) -> Settings {
        Settings {
            gateway: self.mqtt.to_string(),
            token_url: format!("http://{}/oauth/token", self.public),
            ..settings
        }
    }

    /// What the gateway counts, as any Prometheus reads it.
    pub(super) async fn counted(&self) -> Result<Counted, Failure> {
        if self.running.is_finished() {
            return Err(anyhow!("the gateway has ended by itself").into());
        }
        let page = firmware_sim::host::http::get(&format!("http://{}/metrics", self.admin)).await?;
        Ok(Counted::of(&String::from_utf8_lossy(page.body())))
    }

    /// The same, once the gateway has dealt with everything that came, and with the connections that brought it; a stranger's may
    /// stay.
    pub(super) async fn settled(&self, patience: Duration) -> Result<Counted, Failure> {
        let (deadline, strangers_stay) = (now() + patience, now() + STRANGERS);
        loop {
            let counted = self.counted().await?;
            let is_settled = counted.in_flight == 0 && (counted.connections == 0 || now() > strangers_stay);
            if is_settled || now() > deadline {
                return Ok(counted);
            }
            sleep(POLL).await;
        }
    }

    /// Takes the gateway down in order, and the temporary directory away.
    pub(super) async fn close(self) -> Result<(), Failure> {
        self.shutdown.drain();
        let ended = self.running.await.map_err(|_| anyhow!("the gateway has panicked"))?;
        drop(self.temporary);
        Ok(ended?)
    }
}

const POLL: Duration = Duration::from_millis(20);
/// How long connections are waited for: the fleet has ended its own.
const STRANGERS: Duration = Duration::from_secs(2);

/// A directory that was named is kept, and must hold no database: the demo's devices are nothing for a real one.
fn choose_data_dir(config: &mut Config, settings: &cli::Settings) -> Result<Option<Temporary>, Failure> {
    if settings.is_flagged("store", "data_dir") {
        let directory = config.store.data_dir.display();
        return match config.store.data_dir.join(DATABASE).exists() {
            true => {
                Err(anyhow!("there is a database in {directory} already, and the demo wants one of its own").into())
            }
            false => Ok(None),
        };
    }
    let name = format!("sealgate-demo-{}", &new_client_id()?[..8]);
    let directory = std::env::temp_dir().join(name);
    config.store.data_dir = directory.clone();
    Ok(Some(Temporary(directory)))
}

const DATABASE: &str = "sealgate.db";

/// A port that was named is kept; the usual ones may be a real gateway's.
fn choose_ports(config: &mut Config, settings: &cli::Settings) {
    let doors =
        [("edge", &mut config.edge.listen), ("public", &mut config.public.listen), ("admin", &mut config.admin.listen)];
    for (section, listen) in doors {
        if !settings.is_flagged(section, "listen") {
            listen.set_port(0);
        }
    }
}

/// The store is closed again, for the gateway opens it anew.
async fn enrol_all(config: &Config, devices: u32) -> Result<Vec<Credentials>, Failure> {
    let cellar = Cellar::open(config).await?;
    let mut credentials = Vec::new();
    for number in 1..=devices {
        let device_id: DeviceId = format!("demo-{number}").parse()?;
        let enrolled = enrol(&cellar, &device_id, None, None).await?;
        credentials.push(Credentials {
            client_id: enrolled.client_id,
            client_secret: Zeroizing::new(enrolled.client_secret.expose().to_owned()),
            key: Key::new(&enrolled.key),
            key_version: enrolled.key_version,
            device_id,
        });
    }
    cellar.store.close().await;
    Ok(credentials)
}

#[expect(clippy::disallowed_methods, reason = "a command is a driver")]
fn now() -> Instant {
    Instant::now()
}
