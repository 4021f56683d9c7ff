//! SUBSCRIBE (section 3.8).

use mqtt::{
    Packet, ProtocolVersion, Qos, ReasonCode, RetainHandling, Side, Subscribe, Subscription,
    SubscriptionOptions,
};

use crate::notation::packet;
use crate::*;

fn subscribe(entries: &[(&str, SubscriptionOptions)]) -> Subscribe {
    Subscribe {
        packet_id: id(10),
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: entries
            .iter()
            .map(|(text, options)| Subscription {
                filter: filter(text),
                options: *options,
            })
            .collect(),
    }
}

fn at(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        ..SubscriptionOptions::default()
    }
}

pub fn vectors() -> Vec<Vector> {
    let server = |version, body, packet_| {
        exact(
            Side::Server,
            version,
            packet(0x82, body),
            Packet::Subscribe(packet_),
        )
    };
    let three = subscribe(&[
        ("a/b", at(Qos::AtLeastOnce)),
        ("#", at(Qos::AtMostOnce)),
        ("$share/g/+/é", at(Qos::ExactlyOnce)),
    ]);
    let mut full = subscribe(&[
        (
            "a",
            SubscriptionOptions {
                qos: Qos::ExactlyOnce,
                no_local: true,
                retain_as_published: true,
                retain_handling: RetainHandling::DoNotSend,
            },
        ),
        (
            "$share/g/b",
            SubscriptionOptions {
                retain_handling: RetainHandling::SendAtNewSubscription,
                ..SubscriptionOptions::default()
            },
        ),
    ]);
    full.subscription_identifier = Some(268_435_455);
    full.user_properties = pairs(&[("k", "v")]);
    let one = subscribe(&[("a", at(Qos::AtMostOnce))]);
    let mut vectors = vec![
        // MQTT 3.1, section 3.8: a repeated SUBSCRIBE has DUP.
        loose(
            Side::Server,
            V3,
            packet(0x8A, "000a 'a' 00"),
            Packet::Subscribe(one.clone()),
        ),
        server(V5, "000a {} 'a' 00", one),
        server(
            V5,
            "000a {} 'a/b' 01 '#' 00 '$share/g/+/é' 02",
            three.clone(),
        ),
        server(
            V5,
            "000a {0bffffff7f 26'k''v'} 'a' 2e '$share/g/b' 10",
            full,
        ),
    ];
    for version in [V3, V4] {
        vectors.push(server(
            version,
            "000a 'a/b' 01 '#' 00 '$share/g/+/é' 02",
            three.clone(),
        ));
    }
    vectors
}

#[test]
fn legal_packets_are_read_and_written() {
    check(&vectors());
}

fn each_version(test: impl Fn(ProtocolVersion, &str)) {
    for (version, properties) in [(V3, ""), (V4, ""), (V5, "{}")] {
        test(version, properties);
    }
}

#[track_caller]
fn no(version: ProtocolVersion, body: &str, reason: ReasonCode, what: &str) {
    refuse(Side::Server, version, &packet(0x82, body), reason, what);
}

/// [MQTT-2.2.1-3] [MQTT-3.8.3-2]
#[test]
fn a_packet_that_asks_for_nothing_is_refused() {
    each_version(|version, properties| {
        let malformed = ReasonCode::MalformedPacket;
        no(
            version,
            &format!("000a {properties}"),
            ReasonCode::ProtocolError,
            "nothing in the payload",
        );
        no(
            version,
            &format!("0000 {properties} 'a' 00"),
            ReasonCode::ProtocolError,
            "identifier is zero",
        );
        no(
            version,
            &format!("000a {properties} 'a'"),
            malformed,
            "ends within",
        );
        no(
            version,
            &format!("000a {properties} 'a' 00 00"),
            malformed,
            "ends within",
        );
        no(version, "", malformed, "ends within");
    });
    no(V5, "000a", ReasonCode::MalformedPacket, "ends within"); // A2
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn what_is_not_a_topic_filter_is_refused() {
    each_version(|version, properties| {
        for (filter, what) in [
            ("", "topic filter is empty [MQTT-4.7.3-1]"),
            (
                "a#",
                "multi-level wildcard is not the whole last level [MQTT-4.7.1-1]",
            ),
            ("a/#/b", "[MQTT-4.7.1-1]"),
            (
                "a+/b",
                "single-level wildcard does not fill its level [MQTT-4.7.1-2]",
            ),
            ("+a", "[MQTT-4.7.1-2]"),
            (
                "$share/g",
                "no topic filter after the share name [MQTT-4.8.2-2]",
            ),
            ("$share/g/", "[MQTT-4.8.2-2]"),
            (
                "$share//a",
                "share name is empty or contains a wildcard [MQTT-4.8.2-1]",
            ),
            ("$share/+/a", "[MQTT-4.8.2-2]"),
        ] {
            // Also when it is not the first one.
            let body = format!("000a {properties} 'ok' 00 '{filter}' 00");
            no(version, &body, ReasonCode::MalformedPacket, what);
        }
        for (field, what) in [("0001 00", "U+0000"), ("0001 ff", "UTF-8")] {
            let body = format!("000a {properties} {field} 00");
            no(version, &body, ReasonCode::MalformedPacket, what);
        }
    });
}

/// [MQTT-3.8.3-4] [MQTT-3.8.3-5] [MQTT3-3.8.3-4]
#[test]
fn options_that_do_not_exist_are_refused() {
    let malformed = ReasonCode::MalformedPacket;
    let error = ReasonCode::ProtocolError;
    each_version(|version, properties| {
        let with = |options: &str| format!("000a {properties} 'a' {options}");
        no(version, &with("03"), error, "QoS is 3");
        no(
            version,
            &with("40"),
            malformed,
            "reserved subscription option [MQTT-3.8.3-5]",
        );
        no(
            version,
            &with("80"),
            malformed,
            "reserved subscription option [MQTT-3.8.3-5]",
        );
        if version != V5 {
            for options in ["04", "08", "10", "20"] {
                no(
                    version,
                    &with(options),
                    malformed,
                    "reserved subscription option",
                );
            }
        }
    });
    no(V5, "000a {} 'a' 30", error, "retain handling is 3");
    no(
        V5,
        "000a {} '$share/g/a' 04",
        error,
        "no local on a shared subscription [MQTT-3.8.3-4]",
    );
}

/// Section 3.8.2.1.
#[test]
fn properties_with_forbidden_values_are_refused() {
    let error = ReasonCode::ProtocolError;
    no(
        V5,
        "000a {0b00} 'a' 00",
        error,
        "subscription identifier is zero",
    );
    no(V5, "000a {0b01 0b02} 'a' 00", error, "more than once");
    no(
        V5,
        "000a {1f'r'} 'a' 00",
        ReasonCode::MalformedPacket,
        "another packet",
    );
    no(
        V5,
        "000a {0b8100} 'a' 00",
        ReasonCode::MalformedPacket,
        "needless bytes",
    );
    no(
        V5,
        "000a {0b} 01 'a' 00",
        ReasonCode::MalformedPacket,
        "ends within",
    );
}

#[test]
fn every_options_byte_means_one_thing_or_nothing() {
    let legal: Vec<u8> = (0..=u8::MAX)
        .filter(|byte| {
            SubscriptionOptions::from_byte(*byte).is_some_and(|options| options.to_byte() == *byte)
        })
        .collect();
    assert_eq!(legal.len(), 3 * 2 * 2 * 3);
    let read = (0..=u8::MAX).filter_map(SubscriptionOptions::from_byte);
    assert_eq!(read.count(), legal.len());
}
