//! How the vectors are written.

/// The bytes that `text` describes: pairs of hexadecimal digits; `'text'` with its length
/// of two bytes in front; `` `text` `` without; `{…}` with its length as a Variable Byte
/// Integer in front, for properties.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut stack = vec![Vec::new()];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let mut add = |bytes: &[u8]| stack.last_mut().unwrap().extend_from_slice(bytes);
        match c {
            '\'' | '`' => {
                let quoted: String = rest.by_ref().take_while(|other| *other != c).collect();
                if c == '\'' {
                    add(&u16::try_from(quoted.len()).unwrap().to_be_bytes());
                }
                add(quoted.as_bytes());
            }
            '{' => stack.push(Vec::new()),
            '}' => {
                let inner = stack.pop().unwrap();
                let outer = stack.last_mut().unwrap();
                outer.extend(variable(inner.len()));
                outer.extend(inner);
            }
            _ if c.is_whitespace() => {}
            _ => {
                let low = rest.next().unwrap();
                add(&[u8::from_str_radix(&format!("{c}{low}"), 16).unwrap()]);
            }
        }
    }
    assert_eq!(stack.len(), 1, "{text}");
    stack.pop().unwrap()
}

/// A packet with the Remaining Length that its body has.
pub fn packet(first_byte: u8, body: &str) -> Vec<u8> {
    framed(first_byte, &bytes(body))
}

/// A packet with the Remaining Length that its body has.
pub fn framed(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first_byte];
    packet.extend(variable(body.len()));
    packet.extend(body);
    packet
}

fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let more = if value > 0x7F { 0x80 } else { 0 };
        bytes.push((value & 0x7F) as u8 | more);
        value >>= 7;
        if value == 0 {
            return bytes;
        }
    }
}

#[test]
fn the_notation_means_what_it_says() {
    assert_eq!(
        bytes("0aFF 'ab' `c` {01{}}"),
        [10, 255, 0, 2, b'a', b'b', b'c', 2, 1, 0]
    );
    assert_eq!(packet(0xC0, ""), [0xC0, 0]);
    assert_eq!(variable(200), [0xC8, 0x01]);
}
