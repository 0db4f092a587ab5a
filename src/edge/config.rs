//! The section `[edge]`: the door for MQTT clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::mqtt::PACKET_BYTES_MAX;
use crate::proxy::ProxyProtocol;
use crate::setting::{Mistake, Plaintext, TlsKeys, exposed, outside, tls_mistakes};

/// How clients come in, and what each of them may cost.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where MQTT listens; port 0: any free one.
    pub listen: SocketAddr,
    /// Needed where `listen` is not loopback.
    pub plaintext: Option<Plaintext>,
    /// Whether clients of `listen` come through a proxy that says who they are.
    pub proxy_protocol: ProxyProtocol,
    /// Where MQTT over TLS listens, with port 0 at any free one; none: nowhere.
    pub tls_listen: Option<SocketAddr>,
    /// The certificate chain of `tls_listen`, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// The authorities that clients' certificates must come from, PEM; none: clients are asked for none.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients of `tls_listen` come through a proxy that says who they are.
    pub tls_proxy_protocol: ProxyProtocol,
    /// The largest packet taken, header included; told to MQTT 5 clients as Maximum Packet Size.
    pub packet_bytes_max: u32,
    /// The largest CONNECT, and so what is read of a client that has not said who he is.
    pub connect_bytes_max: u32,
    /// From the accepted socket to a whole CONNECT, handshakes included.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The longest keep-alive; a client that asks for more, or for none, gets this one (MQTT 5: Server Keep Alive).
    pub keep_alive_secs_max: u16,
    /// Messages of one client that may be unacknowledged at a time: MQTT 5's Receive Maximum.
    pub receive_maximum: u16,
    /// Messages at QoS 1 that may be under way to one client, whatever more it would take.
    pub send_maximum: u16,
    /// Messages under way of one client that cannot be told to wait, at 3.1.1 all, at 5.0 those of QoS 0: reading stops there.
    pub in_flight_max: usize,
    /// Connections at a time; one more is closed before it costs anything.
    pub connections_max: usize,
    /// Connections at a time of one address; of IPv6, of one /64.
    pub connections_per_address_max: usize,
    /// Connections a second of one address, with a second's worth at once.
    pub connection_rate_per_address_max: u64,
    /// Packets a second of one client, with a second's worth at once; beyond, its socket is not read for a while.
    pub messages_per_second_max: u64,
    /// Bytes a second of one client, likewise.
    pub bytes_per_second_max: u64,
    /// Bytes of packets that are larger than 16 KiB and not whole yet, of all clients together; beyond, sockets wait unread.
    pub large_packets_bytes_max: usize,
    /// How long a client may take for one such packet.
    #[serde(with = "humantime_serde")]
    pub packet_timeout: Duration,
    /// How long a client may leave unread what was sent to it.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: (Ipv4Addr::LOCALHOST, 1883).into(),
            plaintext: None,
            proxy_protocol: ProxyProtocol::Off,
            tls_listen: None,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_proxy_protocol: ProxyProtocol::Off,
            packet_bytes_max: 128 * 1024,
            connect_bytes_max: 16 * 1024,
            connect_timeout: Duration::from_secs(10),
            keep_alive_secs_max: 3600,
            receive_maximum: 32,
            send_maximum: 1024,
            in_flight_max: 1024,
            connections_max: 100_000,
            connections_per_address_max: 10_000,
            connection_rate_per_address_max: 1_000,
            messages_per_second_max: 10_000,
            bytes_per_second_max: 16 * 1024 * 1024,
            large_packets_bytes_max: 64 * 1024 * 1024,
            packet_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
        }
    }
}

impl Config {
    /// What is wrong with values that are well-formed: each with its key.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let found = [
            exposed(self.listen, self.plaintext),
            outside("packet_bytes_max", self.packet_bytes_max, 1024..=PACKET_BYTES_MAX),
            outside("connect_bytes_max", self.connect_bytes_max, 512..=PACKET_BYTES_MAX),
            outside("connect_timeout", self.connect_timeout, Duration::from_millis(100)..=Duration::from_secs(3600)),
            outside("keep_alive_secs_max", self.keep_alive_secs_max, 1..=u16::MAX),
            outside("receive_maximum", self.receive_maximum, 1..=u16::MAX),
            outside("send_maximum", self.send_maximum, 1..=u16::MAX),
            outside("in_flight_max", self.in_flight_max, 1..=usize::from(u16::MAX)),
            outside("connections_max", self.connections_max, 1..=usize::MAX),
            outside("connections_per_address_max", self.connections_per_address_max, 1..=usize::MAX),
            outside("connection_rate_per_address_max", self.connection_rate_per_address_max, 1..=u64::MAX),
            outside("messages_per_second_max", self.messages_per_second_max, 1..=u64::MAX),
            outside("bytes_per_second_max", self.bytes_per_second_max, 1024..=u64::MAX),
            outside("large_packets_bytes_max", self.large_packets_bytes_max, 1024..=usize::MAX),
            outside("packet_timeout", self.packet_timeout, Duration::from_secs(1)..=Duration::from_secs(3600)),
            outside("write_timeout", self.write_timeout, Duration::from_secs(1)..=Duration::from_secs(3600)),
        ];
        let tls = tls_mistakes(TlsKeys {
            listen: self.tls_listen,
            certificate: self.tls_certificate.as_deref(),
            key: self.tls_key.as_deref(),
            client_ca: self.tls_client_ca.as_deref(),
        });
        found.into_iter().flatten().chain(tls).collect()
    }
}
