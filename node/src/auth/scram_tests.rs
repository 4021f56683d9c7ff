#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::auth::keys::new_keys;

/// The example of RFC 7677, section 3: user `user`, password `pencil`.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn keys_of_the_example() -> ScramKeys {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    crate::auth::keys::with_salt("pencil", salt, 4096)
}

fn challenge(first: &str) -> Challenge {
    ClientFirst::parse(first.as_bytes())
        .unwrap()
        .challenge(keys_of_the_example(), SERVER_NONCE)
}

/// A client that knows the password, for any first message.
fn answer(challenge: &Challenge, password: &str, before_proof: &str) -> String {
    let Challenge {
        first,
        keys,
        message,
        ..
    } = challenge;
    let signed = format!("{},{message},{before_proof}", first.bare);
    let salted =
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &keys.salt, keys.iterations);
    let mut proof = keys::hmac(&salted, &[b"Client Key"]);
    let stored_key = Sha256::digest(proof);
    let signature = keys::hmac(&stored_key, &[signed.as_bytes()]);
    for (byte, signature) in proof.iter_mut().zip(signature) {
        *byte ^= signature;
    }
    format!("{before_proof},p={}", STANDARD.encode(proof))
}

#[test]
fn the_example_of_rfc_7677_succeeds() {
    let challenge = challenge(FIRST);
    assert_eq!(challenge.message(), CHALLENGE);
    assert_eq!(challenge.verify(FINAL.as_bytes()).unwrap(), SIGNATURE);
    // The client of these tests is that of the example.
    let before_proof = FINAL.split_once(",p=").unwrap().0;
    assert_eq!(answer(&challenge, "pencil", before_proof), FINAL);
}

#[test]
fn what_a_first_message_says_is_understood() {
    let cases = [
        ("n,,n=user,r=x", "user"),
        ("y,,n=user,r=x", "user"),
        ("n,a=user,n=user,r=x", "user"),
        ("n,a=a=2Cb,n=a=2Cb,r=x", "a,b"),
        ("n,,n=a=2Cb=3Dc=3D=2C,r=x", "a,b=c=,"),
        ("n,,n=\u{e9}t\u{e9},r=x", "\u{e9}t\u{e9}"),
        ("n,,n=user,r=x,e=some,Z=thing=more", "user"),
    ];
    for (message, username) in cases {
        let first = ClientFirst::parse(message.as_bytes()).unwrap();
        assert_eq!(first.username(), username, "{message}");
    }
}

#[test]
fn a_first_message_that_is_wrong_has_its_error() {
    use ScramError::*;
    let cases = [
        ("", Grammar),
        ("n", Grammar),
        ("n,", Grammar),
        ("n,,", Grammar),
        ("x,,n=user,r=x", Grammar),
        ("n=,,n=user,r=x", Grammar),
        ("p=tls-unique,,n=user,r=x", ChannelBinding),
        ("n,b=user,n=user,r=x", Grammar),
        ("n,a=other,n=user,r=x", AuthorizationIdentity),
        ("n,a=,n=user,r=x", Grammar),
        ("n,,m=ext,n=user,r=x", Extension),
        ("n,,r=x,n=user", Grammar),
        ("n,,n=,r=x", Grammar),
        ("n,,n=user", Grammar),
        ("n,,n=user,r=", Grammar),
        ("n,,n=user,r=a b", Grammar),
        ("n,,n=user,r=\u{e9}", Grammar),
        ("n,,n=user,r=x,", Grammar),
        ("n,,n=user,r=x,1=2", Grammar),
        ("n,,n=user,r=x,e=", Grammar),
        ("n,,n=us=er,r=x", UsernameEncoding),
        ("n,,n=user=2c,r=x", UsernameEncoding),
        ("n,,n=user=,r=x", UsernameEncoding),
    ];
    for (message, error) in cases {
        assert_eq!(
            ClientFirst::parse(message.as_bytes()),
            Err(error),
            "{message}"
        );
    }
    assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x"), Err(Encoding));
    let long = format!("n,,n=user,r={}", "x".repeat(MAX_MESSAGE_BYTES));
    assert_eq!(ClientFirst::parse(long.as_bytes()), Err(TooLong));
}

