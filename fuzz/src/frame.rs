//! The frames that nodes write for one another: the events of `ibc`.
//!
//! An input is a frame.

use bytes::Bytes;
use ibc::{Events, FrameWriter, event::Event};

/// The events as they are read, and whether the frame could be read to its end.
fn read(frame: Bytes) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    let mut has_failed = false;
    for event in Events::new(frame) {
        assert!(!has_failed, "nothing comes after an error");
        match event {
            Ok(event) => events.push(event),
            Err(_) => has_failed = true,
        }
    }
    (events, !has_failed)
}

/// What is read can be written, and is then read as the same again.
pub fn check(input: &[u8]) {
    let (events, _) = read(Bytes::copy_from_slice(input));
    let mut writer = FrameWriter::default();
    for event in &events {
        let before = writer.len();
        if let Event::Message(record) = event {
            writer.put_message(record);
            assert!(writer.len() - before <= record.size_hint());
        } else {
            writer.put(&event.encoded());
        }
    }
    // A field that a later release has added is not known here, so it may be shorter.
    assert!(writer.len() <= input.len());
    let (again, is_whole) = read(writer.take());
    assert!(is_whole, "what is written can be read");
    assert_eq!(format!("{again:?}"), format!("{events:?}"));
}
