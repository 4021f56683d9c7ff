//! UTF-8 Encoded Strings (section 1.5.4), wherever they stand.

use harness::{MessageExt as _, everywhere, message};
use mqtt::{ProtocolVersion, Qos, Str, TopicName};

use crate::{
    Raw, VERSIONS,
    wire::{connect, connect_with, field, frame, properties},
};

/// Surrogates, U+0000, overlong forms, no first byte, cut short, five bytes, above U+10FFFF.
const BAD: [&[u8]; 9] = [
    b"a\xed\xa0\x80",
    b"\xed\xbf\xbfa",
    b"a\0b",
    b"\xc0\x80",
    b"\xc0\xaf",
    b"\xff",
    b"a\xe2\x82",
    b"\xf8\x88\x80\x80\x80",
    b"\xf4\x90\x80\x80",
];

/// CONNECT packets with `bad` in each place where there is a string.
fn connects(version: ProtocolVersion, bad: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (id, bad) = (field(b"id"), field(bad));
    let none = properties(version, &[]);
    let mut all = vec![
        (
            "client identifier [MQTT-3.1.3-4]",
            connect(version, 2, &bad),
        ),
        (
            "user name [MQTT-3.1.3-12]",
            connect(version, 0x82, &[&id[..], &bad].concat()),
        ),
        (
            "will topic [MQTT-3.1.3-11]",
            connect(version, 6, &[&id[..], &none, &bad, &field(b"m")].concat()),
        ),
    ];
    if version == ProtocolVersion::V5 {
        let key = [&[0x26], &bad[..], &field(b"v")].concat();
        let value = [&[0x26], &field(b"k")[..], &bad].concat();
        let method = [&[0x15], &bad[..]].concat();
        for (what, bytes) in [
            ("user property [MQTT-1.5.7-1]", &key),
            ("value of a user property [MQTT-1.5.7-1]", &value),
            ("authentication method", &method),
        ] {
            all.push((what, connect_with(version, 2, bytes, &id)));
        }
        for (what, identifier) in [("will content type", 0x03), ("will response topic", 0x08)] {
            let of = properties(version, &[&[identifier], &bad[..]].concat());
            let payload = [&id[..], &of, &field(b"t"), &field(b"m")].concat();
            all.push((what, connect(version, 6, &payload)));
        }
    }
    all
}

/// The same of what comes after CONNECT.
fn packets(version: ProtocolVersion, bad: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let bad = field(bad);
    let none = properties(version, &[]);
    let options: &[u8] = &[0];
    let mut all = vec![
        (
            "topic name [MQTT-3.3.2-1]",
            frame(0x30, &[&bad, &none, b"x"]),
        ),
        (
            "topic filter [MQTT-3.8.3-1]",
            frame(0x82, &[&[0, 1], &none, &bad, options]),
        ),
        (
            "topic filter [MQTT-3.10.3-1]",
            frame(0xA2, &[&[0, 1], &none, &bad]),
        ),
        (
            "second topic filter",
            frame(
                0x82,
                &[&[0, 1], &none, &field(b"t"), options, &bad, options],
            ),
        ),
    ];
    if version == ProtocolVersion::V5 {
        let key = [&[0x26], &bad[..], &field(b"v")].concat();
        let value = [&[0x26], &field(b"k")[..], &bad].concat();
        let of = |identifier| properties(version, &[&[identifier], &bad[..]].concat());
        let topic = field(b"t");
        all.extend([
            (
                "content type [MQTT-3.3.2-19]",
                frame(0x30, &[&topic, &of(0x03), b"x"]),
            ),
            (
                "response topic [MQTT-3.3.2-13]",
                frame(0x30, &[&topic, &of(0x08), b"x"]),
            ),
            (
                "user property",
                frame(0x30, &[&topic, &properties(version, &key), b"x"]),
            ),
            (
                "value of a user property",
                frame(0x30, &[&topic, &properties(version, &value), b"x"]),
            ),
            (
                "user property of SUBSCRIBE",
                frame(
                    0x82,
                    &[&[0, 1], &properties(version, &key), &topic, options],
                ),
            ),
            (
                "user property of UNSUBSCRIBE",
                frame(0xA2, &[&[0, 1], &properties(version, &value), &topic]),
            ),
            (
                "reason string of PUBACK",
                frame(0x40, &[&[0, 1, 0], &of(0x1F)]),
            ),
            (
                "reason string of DISCONNECT",
                frame(0xE0, &[&[0], &of(0x1F)]),
            ),
        ]);
    }
    all
}

