//! The PROXY header of a load balancer: the first bytes of a connection, before TLS.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::{debug, warn};

use crate::{
    config::ProxyProtocol,
    handle::{Peer, Rooms},
    telemetry::chain,
};

/// How each version starts.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
/// Bytes read in one call; a header is seldom longer.
const READ: usize = 512;
/// What a load balancer adds to a header, such as a certificate that it has seen, is passed over.
const PARSE: ParseConfig = ParseConfig {
    include_tlvs: false,
    allow_v1: true,
    allow_v2: true,
};

/// Puts the address of the client, as the load balancer tells it, into `peer`. What follows the
/// header stays in `input`. Nothing if the connection is over.
pub(super) async fn read_header<S>(
    stream: &mut S,
    input: &mut BytesMut,
    peer: &mut Peer,
    rooms: &Rooms,
) -> Option<()>
where
    S: AsyncRead + Unpin,
{
    let mode = rooms.config.listener.proxy_protocol;
    if mode == ProxyProtocol::Off {
        return Some(());
    }
    loop {
        input.reserve(READ);
        if stream.read_buf(input).await.ok()? == 0 {
            return None;
        }
        // Neither MQTT nor TLS starts like a header; HTTP may with its first letter.
        let may_be_header = SIGNATURES.iter().any(|signature| {
            let length = signature.len().min(input.len());
            signature.get(..length) == input.get(..length)
        });
        if !may_be_header {
            if mode == ProxyProtocol::Auto {
                return Some(());
            }
            break;
        }
        match ProxyHeader::parse(input, PARSE) {
            Ok((header, length)) => {
                if let Some(address) = header.proxied_address() {
                    let source: SocketAddr = address.source;
                    *peer = Peer::new(peer.listener, Some(source));
                }
                input.advance(length);
                return Some(());
            }
            Err(proxy_header::Error::BufferTooShort) => {}
            Err(error) => {
                debug!(%peer, error = %chain(&error), "broken PROXY header");
                break;
            }
        }
    }
    rooms.metrics.proxy_error();
    warn!(
        %peer,
        listener = peer.listener.label(),
        "no PROXY header: switch it on in the load balancer, or set listener.proxy_protocol to off or auto"
    );
    None
}

/// What may be wrong if a connection starts with these bytes and no header is expected.
pub(super) fn hint(first: &[u8], rooms: &Rooms) -> &'static str {
    let is_header = SIGNATURES
        .iter()
        .any(|signature| first.starts_with(signature.get(..5).unwrap_or_default()));
    if is_header && rooms.config.listener.proxy_protocol == ProxyProtocol::Off {
        "; if a load balancer sends PROXY headers, set listener.proxy_protocol to on or auto"
    } else {
        ""
    }
}
