//! SCRAM-SHA-256, the half of the client (RFC 5802, RFC 7677), in the hands of the test.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::scratch;

/// A client that knows a password. Each of its parts can be changed to misbehave.
#[derive(Debug, Clone)]
pub struct Scram {
    /// `n,,` or `y,,` or something that is refused.
    pub gs2_header: String,
    /// The rest of the first message.
    pub bare: String,
    /// What the password is.
    pub password: String,
    /// What `c=` says, if not what it should.
    pub binding: Option<String>,
    /// What `r=` says in the final message, if not what it should.
    pub nonce: Option<String>,
    /// Put between nonce and proof.
    pub extension: String,
    /// What the server must answer with, once the final message is made.
    pub server_signature: Option<String>,
}

impl Scram {
    /// The name of the method.
    pub const METHOD: &str = "SCRAM-SHA-256";

    /// A client that behaves.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        let number = scratch::unique();
        Self {
            gs2_header: "n,,".to_owned(),
            bare: format!(
                "n={username},r=of-the-client-{}-{number}",
                std::process::id()
            ),
            password: password.to_owned(),
            binding: None,
            nonce: None,
            extension: String::new(),
            server_signature: None,
        }
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> Bytes {
        Bytes::from(format!("{}{}", self.gs2_header, self.bare))
    }

    /// The answer to the challenge.
    ///
    /// # Panics
    ///
    /// If that is not a challenge to this client.
    pub fn last(&mut self, challenge: &[u8]) -> Bytes {
        let challenge = std::str::from_utf8(challenge).unwrap();
        let mut parts = challenge.splitn(3, ',');
        let mut part = |name| {
            parts
                .next()
                .and_then(|part| part.strip_prefix(name))
                .unwrap()
        };
        let (nonce, salt, iterations) = (part("r="), part("s="), part("i="));
        let own = self
            .bare
            .split(",r=")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        let added = nonce
            .strip_prefix(own)
            .expect("a nonce that goes on from ours");
        assert!(added.len() >= 16, "too little is random in {nonce}");
        let iterations: u32 = iterations.parse().unwrap();
        assert!(iterations >= 4096, "RFC 7677, section 4");
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(
            self.password.as_bytes(),
            &STANDARD.decode(salt).unwrap(),
            iterations,
        );
        let binding = STANDARD.encode(self.binding.as_ref().unwrap_or(&self.gs2_header));
        let nonce = self.nonce.as_deref().unwrap_or(nonce);
        let before_proof = format!("c={binding},r={nonce}{}", self.extension);
        let signed = format!("{},{challenge},{before_proof}", self.bare);
        let client_key = hmac(&salted, b"Client Key");
        let mut proof = hmac(&Sha256::digest(client_key), signed.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        let server_key = hmac(&salted, b"Server Key");
        let signature = STANDARD.encode(hmac(&server_key, signed.as_bytes()));
        self.server_signature = Some(format!("v={signature}"));
        Bytes::from(format!("{before_proof},p={}", STANDARD.encode(proof)))
    }

    /// Whether the server has shown that it knows the user.
    #[must_use]
    pub fn trusts(&self, message: Option<&Bytes>) -> bool {
        let expected = self.server_signature.as_ref().map(String::as_bytes);
        expected.is_some() && expected == message.map(Bytes::as_ref)
    }
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}
