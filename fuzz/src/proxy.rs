//! The PROXY header of a load balancer, beside an oracle for its first version.
//!
//! An input is what arrives on a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy_header::{Error, ParseConfig, ProxyHeader};

/// The longest header of version 1, and of version 2.
const LONGEST: [usize; 2] = [107, 16 + 65_535];
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header says: the address of the client if it tells one, and its length in bytes.
type Header = (Option<SocketAddr>, usize);

fn parse(bytes: &[u8]) -> Result<Header, Error> {
    ProxyHeader::parse(bytes, ParseConfig::default()).map(|(header, length)| {
        let source = header.proxied_address().map(|address| address.source);
        (source, length)
    })
}

/// A header says the same however it arrives, and what the specification of the header says.
pub fn check(input: &[u8]) {
    let whole = parse(input);
    if let Ok((source, length)) = whole {
        let is_first = input.starts_with(b"PROXY");
        // `proxy-header` lets a longer one pass if it arrives at once: text after UNKNOWN, or a port
        // with zeros in front.
        let is_long = is_first && length > LONGEST[0];
        assert!(length <= input.len());
        assert!(is_long || length <= LONGEST[usize::from(!is_first)]);
        assert_eq!(parse(&input[..length]).ok(), Some((source, length)));
        // Before its end it is half a header and nothing else.
        let step = 1 + length / 200;
        for end in (0..length).step_by(step) {
            let part = parse(&input[..end]);
            assert!(
                matches!(part, Err(Error::BufferTooShort))
                    || is_long && end >= LONGEST[0] && matches!(part, Err(Error::Invalid)),
                "{end} of {length} bytes: {part:?}"
            );
        }
        if is_first {
            assert_eq!(Some((source, length)), first_version(input));
        } else {
            assert_eq!((source, length), second_version(input));
        }
    } else if input.len() >= LONGEST[0] && !SIGNATURE_2.starts_with(&input[..1]) {
        assert!(
            !matches!(whole, Err(Error::BufferTooShort)),
            "no header of version 1 is that long, so nothing is waited for"
        );
    }
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
