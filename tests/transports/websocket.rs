//! MQTT over WebSocket (MQTT 5 section 6, RFC 6455).

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use harness::TestNode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{CONNACK, CONNECT};

const SETTINGS: &[&str] = &["listener.ws=127.0.0.1:0", "log.level=debug"];

async fn start() -> (TestNode, SocketAddr) {
    let node = TestNode::start_with(SETTINGS).await;
    let address = node.listener("ws").await;
    (node, address)
}

type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket; the subprotocol that the server has chosen.
async fn open(address: SocketAddr, subprotocols: &str) -> Result<(Socket, String), Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = format!("ws://{address}/mqtt").into_client_request()?;
    let headers = request.headers_mut();
    if !subprotocols.is_empty() {
        headers.insert("Sec-WebSocket-Protocol", subprotocols.parse().unwrap());
    }
    let (socket, response) = client_async(request, stream).await?;
    let chosen = response.headers()["Sec-WebSocket-Protocol"]
        .to_str()
        .unwrap()
        .to_owned();
    Ok((socket, chosen))
}

async fn socket(address: SocketAddr) -> Socket {
    open(address, "mqtt").await.unwrap().0
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    let message = tokio::time::timeout(harness::LIMIT, socket.next()).await;
    message.expect("nothing comes")
}

