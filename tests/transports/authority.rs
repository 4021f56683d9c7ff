//! The own CA that a node makes at its first start with TLS.

use std::os::unix::fs::PermissionsExt as _;

use harness::{Certificates, Tool};

use crate::{Python, node, publisher};

const OWN: [&str; 3] = [
    "listener.tls=127.0.0.1:0",
    "tls.client_certificate=optional",
    "tls.names=mqtt.example.com, 192.0.2.7",
];

fn own() -> Vec<String> {
    OWN.map(str::to_owned).to_vec()
}

async fn openssl(arguments: &[&str]) -> String {
    let tool = Tool::start("openssl", arguments, "apt-get install openssl");
    tool.success().await
}

#[tokio::test]
async fn the_first_start_with_tls_makes_a_ca_and_says_where() {
    let mut node = node(&own()).await;
    let line = node.logs(&["made a certificate of our own CA"]).await;
    for name in [
        "var/tls/ca.pem",
        "var/tls/server.pem",
        "localhost",
        "192.0.2.7",
    ] {
        assert!(line.contains(name), "no {name} in {line}");
    }
    let folder = node.folder().join("var/tls");
    let mode = |name: &str| {
        let metadata = std::fs::metadata(folder.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    let modes = ["ca.key", "server.key", "ca.pem", "server.pem"].map(mode);
    assert_eq!(modes, [0o600, 0o600, 0o644, 0o644]);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (authority, certificate) = (file("ca.pem"), file("server.pem"));
    let verified = openssl(&[
        "verify",
        "-x509_strict",
        "-CAfile",
        &authority,
        &certificate,
    ])
    .await;
    assert!(verified.contains("OK"), "{verified}");
    for (kind, name) in [
        ("-checkhost", "localhost"),
        ("-checkhost", "mqtt.example.com"),
        ("-checkip", "127.0.0.1"),
        ("-checkip", "::1"),
        ("-checkip", "192.0.2.7"),
    ] {
        let output = openssl(&["x509", "-in", &certificate, "-noout", kind, name]).await;
        assert!(output.contains("does match"), "{name}: {output}");
    }
    let address = node.listener("tls").await;
    let arguments = ["--cafile", &authority, "-t", "t", "-m", "m", "-q", "1"];
    publisher(address, &arguments).success().await;
    let metrics = node.metrics().await;
    assert!(metrics.sum("causeway_tls_certificate_not_after_seconds", &[]) > 1.7e9);

    // The next start keeps it, and make-certs goes on with its CA.
    let before = std::fs::read(&certificate).unwrap();
    node.stop().await;
    node.restart().await;
    assert_eq!(std::fs::read(&certificate).unwrap(), before);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/make-certs");
    let folder = folder.to_str().unwrap().to_owned();
    let made = Tool::start("bash", &[script, "--dir", &folder, "--client", "lamp"], "");
    made.success().await;
    let (lamp, key) = (file("lamp.pem"), file("lamp.key"));
    let address = node.listener("tls").await;
    let python = Python::new(address, &authority).with(&["--cert", &lamp, "--key", &key]);
    assert_eq!(python.connects().await, "TLSv1.3 None 20020000");
    node.logs(&["client connected", "\"common_name\":\"lamp\""])
        .await;
}

/// A name that is missing in our own certificate brings a new one, of the same CA.
#[tokio::test]
async fn a_new_name_brings_a_new_certificate_of_the_same_ca() {
    let mut node = node(&own()).await;
    let read = |name: &str| std::fs::read(node.folder().join("var/tls").join(name)).unwrap();
    let (authority, certificate) = (read("ca.pem"), read("server.pem"));
    node.stop().await;
    node.set("tls.names=other.example.com");
    node.restart().await;
    let read = |name: &str| std::fs::read(node.folder().join("var/tls").join(name)).unwrap();
    assert_eq!(read("ca.pem"), authority);
    assert_ne!(read("server.pem"), certificate);
    let authority = node.folder().join("var/tls/ca.pem");
    let authority = authority.to_str().unwrap();
    let python = Python::new(node.listener("tls").await, authority);
    let python = python.with(&["--name", "other.example.com"]);
    assert_eq!(python.connects().await, "TLSv1.3 None 20020000");
}

/// What make-certs has made is used, and never replaced by the node.
#[tokio::test]
async fn certificates_of_make_certs_in_the_folder_are_used_and_kept() {
    let certificates = Certificates::make().await;
    let before = std::fs::read(certificates.path("server.pem")).unwrap();
    let mut settings = own();
    settings.push(format!("tls.folder={}", certificates.folder().display()));
    let node = node(&settings).await;
    let authority = certificates.file("ca.pem");
    let python = Python::new(node.listener("tls").await, &authority);
    assert_eq!(python.connects().await, "TLSv1.3 None 20020000");
    assert_eq!(
        std::fs::read(certificates.path("server.pem")).unwrap(),
        before
    );
    node.logs(&["does not name all addresses", "mqtt.example.com"])
        .await;
}
