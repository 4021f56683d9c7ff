//! Certificates and handshakes: TLS below MQTT and below WebSocket.
//!
//! Owns the certificates in force and puts new ones in their place when the files change or SIGHUP
//! comes. A connection keeps what it began with. Opens no socket.

mod authority;
mod certificate;
mod files;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use mqtt::Str;
use rustls::{ServerConfig, ServerConnection};
use tokio::{sync::Notify, time::Instant};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

pub use self::files::TlsError;
use self::{
    certificate::Facts,
    files::{Paths, Stamps},
};
use crate::{
    config::{self, Kind},
    shutdown::Shutdown,
    telemetry::{Metrics, chain},
};

/// How often the files are looked at. A change counts when two looks in a row see the same, so
/// that a certificate and its key may be copied one after the other.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether a certificate runs out.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Before the end of a certificate: an own one is made anew, others are warned about.
const RENEWAL: Duration = DAY.saturating_mul(30);

/// The certificates in force.
pub(crate) struct Tls {
    settings: config::Tls,
    paths: Paths,
    names: Vec<String>,
    current: ArcSwap<Current>,
    hangup: Notify,
    metrics: Arc<Metrics>,
}

struct Current {
    /// For MQTT: ALPN `mqtt`.
    mqtt: Arc<ServerConfig>,
    /// For WebSocket: ALPN `http/1.1`.
    http: Arc<ServerConfig>,
    facts: Facts,
}

impl Tls {
    /// Reads the certificates; makes an own CA and a certificate for `names` if none is given.
    ///
    /// # Errors
    ///
    /// [`TlsError`] naming the setting and the file.
    pub(crate) fn start(
        settings: &config::Tls,
        names: Vec<String>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TlsError> {
        let paths = Paths::of(settings);
        if settings.is_own() {
            authority::ensure(&settings.folder, &names, RENEWAL)?;
        }
        let current = read(settings, &paths)?;
        let tls = Self {
            settings: settings.clone(),
            paths,
            names,
            current: ArcSwap::from_pointee(current),
            hangup: Notify::new(),
            metrics,
        };
        tls.tell(&tls.current.load().facts);
        Ok(tls)
    }

    /// What makes a TLS stream of a connection to `listener`.
    pub(crate) fn acceptor(&self, listener: Kind) -> TlsAcceptor {
        let current = self.current.load();
        let config = if listener.has_websocket() {
            &current.http
        } else {
            &current.mqtt
        };
        TlsAcceptor::from(Arc::clone(config))
    }

    /// Reads the files again soon.
    pub(crate) fn reload(&self) {
        self.hangup.notify_one();
    }

    /// Puts changed files into force until `shutdown` stops.
    pub(crate) async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let mut in_force = Stamps::of(&self.paths);
        let mut last = in_force.clone();
        let mut tomorrow = Instant::now() + DAY;
        loop {
            let is_asked = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = self.hangup.notified() => true,
                () = shutdown.stopped() => return,
            };
            if Instant::now() >= tomorrow {
                tomorrow += DAY;
                self.renew();
            }
            let now = Stamps::of(&self.paths);
            if is_asked || (now != in_force && now == last) {
                self.replace();
                in_force = now.clone();
            }
            last = now;
        }
    }

    /// Puts the files into force, if they can be used.
    fn replace(&self) {
        match read(&self.settings, &self.paths) {
            Ok(current) => {
                self.metrics.reload_tls(true);
                info!("certificates reloaded");
                self.tell(&current.facts);
                self.current.store(Arc::new(current));
            }
            Err(error) => {
                self.metrics.reload_tls(false);
                error!(error = %chain(&error), "certificates not reloaded, the old ones stay in force");
            }
        }
    }

    /// Makes an own certificate anew before it runs out; warns about another one. The changed
    /// files are noticed like any others.
    fn renew(&self) {
        if self.settings.is_own()
            && let Err(error) = authority::ensure(&self.settings.folder, &self.names, RENEWAL)
        {
            error!(error = %chain(&error), "certificate not renewed");
        }
        self.tell(&self.current.load().facts);
    }

    fn tell(&self, facts: &Facts) {
        self.metrics.tls_not_after.set(facts.not_after);
        let file = self.paths.certificate.display();
        let left = facts.seconds_left();
        if left <= 0 {
            warn!(%file, until = %facts.until, "the certificate has run out: clients will refuse it");
        } else if left < i64::try_from(RENEWAL.as_secs()).unwrap_or(i64::MAX) {
            warn!(%file, until = %facts.until, "the certificate runs out soon");
        } else {
            info!(%file, until = %facts.until, names = %facts.names, "certificate in force");
        }
        if facts.has_old_list {
            warn!(
                file = %self.paths.list.as_ref().map_or_else(String::new, |path| path.display().to_string()),
                "a revocation list is past its next update; it goes on being used"
            );
        }
    }
}

