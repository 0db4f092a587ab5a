//! An MQTT client that does what a test says and nothing of its own accord: no ping, no acknowledgement, no retry.
//!
//! Packets are made and read by the gateway's own codec, which is held against another in tests of its own; what it would not make
//! goes out as bytes.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sealgate::mqtt::{
    Ack, ConnAck, Connect, Decoder, Filter, Packet, Publish, QoS, ReasonCode, Subscribe, Subscription, Text, Topic,
    Version, encode,
};

use super::device::{Device, Service};
use super::gateway::Gateway;
use super::wait::{Deadline, PATIENCE};

/// What a CONNECT says of its sender.
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) user_name: String,
    pub(crate) token: String,
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    version: Version,
    decoder: Decoder,
    buffer: BytesMut,
    last_packet_id: u16,
}

impl Login {
    /// With a fresh token.
    pub(crate) fn of_device(gateway: &Gateway, device: &Device) -> Self {
        let token = gateway.token(&device.client_id, &device.client_secret);
        Login { client_id: device.id.clone(), user_name: device.id.clone(), token }
    }

    /// With a fresh token; the client id is the service's name.
    pub(crate) fn of_service(gateway: &Gateway, service: &Service) -> Self {
        let token = gateway.token(&service.client_id, &service.client_secret);
        Login { client_id: service.name.clone(), user_name: service.name.clone(), token }
    }

    /// The CONNECT, to be changed before it is sent.
    pub(crate) fn connect(&self, version: Version) -> Connect {
        let mut connect = Connect::new(version, Text::try_from(self.client_id.as_str()).unwrap());
        connect.user_name = Some(Text::try_from(self.user_name.as_str()).unwrap());
        connect.password = Some(self.token.as_bytes().try_into().unwrap());
        connect
    }
}

impl Client {
    /// An open connection on which nothing has been said.
    pub(crate) fn open(gateway: &Gateway, version: Version) -> Self {
        Self::open_at(gateway.mqtt(), version)
    }

    /// The same, at an address.
    pub(crate) fn open_at(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client {
            stream,
            version,
            decoder: Decoder::of_server(version, u32::MAX),
            buffer: BytesMut::new(),
            last_packet_id: 0,
        }
    }

    /// A connection that is let in.
    pub(crate) fn connect(gateway: &Gateway, version: Version, login: &Login) -> Self {
        let mut client = Self::open(gateway, version);
        let answer = client.log_in(login.connect(version));
        assert_eq!(answer.code, ReasonCode::Success);
        client
    }

    /// A device's connection that is let in.
    pub(crate) fn of_device(gateway: &Gateway, version: Version, device: &Device) -> Self {
        Self::connect(gateway, version, &Login::of_device(gateway, device))
    }

    /// Sends CONNECT and gives the answer back, whatever it is.
    pub(crate) fn log_in(&mut self, connect: Connect) -> ConnAck {
        self.send(&Packet::Connect(Box::new(connect)));
        match self.receive() {
            Packet::ConnAck(answer) => *answer,
            other => panic!("CONNACK was due, and this came: {other:?}"),
        }
    }

