//! From PEM files to what a handshake needs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use x509_parser::{
    prelude::{ASN1Time, FromDer},
    revocation_list::CertificateRevocationList,
};

use super::{authority, certificate::Facts};
use crate::config::{self, ClientCertificate, TlsVersion, files};

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client_ca";
const CRL: &str = "tls.crl";

/// The certificates cannot be used. Those in force stay so.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file has something else in it.
    #[error("{key}: no {what} in {}{hint}", path.display())]
    Missing {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What may have happened.
        hint: &'static str,
    },
    /// A file is damaged.
    #[error("{key}: {} is no PEM file", path.display())]
    Pem {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Where it ends to make sense.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key are not of one pair.
    #[error("tls.key: {} is not the key of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// File of the key.
        key: PathBuf,
        /// File of the certificate.
        certificate: PathBuf,
    },
    /// A file cannot be used for TLS.
    #[error("{key}: {} cannot be used", path.display())]
    Unusable {
        /// The setting that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The own certificate cannot be made.
    #[error("tls.folder: cannot make {}", path.display())]
    Make {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TlsError {
    fn unusable(
        key: &'static str,
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unusable {
            key,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// The files that are read.
pub(super) struct Paths {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) authority: Option<PathBuf>,
    pub(super) list: Option<PathBuf>,
}

impl Paths {
    pub(super) fn of(settings: &config::Tls) -> Self {
        let is_own = settings.is_own();
        let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
        let asks = settings.client_certificate != ClientCertificate::Off;
        let own_authority = || is_own.then(|| authority::authority_path(&settings.folder));
        Self {
            certificate: if is_own {
                authority::certificate_path(&settings.folder)
            } else {
                settings.certificate.clone()
            },
            key: if is_own {
                authority::key_path(&settings.folder)
            } else {
                settings.key.clone()
            },
            authority: given(&settings.client_ca)
                .or_else(own_authority)
                .filter(|_| asks),
            list: given(&settings.crl).filter(|_| asks),
        }
    }
}

/// What the files were when they were last looked at.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<files::Stamp>>);

impl Stamps {
    pub(super) fn of(paths: &Paths) -> Self {
        let all = [Some(&paths.certificate), Some(&paths.key)];
        let rest = [paths.authority.as_ref(), paths.list.as_ref()];
        Self(
            all.into_iter()
                .chain(rest)
                .flatten()
                .map(|path| files::stamp(path))
                .collect(),
        )
    }
}

/// Reads the files.
pub(super) fn read(
    settings: &config::Tls,
    paths: &Paths,
) -> Result<(ServerConfig, Facts), TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain: Vec<CertificateDer<'static>> =
        objects(CERTIFICATE, &paths.certificate, "certificate", "")?;
    let unreadable =
        |reason: &'static str| TlsError::unusable(CERTIFICATE, &paths.certificate, reason);
    let mut facts = chain
        .first()
        .and_then(Facts::of)
        .ok_or_else(|| unreadable("the first certificate is no X.509 certificate"))?;
    let key = key(&paths.key)?;
    let versions: &[_] = match settings.minimum_version {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::unusable(CERTIFICATE, &paths.certificate, error))?;
    let builder = match verifier(settings, paths, &provider, &mut facts)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                key: paths.key.clone(),
                certificate: paths.certificate.clone(),
            },
            rustls::Error::InvalidCertificate(_) => {
                TlsError::unusable(CERTIFICATE, &paths.certificate, error)
            }
            error => TlsError::unusable(KEY, &paths.key, error),
        })?;
    // A client that comes back soon saves the expensive half of the handshake. What a ticket says
    // about a client's certificate ends with these certificates, revocation lists included.
    config.ticketer = ring::Ticketer::new()
        .map_err(|error| TlsError::unusable(CERTIFICATE, &paths.certificate, error))?;
    Ok((config, facts))
}

/// What checks the certificates of clients, if they are asked for one.
fn verifier(
    settings: &config::Tls,
    paths: &Paths,
    provider: &Arc<CryptoProvider>,
    facts: &mut Facts,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(authority) = &paths.authority else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in objects(CLIENT_CA, authority, "certificate", "")? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::unusable(CLIENT_CA, authority, error))?;
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(path) = &paths.list {
        let lists: Vec<CertificateRevocationListDer<'static>> =
            objects(CRL, path, "revocation list", "")?;
        for list in &lists {
            facts.has_old_list |=
                is_old(list).map_err(|text| TlsError::unusable(CRL, path, text))?;
        }
        // Like OpenSSL: the certificate of the client must be on a list that is there; those of
        // intermediate authorities are the business of whoever trusts them.
        builder = builder.with_crls(lists).only_check_end_entity_revocation();
    }
    if settings.client_certificate == ClientCertificate::Optional {
        builder = builder.allow_unauthenticated();
    }
    let file = paths
        .list
        .as_ref()
        .map_or((CLIENT_CA, authority), |path| (CRL, path));
    let verifier = builder
        .build()
        .map_err(|error| TlsError::unusable(file.0, file.1, error))?;
    Ok(Some(verifier))
}

/// Whether a list is past its next update.
fn is_old(list: &CertificateRevocationListDer<'_>) -> Result<bool, &'static str> {
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|_| "one of its lists is no X.509 revocation list")?;
    if list.version().is_none() {
        return Err(
            "one of its lists is of version 1; with openssl ca, crlnumber and crl_extensions make one of version 2",
        );
    }
    Ok(list
        .next_update()
        .is_some_and(|next| next < ASN1Time::now()))
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path).map_err(|source| TlsError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

/// All objects of one kind in a PEM file, at least one.
fn objects<T: PemObject>(
    key: &'static str,
    path: &Path,
    what: &'static str,
    hint: &'static str,
) -> Result<Vec<T>, TlsError> {
    let text = read_file(key, path)?;
    let objects = T::pem_slice_iter(&text)
        .collect::<Result<Vec<T>, _>>()
        .map_err(|source| TlsError::Pem {
            key,
            path: path.to_owned(),
            source,
        })?;
    if objects.is_empty() {
        return Err(TlsError::Missing {
            key,
            path: path.to_owned(),
            what,
            hint,
        });
    }
    Ok(objects)
}

/// The first private key in a PEM file.
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read_file(KEY, path)?;
    let is_encrypted = text
        .windows(b"ENCRYPTED".len())
        .any(|window| window == b"ENCRYPTED");
    let hint = if is_encrypted {
        ": it is encrypted; `openssl pkey -in FILE -out NEW` decrypts it"
    } else {
        ""
    };
    let mut keys: Vec<PrivateKeyDer<'static>> = objects(KEY, path, "private key", hint)?;
    Ok(keys.swap_remove(0))
}
