//! Messages and delivery options as `ibc` writes them in the database and in frames.
//!
//! An input is such a record; it is read as both.

use bytes::Bytes;
use ibc::{DeliveryOptions, MessageRecord};

/// What is read can be written, and is then read as the same again.
pub fn check(input: &[u8]) {
    if let Ok(record) = MessageRecord::decode(Bytes::copy_from_slice(input)) {
        let written = record.encode();
        assert!(written.len() <= input.len());
        let again = MessageRecord::decode(written.clone()).expect("what is written can be read");
        assert_eq!(
            (&again.publisher, again.expires_at, &again.message),
            (&record.publisher, record.expires_at, &record.message)
        );
        assert_eq!(again.encode(), written);
    }
    if let Ok(options) = DeliveryOptions::decode(Bytes::copy_from_slice(input)) {
        let again = DeliveryOptions::decode(options.encode());
        assert_eq!(again.as_ref(), Ok(&options));
    }
}
