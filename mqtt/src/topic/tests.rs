#![allow(clippy::unwrap_used)]

use super::*;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

/// [MQTT-3.3.2-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
#[test]
fn a_topic_name_has_text_and_no_wildcard() {
    for good in ["a", "/", "a//b", "$SYS/x", "été/é", " ", "$share/a/b"] {
        assert_eq!(TopicName::new(good).unwrap(), good);
    }
    assert_eq!(TopicName::new(""), Err(TopicError::Empty));
    for bad in ["+", "#", "a/+", "a+b", "a/#", "a#"] {
        assert_eq!(TopicName::new(bad), Err(TopicError::Wildcard), "{bad}");
    }
    assert_eq!(TopicName::new("a\0"), Err(TopicError::Str(StrError::Nul)));
    let long = "x".repeat(65_536);
    assert_eq!(
        TopicName::new(long),
        Err(TopicError::Str(StrError::TooLong))
    );
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]
#[test]
fn wildcards_of_a_filter_fill_their_level() {
    for good in [
        "a", "#", "+", "+/+", "a/+/b", "a/#", "/", "/+", "+/#", "a//#", "$SYS/#", "été/+",
    ] {
        assert_eq!(filter(good), good);
    }
    use TopicError::*;
    for (bad, error) in [
        ("", Empty),
        ("a#", MultiLevelWildcard),
        ("a/#/b", MultiLevelWildcard),
        ("#/", MultiLevelWildcard),
        ("##", MultiLevelWildcard),
        ("+a", SingleLevelWildcard),
        ("a+", SingleLevelWildcard),
        ("a+/b", SingleLevelWildcard),
        ("b/+a/c", SingleLevelWildcard),
        ("++", SingleLevelWildcard),
    ] {
        assert_eq!(TopicFilter::new(bad), Err(error), "{bad}");
    }
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2]
#[test]
fn a_shared_filter_has_a_group_and_a_filter() {
    let shared = filter("$share/g/a/+/b");
    assert_eq!(
        shared.share(),
        Some(Share {
            group: "g",
            filter: "a/+/b"
        })
    );
    assert!(shared.levels().eq(["a", "+", "b"]));
    assert_eq!(shared.level_count(), 3);
    assert!(shared.has_wildcard() && shared.matches("a/x/b"));
    assert!(!shared.matches("$share/g/a/x/b"));
    assert!(!filter("$share/g/#").matches("$SYS/x"));
    assert_eq!(
        filter("$share/g//a").share(),
        Some(Share {
            group: "g",
            filter: "/a"
        })
    );

    use TopicError::*;
    for (bad, error) in [
        ("$share/", ShareName),
        ("$share//a", ShareName),
        ("$share/+/a", ShareName),
        ("$share/#", ShareName),
        ("$share/g#/a", ShareName),
        ("$share/g", ShareFilter),
        ("$share/g/", ShareFilter),
        ("$share/g/a#", MultiLevelWildcard),
    ] {
        assert_eq!(TopicFilter::new(bad), Err(error), "{bad}");
    }
    // Not shared subscriptions, so plain filters.
    for plain in ["$share", "$shared/a", "$SHARE/g/a", "a/$share/g"] {
        assert_eq!(filter(plain).share(), None);
    }
}

/// The examples of sections 4.7.1 to 4.7.3, and first characters of several bytes.
#[test]
fn filters_match_as_the_specification_says() {
    for (pattern, topic) in [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
        (
            "sport/tennis/player1/#",
            "sport/tennis/player1/score/wimbledon",
        ),
        ("sport/#", "sport"),
        ("#", "a"),
        ("#", "/"),
        ("sport/+", "sport/"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("+/tennis/#", "a/tennis"),
        ("#", "été"),
        ("été", "été"),
        ("+/x", "é/x"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/#", "$SYS"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
        ("$SYS", "$SYS"),
        ("a/+/#", "a/b"),
    ] {
        assert!(filter(pattern).matches(topic), "{pattern} {topic}");
    }
    for (pattern, topic) in [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("#", "$SYS"),
        ("#", "$SYS/a"),
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("+", "$x"),
        ("ACCOUNTS", "Accounts"),
        ("a", "a/"),
        ("a/", "a"),
        ("/a", "a"),
        ("a/b/#", "a"),
        ("a/b", "a/c"),
    ] {
        assert!(!filter(pattern).matches(topic), "{pattern} {topic}");
    }
}

#[test]
fn levels_are_counted() {
    let name = TopicName::new("/a//b/").unwrap();
    assert!(name.levels().eq(["", "a", "", "b", ""]));
    assert_eq!(name.level_count(), 5);
    assert_eq!(TopicName::new("a").unwrap().level_count(), 1);
    assert!(TopicName::empty().is_empty());
}
