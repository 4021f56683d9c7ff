//! The own CA: made at the first start with TLS, so that encryption needs no preparation.
//!
//! `deploy/make-certs` makes the same files. What is there is kept, whoever made it; only a server
//! certificate that a node has made is made anew, when it runs out or names are missing.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ring::rand::SystemRandom;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tracing::{info, warn};
use x509_parser::{
    certificate::X509Certificate,
    prelude::{ASN1Time, FromDer},
};

use super::{certificate, files::TlsError};
use crate::config::{files, host_name};

/// In the subject of what nodes make: they replace nothing else.
const MAKER: &str = "Causeway, made at start";
/// Devices whose clock is a little late take it at once, too.
const BEFORE: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LIFE: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// The longest that all platforms accept.
const LIFE: Duration = Duration::from_secs(820 * 24 * 60 * 60);
const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

pub(super) fn authority_path(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

fn authority_key_path(folder: &Path) -> PathBuf {
    folder.join("ca.key")
}

pub(super) fn certificate_path(folder: &Path) -> PathBuf {
    folder.join("server.pem")
}

pub(super) fn key_path(folder: &Path) -> PathBuf {
    folder.join("server.key")
}

/// Whether there is a certificate already.
pub(super) fn is_made(folder: &Path) -> bool {
    files::exists(&certificate_path(folder))
}

/// Makes what is missing: a CA, and a server certificate of it for `names` that holds for at least
/// `rest`.
pub(super) fn ensure(folder: &Path, names: &[String], rest: Duration) -> Result<(), TlsError> {
    let path = certificate_path(folder);
    if is_made(folder) {
        let state = State::of(&path, names, rest);
        match state {
            State::Good => return Ok(()),
            State::Foreign { missing } => {
                if !missing.is_empty() {
                    warn!(
                        file = %path.display(),
                        names = %missing.join(", "),
                        "the certificate does not name all addresses; clients that check will refuse it there"
                    );
                }
                return Ok(());
            }
            State::Own => {}
        }
    }
    make(folder, names).map_err(|(path, source)| TlsError::Make { path, source })
}

/// What is to be done about a certificate that is there.
enum State {
    /// Nothing.
    Good,
    /// Nothing, because it is not ours.
    Foreign { missing: Vec<String> },
    /// It is ours to make it anew.
    Own,
}

impl State {
    fn of(path: &Path, names: &[String], rest: Duration) -> Self {
        let foreign = Self::Foreign {
            missing: Vec::new(),
        };
        // What cannot be read is complained about when it is read for good.
        let Ok(text) = files::read(path) else {
            return foreign;
        };
        let Ok(der) = CertificateDer::from_pem_slice(&text) else {
            return foreign;
        };
        let Ok((_, parsed)) = X509Certificate::from_der(&der) else {
            return foreign;
        };
        let present = certificate::names(&parsed);
        let missing: Vec<String> = names
            .iter()
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        let is_ours = parsed
            .subject()
            .iter_organization()
            .any(|name| name.as_str() == Ok(MAKER));
        if !is_ours {
            return Self::Foreign { missing };
        }
        let rest = i64::try_from(rest.as_secs()).unwrap_or(i64::MAX);
        let end = ASN1Time::now().timestamp().saturating_add(rest);
        if missing.is_empty() && parsed.validity().not_after.timestamp() > end {
            Self::Good
        } else {
            Self::Own
        }
    }
}

type Failure = (PathBuf, Box<dyn std::error::Error + Send + Sync>);

fn make(folder: &Path, names: &[String]) -> Result<(), Failure> {
    files::make_private_folder(folder).map_err(|error| (folder.to_owned(), error.into()))?;
    let issuer = issuer(folder)?;
    let path = certificate_path(folder);
    let fail = |error: rcgen::Error| (path.clone(), error.into());
    let key = KeyPair::generate().map_err(fail)?;
    let host = names.first().map_or("localhost", String::as_str);
    let mut params = CertificateParams::new(names).map_err(fail)?;
    describe(&mut params, host, LIFE);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyAgreement,
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).map_err(fail)?;
    // The key first: with the old certificate it is refused, and the old pair stays in force.
    write(&key_path(folder), &key.serialize_pem(), SECRET)?;
    write(&path, &certificate.pem(), PUBLIC)?;
    info!(
        file = %path.display(),
        authority = %authority_path(folder).display(),
        names = %names.join(", "),
        "made a certificate of our own CA: give clients the file of the authority"
    );
    Ok(())
}

/// The CA that is there, or a new one.
fn issuer(folder: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let (path, key_path) = (authority_path(folder), authority_key_path(folder));
    if files::exists(&path) {
        let text = |path: &Path| {
            let bytes = files::read(path).map_err(|error| (path.to_owned(), error.into()))?;
            String::from_utf8(bytes).map_err(|error| (path.to_owned(), error.into()))
        };
        let key = KeyPair::from_pem(&text(&key_path)?).map_err(|error| (key_path, error.into()))?;
        return Issuer::from_ca_cert_pem(&text(&path)?, key).map_err(|error| (path, error.into()));
    }
    let fail = |error: rcgen::Error| (path.clone(), error.into());
    let key = KeyPair::generate().map_err(fail)?;
    let mut params = CertificateParams::default();
    let host = host_name().unwrap_or_else(|| "this host".to_owned());
    // Two CAs of one name would be taken for one another.
    let number = ring::rand::generate::<[u8; 4]>(&SystemRandom::new())
        .map_err(|error| (path.clone(), error.to_string().into()))?;
    let number = u32::from_be_bytes(number.expose());
    let name = format!("Causeway CA of {host} {number:08x}");
    describe(&mut params, &name, CA_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).map_err(fail)?;
    write(&key_path, &key.serialize_pem(), SECRET)?;
    write(&path, &certificate.pem(), PUBLIC)?;
    Ok(Issuer::new(params, key))
}

fn describe(params: &mut CertificateParams, common_name: &str, life: Duration) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, MAKER);
    // The standard allows 64 characters there; clients look at the names beside it.
    let start = common_name.chars().count().saturating_sub(64);
    let common_name: String = common_name.chars().skip(start).collect();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = ASN1Time::now().to_datetime();
    params.not_before = now - BEFORE;
    params.not_after = now + life;
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    files::write(path, text.as_bytes(), mode).map_err(|error| (path.to_owned(), error.into()))
}
