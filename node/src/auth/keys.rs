//! From a password to the keys that are stored, and the one-way functions for it.

use hmac::{Hmac, Mac};
use ibc::{SCRAM_KEY_BYTES, ScramKeys};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Bytes of a new salt.
const SALT_BYTES: usize = 16;
/// Longest password of a user, in bytes.
const MAX_PASSWORD_BYTES: usize = 1024;

/// A system that has no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct RandomError(#[from] getrandom::Error);

/// Random bytes of the system.
pub(super) fn random<const BYTES: usize>() -> Result<[u8; BYTES], RandomError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The keys of a new password, which is prepared already.
pub(super) fn new_keys(password: &str, iterations: u32) -> Result<ScramKeys, RandomError> {
    let salt = random::<SALT_BYTES>()?.to_vec();
    Ok(with_salt(password, salt, iterations))
}

/// The keys of a prepared password with a salt.
pub(super) fn with_salt(password: &str, salt: Vec<u8>, iterations: u32) -> ScramKeys {
    let (stored_key, server_key) = derive(password.as_bytes(), &salt, iterations);
    ScramKeys {
        salt,
        iterations,
        stored_key,
        server_key,
    }
}

/// Whether `keys` were made of this password. Computes for half a millisecond per 4096 iterations
/// where the CPU has SHA instructions, and up to four times as long elsewhere, whatever the password is.
pub(super) fn is_password(keys: &ScramKeys, password: &[u8]) -> bool {
    let prepared = prepare_password(password);
    let bytes = prepared.as_deref().map_or(password, str::as_bytes);
    let (stored_key, _) = derive(bytes, &keys.salt, keys.iterations);
    // HMAC does not see zero bytes at the end of a key, so what SASLprep refuses must be refused here.
    let is_allowed = Choice::from(u8::from(prepared.is_some()));
    (is_allowed & stored_key.ct_eq(&keys.stored_key)).into()
}

/// What belongs to a user who does not exist: the same at every node and every time, so that
/// nobody can tell; no password fits.
pub(super) fn of_nobody(secret: &[u8], username: &str, iterations: u32) -> ScramKeys {
    let derived = |what: &[u8]| hmac(secret, &[what, username.as_bytes()]);
    ScramKeys {
        salt: derived(b"salt").iter().copied().take(SALT_BYTES).collect(),
        iterations,
        stored_key: derived(b"stored key"),
        server_key: derived(b"server key"),
    }
}

/// HMAC-SHA-256 over the parts in a row.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; SCRAM_KEY_BYTES] {
    // HMAC takes keys of any length, so the other arm is never reached.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else {
        return [0; SCRAM_KEY_BYTES];
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// `StoredKey` and `ServerKey` (RFC 5802, section 3).
fn derive(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
) -> ([u8; SCRAM_KEY_BYTES], [u8; SCRAM_KEY_BYTES]) {
    let salted: [u8; SCRAM_KEY_BYTES] =
        pbkdf2::pbkdf2_hmac_array::<Sha256, SCRAM_KEY_BYTES>(password, salt, iterations);
    let client_key = hmac(&salted, &[b"Client Key"]);
    (
        Sha256::digest(client_key).into(),
        hmac(&salted, &[b"Server Key"]),
    )
}

/// A password as SCRAM uses it (RFC 4013); none if it cannot be that of a user.
pub(super) fn prepare_password(password: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(password).ok()?;
    let prepared = stringprep::saslprep(text).ok()?;
    (1..=MAX_PASSWORD_BYTES)
        .contains(&prepared.len())
        .then(|| prepared.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_the_password_fits() {
        let keys = new_keys("correct horse", 4096).unwrap();
        assert!(is_password(&keys, b"correct horse"));
        // SASLprep (RFC 4013): other spaces are spaces, soft hyphens are nothing.
        assert!(is_password(&keys, "cor\u{ad}rect\u{a0}horse".as_bytes()));
        for wrong in [&b"correct horsf"[..], b"", b"\xff", b"correct horse\0"] {
            assert!(!is_password(&keys, wrong));
        }
    }

    #[test]
    fn each_password_has_a_salt_of_its_own() {
        let (first, second) = (new_keys("p", 1).unwrap(), new_keys("p", 1).unwrap());
        assert_ne!(first.salt, second.salt);
        assert_ne!(first.stored_key, second.stored_key);
    }

    #[test]
    fn nobody_looks_like_somebody_and_stays_the_same() {
        let nobody = of_nobody(b"secret", "n", 4096);
        assert_eq!(nobody, of_nobody(b"secret", "n", 4096));
        assert_eq!(
            nobody.salt.len(),
            new_keys("p", 1).unwrap().salt.len(),
            "a salt of another length would tell"
        );
        assert_ne!(nobody.salt, of_nobody(b"secret", "m", 4096).salt);
        assert_ne!(nobody.salt, of_nobody(b"other", "n", 4096).salt);
        assert_ne!(nobody.stored_key, nobody.server_key);
    }

    #[test]
    fn keys_are_not_in_debug_output() {
        let keys = new_keys("p", 7).unwrap();
        assert_eq!(format!("{keys:?}"), "ScramKeys { iterations: 7, .. }");
    }
}