/// The next bytes of MQTT.
async fn bytes(socket: &mut Socket) -> Vec<u8> {
    match next(socket).await {
        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

async fn send(socket: &mut Socket, bytes: &[u8]) {
    socket
        .send(Message::Binary(bytes.to_vec().into()))
        .await
        .unwrap();
}

/// The close code at the end of the connection.
async fn close_code(socket: &mut Socket) -> Option<CloseCode> {
    loop {
        match next(socket).await {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

/// [MQTT-6.0.0-3] [MQTT-6.0.0-4] The server chooses `mqtt`, or `mqttv3.1` if that is all there is.
/// [MQTT3-6.0.0-3] [MQTT3-6.0.0-4]
#[tokio::test]
async fn the_subprotocol_is_mqtt() {
    let (_node, address) = start().await;
    for (offered, chosen) in [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqtt"),
        ("chat, mqtt", "mqtt"),
    ] {
        let (mut socket, answer) = open(address, offered).await.unwrap();
        assert_eq!(answer, chosen);
        send(&mut socket, CONNECT).await;
        assert_eq!(bytes(&mut socket).await, CONNACK);
    }
    for offered in ["", "chat", "mqtt5"] {
        match open(address, offered).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400),
            other => panic!("{offered:?}: {other:?}"),
        }
    }
}

/// [MQTT-6.0.0-1] Anything but binary frames ends the connection.
/// [MQTT3-6.0.0-1]
#[tokio::test]
async fn a_text_frame_closes_the_connection() {
    let (mut node, address) = start().await;
    for is_connected in [false, true] {
        let mut socket = socket(address).await;
        if is_connected {
            send(&mut socket, CONNECT).await;
            bytes(&mut socket).await;
        }
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(close_code(&mut socket).await, Some(CloseCode::Unsupported));
    }
    node.logs(&["WARN", "binary frames"]).await;
    node.assert_healthy();
}

/// PUBLISH to `t` with packet identifier 1, QoS 1.
fn publish(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x32];
    let mut rest = 5 + payload.len();
    loop {
        let digit = u8::try_from(rest % 128).unwrap();
        rest /= 128;
        packet.push(if rest > 0 { digit | 0x80 } else { digit });
        if rest == 0 {
            break;
        }
    }
    packet.extend(b"\0\x01t\0\x01");
    packet.extend(payload);
    packet
}

const SUBSCRIBE: &[u8] = b"\x82\x06\0\x01\0\x01t\0";
const SUBACK: &[u8] = b"\x90\x03\0\x01\0";
const PINGREQ: &[u8] = b"\xc0\0";
const PINGRESP: &[u8] = b"\xd0\0";

/// [MQTT-6.0.0-2] Packets and frames have nothing to do with each other.
/// [MQTT3-6.0.0-2]
#[tokio::test]
async fn packets_may_span_frames_and_share_them() {
    let (_node, address) = start().await;
    // Several packets in one frame, the first of them CONNECT.
    let mut socket = socket(address).await;
    send(&mut socket, &[CONNECT, SUBSCRIBE, PINGREQ].concat()).await;
    let mut answer = Vec::new();
    while answer.len() < 11 {
        answer.extend(bytes(&mut socket).await);
    }
    assert_eq!(answer, [&CONNACK, SUBACK, PINGRESP].concat());
    // One packet in many frames, an empty one and a ping among them.
    for byte in PINGREQ {
        send(&mut socket, b"").await;
        socket
            .send(Message::Ping(b"are you there".to_vec().into()))
            .await
            .unwrap();
        send(&mut socket, &[*byte]).await;
    }
    let mut pongs = 0;
    loop {
        match next(&mut socket).await {
            Some(Ok(Message::Pong(payload))) => {
                assert_eq!(payload, b"are you there".as_slice());
                pongs += 1;
            }
            Some(Ok(Message::Binary(bytes))) => {
                assert_eq!(bytes, PINGRESP);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pongs > 0, "no pong");
    // Half of one packet with the end of another.
    let two = [publish(b"first"), publish(b"second")].concat();
    let (left, right) = two.split_at(9);
    send(&mut socket, left).await;
    send(&mut socket, right).await;
    let mut answer = Vec::new();
    while answer.len() < 10 + 8 + 9 {
        answer.extend(bytes(&mut socket).await);
    }
    let count = |part: &[u8]| {
        answer
            .windows(part.len())
            .filter(|window| *window == part)
            .count()
    };
    assert_eq!(count(b"\x40\x02\0\x01"), 2, "{answer:?}");
    assert_eq!((count(b"first"), count(b"second")), (1, 1), "{answer:?}");
}

/// A large message comes back whole, in frames that are not large.
#[tokio::test]
async fn a_large_message_comes_back_in_several_frames() {
    let (_node, address) = start().await;
    let mut socket = socket(address).await;
    send(&mut socket, &[CONNECT, SUBSCRIBE].concat()).await;
    let payload: Vec<u8> = (0..3_000_000_u32)
        .map(|n| n.to_le_bytes()[0] ^ 0x5a)
        .collect();
    let packet = publish(&payload);
    // In frames of odd sizes, and not read before all is sent.
    for piece in packet.chunks(70_001) {
        send(&mut socket, piece).await;
    }
    let mut all = Vec::new();
    let mut largest = 0;
    while all.len() < 4 + 5 + 4 + payload.len() + 8 {
        let piece = bytes(&mut socket).await;
        largest = largest.max(piece.len());
        all.extend(piece);
    }
    assert!(all.windows(payload.len()).any(|window| window == payload));
    assert!(largest <= 65_536, "a frame of {largest} bytes");
}

/// RFC 6455, section 5.5.1: a close frame is answered with one, after what was said before it.
#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    let (mut node, address) = start().await;
    for code in [CloseCode::Normal, CloseCode::Away] {
        let mut socket = socket(address).await;
        send(&mut socket, CONNECT).await;
        assert_eq!(bytes(&mut socket).await, CONNACK);
        let reason = "good bye".into();
        socket
            .send(Message::Close(Some(CloseFrame { code, reason })))
            .await
            .unwrap();
        assert_eq!(close_code(&mut socket).await, Some(code));
    }
    node.assert_healthy();
}

/// MQTT's own goodbye ends the WebSocket in order, too.
#[tokio::test]
async fn after_disconnect_the_server_closes_the_websocket() {
    let (_node, address) = start().await;
    let mut socket = socket(address).await;
    send(&mut socket, &[CONNECT, b"\xe0\0"].concat()).await;
    assert_eq!(bytes(&mut socket).await, CONNACK);
    assert_eq!(close_code(&mut socket).await, Some(CloseCode::Normal));
}

/// A connection that ends without either is the end of the client: its will is published.
#[tokio::test]
async fn a_lost_websocket_publishes_the_will() {
    let (node, address) = start().await;
    let mut watcher = node.client("watcher").await;
    watcher.subscribe("will", mqtt::Qos::AtMostOnce).await;
    let mut socket = socket(address).await;
    let connect = b"\x10\x18\x00\x04MQTT\x04\x06\x00\x3c\x00\x01x\x00\x04will\x00\x03end";
    send(&mut socket, connect).await;
    assert_eq!(bytes(&mut socket).await, CONNACK);
    drop(socket);
    assert_eq!(watcher.recv_texts(1).await, ["end"]);
}

/// What RFC 6455 forbids a client, byte for byte, and the close code for it.
#[tokio::test]
async fn broken_frames_are_refused() {
    let (mut node, address) = start().await;
    let mask = [0; 4];
    let masked = |start: &[u8], rest: &[u8]| [start, &mask, rest].concat();
    let fragment = masked(b"\x02\x81", b"\x10");
    let cases: [(&str, Vec<u8>); 10] = [
        ("not masked", b"\x82\x01\x10".to_vec()),
        ("reserved bit", masked(b"\xc2\x81", b"\x10")),
        ("unknown opcode", masked(b"\x83\x81", b"\x10")),
        ("unknown control opcode", masked(b"\x8b\x80", b"")),
        ("fragmented ping", masked(b"\x09\x80", b"")),
        ("long ping", masked(b"\x89\xfe\x00\x7e", &[0; 126])),
        ("nothing to continue", masked(b"\x80\x81", b"\x10")),
        (
            "message in a message",
            [fragment.clone(), fragment].concat(),
        ),
        (
            "length too long for itself",
            masked(b"\x82\xfe\x00\x01", b"\x10"),
        ),
        (
            "negative length",
            masked(b"\x82\xff\x80\0\0\0\0\0\0\0", b""),
        ),
    ];
    for (name, frame) in cases {
        let mut socket = socket(address).await;
        socket.get_mut().write_all(&frame).await.unwrap();
        let code = close_code(&mut socket).await;
        assert_eq!(code, Some(CloseCode::Protocol), "{name}");
    }
    // A frame that claims to be endless is only as long as its MQTT.
    let mut socket = socket(address).await;
    let endless = masked(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", CONNECT);
    socket.get_mut().write_all(&endless).await.unwrap();
    assert_eq!(bytes(&mut socket).await, CONNACK);
    drop(socket);
    let broken = node
        .metrics()
        .await
        .sum("causeway_packets_malformed_total", &["websocket"]);
    assert!((broken - 10.0).abs() < 0.5, "{broken} were counted");
    node.assert_healthy();
}

/// Answers to pings that nobody reads are not collected.
#[tokio::test]
async fn a_flood_of_pings_costs_no_memory() {
    let (mut node, address) = start().await;
    let mut socket = socket(address).await;
    send(&mut socket, CONNECT).await;
    assert_eq!(bytes(&mut socket).await, CONNACK);
    let ping = [&b"\x89\xfd\0\0\0\0"[..], &[7; 125]].concat();
    let flood = ping.repeat(1000);
    let memory = node.resident_bytes();
    // Until the socket takes no more, or 20 MB have gone.
    for _ in 0..160 {
        let written = socket.get_mut().write_all(&flood);
        if tokio::time::timeout(harness::SILENCE, written)
            .await
            .is_err()
        {
            break;
        }
    }
    let grown = node.resident_bytes().saturating_sub(memory);
    assert!(grown < 8_000_000, "{grown} bytes more");
    node.client("another").await.ping().await;
    node.assert_healthy();
}

/// Sends a request as it stands; the answer.
async fn request(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let ended = tokio::time::timeout(harness::LIMIT, read).await;
    let _ = ended.expect("the server does not close");
    String::from_utf8(answer).unwrap()
}

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const PROTOCOL: &str = "Sec-WebSocket-Protocol: mqtt\r\n";

/// Whoever asks for something else is told what would be right.
#[tokio::test]
async fn http_errors_help() {
    let (mut node, address) = start().await;
    let good = format!("Host: x\r\n{UPGRADE}{KEY}{PROTOCOL}\r\n");
    let other_version = good.replace("Version: 13", "Version: 8");
    let many = "X: y\r\n".repeat(100);
    let long = "y".repeat(20_000);
    let cases = [
        (format!("GET / HTTP/1.1\r\n{good}"), "404 ", "at /mqtt"),
        (format!("GET /mqtt2 HTTP/1.1\r\n{good}"), "404 ", "at /mqtt"),
        (
            "GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            "426 ",
            "Upgrade: websocket",
        ),
        (
            format!("GET /mqtt HTTP/1.1\r\n{other_version}"),
            "426 ",
            "Sec-WebSocket-Version: 13",
        ),
        (
            format!("POST /mqtt HTTP/1.1\r\n{good}"),
            "405 ",
            "Allow: GET",
        ),
        (format!("GET /mqtt HTTP/1.0\r\n{good}"), "405 ", "HTTP/1.1"),
        (
            format!("GET /mqtt HTTP/1.1\r\n{UPGRADE}{KEY}\r\n"),
            "400 ",
            "does not offer mqtt",
        ),
        (
            format!("GET /mqtt HTTP/1.1\r\n{}", good.replace("dGhl", "")),
            "400 ",
            "Sec-WebSocket-Key",
        ),
        (
            format!("GET /mqtt HTTP/1.1\r\n{many}{good}"),
            "431 ",
            "64 header lines",
        ),
        (
            format!("GET /mqtt HTTP/1.1\r\nX: {long}\r\n{good}"),
            "431 ",
            "16384 bytes",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400 ", "no HTTP"),
        (
            String::from_utf8(CONNECT.to_vec()).unwrap(),
            "400 ",
            "listener.tcp",
        ),
    ];
    for (text, status, words) in cases {
        let answer = request(address, &text).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{text}\n{answer}"
        );
        assert!(answer.contains(words), "no {words:?} in {answer}");
        node.logs(&["WARN", "no WebSocket", status.trim()]).await;
    }
    // A query is no other path. The key and its answer are the example of RFC 6455.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("GET /mqtt?token=1 HTTP/1.1\r\n{good}");
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = vec![0; 512];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    node.assert_healthy();
}

#[tokio::test]
async fn origins_and_the_path_can_be_set() {
    let mut settings = SETTINGS.to_vec();
    settings.extend([
        "listener.ws_path=/things/mqtt",
        "listener.ws_origins=https://example.com, http://localhost:3000",
    ]);
    let node = TestNode::start_with(&settings).await;
    let address = node.listener("ws").await;
    for (path, origin, status) in [
        ("/mqtt", "", 404),
        ("/things/mqtt", "", 101),
        ("/things/mqtt", "https://example.com", 101),
        ("/things/mqtt", "http://localhost:3000", 101),
        ("/things/mqtt", "https://example.com.evil.test", 403),
        ("/things/mqtt", "null", 403),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
        if !origin.is_empty() {
            headers.insert("Origin", origin.parse().unwrap());
        }
        let got = match client_async(request, stream).await {
            Ok((_, response)) => response.status().as_u16(),
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(got, status, "{path} {origin}");
    }
}
