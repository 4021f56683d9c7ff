//! Whether sockets and certificates make sense together.

use std::net::SocketAddr;

use super::{AuthMode, ClientCertificate, Config, Kind};

/// Calls `check` with each key, whether it is right, and what to say if not.
pub(super) fn sockets(config: &Config, check: &mut impl FnMut(&str, bool, String)) {
    let is_open = config.auth.mode == AuthMode::Disabled && !config.auth.allow_anonymous_remote;
    let mut loopback = |key: &str, address: SocketAddr| {
        let text = format!(
            "{address} can be reached by others while auth.mode is disabled: bind a loopback address, or set auth.allow_anonymous_remote = true"
        );
        check(key, !is_open || address.ip().is_loopback(), text);
    };
    // Nobody is anonymous who has shown a certificate.
    let knows_clients =
        |kind: Kind| kind.has_tls() && config.tls.client_certificate == ClientCertificate::Required;
    for (kind, addresses) in config.listener.addresses() {
        for address in addresses.as_slice() {
            if !knows_clients(kind) {
                loopback(kind.key(), *address);
            }
        }
    }
    if let Some(address) = config.http.listen.address() {
        loopback("http.listen", address);
    }
    let path = &config.listener.ws_path;
    let is_path = path.starts_with('/')
        && path
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '?' && c != '#');
    check(
        "listener.ws_path",
        is_path,
        format!("\"{path}\" is no path like /mqtt"),
    );
    certificates(config, check);
}

fn certificates(config: &Config, check: &mut impl FnMut(&str, bool, String)) {
    let tls = &config.tls;
    let is_given = |path: &std::path::Path| !path.as_os_str().is_empty();
    check(
        "tls.key",
        is_given(&tls.certificate) == is_given(&tls.key),
        "tls.certificate and tls.key go together: give both, or none for an own CA".to_owned(),
    );
    let asks = tls.client_certificate != ClientCertificate::Off;
    check(
        "tls.client_ca",
        !asks || is_given(&tls.client_ca) || tls.is_own(),
        "is needed to check the certificates of clients (tls.client_certificate)".to_owned(),
    );
    check(
        "tls.crl",
        asks || !is_given(&tls.crl),
        "has no effect while tls.client_certificate is off: set it to optional or required"
            .to_owned(),
    );
}
