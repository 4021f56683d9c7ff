//! What a certificate says.

use std::net::IpAddr;

use mqtt::Str;
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{ASN1Time, FromDer},
};

/// What people want to know of the certificate in force.
pub(super) struct Facts {
    /// Its end, in seconds since 1970.
    pub(super) not_after: i64,
    /// The same for people.
    pub(super) until: String,
    /// Whom it names.
    pub(super) names: String,
    /// Whether a revocation list is past its next update.
    pub(super) has_old_list: bool,
}

impl Facts {
    /// Nothing if the certificate cannot be understood.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let not_after = parsed.validity().not_after;
        Some(Self {
            not_after: not_after.timestamp(),
            until: not_after.to_string(),
            names: names(&parsed).join(", "),
            has_old_list: false,
        })
    }

    /// How long it holds from now on; negative if it has run out.
    pub(super) fn seconds_left(&self) -> i64 {
        self.not_after.saturating_sub(ASN1Time::now().timestamp())
    }
}

/// The host names and addresses that a certificate is for.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok()
            .map(|address| address.to_string()),
        _ => None,
    };
    alternatives
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

/// The first common name of the subject, if it is one that MQTT could have as user name.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<Str> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Str::new(name).ok().filter(|name| !name.is_empty())
}
