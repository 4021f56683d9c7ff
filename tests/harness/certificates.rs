//! A CA of our own with certificates for a server and clients, made by `deploy/make-certs`.

use std::path::{Path, PathBuf};

use crate::{Scratch, Tool};

/// A folder with `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key` and `crl.pem`.
#[derive(Debug)]
pub struct Certificates {
    scratch: Scratch,
}

impl Certificates {
    /// Makes them.
    pub async fn make() -> Self {
        let certificates = Self {
            scratch: Scratch::new("certificates"),
        };
        certificates.run(&[]).await;
        certificates
    }

    /// Calls `make-certs` with these arguments; what it says.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/make-certs");
        let folder = self.folder();
        let mut all = vec![script.to_str().unwrap(), "--dir", folder.to_str().unwrap()];
        all.extend(arguments);
        Tool::start("bash", &all, "apt-get install openssl")
            .success()
            .await
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of one of the files.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The same as text.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Settings for a node that listens with TLS and WebSocket over TLS.
    #[must_use]
    pub fn settings(&self) -> Vec<String> {
        vec![
            "listener.tls=127.0.0.1:0".to_owned(),
            "listener.wss=127.0.0.1:0".to_owned(),
            format!("tls.certificate={}", self.file("server.pem")),
            format!("tls.key={}", self.file("server.key")),
        ]
    }

    /// The same; clients show a certificate according to `mode`, and may be on the list.
    #[must_use]
    pub fn client_settings(&self, mode: &str) -> Vec<String> {
        let mut settings = self.settings();
        settings.extend([
            format!("tls.client_certificate={mode}"),
            format!("tls.client_ca={}", self.file("ca.pem")),
            format!("tls.crl={}", self.file("crl.pem")),
        ]);
        settings
    }
}
