//! The HTTP request that opens a WebSocket (RFC 6455, section 4.2).
//!
//! Whoever asks for something else is told in HTTP what would be right.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::{Buf, BytesMut};
use httparse::{Request, Status};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::config::Listener;

/// Longest request that is read, in bytes.
const MOST_BYTES: usize = 16 * 1024;
/// Most header lines in it.
const MOST_HEADERS: usize = 64;
/// Bytes read in one call; most requests are shorter.
const READ: usize = 1024;
/// Section 1.3.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocols of MQTT, the better first [MQTT-6.0.0-3]: the second one is asked for by old
/// clients of MQTT 3.1.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub(in crate::connection) enum HandshakeError {
    /// Closed before the request was complete. Nobody is told.
    #[error("closed before the request was complete")]
    Closed,
    /// The request was answered with an error.
    #[error("HTTP request refused with {status}: {text}")]
    Refused {
        /// Its status line.
        status: &'static str,
        /// What the client is told.
        text: String,
    },
}

impl HandshakeError {
    /// A label for metrics.
    pub(in crate::connection) const fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Refused { .. } => "http",
        }
    }
}

/// An answer that is no WebSocket.
struct Refusal {
    status: &'static str,
    /// Further header lines.
    headers: &'static str,
    text: String,
}

impl Refusal {
    fn new(status: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: "",
            text: text.into(),
        }
    }
}

/// Reads the request and answers it. What follows it stays in `input`.
///
/// # Errors
///
/// [`HandshakeError`]; the client has been told.
pub(in crate::connection) async fn accept<S>(
    stream: &mut S,
    input: &mut BytesMut,
    settings: &Listener,
) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = loop {
        if !input.is_empty() {
            match answer(input, settings) {
                Ok(Some((answer, length))) => {
                    input.advance(length);
                    break answer;
                }
                Ok(None) => {}
                Err(refusal) => return Err(refuse(stream, refusal).await),
            }
        }
        input.reserve(READ);
        match stream.read_buf(input).await {
            Ok(0) | Err(_) => return Err(HandshakeError::Closed),
            Ok(_) => {}
        }
    };
    let written = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await
    };
    written.await.map_err(|_| HandshakeError::Closed)
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, refusal: Refusal) -> HandshakeError {
    let Refusal {
        status,
        headers,
        text,
    } = refusal;
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    // The connection ends whether this succeeds or not.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    HandshakeError::Refused { status, text }
}

/// The answer to a good request and how long that was; nothing if it is not complete.
fn answer(input: &[u8], settings: &Listener) -> Result<Option<(String, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(input) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if input.len() < MOST_BYTES => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::new(
                "431 Request Header Fields Too Large",
                format!("at most {MOST_HEADERS} header lines and {MOST_BYTES} bytes"),
            ));
        }
        Err(error) => {
            return Err(Refusal::new(
                "400 Bad Request",
                format!("this is no HTTP: {error}{}", mistaken_for(input)),
            ));
        }
    };
    let (key, subprotocol) = check(&request, settings)?;
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(MAGIC);
    let accept = BASE64.encode(digest.finish());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
    );
    Ok(Some((answer, length)))
}

/// What somebody may have meant who does not speak HTTP.
fn mistaken_for(input: &[u8]) -> &'static str {
    match input.first() {
        Some(0x10) => "; MQTT without WebSocket goes to listener.tcp or listener.tls",
        Some(0x16) => "; TLS goes to listener.wss",
        _ => "",
    }
}

/// The key and the subprotocol of a request for a WebSocket.
fn check<'a>(
    request: &Request<'a, 'a>,
    settings: &Listener,
) -> Result<(&'a str, &'static str), Refusal> {
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    if path != settings.ws_path {
        return Err(Refusal::new(
            "404 Not Found",
            format!("MQTT over WebSocket is at {}", settings.ws_path),
        ));
    }
    if request.method != Some("GET") || request.version != Some(1) {
        let mut refusal = Refusal::new(
            "405 Method Not Allowed",
            "a WebSocket is opened by GET of HTTP/1.1",
        );
        refusal.headers = "Allow: GET\r\n";
        return Err(refusal);
    }
    let is_upgrade =
        has_token(request, "upgrade", "websocket") && has_token(request, "connection", "upgrade");
    let version = value(request, "sec-websocket-version");
    if !is_upgrade || version != Some("13") {
        let mut refusal = Refusal::new(
            "426 Upgrade Required",
            "this is MQTT over WebSocket, version 13: connect with an MQTT client",
        );
        refusal.headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return Err(refusal);
    }
    let key = value(request, "sec-websocket-key")
        .filter(|key| BASE64.decode(key).is_ok_and(|key| key.len() == 16))
        .ok_or_else(|| {
            Refusal::new(
                "400 Bad Request",
                "Sec-WebSocket-Key is missing, or is not 16 bytes in base64",
            )
        })?;
    check_origin(request, settings)?;
    let subprotocol = SUBPROTOCOLS
        .into_iter()
        .find(|name| has_token(request, "sec-websocket-protocol", name))
        .ok_or_else(|| {
            // [MQTT-6.0.0-3]
            Refusal::new(
                "400 Bad Request",
                "Sec-WebSocket-Protocol does not offer mqtt",
            )
        })?;
    Ok((key, subprotocol))
}

/// Browsers say whose page asks; other clients say nothing.
fn check_origin<'a>(request: &Request<'a, 'a>, settings: &Listener) -> Result<(), Refusal> {
    let Some(origin) = value(request, "origin") else {
        return Ok(());
    };
    let mut allowed = settings.ws_origins.split(',').map(str::trim).peekable();
    let is_allowed = settings.ws_origins.trim().is_empty()
        || allowed.any(|allowed| allowed.eq_ignore_ascii_case(origin));
    if is_allowed {
        Ok(())
    } else {
        Err(Refusal::new(
            "403 Forbidden",
            "pages of this origin may not connect (listener.ws_origins)",
        ))
    }
}

/// The only value of a header, trimmed.
fn value<'a>(request: &Request<'_, 'a>, name: &str) -> Option<&'a str> {
    let header = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(str::trim)
}

/// Whether one of the values of a header, in any of its lines, is `token`.
fn has_token(request: &Request<'_, '_>, name: &str, token: &str) -> bool {
    request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}