/// Says what is wrong with the files of `settings`, and changes nothing.
///
/// # Errors
///
/// [`TlsError`] naming the setting and the file.
pub(crate) fn check(settings: &config::Tls) -> Result<(), TlsError> {
    let paths = Paths::of(settings);
    if settings.is_own() && !authority::is_made(&settings.folder) {
        return Ok(());
    }
    read(settings, &paths).map(drop)
}

fn read(settings: &config::Tls, paths: &Paths) -> Result<Current, TlsError> {
    let (mut config, facts) = files::read(settings, paths)?;
    config.alpn_protocols = vec![b"mqtt".to_vec()];
    let mut http = config.clone();
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current {
        mqtt: Arc::new(config),
        http: Arc::new(http),
        facts,
    })
}

/// The common name in the certificate that the client of a finished handshake has shown.
pub(crate) fn common_name(connection: &ServerConnection) -> Option<Str> {
    let certificate = connection.peer_certificates()?.first()?;
    certificate::common_name(certificate)
}

/// Whom an own certificate names: this host, its loopback, where it listens, and `further`.
pub(crate) fn names(
    host: Option<String>,
    bound: impl Iterator<Item = SocketAddr>,
    further: &str,
) -> Vec<String> {
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let bound = bound
        .map(|address| address.ip())
        .filter(|address| !address.is_unspecified())
        .map(|address| address.to_string());
    let further = further.split(',').map(str::trim).map(str::to_owned);
    let mut names: Vec<String> = Vec::new();
    for name in host.into_iter().chain(loopback).chain(bound).chain(further) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A label for metrics and a hint for the log: why a handshake has failed.
pub(crate) fn explain(error: &std::io::Error) -> (&'static str, &'static str) {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
    let Some(error) = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>())
    else {
        return ("tls", "");
    };
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            "not_tls",
            ": the client does not speak TLS; switch it on there, or use listener.tcp or listener.ws (a load balancer that sends PROXY headers needs listener.proxy_protocol on or auto)",
        ),
        Error::NoCertificatesPresented => (
            "no_certificate",
            ": the client has shown no certificate (tls.client_certificate = \"required\")",
        ),
        Error::InvalidCertificate(CertificateError::Revoked) => {
            ("revoked", ": the certificate of the client is in tls.crl")
        }
        Error::InvalidCertificate(CertificateError::UnknownRevocationStatus)
        | Error::InvalidCertRevocationList(_) => (
            "revocation_unknown",
            ": tls.crl has no good list of the issuer of the client's certificate",
        ),
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => (
            "certificate",
            ": the certificate of the client is not from tls.client_ca",
        ),
        Error::InvalidCertificate(_) => ("certificate", ": the certificate of the client"),
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired,
        ) => (
            "refused",
            ": the client does not accept our certificate; it needs the file of our CA, and an address that the certificate names",
        ),
        Error::AlertReceived(_) => ("refused", ": the client ended it"),
        Error::PeerIncompatible(_) => (
            "incompatible",
            ": the client has no version or cipher in common with us (tls.minimum_version)",
        ),
        Error::NoApplicationProtocol => (
            "alpn",
            ": the client asks for another protocol than mqtt (ALPN)",
        ),
        _ => ("tls", ""),
    }
}
