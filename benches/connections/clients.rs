//! A process full of clients: told on standard input what to do, a line a command, and saying `done` when it is.
//!
//! `tokens PATH`: who they are. `connect N`: the next N log in and subscribe. `drop`: all sockets are closed, without a goodbye.

use std::fs;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use sealgate::mqtt::QoS;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::common::wire::{Login, log_in, subscribe};

/// Clients of a process that are on their way in at a time.
const ON_THE_WAY: usize = 32;

/// What a device logs in with.
pub(crate) struct Credential {
    pub(crate) device_id: String,
    pub(crate) token: String,
}

/// What the commands mean to whoever obeys them.
pub(crate) trait Obey {
    /// These log in next, and again after each `drop`.
    fn known(&mut self, credentials: Vec<Credential>) -> Result<()>;
    /// So many more log in.
    fn connect(&mut self, count: usize) -> Result<()>;
    /// All are gone.
    fn drop_all(&mut self) -> Result<()>;
}

/// Obeys until standard input ends.
pub(crate) fn obey(mut servant: impl Obey) -> Result<()> {
    for line in stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("tokens", path) => servant.known(read(Path::new(path))?)?,
            ("connect", count) => servant.connect(count.parse()?)?,
            ("drop", "") => servant.drop_all()?,
            _ => bail!("{line} is no command"),
        }
        writeln!(stdout(), "done")?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Credential>> {
    let text = fs::read_to_string(path)?;
    let of = |line: &str| {
        let (device_id, token) = line.split_once(' ').context("a line has an id and a token")?;
        Ok(Credential { device_id: device_id.to_owned(), token: token.to_owned() })
    };
    text.lines().map(of).collect()
}

/// Logs in and subscribes to what only this device hears.
pub(crate) async fn enter<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, who: &Credential) -> Result<()> {
    let login = Login::As { user_name: &who.device_id, token: &who.token };
    log_in(stream, &who.device_id, login, 1).await?;
    subscribe(stream, &format!("devices/{}/commands/#", who.device_id), QoS::AtLeastOnce).await
}

/// Lets `count` enter, some at a time; `enter` is given the place of each.
pub(crate) async fn enter_all<S, F, E>(range: std::ops::Range<usize>, enter: F) -> Result<Vec<S>>
where
    S: Send + 'static,
    F: Fn(usize) -> E + Clone + Send + 'static,
    E: Future<Output = Result<S>> + Send,
{
    let mut lanes = JoinSet::new();
    for lane in 0..ON_THE_WAY {
        let (places, enter) = (range.clone().skip(lane).step_by(ON_THE_WAY), enter.clone());
        lanes.spawn(async move {
            let mut entered = Vec::new();
            for place in places {
                entered.push(enter(place).await?);
            }
            Ok::<_, anyhow::Error>(entered)
        });
    }
    let mut streams = Vec::with_capacity(range.len());
    while let Some(entered) = lanes.join_next().await {
        streams.extend(entered??);
    }
    Ok(streams)
}

/// Clients by real sockets.
pub(crate) fn be(address: SocketAddr, certificate: Option<&Path>, number: u8) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tls = certificate.map(connector).transpose()?;
    obey(Sockets { runtime, address, tls, number, times: 0, credentials: Arc::default(), open: Vec::new() })
}

struct Sockets {
    runtime: Runtime,
    address: SocketAddr,
    tls: Option<TlsConnector>,
    number: u8,
    /// How often all were dropped.
    times: u8,
    credentials: Arc<Vec<Credential>>,
    open: Vec<Box<dyn Stream>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Obey for Sockets {
    fn known(&mut self, credentials: Vec<Credential>) -> Result<()> {
        self.credentials = Arc::new(credentials);
        Ok(())
    }

    fn connect(&mut self, count: usize) -> Result<()> {
        let range = self.open.len()..self.open.len() + count;
        let (credentials, tls, address) = (self.credentials.clone(), self.tls.clone(), self.address);
        // Each process has an address of its own, and another one each time, for there are 28,000 ports an address, and one that was
        // closed is not free at once.
        let source = Ipv4Addr::new(127, 0, self.times, self.number + 2);
        let enter_one = move |place: usize| {
            let (credentials, tls) = (credentials.clone(), tls.clone());
            async move {
                let mut stream = open(address, source, tls).await?;
                enter(&mut stream, credentials.get(place).context("there are no more tokens")?).await?;
                Ok(stream)
            }
        };
        self.open.extend(self.runtime.block_on(enter_all(range, enter_one))?);
        Ok(())
    }

    fn drop_all(&mut self) -> Result<()> {
        self.times += 1;
        let _context = self.runtime.enter();
        self.open = Vec::new();
        Ok(())
    }
}

async fn open(address: SocketAddr, source: Ipv4Addr, tls: Option<TlsConnector>) -> Result<Box<dyn Stream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    let stream: TcpStream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.connect(ServerName::try_from("localhost")?, stream).await?),
    })
}

fn connector(certificate: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
