//! Values of a line, and back.

use std::{fmt::Write as _, time::Duration};

/// What stands for something absent.
pub(super) const ABSENT: &str = "-";

/// Without space and control characters, never empty, never `-`.
pub(super) fn escape(text: &str) -> String {
    match text {
        "" => return "\\e".to_owned(),
        ABSENT => return "\\u{2d}".to_owned(),
        _ => {}
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ' ' => escaped.push_str("\\s"),
            c if c.is_control() || c.is_whitespace() => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// `None` if a `\` is followed by nothing known.
pub(super) fn unescape(text: &str) -> Option<String> {
    if text == "\\e" {
        return Some(String::new());
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('\\') {
            plain.push('\\');
            rest = after;
        } else if let Some(after) = after.strip_prefix('s') {
            plain.push(' ');
            rest = after;
        } else {
            let (code, after) = after.strip_prefix("u{")?.split_once('}')?;
            plain.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            rest = after;
        }
    }
    plain.push_str(rest);
    Some(plain)
}

/// Seconds with nine places.
pub(super) fn seconds(time: Duration) -> String {
    format!("{}.{:09}", time.as_secs(), time.subsec_nanos())
}

/// Seconds with up to nine places.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > 9 || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanos))
}

pub(super) fn word(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
