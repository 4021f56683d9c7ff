//! Topic names and filters of `mqtt`, beside an oracle.
//!
//! An input is a topic filter, a line feed and a topic name.

use bytes::Bytes;
use mqtt::{Str, TopicFilter, TopicName};

use crate::oracle;

/// What is a filter and what a name, and whether one means the other, is what the oracle says.
pub fn check(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let filter = parts.next().unwrap_or_default();
    let topic = parts.next().unwrap_or_default();
    let filter = check_filter(filter);
    let topic = check_name(topic);
    if let (Some(filter), Some(topic)) = (filter, topic) {
        assert_eq!(
            filter.matches(&topic),
            oracle::matches(filter.pattern(), &topic),
            "{filter:?} {topic:?}"
        );
    }
}

fn string(bytes: &[u8]) -> Option<Str> {
    let shared = Str::from_bytes(Bytes::copy_from_slice(bytes)).ok()?;
    assert_eq!(shared.as_bytes(), bytes);
    assert_eq!(Str::new(shared.as_str()).as_ref(), Ok(&shared));
    Some(shared)
}

fn check_filter(bytes: &[u8]) -> Option<TopicFilter> {
    let filter = string(bytes).and_then(|text| TopicFilter::try_from(text).ok());
    assert_eq!(
        filter.is_some(),
        oracle::is_topic_filter(bytes),
        "{bytes:?}"
    );
    let filter = filter?;
    assert_eq!(filter.as_str().as_bytes(), bytes);
    assert_eq!(filter.detached(), filter);
    let levels: Vec<&str> = filter.levels().collect();
    assert_eq!(levels.len(), filter.level_count());
    assert_eq!(levels.join("/"), filter.pattern());
    assert_eq!(
        filter.has_wildcard(),
        levels.iter().any(|level| matches!(*level, "+" | "#"))
    );
    match filter.share() {
        Some(share) => {
            let text = format!("$share/{}/{}", share.group, share.filter);
            assert_eq!(text, filter.as_str());
            assert!(!share.group.is_empty() && !share.group.contains(['/', '+', '#']));
            assert_eq!(share.filter, filter.pattern());
        }
        None => assert_eq!(filter.pattern(), filter.as_str()),
    }
    Some(filter)
}

fn check_name(bytes: &[u8]) -> Option<TopicName> {
    let name = string(bytes).and_then(|text| TopicName::try_from(text).ok());
    assert_eq!(name.is_some(), oracle::is_topic_name(bytes), "{bytes:?}");
    let name = name?;
    assert_eq!(name.detached(), name);
    assert_eq!(name.levels().count(), name.level_count());
    // A name is a filter that means itself, unless it reads as a shared subscription.
    if !name.starts_with("$share/") {
        assert!(TopicFilter::new(&name).unwrap().matches(&name));
    }
    Some(name)
}
