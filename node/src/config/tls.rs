//! The table `tls`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Certificates of `listener.tls` and `listener.wss`. The files are read again on SIGHUP and when
/// they change; a set that cannot be used leaves the old one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate of this server, then those of its issuers. Empty: an own CA
    /// and a certificate are made in `folder`.
    pub certificate: PathBuf,
    /// PEM file with the private key of `certificate`: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
    /// PEM file with the CA certificates that clients' certificates must come from. Empty: the own
    /// CA in `folder`, if `certificate` is empty, too.
    pub client_ca: PathBuf,
    /// Whether clients show a certificate. Fixed until restart.
    pub client_certificate: ClientCertificate,
    /// Whether the common name of a client's certificate takes the place of the user name in
    /// CONNECT; then no password is asked for. Fixed until restart.
    pub common_name_as_username: bool,
    /// PEM file with the revocation lists of every issuer of clients' certificates. Empty: none is
    /// revoked. A list past its next update goes on being used, with a warning in the log.
    pub crl: PathBuf,
    /// The oldest version of TLS that is spoken. Fixed until restart.
    pub minimum_version: TlsVersion,
    /// Where the own CA is.
    pub folder: PathBuf,
    /// Further host names and IP addresses, separated by commas, for the certificate of the own
    /// CA, beside the host name, `localhost`, the loopback addresses and the bound ones. Fixed
    /// until restart.
    pub names: String,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            client_certificate: ClientCertificate::Off,
            common_name_as_username: true,
            crl: PathBuf::new(),
            minimum_version: TlsVersion::V1_2,
            folder: PathBuf::from("var/tls"),
            names: String::new(),
        }
    }
}

impl Tls {
    /// Whether the certificate is one that the node makes itself.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.certificate.as_os_str().is_empty()
    }
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// They are not asked for one.
    Off,
    /// They may; one that does not hold closes the connection.
    Optional,
    /// They must.
    Required,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}
