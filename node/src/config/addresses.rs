//! Addresses to listen at, as text.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Addresses to listen at: none, one or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// IP addresses and ports; none if it is off. Port 0 picks a free one.
    #[must_use]
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }

    /// Whether nobody listens.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self(vec![address])
    }
}

impl TryFrom<String> for Addresses {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.trim() == "off" {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|part| {
                part.trim().parse().map_err(|_| {
                    format!(
                        "\"{}\" is neither an address like 127.0.0.1:1883 or [::1]:1883 nor \"off\"; several are separated by commas",
                        part.trim()
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<Addresses> for String {
    fn from(addresses: Addresses) -> Self {
        if addresses.is_off() {
            return "off".to_owned();
        }
        let texts: Vec<String> = addresses.0.iter().map(ToString::to_string).collect();
        texts.join(", ")
    }
}