    pub(crate) fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, self.version, &mut bytes);
        self.send_bytes(&bytes);
    }

    /// Anything at all.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends as much as goes without waiting for the gateway to read.
    pub(crate) fn send_what_fits(&mut self, bytes: &[u8]) {
        self.stream.set_nonblocking(true).unwrap();
        let mut left = bytes;
        while !left.is_empty()
            && let Ok(count) = self.stream.write(left)
        {
            left = &left[count..];
        }
        self.stream.set_nonblocking(false).unwrap();
    }

    /// Sends a PUBLISH and gives its packet identifier back, but does not wait for the answer.
    pub(crate) fn publish(&mut self, topic: &str, qos: QoS, payload: impl Into<Bytes>) -> Option<NonZeroU16> {
        let mut publish = Publish::new(Topic::new(topic).unwrap(), payload.into());
        publish.qos = qos;
        publish.packet_id = (qos != QoS::AtMostOnce).then(|| self.next_packet_id());
        let packet_id = publish.packet_id;
        self.send(&Packet::Publish(publish));
        packet_id
    }

    /// The same at QoS 1, on a connection that may end at any moment.
    pub(crate) fn try_publish(&mut self, topic: &str, payload: impl Into<Bytes>) -> io::Result<NonZeroU16> {
        let mut publish = Publish::new(Topic::new(topic).unwrap(), payload.into());
        let packet_id = self.next_packet_id();
        (publish.qos, publish.packet_id) = (QoS::AtLeastOnce, Some(packet_id));
        let mut bytes = BytesMut::new();
        encode(&Packet::Publish(publish), self.version, &mut bytes);
        self.stream.write_all(&bytes).map(|()| packet_id)
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub(crate) fn publish_acknowledged(&mut self, topic: &str, payload: impl Into<Bytes>) -> Ack {
        let packet_id = self.publish(topic, QoS::AtLeastOnce, payload);
        match self.receive() {
            Packet::PubAck(ack) if Some(ack.packet_id) == packet_id => ack,
            other => panic!("PUBACK {packet_id:?} was due, and this came: {other:?}"),
        }
    }

    /// Subscribes and gives back the code of the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str, qos: QoS) -> ReasonCode {
        let packet_id = self.next_packet_id();
        let subscriptions = vec![Subscription::new(Filter::new(filter).unwrap(), qos)];
        self.send(&Packet::Subscribe(Subscribe {
            packet_id,
            subscription_id: None,
            subscriptions,
            user_properties: Vec::new(),
        }));
        match self.receive() {
            Packet::SubAck(ack) if ack.packet_id == packet_id => ack.codes[0],
            other => panic!("SUBACK {packet_id} was due, and this came: {other:?}"),
        }
    }

    /// The next packet; panics if the connection ends before it.
    pub(crate) fn receive(&mut self) -> Packet {
        match self.receive_within(PATIENCE) {
            Received::Packet(packet) => packet,
            other => panic!("a packet was due: {other:?}"),
        }
    }

    /// The next packet; none if the connection ends before it.
    pub(crate) fn receive_or_end(&mut self) -> Option<Packet> {
        match self.receive_within(PATIENCE) {
            Received::Packet(packet) => Some(packet),
            Received::End => None,
            Received::Nothing => panic!("a packet was due, or the end of the connection"),
        }
    }

    /// Whether nothing comes for so long. For what must not happen; keep it short.
    pub(crate) fn hears_nothing_for(&mut self, duration: Duration) -> bool {
        matches!(self.receive_within(duration), Received::Nothing)
    }

    /// Reads until the gateway closes the connection, and gives the packets back that came before.
    pub(crate) fn until_closed(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            match self.receive_within(PATIENCE) {
                Received::Packet(packet) => packets.push(packet),
                Received::End => return packets,
                Received::Nothing => panic!("the connection should have been closed; before came {packets:?}"),
            }
        }
    }

    fn receive_within(&mut self, duration: Duration) -> Received {
        let deadline = Deadline::after(duration);
        loop {
            let packet = self.decoder.decode(&mut self.buffer).expect("the gateway sends what MQTT allows");
            if let Some(packet) = packet {
                return Received::Packet(packet);
            }
            match self.read(deadline) {
                Read::Some => {}
                Read::End => return Received::End,
                Read::TimedOut => return Received::Nothing,
            }
        }
    }

    fn read(&mut self, deadline: Deadline) -> Read {
        let left = deadline.left();
        if left.is_zero() {
            return Read::TimedOut;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Read::End,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Read::Some
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Read::TimedOut,
            // A gateway that closes with bytes unread resets the connection.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => Read::End,
            Err(error) => panic!("{error}"),
        }
    }

    fn next_packet_id(&mut self) -> NonZeroU16 {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        NonZeroU16::new(self.last_packet_id).expect("it starts at 1, and again at 1")
    }
}

#[derive(Debug)]
enum Received {
    Packet(Packet),
    End,
    Nothing,
}

enum Read {
    Some,
    End,
    TimedOut,
}
