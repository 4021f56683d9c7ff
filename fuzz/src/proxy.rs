//! The PROXY header of a load balancer as `node` looks at it, beside an oracle.
//!
//! An input is what arrives on a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[path = "../../node/src/connection/proxy/header.rs"]
mod of_the_node;

use of_the_node::{Start, is_header, look};

/// The longest header of version 1, and of version 2.
const LONGEST: [usize; 2] = [107, 16 + 65_535];
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says: the address of the client if it tells one, and its length in bytes.
type Header = (Option<SocketAddr>, usize);

/// A header says the same however it arrives, and what the specification of the header says.
pub fn check(input: &[u8]) {
    let is_like = |signature: &[u8]| input.starts_with(signature) || signature.starts_with(input);
    match look(input) {
        Start::Other => assert!(!is_like(b"PROXY ") && !is_like(SIGNATURE_2)),
        Start::Unfinished => {
            assert!(is_like(b"PROXY ") || is_like(SIGNATURE_2));
            // So that nobody makes us wait for ever, or collect without end.
            assert!(input.len() < LONGEST[usize::from(!input.starts_with(b"P"))]);
        }
        Start::Header { source, length } => {
            let is_first = input.starts_with(b"PROXY ");
            assert!(is_header(input));
            assert!(length <= input.len() && length <= LONGEST[usize::from(!is_first)]);
            let expected = if is_first {
                first_version(input)
            } else {
                Some(second_version(input))
            };
            assert_eq!(Some((source, length)), expected);
            arrives_in_parts(&input[..length], source);
        }
        Start::Broken(error) => {
            assert!(is_header(input) && !error.to_string().is_empty());
            // More of it does not make it better.
            let mut longer = input.to_vec();
            longer.extend_from_slice(b"1 2\r\n");
            assert!(matches!(look(&longer), Start::Broken(_)));
        }
    }
}

/// Before its end it is half a header and nothing else.
fn arrives_in_parts(header: &[u8], source: Option<SocketAddr>) {
    for end in (0..header.len()).step_by(1 + header.len() / 200) {
        let part = look(&header[..end]);
        assert!(matches!(part, Start::Unfinished), "{end}: {part:?}");
    }
    let whole = look(header);
    assert!(
        matches!(whole, Start::Header { source: again, length } if again == source && length == header.len())
    );
}

/// The text form, as its specification prints it.
fn first_version(input: &[u8]) -> Option<Header> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8_lossy(&input[6..end]);
    let words: Vec<&str> = line.split(' ').collect();
    let source = match words[..] {
        [unknown, ..] if unknown.starts_with("UNKNOWN") => None,
        [family, source, _, port, _] => {
            let source: IpAddr = source.parse().ok()?;
            assert_eq!(source.is_ipv4(), family == "TCP4");
            Some(SocketAddr::new(source, port.parse().ok()?))
        }
        _ => return None,
    };
    Some((source, end + 2))
}

/// The binary form: command, family, length, addresses.
fn second_version(input: &[u8]) -> Header {
    assert!(input.starts_with(SIGNATURE_2));
    let length = 16 + usize::from(u16::from_be_bytes([input[14], input[15]]));
    let port = |at: usize| u16::from_be_bytes([input[at], input[at + 1]]);
    let is_local = input[12] & 0x0F == 0;
    let source = match input[13] >> 4 {
        _ if is_local => None,
        1 => {
            let address: [u8; 4] = input[16..20].try_into().unwrap();
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port(24)))
        }
        2 => {
            let address: [u8; 16] = input[16..32].try_into().unwrap();
            Some(SocketAddr::new(Ipv6Addr::from(address).into(), port(48)))
        }
        _ => None,
    };
    (source, length)
}
