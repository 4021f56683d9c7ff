#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use mqtt::{Message, MessageProperties, Qos, Str, TopicName};

use super::*;
use crate::{event::tests::every_kind, wire::put_bytes};

fn frame(events: &[Event]) -> Bytes {
    let mut frame = FrameWriter::default();
    for event in events {
        frame.put(&event.encoded());
    }
    frame.take()
}

fn record(publisher: &str, topic_name: &str, payload: &[u8]) -> MessageRecord {
    MessageRecord {
        publisher: Str::new(publisher).unwrap(),
        expires_at: None,
        message: Message {
            topic_name: TopicName::new(topic_name).unwrap(),
            payload: Bytes::copy_from_slice(payload),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: MessageProperties::default(),
        },
    }
}

fn messages(frame: Bytes) -> Vec<String> {
    Events::new(frame)
        .map(|event| match event.unwrap() {
            Event::Message(record) => format!("{record:?}"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn every_event_comes_out_as_it_went_in() {
    let events = every_kind();
    let read: Vec<Event> = Events::new(frame(&events)).map(Result::unwrap).collect();
    assert_eq!(format!("{read:?}"), format!("{events:?}"));
}

#[test]
fn an_unknown_event_is_left_out() {
    let mut bytes = Event::Sync(1).encoded();
    bytes.put_u8(200);
    put_bytes(b"of a later release", &mut bytes);
    bytes.extend_from_slice(&Event::Sync(2).encoded());
    let read: Vec<Event> = Events::new(bytes.freeze()).map(Result::unwrap).collect();
    assert_eq!(format!("{read:?}"), "[Sync(1), Sync(2)]");
}

#[test]
fn messages_share_their_heads_and_come_out_as_they_went_in() {
    let mut writer = FrameWriter::default();
    let mut sent = Vec::new();
    for turn in 0..50_u8 {
        let mut urgent = record("a", "t/1", &[turn]);
        urgent.message.properties.user_properties =
            vec![(Str::new("k").unwrap(), Str::new("v").unwrap())];
        let mut late = record("a", "t/1", &[turn; 100]);
        late.expires_at = Some(u64::from(turn));
        late.message.properties.message_expiry_interval = Some(7);
        let mut retained = record("a", "t/1", &[]);
        retained.message.retain = true;
        // The same bytes in another division.
        let plain = [
            record("a", "t/1", &[turn, 1]),
            record("at", "/1", &[turn]),
            record("b", "t/2", &[]),
        ];
        for record in plain.into_iter().chain([urgent, late, retained]) {
            let before = writer.len();
            writer.put_message(&record);
            assert!(writer.len() - before <= record.size_hint());
            sent.push(format!("{record:?}"));
            if turn % 10 == 0 {
                writer.put(&Event::Sync(u64::from(turn)).encoded());
                sent.push(format!("{:?}", Event::Sync(u64::from(turn))));
            }
        }
    }
    assert_eq!(messages(writer.take()), sent);
    // The next frame knows nothing of the one before.
    writer.put_message(&record("a", "t/1", b"x"));
    let expected = [format!("{:?}", record("a", "t/1", b"x"))];
    assert_eq!(messages(writer.take()), expected);
}

#[test]
fn a_repeated_head_costs_eight_bytes_and_a_payload() {
    let mut writer = FrameWriter::default();
    writer.put_message(&record("publisher", "a/long/topic", &[0; 64]));
    let first = writer.len();
    for count in 1..10 {
        writer.put_message(&record("publisher", "a/long/topic", &[1; 64]));
        assert_eq!(writer.len(), first + count * (5 + 2 + 64));
    }
}

#[test]
fn more_heads_than_numbers() {
    let mut writer = FrameWriter::default();
    let records: Vec<_> = (0..66_000)
        .map(|number| record("p", &format!("t/{number}"), b"x"))
        .collect();
    for record in records.iter().chain(&records) {
        writer.put_message(record);
    }
    let expected = records
        .iter()
        .chain(&records)
        .map(|record| format!("{record:?}"));
    assert!(messages(writer.take()).into_iter().eq(expected));
}

#[test]
fn a_cut_or_damaged_frame_gives_an_error_and_ends() {
    let mut writer = FrameWriter::default();
    writer.put(&frame(&every_kind()));
    for payload in [b"one".as_slice(), b"two"] {
        writer.put_message(&record("publisher", "topic", payload));
    }
    let whole = writer.take();
    let events = every_kind().len() + 2;
    for length in 0..whole.len() {
        let read: Vec<_> = Events::new(whole.slice(..length)).collect();
        let errors = read.iter().filter(|event| event.is_err()).count();
        assert!(errors <= 1 && read.len() <= events);
    }
    let mut seed = 1_u64;
    for _ in 0..20_000 {
        let mut bytes = whole.to_vec();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
            bytes[at] = seed.to_be_bytes()[1];
        }
        // Whatever comes, it ends and nothing panics.
        assert!(Events::new(bytes.into()).count() <= whole.len());
    }
}

#[test]
fn a_head_that_was_not_written_is_an_error() {
    let mut bytes = BytesMut::new();
    put_event(AGAIN, &mut bytes, |bytes| bytes.put_u16(0));
    assert_eq!(
        Events::new(bytes.freeze()).next().unwrap().unwrap_err(),
        RecordError::Value
    );
}
