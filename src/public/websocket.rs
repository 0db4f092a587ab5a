//! `GET /mqtt`: MQTT in a WebSocket (RFC 6455), for browsers and for networks that let nothing else through.
//!
//! The stream goes to `edge`, which knows no difference; here it is only made of frames. A packet may span frames, and a frame may
//! hold several [MQTT-6.0.0-2].

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::edge::{Entrance, TurnedAway};
use crate::http::Peer;

/// The subprotocol's name [MQTT-6.0.0-3].
const SUBPROTOCOL: &str = "mqtt";

/// What a frame and a message may have beyond the largest packet: a client gathers several.
const GATHERED_BYTES: usize = 64 * 1024;

/// The most bytes of one frame to a client; a packet may span frames.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// What is written before it has to leave.
const WRITE_BYTES: usize = 128 * 1024;

/// What may lie here for a client that does not read: what is written, one frame more, and the pongs that it asked for. Without a
/// bound it could have pongs pile up by pinging alone; beyond it the last pong takes the place of those before (RFC 6455 section
/// 5.5.3).
const WRITE_BYTES_MAX: usize = WRITE_BYTES + 2 * FRAME_BYTES_MAX;

/// Takes a client on, if it asks for MQTT and there is a place.
pub(super) async fn upgrade(
    State(entrance): State<Entrance>,
    Extension(Peer(peer)): Extension<Peer>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let bytes_max = entrance.packet_bytes_max() as usize + GATHERED_BYTES;
    let upgrade = upgrade.protocols([SUBPROTOCOL]).max_message_size(bytes_max).max_frame_size(bytes_max);
    let upgrade = upgrade.write_buffer_size(WRITE_BYTES).max_write_buffer_size(WRITE_BYTES_MAX);
    if upgrade.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "the subprotocol of this address is mqtt\n").into_response();
    }
    let place = match entrance.reserve(peer) {
        Ok(place) => place,
        Err(TurnedAway::Full) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "as many clients are connected as may be\n").into_response();
        }
        Err(TurnedAway::AddressFull | TurnedAway::AddressRate) => {
            return (StatusCode::TOO_MANY_REQUESTS, "too many clients connect from this address\n").into_response();
        }
    };
    upgrade.on_upgrade(async move |socket| place.serve(Frames { socket, received: Bytes::new() }, peer))
}

/// A WebSocket as a stream of bytes.
struct Frames {
    socket: WebSocket,
    /// What of the last frame is not read yet.
    received: Bytes,
}

impl AsyncRead for Frames {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                // [MQTT-6.0.0-1]
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(ErrorKind::InvalidData.into())),
                // Answered below, by the crate.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Frames {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
        let frame = &bytes[..bytes.len().min(FRAME_BYTES_MAX)];
        socket.start_send(Message::Binary(Bytes::copy_from_slice(frame))).map_err(io::Error::other)?;
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(io::Error::other)
    }
}
