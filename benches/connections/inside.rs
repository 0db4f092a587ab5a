//! A gateway and its clients in one process, with `tokio::io::duplex` between them: more of them than a process may have sockets.
//!
//! The pipes are made before anybody enters, so that what is resident then is theirs and what comes to it is the gateway's. The
//! clients have a thread of their own, whose processor time is told apart.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use sealgate::config::Config;
use sealgate::edge::Entrance;
use sealgate::gateway::{Addresses, Gateway};
use sealgate::shutdown::Shutdown;
use tokio::io::DuplexStream;
use tokio::runtime::Runtime;

use super::clients::{Credential, Obey, enter, enter_all, obey};

/// Less than a CONNECT, as a socket may bring it.
const PIPE_BYTES: usize = 512;
/// Whom the gateway takes them for.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Says where the doors are, as `sealgate serve` does, and obeys.
pub(crate) fn be(data: &Path) -> Result<()> {
    let gateways = Runtime::new()?;
    let mut config = Config::default();
    config.store.data_dir = data.to_owned();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (config.edge.listen, config.public.listen, config.admin.listen) = (any, any, any);
    let gateway = gateways.block_on(Gateway::start(config))?;
    let entrance = gateway.entrance().context("its clients come to itself")?;
    let Addresses { mqtt: Some(mqtt), public: Some(public), admin: Some(admin), .. } = gateway.addresses() else {
        bail!("a door is missing");
    };
    gateways.spawn(gateway.run(Shutdown::new()));
    println!("mqtt listening on {mqtt}\npublic http listening on {public}\nadmin http listening on {admin}");
    println!("ready");
    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    obey(Pipes { gateways, clients, entrance, credentials: Arc::default(), pipes: Arc::default(), open: Vec::new() })
}

struct Pipes {
    gateways: Runtime,
    clients: Runtime,
    entrance: Entrance,
    credentials: Arc<Vec<Credential>>,
    /// Those through which nobody has entered yet.
    pipes: Arc<Mutex<Vec<(DuplexStream, DuplexStream)>>>,
    open: Vec<DuplexStream>,
}

impl Pipes {
    fn lay(&self) {
        let new = (0..self.credentials.len()).map(|_| tokio::io::duplex(PIPE_BYTES)).collect();
        *self.pipes.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }
}

impl Obey for Pipes {
    fn known(&mut self, credentials: Vec<Credential>) -> Result<()> {
        self.open.reserve_exact(credentials.len());
        self.credentials = Arc::new(credentials);
        self.lay();
        Ok(())
    }

    fn connect(&mut self, count: usize) -> Result<()> {
        let range = self.open.len()..self.open.len() + count;
        let (pipes, credentials) = (self.pipes.clone(), self.credentials.clone());
        let (entrance, gateways) = (self.entrance.clone(), self.gateways.handle().clone());
        let enter_one = move |place: usize| {
            let pipe = pipes.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (credentials, entrance, gateways) = (credentials.clone(), entrance.clone(), gateways.clone());
            async move {
                let (mut stream, theirs) = pipe.context("there are no more pipes")?;
                let place_inside = entrance.reserve(PEER).ok().context("the gateway is full")?;
                {
                    let _context = gateways.enter();
                    place_inside.serve(theirs, PEER);
                }
                enter(&mut stream, credentials.get(place).context("there are no more tokens")?).await?;
                Ok(stream)
            }
        };
        self.open.extend(self.clients.block_on(enter_all(range, enter_one))?);
        Ok(())
    }

    fn drop_all(&mut self) -> Result<()> {
        self.open.clear();
        self.lay();
        Ok(())
    }
}
