//! The doors: every listener that the settings ask for, bound, with its certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;

use super::StartError;
use crate::{edge, http, public, tls};

/// A listener at the address that a key names, and where it listens.
pub(super) async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { key, address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?;
    Ok((socket, bound))
}

/// The bound sockets of the door for clients.
pub(super) struct EdgeDoors {
    pub(super) sockets: Vec<edge::Socket>,
    pub(super) mqtt: SocketAddr,
    pub(super) mqtts: Option<SocketAddr>,
    pub(super) identities: Vec<(&'static str, tls::Identity)>,
}

impl EdgeDoors {
    pub(super) async fn bind(config: &edge::Config) -> Result<Self, StartError> {
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
pub(super) struct PublicDoors {
    pub(super) sockets: Vec<http::Socket>,
    pub(super) address: SocketAddr,
    pub(super) tls_address: Option<SocketAddr>,
    pub(super) identity: Option<(&'static str, tls::Identity)>,
}

impl PublicDoors {
    pub(super) async fn bind(config: &public::Config) -> Result<Self, StartError> {
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
