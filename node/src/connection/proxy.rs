//! The PROXY header of a load balancer: the first bytes of a connection, before TLS.

mod header;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::{debug, warn};

use self::header::Start;
use crate::{
    config::ProxyProtocol,
    handle::{Peer, Rooms},
    telemetry::chain,
};

/// Bytes read in one call; a header is seldom longer.
const READ: usize = 512;

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
        match header::look(input) {
            Start::Other if mode == ProxyProtocol::Auto => return Some(()),
            Start::Other => break,
            Start::Unfinished => {}
            Start::Header { source, length } => {
                if source.is_some() {
                    *peer = Peer::new(peer.listener, source);
                }
                input.advance(length);
                return Some(());
            }
            Start::Broken(error) => {
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
    if header::is_header(first) && rooms.config.listener.proxy_protocol == ProxyProtocol::Off {
        "; if a load balancer sends PROXY headers, set listener.proxy_protocol to on or auto"
    } else {
        ""
    }
}
