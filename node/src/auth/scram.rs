//! SCRAM-SHA-256, the half of the server (RFC 5802, RFC 7677): messages in, messages out.
//!
//! Pure: no I/O, no clock, no randomness. It owns the grammar and the proofs, and never sees a
//! password. Channel bindings do not exist here, so a client that insists on one is refused.

use base64::{Engine, engine::general_purpose::STANDARD};
use ibc::{SCRAM_KEY_BYTES, ScramKeys};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::keys;

/// The name of the method, as clients write it.
pub const METHOD: &str = "SCRAM-SHA-256";

/// Longest message of a client that is read, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// Why an exchange fails. The client is told [`value`](Self::value).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Not UTF-8, or not base64 where it must be.
    #[error("SCRAM message is not UTF-8 or not base64")]
    Encoding,
    /// Not of the form that RFC 5802 section 7 gives.
    #[error("SCRAM message does not follow its grammar")]
    Grammar,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("SCRAM message is too long")]
    TooLong,
    /// `=` in the user name stands for neither a comma nor itself.
    #[error("SCRAM user name is not encoded as it must be")]
    UsernameEncoding,
    /// A mandatory extension (`m=`); there are none.
    #[error("SCRAM extension not supported")]
    Extension,
    /// The client asks for a channel binding (`p=`).
    #[error("SCRAM channel binding not supported")]
    ChannelBinding,
    /// `c=` does not repeat what the first message said.
    #[error("SCRAM channel bindings do not match")]
    ChannelBindingsDiffer,
    /// Somebody wants to act as somebody else.
    #[error("SCRAM authorization identity differs from the user name")]
    AuthorizationIdentity,
    /// Not the nonce of this exchange.
    #[error("SCRAM nonce does not match")]
    Nonce,
    /// Wrong password, or no such user.
    #[error("SCRAM proof is wrong")]
    Proof,
}

impl ScramError {
    /// The value of `server-error` (RFC 5802, section 7).
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::Encoding => "invalid-encoding",
            Self::UsernameEncoding => "invalid-username-encoding",
            Self::Extension => "extensions-not-supported",
            Self::ChannelBinding => "channel-binding-not-supported",
            Self::ChannelBindingsDiffer => "channel-bindings-dont-match",
            Self::Proof => "invalid-proof",
            Self::Grammar | Self::TooLong | Self::AuthorizationIdentity | Self::Nonce => {
                "other-error"
            }
        }
    }

    /// The last message of the server when an exchange fails.
    #[must_use]
    pub fn message(self) -> String {
        format!("e={}", self.value())
    }
}

/// The first message of a client, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    gs2_header: String,
    bare: String,
    username: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads `client-first-message`.
    ///
    /// # Errors
    ///
    /// [`ScramError`].
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        let message = text(message)?;
        let (flag, rest) = message.split_once(',').ok_or(ScramError::Grammar)?;
        let (identity, bare) = rest.split_once(',').ok_or(ScramError::Grammar)?;
        match flag {
            // The client cannot bind channels, or can and thinks that we cannot.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Grammar),
        }
        let mut attributes = bare.split(',');
        let first = attributes.next().unwrap_or_default();
        if first.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let username = name(first.strip_prefix("n=").ok_or(ScramError::Grammar)?)?;
        let nonce = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("r="))
            .filter(|nonce| is_printable(nonce))
            .ok_or(ScramError::Grammar)?;
        // Extensions that are not mandatory are part of the proof and mean nothing to us.
        if !attributes.all(is_extension) {
            return Err(ScramError::Grammar);
        }
        let is_self = match identity.strip_prefix("a=") {
            Some(identity) => name(identity)? == username,
            None if identity.is_empty() => true,
            None => return Err(ScramError::Grammar),
        };
        if !is_self {
            return Err(ScramError::AuthorizationIdentity);
        }
        Ok(Self {
            gs2_header: format!("{flag},{identity},"),
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
            username,
        })
    }

    /// Who the client claims to be, as it wrote it: not prepared yet, never empty.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The challenge to this client: `keys` are those of the user, `nonce` is random, printable
    /// and without a comma.
    #[must_use]
    pub fn challenge(self, keys: ScramKeys, nonce: &str) -> Challenge {
        let nonce = format!("{}{nonce}", self.nonce);
        let salt = STANDARD.encode(&keys.salt);
        Challenge {
            message: format!("r={nonce},s={salt},i={}", keys.iterations),
            nonce,
            first: self,
            keys,
        }
    }
}

/// What a client must answer.
#[derive(Debug, Clone)]
pub struct Challenge {
    first: ClientFirst,
    keys: ScramKeys,
    nonce: String,
    message: String,
}

impl Challenge {
    /// `server-first-message`.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Checks `client-final-message`, and returns `server-final-message`, by which the server
    /// proves itself. Takes the same time whatever is wrong with a proof.
    ///
    /// # Errors
    ///
    /// [`ScramError`]; the exchange is over.
    pub fn verify(&self, message: &[u8]) -> Result<String, ScramError> {
        let message = text(message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Grammar)?;
        let mut attributes = without_proof.split(',');
        let mut next = |name| {
            let attribute = attributes.next().unwrap_or_default();
            attribute.strip_prefix(name).ok_or(ScramError::Grammar)
        };
        let binding = next("c=")?;
        let nonce = next("r=")?;
        if binding != STANDARD.encode(&self.first.gs2_header) {
            return Err(ScramError::ChannelBindingsDiffer);
        }
        if nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        for attribute in attributes {
            if attribute.starts_with("m=") {
                return Err(ScramError::Extension);
            }
            if !is_extension(attribute) {
                return Err(ScramError::Grammar);
            }
        }
        let proof: [u8; SCRAM_KEY_BYTES] = STANDARD
            .decode(proof)
            .map_err(|_| ScramError::Encoding)?
            .try_into()
            .map_err(|_| ScramError::Encoding)?;
        let signed = [
            self.first.bare.as_bytes(),
            self.message.as_bytes(),
            without_proof.as_bytes(),
        ]
        .join(&b","[..]);
        let mut client_key = keys::hmac(&self.keys.stored_key, &[&signed]);
        for (byte, proof) in client_key.iter_mut().zip(proof) {
            *byte ^= proof;
        }
        let stored_key = Sha256::digest(client_key);
        if !bool::from(stored_key.as_slice().ct_eq(&self.keys.stored_key)) {
            return Err(ScramError::Proof);
        }
        let signature = keys::hmac(&self.keys.server_key, &[&signed]);
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(ScramError::TooLong);
    }
    std::str::from_utf8(message).map_err(|_| ScramError::Encoding)
}

/// `saslname`: a comma is written as `=2C`, and `=` as `=3D`.
fn name(encoded: &str) -> Result<String, ScramError> {
    let mut parts = encoded.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix("2C") {
            name.push(',');
            name.push_str(rest);
        } else if let Some(rest) = part.strip_prefix("3D") {
            name.push('=');
            name.push_str(rest);
        } else {
            return Err(ScramError::UsernameEncoding);
        }
    }
    if name.is_empty() {
        return Err(ScramError::Grammar);
    }
    Ok(name)
}

/// `printable`, at least one.
fn is_printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `attr-val`, with a value.
fn is_extension(attribute: &str) -> bool {
    matches!(attribute.as_bytes(), [letter, b'=', _, ..] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
#[path = "scram_tests.rs"]
mod tests;
