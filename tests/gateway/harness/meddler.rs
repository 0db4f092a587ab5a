//! Somebody on the way between devices and the gateway, who does with the gateway's packets what a test says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::BytesMut;
use sealgate::mqtt::{Decoder, Packet, Version, encode};

/// What becomes of a packet to a device; none: it goes no further.
type Deal = Arc<Mutex<dyn FnMut(Packet) -> Option<Packet> + Send>>;

/// Passes on what devices send, and deals with what they are sent, on threads of its own, until the process ends.
pub(crate) struct Meddler {
    address: SocketAddr,
}

impl Meddler {
    /// Before the gateway at this address, which may come and go.
    pub(crate) fn before(
        gateway: SocketAddr,
        version: Version,
        deal: impl FnMut(Packet) -> Option<Packet> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let deal: Deal = Arc::new(Mutex::new(deal));
        thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                // Where there is no gateway, there is no connection.
                let Ok(gateway) = TcpStream::connect(gateway) else { continue };
                let (from, to) = (device.try_clone().unwrap(), gateway.try_clone().unwrap());
                thread::spawn(move || pass(from, to, |bytes| bytes.to_vec()));
                let (deal, mut packets) = (deal.clone(), Packets::new(version));
                thread::spawn(move || pass(gateway, device, |bytes| packets.deal(bytes, &deal)));
            }
        });
        Meddler { address }
    }

    /// Where devices find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Packets that come in pieces.
struct Packets {
    version: Version,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Packets {
    fn new(version: Version) -> Self {
        Packets { version, decoder: Decoder::of_server(version, u32::MAX), buffer: BytesMut::new() }
    }

    fn deal(&mut self, bytes: &[u8], deal: &Deal) -> Vec<u8> {
        self.buffer.extend_from_slice(bytes);
        let mut out = BytesMut::new();
        while let Some(packet) = self.decoder.decode(&mut self.buffer).expect("the gateway sends what MQTT allows") {
            if let Some(packet) = (deal.lock().unwrap())(packet) {
                encode(&packet, self.version, &mut out);
            }
        }
        out.to_vec()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&[u8]) -> Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&change(&buffer[..read])).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
