//! The doors: every listener that the settings ask for, bound, with its certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;

use super::{Addresses, Role, StartError};
use crate::config::Config;
use crate::ingest::Source;
use crate::{edge, http, public, tls};

/// A listener at the address that a key names, and where it listens.
pub(super) async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { key, address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

/// All doors but the operators', as far as there are any.
pub(super) struct Doors {
    pub(super) addresses: Addresses,
    pub(super) edge: Option<Vec<edge::Socket>>,
    pub(super) public: Option<Vec<http::Socket>>,
    pub(super) identities: Vec<(&'static str, tls::Identity)>,
}

impl Doors {
    /// Binds those that a process of this role has.
    pub(super) async fn bind(config: &Config, role: Role) -> Result<Self, StartError> {
        let mut doors = Doors { addresses: Addresses::default(), edge: None, public: None, identities: Vec::new() };
        if config.ingest.source == Source::Edge {
            let EdgeDoors { sockets, mqtt, mqtts, identities } = EdgeDoors::bind(&config.edge).await?;
            (doors.addresses.mqtt, doors.addresses.mqtts) = (Some(mqtt), mqtts);
            doors.edge = Some(sockets);
            doors.identities.extend(identities);
        }
        if role == Role::Whole {
            let PublicDoors { sockets, address, tls_address, identity } = PublicDoors::bind(&config.public).await?;
            (doors.addresses.public, doors.addresses.public_tls) = (Some(address), tls_address);
            doors.public = Some(sockets);
            doors.identities.extend(identity);
        }
        Ok(doors)
    }
}

/// The bound sockets of the door for clients.
struct EdgeDoors {
    sockets: Vec<edge::Socket>,
    mqtt: SocketAddr,
    mqtts: Option<SocketAddr>,
    identities: Vec<(&'static str, tls::Identity)>,
}

impl EdgeDoors {
    async fn bind(config: &edge::Config) -> Result<Self, StartError> {
        let (listener, mqtt) = bind("edge.listen", config.listen).await?;
        let plain = edge::Socket { listener, transport: edge::Transport::Tcp, proxy_protocol: config.proxy_protocol };
        let mut doors = EdgeDoors { sockets: vec![plain], mqtt, mqtts: None, identities: Vec::new() };
        let files = files(&config.tls_certificate, &config.tls_key, &config.tls_client_ca);
        if let Some((listener, bound, identity)) = bind_tls("edge", "edge.tls_listen", config.tls_listen, files).await?
        {
            let transport = edge::Transport::Tls(identity.clone());
            doors.sockets.push(edge::Socket { listener, transport, proxy_protocol: config.tls_proxy_protocol });
            (doors.mqtts, doors.identities) = (Some(bound), vec![("mqtts", identity)]);
        }
        Ok(doors)
    }
}

/// The bound sockets of the public HTTP listener.
struct PublicDoors {
    sockets: Vec<http::Socket>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    identity: Option<(&'static str, tls::Identity)>,
}

impl PublicDoors {
    async fn bind(config: &public::Config) -> Result<Self, StartError> {
        let (listener, address) = bind("public.listen", config.listen).await?;
        let sockets = vec![http::Socket { listener, proxy_protocol: config.proxy_protocol, identity: None }];
        let mut doors = PublicDoors { sockets, address, tls_address: None, identity: None };
        let files = files(&config.tls_certificate, &config.tls_key, &None);
        let bound = bind_tls("public", "public.tls_listen", config.tls_listen, files).await?;
        if let Some((listener, bound, identity)) = bound {
            let (proxy_protocol, identity_of) = (config.tls_proxy_protocol, Some(identity.clone()));
            doors.sockets.push(http::Socket { listener, proxy_protocol, identity: identity_of });
            (doors.tls_address, doors.identity) = (Some(bound), Some(("https", identity)));
        }
        Ok(doors)
    }
}

fn files(certificate: &Option<PathBuf>, key: &Option<PathBuf>, client_ca: &Option<PathBuf>) -> Option<tls::Files> {
    let (certificate, key) = certificate.clone().zip(key.clone())?;
    Some(tls::Files { certificate, key, client_ca: client_ca.clone() })
}

/// A listener for TLS, if there is to be one.
async fn bind_tls(
    section: &'static str,
    key: &'static str,
    address: Option<SocketAddr>,
    files: Option<tls::Files>,
) -> Result<Option<(TcpListener, SocketAddr, tls::Identity)>, StartError> {
    let Some((address, files)) = address.zip(files) else { return Ok(None) };
    let identity = tls::Identity::load(files).map_err(|source| StartError::Tls { section, source })?;
    let (listener, bound) = bind(key, address).await?;
    Ok(Some((listener, bound, identity)))
}
