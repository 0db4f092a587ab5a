//! The PROXY protocol, versions 1 and 2: a header before the first byte, in which a proxy says for whom it speaks
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! Not one byte behind the header is read, because it belongs to TLS or MQTT. The header itself is parsed by the crate `ppp`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Whether a listener's clients come through a proxy that speaks the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// They do not; a header is no MQTT and no HTTP.
    Off,
    /// They do, all of them; who brings no header is turned away, for whoever may leave it out may also make one up.
    Expected,
}

impl ProxyProtocol {
    /// Who the client of a fresh connection from `peer` is: what its proxy says, or `peer` itself.
    ///
    /// # Errors
    /// A proxy was expected, and does not say it.
    pub async fn source<S: AsyncRead + Unpin>(self, stream: &mut S, peer: SocketAddr) -> Result<SocketAddr, BadHeader> {
        match self {
            ProxyProtocol::Off => Ok(peer),
            ProxyProtocol::Expected => Ok(read_header(stream).await?.unwrap_or(peer)),
        }
    }
}

/// Why there is no header.
#[derive(Debug, Error)]
pub enum BadHeader {
    /// It ended before.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// It speaks another protocol.
    #[error("these bytes begin no header")]
    NotAHeader,
    /// It is longer than a header may be, or than is read here.
    #[error("the header has {0} bytes, which is too long")]
    TooLong(usize),
    /// Version 1, and wrong.
    #[error("{0}")]
    V1(#[from] v1::BinaryParseError),
    /// Version 2, and wrong.
    #[error("{0}")]
    V2(#[from] v2::ParseError),
}

/// Both versions are told apart by so many bytes, and neither has fewer: `PROXY UNKNOWN\r\n` has 15.
const PREFIX_BYTES: usize = 12;
const V1_PREFIX: &[u8] = b"PROXY ";
const V2_PREFIX: &[u8; PREFIX_BYTES] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.1: the longest line of version 1, with its end.
const V1_BYTES_MAX: usize = 107;
/// What stands before the length of version 2, and the length.
const V2_HEAD_BYTES: usize = 16;
/// Addresses take up to 216 bytes; the rest is for what a proxy says besides, a client's certificate for example.
const V2_BODY_BYTES_MAX: usize = 4096;

/// Reads a header; gives the client's address, or none where the proxy speaks for itself or does not know.
async fn read_header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, BadHeader> {
    let mut header = vec![0; PREFIX_BYTES];
    stream.read_exact(&mut header).await?;
    if header == V2_PREFIX {
        return read_v2(stream, header).await;
    }
    if header.starts_with(V1_PREFIX) {
        return read_v1(stream, header).await;
    }
    Err(BadHeader::NotAHeader)
}

/// By the byte: a line of version 1 does not say how long it is.
async fn read_v1<S: AsyncRead + Unpin>(stream: &mut S, mut line: Vec<u8>) -> Result<Option<SocketAddr>, BadHeader> {
    while !line.ends_with(b"\r\n") {
        if line.len() == V1_BYTES_MAX {
            return Err(BadHeader::TooLong(line.len() + 1));
        }
        line.push(stream.read_u8().await?);
    }
    Ok(match v1::Header::try_from(line.as_slice())?.addresses {
        v1::Addresses::Tcp4(tcp) => Some((IpAddr::from(tcp.source_address), tcp.source_port).into()),
        v1::Addresses::Tcp6(tcp) => Some((IpAddr::from(tcp.source_address), tcp.source_port).into()),
        v1::Addresses::Unknown => None,
    })
}

async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S, mut header: Vec<u8>) -> Result<Option<SocketAddr>, BadHeader> {
    header.resize(V2_HEAD_BYTES, 0);
    stream.read_exact(&mut header[PREFIX_BYTES..]).await?;
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if length > V2_BODY_BYTES_MAX {
        return Err(BadHeader::TooLong(V2_HEAD_BYTES + length));
    }
    header.resize(V2_HEAD_BYTES + length, 0);
    stream.read_exact(&mut header[V2_HEAD_BYTES..]).await?;
    let header = v2::Header::try_from(header.as_slice())?;
    Ok(match (header.command, header.addresses) {
        // The proxy asks for itself, whether we are there.
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => Some((IpAddr::from(ip.source_address), ip.source_port).into()),
        (v2::Command::Proxy, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;
    use proptest::sample::select;
    use tokio::io::ReadBuf;

    use super::*;
    use crate::mqtt::corpus::{mutate, mutations, seeds};

    /// What is read of these bytes, and how many are left.
    fn read(bytes: &[u8]) -> (Result<Option<SocketAddr>, BadHeader>, usize) {
        let mut rest = bytes;
        // A slice is always ready, so nothing waits here.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read_header(&mut rest));
        (read, rest.len())
    }

    /// A stream that gives one byte at a time.
    struct Slow<'b>(&'b [u8]);

    impl AsyncRead for Slow<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some((byte, rest)) = self.0.split_first() {
                buffer.put_slice(&[*byte]);
                self.0 = rest;
            }
            Poll::Ready(Ok(()))
        }
    }

    /// The same, of bytes that come one by one.
    fn read_slowly(bytes: &[u8]) -> (Result<Option<SocketAddr>, BadHeader>, usize) {
        let mut rest = Slow(bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(read_header(&mut rest));
        (read, rest.0.len())
    }

    #[test]
    fn each_seed_says_what_it_is_said_to_say_and_no_byte_more_is_read() {
        for seed in seeds("proxy") {
            let bytes = [&seed.bytes()[..], b"\x10\x0d"].concat();
            match (seed.expected(), read(&bytes)) {
                ("refused", (Err(_), _)) => {}
                ("peer", (Ok(None), 2)) => {}
                (named, (Ok(Some(source)), 2)) if named == source.to_string() => {}
                (expected, read) => panic!("{} is {expected}: {read:?}", seed.name),
            }
        }
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let seeds: Vec<Vec<u8>> = seeds("proxy").iter().map(|seed| seed.bytes()).collect();
        (select(seeds.clone()), mutations()).prop_map(move |(mut bytes, changes)| {
            mutate(&mut bytes, &changes, &seeds);
            bytes
        })
    }

    fn v2(command: v2::Command, addresses: impl Into<v2::Addresses>) -> Vec<u8> {
        v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, addresses).build().unwrap()
    }

    #[test]
    fn who_is_spoken_for_is_found_and_no_byte_more_is_read() {
        let of = |text: &str| text.parse::<SocketAddr>().ok();
        let (four, six) = (of("203.0.113.7:4711"), of("[2001:db8::7]:4711"));
        let gateway = |six: bool| if six { of("[2001:db8::1]:1883") } else { of("192.0.2.1:1883") };
        let v2_of = |source: Option<SocketAddr>, six| v2(v2::Command::Proxy, (source.unwrap(), gateway(six).unwrap()));
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 1883\r\n".to_vec(), four),
            (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 1883\r\n".to_vec(), six),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (v2_of(four, false), four),
            (v2_of(six, true), six),
            (v2(v2::Command::Local, (four.unwrap(), gateway(false).unwrap())), None),
            (v2(v2::Command::Proxy, v2::Addresses::Unspecified), None),
        ] {
            let (source, left) = read(&[header.as_slice(), b"\x10\x0d"].concat());
            assert_eq!((source.unwrap(), left), (expected, 2), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        let (too_long, left) = read(&long);
        assert!(matches!(too_long, Err(BadHeader::TooLong(108))) && left == long.len() - 107);
        let huge = [V2_PREFIX.as_slice(), b"\x21\x11\xff\xff"].concat();
        assert!(matches!(read(&huge).0, Err(BadHeader::TooLong(_))));
        assert!(matches!(read(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a").0, Err(BadHeader::NotAHeader)));
        assert!(matches!(read(b"PROXY TCP4 1.2.3.4 x 1 2\r\n").0, Err(BadHeader::V1(_))));
        assert!(matches!(read(b"PROXY TCP4").0, Err(BadHeader::Io(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn any_bytes_are_read_or_refused(
            prefix in prop::sample::select(vec![&b""[..], V1_PREFIX, V2_PREFIX, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [prefix, &rest].concat();
            let (_, left) = read(&bytes);
            prop_assert!(bytes.len() - left <= V2_HEAD_BYTES + V2_BODY_BYTES_MAX);
        }

        #[test]
        fn a_mutated_seed_is_read_or_refused_however_it_comes(bytes in mutated()) {
            let (at_once, left) = read(&bytes);
            prop_assert!(bytes.len() - left <= V2_HEAD_BYTES + V2_BODY_BYTES_MAX);
            let (slowly, left_slowly) = read_slowly(&bytes);
            prop_assert_eq!(format!("{at_once:?}"), format!("{slowly:?}"));
            prop_assert_eq!(left, left_slowly);
        }
    }
}
