//! What the first bytes of a connection say. Decides nothing; has a fuzz target.

use std::net::SocketAddr;

use proxy_header::{Error, ParseConfig, ProxyHeader};

/// How each version starts.
const SIGNATURES: [&[u8]; 2] = [b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n"];
/// The longest header of version 1, its end included.
const MOST_BYTES_1: usize = 107;
/// What a load balancer adds to a header, such as a certificate that it has seen, is passed over.
const PARSE: ParseConfig = ParseConfig {
    include_tlvs: false,
    allow_v1: true,
    allow_v2: true,
};

/// What the first bytes of a connection are.
#[derive(Debug)]
pub(super) enum Start {
    /// Something else: neither MQTT nor TLS starts like a header.
    Other,
    /// A header or the start of something else, as far as it has come.
    Unfinished,
    /// A header of so many bytes, with the address of the client if it tells one.
    Header {
        /// The client.
        source: Option<SocketAddr>,
        /// Bytes.
        length: usize,
    },
    /// It started like a header.
    Broken(Error),
}

/// Looks at the first bytes of a connection; the answer does not depend on how they came.
pub(super) fn look(input: &[u8]) -> Start {
    let is_like = |signature: &[u8]| {
        let length = signature.len().min(input.len());
        signature.get(..length) == input.get(..length)
    };
    // HTTP may start with the same letter as version 1.
    if !SIGNATURES.into_iter().any(is_like) {
        return Start::Other;
    }
    match ProxyHeader::parse(input, PARSE) {
        // It is measured by the package only while it waits for more.
        Ok((_, length)) if input.first() == Some(&b'P') && length > MOST_BYTES_1 => {
            Start::Broken(Error::Invalid)
        }
        Ok((header, length)) => Start::Header {
            source: header.proxied_address().map(|address| address.source),
            length,
        },
        Err(Error::BufferTooShort) => Start::Unfinished,
        Err(error) => Start::Broken(error),
    }
}

/// Whether bytes start like a header, for a hint.
pub(super) fn is_header(first: &[u8]) -> bool {
    SIGNATURES
        .iter()
        .any(|signature| first.starts_with(signature.get(..5).unwrap_or_default()))
}
