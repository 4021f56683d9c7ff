//! Decoding and encoding of a PUBLISH, beside `mqttbytes` in the same run.
//!
//! QoS 1, payload 256 bytes, topic 39 bytes, MQTT 3.1.1 and 5 (there also with two properties). A
//! buffer holds 64 packets, as a busy connection reads them. Rounds of both programs alternate,
//! and the medians of the rounds are printed: nanoseconds per packet.
//!
//! `cargo bench -p causeway-mqtt` (`-- --rounds N --only TEXT`).

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for developers"
)]

use std::{
    hint::black_box,
    sync::LazyLock,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Decoder, MAXIMUM_PACKET_SIZE_BYTES, Message, Packet, PacketId, ProtocolVersion, Publish, Qos,
    Side, Str, TopicName, encode,
};
use mqttbytes::{QoS, v4, v5};

const PACKETS: usize = 64;
/// Short, so that few rounds are interrupted by what else the machine does.
const ROUND: Duration = Duration::from_millis(2);
const TOPIC: &str = "plant/hall-7/line-3/machine-12/temp/now";

/// One payload for both, because it matters how memory is aligned.
static PAYLOAD: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'x'; 256]));

/// What is measured: one call handles [`PACKETS`] packets.
struct Case {
    name: &'static str,
    ours: Box<dyn FnMut()>,
    theirs: Box<dyn FnMut()>,
}

fn ours(with_properties: bool) -> Packet {
    let mut message = Message {
        topic_name: TopicName::new(TOPIC).expect("a topic name"),
        payload: PAYLOAD.clone(),
        qos: Qos::AtLeastOnce,
        ..Message::default()
    };
    if with_properties {
        message.properties.message_expiry_interval = Some(3600);
        message.properties.content_type = Some(Str::from_static("application/json"));
    }
    Packet::Publish(Publish {
        packet_id: PacketId::new(7),
        message,
        ..Publish::default()
    })
}

fn theirs_4() -> v4::Publish {
    let mut publish = v4::Publish::new(TOPIC, QoS::AtLeastOnce, "");
    publish.pkid = 7;
    publish.payload = PAYLOAD.clone();
    publish
}

fn theirs_5(with_properties: bool) -> v5::Publish {
    let mut publish = v5::Publish::new(TOPIC, QoS::AtLeastOnce, "");
    publish.pkid = 7;
    publish.payload = PAYLOAD.clone();
    if with_properties {
        publish.properties = Some(v5::PublishProperties {
            payload_format_indicator: None,
            message_expiry_interval: Some(3600),
            topic_alias: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
            subscription_identifiers: Vec::new(),
            content_type: Some("application/json".to_owned()),
        });
    }
    publish
}

/// [`PACKETS`] packets, which both write alike.
fn wire(version: ProtocolVersion, with_properties: bool) -> Vec<u8> {
    let mut one = BytesMut::new();
    encode(&ours(with_properties), version, &mut one).expect("written");
    let mut other = BytesMut::new();
    let written = match version {
        ProtocolVersion::V5 => theirs_5(with_properties).write(&mut other),
        _ => theirs_4().write(&mut other),
    };
    written.expect("written");
    assert_eq!(one, other, "both write the same packet");
    one.repeat(PACKETS)
}

/// Fills a buffer and takes the packets off it with `take`.
fn decoding(bytes: Vec<u8>, mut take: impl FnMut(&mut BytesMut) + 'static) -> Box<dyn FnMut()> {
    let mut buffer = BytesMut::new();
    Box::new(move || {
        buffer.extend_from_slice(&bytes);
        for _ in 0..PACKETS {
            take(&mut buffer);
        }
        assert!(buffer.is_empty());
    })
}

fn encoding(mut put: impl FnMut(&mut BytesMut) + 'static) -> Box<dyn FnMut()> {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    Box::new(move || {
        for _ in 0..PACKETS {
            put(&mut buffer);
        }
        black_box(&buffer);
        buffer.clear();
    })
}

fn case_decode(name: &'static str, version: ProtocolVersion, with_properties: bool) -> Case {
    let bytes = wire(version, with_properties);
    let mut decoder = Decoder::new(Side::Server, MAXIMUM_PACKET_SIZE_BYTES);
    decoder.set_version(version);
    let most = MAXIMUM_PACKET_SIZE_BYTES as usize;
    let theirs: Box<dyn FnMut()> = match version {
        ProtocolVersion::V5 => decoding(bytes.clone(), move |buffer| {
            black_box(v5::read(buffer, most).expect("a packet"));
        }),
        _ => decoding(bytes.clone(), move |buffer| {
            black_box(v4::read(buffer, most).expect("a packet"));
        }),
    };
    let ours = decoding(bytes, move |buffer| {
        black_box(decoder.decode(buffer).expect("no fault")).expect("a packet");
    });
    Case { name, ours, theirs }
}

fn case_encode(name: &'static str, version: ProtocolVersion, with_properties: bool) -> Case {
    let packet = ours(with_properties);
    let ours = encoding(move |buffer| {
        encode(black_box(&packet), version, buffer).expect("written");
    });
    let theirs = if version == ProtocolVersion::V5 {
        let packet = theirs_5(with_properties);
        encoding(move |buffer| {
            black_box(&packet).write(buffer).expect("written");
        })
    } else {
        let packet = theirs_4();
        encoding(move |buffer| {
            black_box(&packet).write(buffer).expect("written");
        })
    };
    Case { name, ours, theirs }
}

/// Nanoseconds per packet of one round.
fn round(call: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    let mut calls = 0_u32;
    while start.elapsed() < ROUND {
        for _ in 0..16 {
            call();
        }
        calls += 16;
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(calls) / PACKETS as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |key: &str| {
        let mut pairs = arguments.windows(2);
        pairs.find(|two| two[0] == key).map(|two| two[1].clone())
    };
    let rounds = value("--rounds").map_or(1001, |text| text.parse().expect("a number of rounds"));
    let only = value("--only").unwrap_or_default();
    let (v4, v5) = (ProtocolVersion::V3_1_1, ProtocolVersion::V5);
    let mut cases = vec![
        case_decode("decode, MQTT 3.1.1", v4, false),
        case_decode("decode, MQTT 5", v5, false),
        case_decode("decode, MQTT 5, two properties", v5, true),
        case_encode("encode, MQTT 3.1.1", v4, false),
        case_encode("encode, MQTT 5", v5, false),
        case_encode("encode, MQTT 5, two properties", v5, true),
    ];
    cases.retain(|case| case.name.contains(&only));
    let mut figures = vec![(Vec::new(), Vec::new()); cases.len()];
    for _ in 0..rounds {
        for (case, (ours, theirs)) in cases.iter_mut().zip(&mut figures) {
            ours.push(round(&mut case.ours));
            theirs.push(round(&mut case.theirs));
        }
    }
    println!(
        "| ns per packet, median of {rounds} rounds | causeway-mqtt | mqttbytes 0.6 | ratio |"
    );
    println!("| --- | --- | --- | --- |");
    for (case, (ours, theirs)) in cases.iter().zip(figures) {
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "| {} | {ours:.0} | {theirs:.0} | {:.2} |",
            case.name,
            ours / theirs
        );
    }
}
