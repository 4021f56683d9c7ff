//! A history as text: one line for each entry, for people and for [`History::read`](crate::History::read).
//!
//! ```text
//! causeway history 1
//! 0.001200000 meter 1 connect clean_start=no expiry=3600.000000000 will=- will_qos=0 will_delay=0.000000000
//! 0.004100000 meter 1 connected session_present=no
//! 0.004900000 meter 1 publish message=meter:1 topic=plant/7 qos=1 retain=no repeated=no
//! 9.000000000 \e 0 settled
//! ```
//!
//! The first line names the form and its version. Each other one has the time since the beginning in
//! seconds, the client, the number of its connection, what happened, and fields in a fixed order. One space
//! separates them. In names and values, `\` is written `\\`, a space `\s`, every control character
//! `\u{HEX}`, an empty string `\e` and a lone `-` `\u{2d}`; `-` stands for what is absent. Empty lines are
//! passed over.

mod fields;
mod read;
mod write;

pub use read::ReadError;

/// The first line.
const HEADER: &str = "causeway history 1";