everywhere! {
    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    /// [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-3.1.3-4] [MQTT3-3.1.3-10] [MQTT3-3.1.3-11]
    async fn a_connect_with_a_string_that_is_not_text_is_refused(site) {
        for version in VERSIONS {
            for bad in BAD {
                for (what, packet) in connects(version, bad) {
                    let mut raw = Raw::connect(site.address()).await;
                    raw.send(&packet).await;
                    let answer = raw.rest().await;
                    if version == ProtocolVersion::V5 {
                        assert_eq!(answer, [0x20, 3, 0, 0x81, 0], "{what}: {bad:02x?}");
                    } else {
                        assert_eq!(answer, b"", "{what}: {bad:02x?}");
                    }
                }
            }
        }
    }

    /// [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    /// [MQTT-4.7.3-2] [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-3.3.2-1] [MQTT3-3.8.3-1]
    /// [MQTT3-3.10.3-1] [MQTT3-4.7.3-2]
    async fn a_packet_with_a_string_that_is_not_text_is_refused(site) {
        for version in VERSIONS {
            for bad in BAD {
                for (what, packet) in packets(version, bad) {
                    let mut raw = Raw::connected(site.address(), version, "rude").await;
                    raw.send(&packet).await;
                    let answer = raw.rest().await;
                    if version == ProtocolVersion::V5 {
                        assert_eq!(answer, [0xE0, 1, 0x81], "{what}: {bad:02x?}");
                    } else {
                        assert_eq!(answer, b"", "{what}: {bad:02x?}");
                    }
                }
            }
        }
    }

    /// [MQTT-1.5.4-3] [MQTT3-1.5.3-3]
    async fn a_byte_order_mark_is_a_character_like_any_other(site) {
        let (with, without) = ("\u{feff}a/\u{feff}", "a/");
        for version in VERSIONS {
            let mut client = site.builder("reader").version(version).connect().await;
            client.subscribe(with, Qos::AtLeastOnce).await;
            let mut publisher = site.builder("writer").version(version).connect().await;
            publisher.publish(without, "without", Qos::AtLeastOnce).await;
            publisher.publish(with, "with", Qos::AtLeastOnce).await;
            let publish = client.recv().await;
            assert_eq!(publish.message.text(), "with");
            assert_eq!(publish.message.topic_name, with);
            client.assert_silent().await;
            client.disconnect().await;
        }
    }

    /// The server neither refuses nor changes them: control and non-characters, both forms of é.
    /// [MQTT-4.7.3-4]
    async fn unusual_characters_are_kept(site) {
        let mut subscriber = site.client("reader").await;
        subscriber.subscribe("#", Qos::AtLeastOnce).await;
        let mut publisher = site.client("writer").await;
        for text in ["\u{1}\u{7f}\u{9f}", "\u{fdd0}\u{fffe}\u{ffff}", "\u{10ffff}", "e\u{301}", "\u{e9}", " "] {
            let mut exact = site.client("exact").await;
            exact.subscribe(text, Qos::AtLeastOnce).await;
            let mut sent = message(text, "x", Qos::AtLeastOnce);
            sent.properties.content_type = Some(Str::new(text).unwrap());
            sent.properties.response_topic = Some(TopicName::new(text).unwrap());
            sent.properties.user_properties = vec![(Str::new(text).unwrap(), Str::new(text).unwrap())];
            publisher.publish_message(sent.clone()).await;
            for client in [&mut subscriber, &mut exact] {
                assert_eq!(client.recv().await.message, sent);
            }
            publisher.publish("e", "x", Qos::AtLeastOnce).await;
            assert_eq!(subscriber.recv().await.message.topic_name, "e");
            exact.assert_silent().await;
        }
    }
}
