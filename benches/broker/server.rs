//! The servers that are measured: each in a process of its own, and how one logs in there.

use std::fmt;
use std::net::SocketAddr;

use anyhow::Result;

use super::common::gateway::{Gateway, House};
use super::common::peers::{mosquitto, rumqttd};
use super::common::process::{Process, Scratch};
use super::common::wire::Login;

/// The name of the service whose token all clients have.
const SERVICE: &str = "bench";

/// The pace of a client is what is measured here, so it is not bounded; nor is the others'.
const UNBOUNDED: [&str; 2] = ["edge.messages_per_second_max=1000000000", "edge.bytes_per_second_max=1000000000000"];

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    Gateway,
    Mosquitto,
    Rumqttd,
}

/// A server that listens. It ends with its owner.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    program: Program,
    token: Option<String>,
    _scratch: Scratch,
}

enum Program {
    Ours(Gateway),
    Peer(Process),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Gateway => "gateway",
            Kind::Mosquitto => "Mosquitto",
            Kind::Rumqttd => "rumqttd",
        })
    }
}

impl Server {
    /// Starts one; none: it is not installed.
    pub(crate) fn start(kind: Kind) -> Result<Option<Server>> {
        let scratch = Scratch::new("broker", &kind.to_string())?;
        match kind {
            Kind::Gateway => Self::start_gateway(scratch).map(Some),
            Kind::Mosquitto => {
                let started = mosquitto(&scratch)?;
                if started.is_none() {
                    eprintln!("Mosquitto is not installed (Debian: apt-get install mosquitto); going on without it");
                }
                Ok(started.map(|(address, process)| Self::peer(address, process, scratch)))
            }
            Kind::Rumqttd => {
                let (address, process) = rumqttd()?;
                Ok(Some(Self::peer(address, process, scratch)))
            }
        }
    }

    fn start_gateway(scratch: Scratch) -> Result<Server> {
        let house = House::new(&scratch)?;
        let service = house.add_service(SERVICE, &["pub:bench/#", "sub:bench/#"])?;
        let gateway = house.serve(&UNBOUNDED)?;
        let token = Some(service.token(gateway.public)?);
        Ok(Server { address: gateway.mqtt()?, program: Program::Ours(gateway), token, _scratch: scratch })
    }

    fn peer(address: SocketAddr, process: Process, scratch: Scratch) -> Server {
        Server { address, program: Program::Peer(process), token: None, _scratch: scratch }
    }

    pub(crate) fn process(&self) -> &Process {
        match &self.program {
            Program::Ours(gateway) => &gateway.process,
            Program::Peer(process) => process,
        }
    }

    pub(crate) fn login(&self) -> Login<'_> {
        match &self.token {
            Some(token) => Login::As { user_name: SERVICE, token },
            None => Login::None,
        }
    }
}
