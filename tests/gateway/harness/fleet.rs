//! A simulated fleet against a gateway of a test.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use firmware_sim::host::{Credentials, Fleet, Ledger, Settings, Summary, Tally};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::device::Device;
use super::gateway::Gateway;
use super::wait::PATIENCE;

/// A fleet on a runtime of its own. It ends with the test.
pub(crate) struct RunningFleet {
    runtime: Runtime,
    fleet: Option<Fleet>,
}

impl RunningFleet {
    /// Switches the devices on. Where they go is `gateway`'s to say, the rest is `settings`'s.
    pub(crate) fn start(
        gateway: &Gateway,
        settings: Settings,
        credentials: &[Credentials],
        ledger: Option<Ledger>,
    ) -> Self {
        Self::start_by_way_of(gateway.mqtt(), gateway, settings, credentials, ledger)
    }

    /// The same; `way` leads to the gateway.
    pub(crate) fn start_by_way_of(
        way: SocketAddr,
        gateway: &Gateway,
        settings: Settings,
        credentials: &[Credentials],
        ledger: Option<Ledger>,
    ) -> Self {
        let settings = Settings {
            gateway: way.to_string(),
            token_url: format!("http://{}/oauth/token", gateway.public()),
            backoff_base: Duration::from_millis(20),
            backoff_max: Duration::from_millis(200),
            ..settings
        };
        let runtime = Runtime::new().unwrap();
        let fleet = runtime.block_on(async { Fleet::start(settings, credentials, ledger) }).unwrap();
        RunningFleet { runtime, fleet: Some(fleet) }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.fleet.as_ref().expect("it runs").tally()
    }

    /// Waits until each device has sent what it was to send, and tells what became of it.
    pub(crate) fn sent(mut self) -> Summary {
        let fleet = self.fleet.as_mut().expect("it runs");
        let ended = self.runtime.block_on(async { timeout(PATIENCE, fleet.finished()).await });
        assert!(ended.is_ok(), "waited in vain until all was sent");
        self.finish()
    }

    /// Measures no more, and waits until everything is acknowledged.
    pub(crate) fn finish(mut self) -> Summary {
        let fleet = self.fleet.take().expect("it runs");
        self.runtime.block_on(fleet.finish(PATIENCE))
    }
}

impl Gateway {
    /// Adds devices, all by one command, whose output a fleet reads. Gives their seal keys too, by device.
    pub(crate) fn add_fleet(&self, devices: usize) -> (Vec<Credentials>, HashMap<String, [u8; 32]>) {
        self.add_fleet_named(&(1..=devices).map(|number| format!("sim-{number}")).collect::<Vec<_>>())
    }

    /// The same with these names.
    pub(crate) fn add_fleet_named(&self, ids: &[String]) -> (Vec<Credentials>, HashMap<String, [u8; 32]>) {
        let mut arguments = vec!["device", "add", "--format", "json"];
        arguments.extend(ids.iter().map(String::as_str));
        let output = self.run(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let devices = printed.lines().map(|line| Device::from_json(&serde_json::from_str(line).unwrap()));
        let keys = devices.map(|device| (device.id, device.key)).collect();
        (Credentials::read(&printed).unwrap(), keys)
    }
}
