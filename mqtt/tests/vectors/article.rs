//! The two packets of an article on connecting a small device by AT commands, byte by byte
//! as it prints them.
//!
//! The PUBLISH is complete. The CONNECT is printed from its Remaining Length (`0x74`, "data
//! length") on: the first byte of the fixed header, `0x10`, must be put in front of it, and
//! nothing else. Its connect flags `0xC0` are user name and password without Clean Session,
//! which is legal because the client has a name.

use bytes::BytesMut;
use mqtt::{Connect, ConnectProperties, Message, Packet, Publish, ReasonCode, Side};

use crate::*;

const CONNECT: &str = "
    74 00 04 4d 51 54 54 04 C0 0078 0033 61 62 63 7c 73 65 63 75 72 65 6d 6f 64 65 3d 33 2c 73 69
    67 6e 6d 65 74 68 6f 64 3d 68 6d 61 63 73 68 61 31 2c 74 69 6d 65 73 74 61 6d 70 3d 31 32 30
    7c 0009 35 36 37 38 26 31 32 33 34 0028 32 32 32 37 35 30 44 45 44 46 45 34 46 37 37 34 30 30
    32 45 45 38 37 45 45 44 32 39 43 46 44 30 36 33 38 43 35 46 36 36";

const PUBLISH: &str = "
    30 1D 0009 2f7379732f706f7374 7b 70 61 72 61 6d 73 3a 7b 74 65 6d 70 3a 31 30 7d 7d";

fn connect_bytes() -> Vec<u8> {
    [&[0x10], &notation::bytes(CONNECT)[..]].concat()
}

fn connect() -> Packet {
    Packet::Connect(Box::new(Connect {
        version: V4,
        client_id: s("abc|securemode=3,signmethod=hmacsha1,timestamp=120|"),
        clean_start: false,
        keep_alive: 120,
        username: Some(s("5678&1234")),
        password: Some(blob(b"222750DEDFE4F774002EE87EED29CFD0638C5F66")),
        will: None,
        properties: ConnectProperties::default(),
    }))
}

fn publish() -> Packet {
    let message = Message {
        topic_name: name("/sys/post"),
        payload: blob(b"{params:{temp:10}}"),
        ..Message::default()
    };
    Packet::Publish(Publish {
        message,
        ..Publish::default()
    })
}

pub fn vectors() -> Vec<Vector> {
    vec![
        exact(Side::Server, V4, connect_bytes(), connect()),
        exact(Side::Server, V4, notation::bytes(PUBLISH), publish()),
    ]
}

#[test]
fn the_printed_packets_are_read_and_written() {
    assert_eq!(connect_bytes().len(), 2 + 0x74);
    check(&vectors());
}

/// What a device sends: both packets in one go, and cut anywhere.
#[test]
fn the_printed_packets_arrive_in_pieces() {
    let stream = [connect_bytes(), notation::bytes(PUBLISH)].concat();
    for cut in 0..=stream.len() {
        let mut decoder = Decoder::new(Side::Server, 1000);
        let mut buffer = BytesMut::new();
        let mut packets = Vec::new();
        for piece in [&stream[..cut], &stream[cut..]] {
            buffer.extend_from_slice(piece);
            while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                packets.push(packet);
            }
        }
        assert_eq!(packets, [connect(), publish()]);
    }
}

/// 0x74 alone would be a PUBCOMP with flags.
#[test]
fn the_connect_as_printed_is_refused_at_its_first_byte() {
    let printed = notation::bytes(CONNECT);
    let mut decoder = Decoder::new(Side::Server, 1000);
    let error = decoder
        .decode(&mut BytesMut::from(&printed[..1]))
        .unwrap_err();
    assert_eq!(error.to_string(), "PUBCOMP: before CONNECT [MQTT-3.1.0-1]");
    assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
}
