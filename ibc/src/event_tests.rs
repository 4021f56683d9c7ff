#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use mqtt::{Qos, SubscriptionOptions, TopicFilter};

use super::*;
use crate::{DeliveryOptions, EntryId, MessageId};

fn text(text: &str) -> Str {
    Str::new(text).unwrap()
}

fn subscription(filter: &str, identifier: Option<u32>) -> StoredSubscription {
    StoredSubscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::from_byte(0b10_1110).unwrap(),
        identifier,
    }
}

pub(crate) fn every_kind() -> Vec<Event> {
    let record = Bytes::from_static(b"record");
    let target = QueuedTarget {
        session: SessionId(3),
        options: Bytes::from_static(b"\x01"),
        share: Some(text("$share/g/a")),
    };
    vec![
        Event::Hello,
        Event::Welcome,
        Event::Sync(7),
        Event::Confirm(u64::MAX),
        Event::RouteAdded(text("a/+/#")),
        Event::RouteRemoved(text("été")),
        Event::MemberAdded(Member {
            session: SessionId(1),
            client_id: text("c"),
            subscription: subscription("$share/g/a", None),
        }),
        Event::MemberRemoved {
            session: SessionId(1),
            filter: text("$share/g/a"),
        },
        Event::SessionClaimed(SessionClaimed {
            session: SessionId(1),
            client_id: text(""),
            epoch: Epoch(2),
            owner: NodeId(3),
            discarded: Some(SessionId(9)),
            subscriptions: vec![subscription("a", Some(5)), subscription("b/#", None)],
        }),
        Event::Subscribed {
            session: SessionId(1),
            epoch: Epoch(2),
            subscription: subscription("a", Some(268_435_455)),
        },
        Event::Unsubscribed {
            session: SessionId(1),
            epoch: Epoch(2),
            filter: text("a"),
        },
        Event::SessionDetached {
            session: SessionId(1),
            epoch: Epoch(2),
        },
        Event::SessionEnded {
            session: SessionId(1),
            epoch: Epoch(2),
        },
        Event::Message(MessageRecord {
            publisher: text("c"),
            expires_at: None,
            message: mqtt::Message {
                topic_name: mqtt::TopicName::new("a").unwrap(),
                payload: record.clone(),
                qos: Qos::AtMostOnce,
                retain: false,
                properties: mqtt::MessageProperties::default(),
            },
        }),
        Event::Direct {
            session: SessionId(1),
            options: Bytes::from_static(b"\x00"),
            record: record.clone(),
        },
        Event::Queued(Queued {
            entry: EntryId(4),
            message: MessageId(5),
            targets: vec![target],
            record: record.clone(),
        }),
        Event::Poke(SessionId(1)),
        Event::Evict {
            client_id: text("c"),
            epoch: Epoch(2),
            is_resumed: true,
        },
        Event::Evicted {
            client_id: text("c"),
            epoch: Epoch(2),
        },
        Event::Retained {
            topic_name: text("a"),
            version: 3,
            record: Some(record),
        },
        Event::Retained {
            topic_name: text("a"),
            version: 4,
            record: None,
        },
        Event::Buried(NodeId(8)),
        Event::Applied(9),
        Event::Sender(Sender {
            session: SessionId(1),
            packet_id: 2,
            epoch: Epoch(3),
            is_repeated: true,
            digest: 4,
        }),
        Event::Released {
            session: SessionId(1),
            packet_id: 2,
        },
    ]
}

#[test]
fn a_message_comes_out_as_it_went_in() {
    let mut message = mqtt::Message {
        topic_name: mqtt::TopicName::new("a/é").unwrap(),
        payload: Bytes::from_static(b"\x00\xffpayload"),
        qos: Qos::ExactlyOnce,
        retain: true,
        properties: mqtt::MessageProperties::default(),
    };
    let plain = MessageRecord {
        publisher: text("me"),
        expires_at: None,
        message: message.clone(),
    };
    message.properties = mqtt::MessageProperties::from(mqtt::PropertyValues {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        content_type: Some(text("text/plain")),
        response_topic: Some(mqtt::TopicName::new("answers").unwrap()),
        correlation_data: Some(Bytes::from_static(b"\x01\x02")),
        user_properties: vec![(text("k"), text("v")), (text("k"), text(""))],
    });
    let full = MessageRecord {
        publisher: text(""),
        expires_at: Some(1_700_000_000_000),
        message,
    };
    for record in [plain, full] {
        let bytes = record.encode();
        let read = MessageRecord::decode(bytes.clone()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{record:?}"));
        for length in 0..bytes.len() {
            // A shorter one may be valid with a shorter payload, but never panics.
            let _ = MessageRecord::decode(bytes.slice(..length));
        }
    }
}

#[test]
fn delivery_options_come_out_as_they_went_in() {
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        for retain in [false, true] {
            for identifiers in [vec![], vec![1, 268_435_455]] {
                let options = DeliveryOptions {
                    qos,
                    retain,
                    identifiers,
                };
                assert_eq!(DeliveryOptions::decode(options.encode()), Ok(options));
            }
        }
    }
}