#[test]
fn a_final_message_that_is_wrong_has_its_error() {
    use ScramError::*;
    let challenge = challenge(FIRST);
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = STANDARD.encode([0; 32]);
    let cases = [
        (String::new(), Grammar),
        ("c=biws".to_owned(), Grammar),
        (format!("c=biws,r={nonce}"), Grammar),
        (format!("r={nonce},c=biws,p={proof}"), Grammar),
        (format!("c=biws,p={proof}"), Grammar),
        // base64 of "y,,": the client said "n,,".
        (format!("c=eSws,r={nonce},p={proof}"), ChannelBindingsDiffer),
        (format!("c=,r={nonce},p={proof}"), ChannelBindingsDiffer),
        (format!("c=biws,r={nonce}x,p={proof}"), Nonce),
        // Only the client's half of it.
        (format!("c=biws,r=rOprNGfwEbeRWgbNEkqO,p={proof}"), Nonce),
        (format!("c=biws,r={nonce},m=x,p={proof}"), Extension),
        (format!("c=biws,r={nonce},,p={proof}"), Grammar),
        (format!("c=biws,r={nonce},p="), Encoding),
        (format!("c=biws,r={nonce},p=AAAA"), Encoding),
        (format!("c=biws,r={nonce},p={proof}A"), Encoding),
        (format!("c=biws,r={nonce},p=%%%"), Encoding),
        (format!("c=biws,r={nonce},p={proof}"), Proof),
        (
            answer(&challenge, "pencils", &format!("c=biws,r={nonce}")),
            Proof,
        ),
    ];
    for (message, error) in cases {
        assert_eq!(
            challenge.verify(message.as_bytes()),
            Err(error),
            "{message}"
        );
    }
    assert_eq!(challenge.verify(b"c=biws,r=\xff,p=x"), Err(Encoding));
}

#[test]
fn the_server_answers_with_the_errors_of_the_rfc() {
    assert_eq!(ScramError::Proof.message(), "e=invalid-proof");
    assert_eq!(
        ScramError::ChannelBinding.message(),
        "e=channel-binding-not-supported"
    );
    assert_eq!(ScramError::Nonce.message(), "e=other-error");
}

/// Marsaglia's xorshift with 64 bits: always the same cases.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    fn text(&mut self, letters: &[char]) -> String {
        let length = 1 + self.below(12);
        (0..length)
            .map(|_| letters[self.below(letters.len())])
            .collect()
    }
}

/// Whatever the name, the nonce and the extensions are: who knows the password gets in, and a
/// message of which any byte was changed does not.
#[test]
fn every_exchange_ends_well_only_with_every_byte_in_place() {
    let mut random = Random(0x5ca1_ab1e);
    let keys = new_keys("pencil", 2).unwrap();
    for _ in 0..300 {
        let username = random.text(&['a', ',', '=', ' ', '\u{e9}', '\u{1f600}', '2', 'C']);
        let saslname = username.replace('=', "=3D").replace(',', "=2C");
        let nonce = random.text(&['!', '+', '-', '~', 'x', '=', '0']);
        let flag = ["n,,", "y,,"][random.below(2)];
        let extension = ["", ",x=y", ",a=b,c=d=e"][random.below(3)];
        let first = format!("{flag}n={saslname},r={nonce}{extension}");
        let first = ClientFirst::parse(first.as_bytes()).unwrap();
        assert_eq!(first.username(), username);
        let challenge = first.challenge(keys.clone(), "server-part");
        let before_proof = format!(
            "c={},r={nonce}server-part{extension}",
            STANDARD.encode(flag)
        );
        let last = answer(&challenge, "pencil", &before_proof);
        assert!(challenge.verify(last.as_bytes()).is_ok(), "{last}");
        let mut bytes = last.into_bytes();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        assert!(
            challenge.verify(&bytes).is_err(),
            "{}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

/// Nothing panics, and what is accepted says who it is.
#[test]
fn mutated_messages_are_refused_or_understood() {
    let mut random = Random(0xdead_beef);
    let challenge = challenge(FIRST);
    for _ in 0..20_000 {
        let seed = [FIRST, FINAL, "y,a=u,n=u,r=x,e=f"][random.below(3)];
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b",=mpnrc\xff"[random.below(8)]),
                _ => {
                    let from = random.below(at + 1);
                    bytes.extend_from_within(from..at);
                }
            }
        }
        if let Ok(first) = ClientFirst::parse(&bytes) {
            assert!(!first.username().is_empty());
        }
        if challenge.verify(&bytes).is_ok() {
            assert_eq!(bytes, FINAL.as_bytes());
        }
    }
}
