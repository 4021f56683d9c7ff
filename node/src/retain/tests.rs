#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use mqtt::{Message, MessageProperties, Qos, Str, TopicName};

use super::*;

fn publication(topic: &str, payload: &'static str) -> Arc<Publication> {
    let message = Message {
        topic_name: TopicName::new(topic).unwrap(),
        payload: Bytes::from_static(payload.as_bytes()),
        qos: Qos::AtMostOnce,
        retain: true,
        properties: MessageProperties::default(),
    };
    Arc::new(Publication::new(Str::default(), message))
}

fn retain() -> Retain {
    Retain::new(&Mqtt::default())
}

fn set(retain: &Retain, topic: &str, version: i64, payload: &'static str) {
    retain.apply(topic, version, Some(publication(topic, payload)));
}

fn walk(retain: &Retain, filter: &str) -> Walk {
    retain.walk(&TopicFilter::new(filter).unwrap())
}

fn topics(found: &[Arc<Publication>]) -> Vec<String> {
    found
        .iter()
        .map(|publication| publication.message().topic_name.to_string())
        .collect()
}

/// Everything that a filter finds, whatever the steps.
fn found(retain: &Retain, filter: &str) -> Vec<String> {
    let all = topics(&walk(retain, filter).take(retain, usize::MAX));
    for step in 1..4 {
        let mut walk = walk(retain, filter);
        let mut stepwise = Vec::new();
        while !walk.is_done() {
            stepwise.extend(topics(&walk.take(retain, step)));
        }
        assert_eq!(stepwise, all, "{filter} in steps of {step}");
    }
    all
}

/// [MQTT-4.7.1-1] [MQTT-4.7.2-1]
#[test]
fn a_filter_finds_the_topics_that_the_specification_says() {
    let retain = retain();
    let all = [
        "/", "/a", "a", "a/", "a/b", "a/b/c", "a/c", "a-b", "a-b/b", "ab/b", "$x/y", "b//c", "é/b",
    ];
    for topic in all {
        set(&retain, topic, 1, "1");
    }
    for filter in [
        "#",
        "a/#",
        "+/+",
        "+/b",
        "a/+",
        "+",
        "/+",
        "+/b/#",
        "a",
        "a/b/c",
        "$x/#",
        "+/+/c",
        "b/+/+",
        "nothing/#",
        "a/+/#",
    ] {
        let parsed = TopicFilter::new(filter).unwrap();
        let mut expected: Vec<&str> = all
            .into_iter()
            .filter(|topic| parsed.matches(topic))
            .collect();
        expected.sort_by_key(|topic| topic.split('/').collect::<Vec<_>>());
        assert_eq!(found(&retain, filter), expected, "{filter}");
    }
}

#[test]
fn the_larger_version_wins_whatever_the_order() {
    let retain = retain();
    set(&retain, "a", 5, "new");
    set(&retain, "a", 4, "old");
    let payload = walk(&retain, "a").take(&retain, 1);
    assert_eq!(payload.first().unwrap().message().payload, "new");
    retain.apply("a", 7, None);
    set(&retain, "a", 6, "late");
    assert!(found(&retain, "a").is_empty());
}

/// What comes while a subscriber is on its way comes to it as a live message.
#[test]
fn a_walk_leaves_out_what_came_after_its_beginning() {
    let retain = retain();
    for (version, topic) in ["a", "b", "c", "d"].into_iter().enumerate() {
        set(&retain, topic, i64::try_from(version).unwrap() + 1, "1");
    }
    let mut walk = walk(&retain, "#");
    assert_eq!(topics(&walk.take(&retain, 1)), ["a"]);
    set(&retain, "aa", 10, "2");
    set(&retain, "b", 11, "2");
    retain.apply("c", 12, None);
    assert_eq!(topics(&walk.take(&retain, 9)), ["d"]);
    assert!(walk.is_done());
}

#[test]
fn tidying_forgets_removed_messages_after_a_while() {
    let retain = retain();
    set(&retain, "a/b", 1, "1");
    retain.apply("a/b", 2, None);
    retain.tidy();
    assert_eq!(retain.size(), Size::default());
    set(&retain, "a/b", 1, "late");
    retain.tidy();
    retain.tidy();
    assert!(retain.cluster.read().unwrap().is_empty());
}

#[test]
fn a_limit_leaves_room_for_what_replaces() {
    let retain = Retain::new(&Mqtt {
        max_retained_messages: 2,
        max_retained_bytes: 20,
        ..Mqtt::default()
    });
    set(&retain, "a", 1, "123456789");
    set(&retain, "b", 2, "1");
    assert_eq!(
        retain.size(),
        Size {
            messages: 2,
            bytes: 12
        }
    );
    assert!(!retain.has_room("c", 2));
    assert!(retain.has_room("b", 10));
    assert!(!retain.has_room("b", 11));
    retain.apply("a", 3, None);
    assert!(retain.has_room("c", 2));
}

/// [MQTT-4.7.2-1]
#[test]
fn topics_of_this_node_are_found_only_by_their_name() {
    let retain = retain();
    retain.apply_here(publication("$SYS/broker/uptime", "1"));
    set(&retain, "$SYS/broker/forged", 1, "1");
    assert!(found(&retain, "#").is_empty());
    assert!(found(&retain, "+/broker/uptime").is_empty());
    assert_eq!(found(&retain, "$SYS/#"), ["$SYS/broker/uptime"]);
    assert_eq!(retain.size(), Size::default());
}
