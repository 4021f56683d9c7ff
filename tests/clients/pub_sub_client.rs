//! A client like PubSubClient for Arduino: MQTT 3.1.1, one buffer of 256 bytes for everything in
//! both directions, read byte by byte; larger packets are read past and forgotten.

use harness::Cluster;
use mqtt::Qos;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const BUFFER_BYTES: usize = 256;
const HEADER_BYTES: usize = 5;

struct PubSubClient {
    stream: TcpStream,
    buffer: [u8; BUFFER_BYTES],
    next_packet_id: u16,
}

impl PubSubClient {
    /// `connect(id, user, password, willTopic, willQos, willRetain, willMessage)`
    async fn connect(address: std::net::SocketAddr, id: &str, will: Option<(&str, &str)>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Self {
            stream,
            buffer: [0; BUFFER_BYTES],
            next_packet_id: 1,
        };
        let mut length = HEADER_BYTES;
        let flags = if will.is_some() { 0xc6 } else { 0xc2 };
        for byte in [0, 4, b'M', b'Q', b'T', b'T', 4, flags, 0, 15] {
            client.buffer[length] = byte;
            length += 1;
        }
        length = client.write_string(id, length);
        if let Some((topic, message)) = will {
            length = client.write_string(topic, length);
            length = client.write_string(message, length);
        }
        length = client.write_string("user", length);
        length = client.write_string("password", length);
        client.write(0x10, length - HEADER_BYTES).await;
        let (length, start) = client.read_packet().await;
        assert_eq!((length, start), (4, 1));
        assert_eq!(client.buffer[..4], [0x20, 2, 0, 0]);
        client
    }

    fn write_string(&mut self, text: &str, at: usize) -> usize {
        let mut position = at + 2;
        for byte in text.bytes() {
            self.buffer[position] = byte;
            position += 1;
        }
        let length = u16::try_from(position - at - 2).unwrap().to_be_bytes();
        self.buffer[at..at + 2].copy_from_slice(&length);
        position
    }

    /// Puts the fixed header right before the body, which starts at 5.
    async fn write(&mut self, header: u8, length: usize) {
        let mut digits = Vec::new();
        let mut rest = length;
        loop {
            let byte = u8::try_from(rest % 128).unwrap();
            rest /= 128;
            digits.push(if rest > 0 { byte | 0x80 } else { byte });
            if rest == 0 {
                break;
            }
        }
        let start = HEADER_BYTES - 1 - digits.len();
        self.buffer[start] = header;
        self.buffer[start + 1..HEADER_BYTES].copy_from_slice(&digits);
        self.stream
            .write_all(&self.buffer[start..HEADER_BYTES + length])
            .await
            .unwrap();
    }

    async fn read_byte(&mut self) -> u8 {
        timeout(harness::LIMIT, self.stream.read_u8())
            .await
            .expect("no byte came")
            .unwrap()
    }

    /// One packet: how many bytes of it are in the buffer (0 if it did not fit) and how many bytes
    /// its length took.
    async fn read_packet(&mut self) -> (usize, usize) {
        let mut length = 0;
        let header = self.read_byte().await;
        self.buffer[length] = header;
        length += 1;
        let (mut remaining, mut multiplier, mut digits) = (0_usize, 1_usize, 0);
        loop {
            assert!(digits < 4, "a remaining length that is too long");
            let digit = self.read_byte().await;
            self.buffer[length] = digit;
            length += 1;
            digits += 1;
            remaining += usize::from(digit & 127) * multiplier;
            multiplier <<= 7;
            if digit & 128 == 0 {
                break;
            }
        }
        for _ in 0..remaining {
            let digit = self.read_byte().await;
            if length < BUFFER_BYTES {
                self.buffer[length] = digit;
            }
            length += 1;
        }
        (if length > BUFFER_BYTES { 0 } else { length }, digits)
    }

    async fn publish(&mut self, topic: &str, payload: &str, retained: bool) {
        assert!(2 + topic.len() + payload.len() + HEADER_BYTES <= BUFFER_BYTES);
        let mut length = self.write_string(topic, HEADER_BYTES);
        for byte in payload.bytes() {
            self.buffer[length] = byte;
            length += 1;
        }
        self.write(if retained { 0x31 } else { 0x30 }, length - HEADER_BYTES)
            .await;
    }

    async fn subscribe(&mut self, topic: &str, qos: u8) {
        self.next_packet_id += 1;
        let packet_id = self.next_packet_id.to_be_bytes();
        self.buffer[HEADER_BYTES..HEADER_BYTES + 2].copy_from_slice(&packet_id);
        let mut length = self.write_string(topic, HEADER_BYTES + 2);
        self.buffer[length] = qos;
        length += 1;
        self.write(0x82, length - HEADER_BYTES).await;
    }

    /// `loop()`: handles one packet; a message for the callback, if it was one that fits.
    async fn turn(&mut self) -> Option<(String, String)> {
        let (length, digits) = self.read_packet().await;
        if length == 0 {
            return None;
        }
        match self.buffer[0] & 0xf0 {
            0x30 => {
                let at = 1 + digits;
                let topic_length =
                    usize::from(u16::from_be_bytes([self.buffer[at], self.buffer[at + 1]]));
                let topic = &self.buffer[at + 2..at + 2 + topic_length];
                let topic = String::from_utf8_lossy(topic).into_owned();
                let mut payload = at + 2 + topic_length;
                if self.buffer[0] & 0x06 == 0x02 {
                    let acknowledgement = [0x40, 2, self.buffer[payload], self.buffer[payload + 1]];
                    payload += 2;
                    self.stream.write_all(&acknowledgement).await.unwrap();
                }
                let text = String::from_utf8_lossy(&self.buffer[payload..length]).into_owned();
                Some((topic, text))
            }
            0xc0 => {
                self.stream.write_all(&[0xd0, 0]).await.unwrap();
                None
            }
            0x90 | 0xd0 => None,
            other => panic!("PubSubClient does not know packet {other:02x}"),
        }
    }

    async fn message(&mut self) -> (String, String) {
        loop {
            if let Some(message) = self.turn().await {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn a_client_with_a_256_byte_buffer_works() {
    let cluster = Cluster::start(2).await;
    let mut watcher = cluster.client(1, "watcher").await;
    watcher.subscribe("out/#", Qos::AtLeastOnce).await;
    let will = Some(("out/will", "gone"));
    let mut device = PubSubClient::connect(cluster.nodes[0].tcp(), "arduino", will).await;

    device.publish("out/hello", "hello world", false).await;
    assert_eq!(watcher.recv_texts(1).await, ["hello world"]);
    device.publish("out/state", &"x".repeat(230), true).await;
    assert_eq!(watcher.recv().await.message.payload.len(), 230);

    device.subscribe("in/#", 1).await;
    assert_eq!(device.turn().await, None); // SUBACK
    for round in 0..20 {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let text = format!("{round} {qos:?}");
            watcher.publish("in/topic", text.clone(), qos).await;
            assert_eq!(device.message().await, ("in/topic".to_owned(), text));
        }
        // Too large for its buffer: it reads past it, and must be able to go on. (A QoS 1 message
        // of that size would stay unacknowledged for ever, as with the real one.)
        watcher
            .publish("in/large", "y".repeat(300), Qos::AtMostOnce)
            .await;
    }
    device.stream.write_all(&[0xc0, 0]).await.unwrap();
    loop {
        let (length, _) = device.read_packet().await;
        if length == 2 && device.buffer[0] == 0xd0 {
            break;
        }
    }
    drop(device);
    assert_eq!(watcher.recv_texts(1).await, ["gone"]);
}
