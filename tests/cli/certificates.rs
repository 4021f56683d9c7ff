//! Certificates that cannot be used: one line that names the setting and the file.

use harness::{Certificates, Command};

use crate::fails;

/// Both verbs complain: check-conf, and serve before it lets anybody in.
async fn fail(settings: &[String], words: &[&str]) {
    let mut arguments = vec![
        "--set",
        "listener.tcp=off",
        "--set",
        "http.listen=off",
        "--set",
        "listener.tls=127.0.0.1:0",
        "--set",
        "store.path=/dev/null/never",
    ];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    for verb in ["check-conf", "serve"] {
        let all: Vec<&str> = std::iter::once(verb)
            .chain(arguments.iter().copied())
            .collect();
        fails(Command::new(&all), 2, words).await;
    }
}

fn pair(certificate: &str, key: &str) -> Vec<String> {
    vec![
        format!("tls.certificate={certificate}"),
        format!("tls.key={key}"),
    ]
}

#[tokio::test]
async fn certificate_and_key_go_together() {
    fail(
        &["tls.certificate=x.pem".to_owned()],
        &["tls.key", "go together"],
    )
    .await;
    fail(&["tls.key=x.key".to_owned()], &["tls.key", "go together"]).await;
}

#[tokio::test]
async fn a_file_that_is_missing_or_wrong_is_named_with_its_setting() {
    let certificates = Certificates::make().await;
    let file = |name: &str| certificates.file(name);
    let write = |name: &str, text: &str| {
        std::fs::write(certificates.path(name), text).unwrap();
        certificates.file(name)
    };
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let none = file("none.pem");
    let text = write("text.pem", "hello\n");
    let cut = write("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let empty = write(
        "empty.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let folder = certificates.folder().to_str().unwrap().to_owned();
    let no_file = "No such file";
    fail(&pair(&none, &key), &["tls.certificate", &none, no_file]).await;
    fail(&pair(&certificate, &none), &["tls.key", &none, no_file]).await;
    fail(
        &pair(&folder, &key),
        &["tls.certificate", &folder, "not a file"],
    )
    .await;
    fail(
        &pair(&text, &key),
        &["tls.certificate", &text, "no certificate"],
    )
    .await;
    fail(&pair(&cut, &key), &["tls.certificate", &cut, "PEM"]).await;
    fail(&pair(&empty, &key), &["tls.certificate", &empty, "X.509"]).await;
    fail(
        &pair(&key, &key),
        &["tls.certificate", &key, "no certificate"],
    )
    .await;
    fail(
        &pair(&certificate, &certificate),
        &["tls.key", &certificate, "no private key"],
    )
    .await;
    let client = file("client.key");
    let words = [
        "tls.key",
        client.as_str(),
        "is not the key of the certificate in",
        &certificate,
    ];
    fail(&pair(&certificate, &client), &words).await;
}

#[tokio::test]
async fn an_encrypted_key_is_recognised() {
    let certificates = Certificates::make().await;
    let (plain, encrypted) = (
        certificates.file("server.key"),
        certificates.file("secret.key"),
    );
    let arguments = [
        "pkcs8", "-topk8", "-in", &plain, "-out", &encrypted, "-passout", "pass:x",
    ];
    harness::Tool::start("openssl", &arguments, "apt-get install openssl")
        .success()
        .await;
    let settings = pair(&certificates.file("server.pem"), &encrypted);
    fail(
        &settings,
        &["tls.key", &encrypted, "encrypted", "openssl pkey"],
    )
    .await;
}

#[tokio::test]
async fn what_checks_clients_is_named_too() {
    let certificates = Certificates::make().await;
    let base = || certificates.settings();
    let with = |more: &[String]| [base(), more.to_vec()].concat();
    let required = "tls.client_certificate=required".to_owned();
    fail(
        &with(std::slice::from_ref(&required)),
        &["tls.client_ca", "is needed"],
    )
    .await;
    let none = certificates.file("none.pem");
    let settings = with(&[required.clone(), format!("tls.client_ca={none}")]);
    fail(&settings, &["tls.client_ca", &none]).await;
    let authority = format!("tls.client_ca={}", certificates.file("ca.pem"));
    let wrong = certificates.file("server.pem");
    let settings = with(&[
        required.clone(),
        authority.clone(),
        format!("tls.crl={wrong}"),
    ]);
    fail(&settings, &["tls.crl", &wrong, "no revocation list"]).await;
    let old = certificates.file("old.pem");
    let make = format!(
        "cd {} && printf '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ncertificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\ndefault_crl_days=1\n' >ca.cnf && openssl ca -config ca.cnf -gencrl -out old.pem",
        certificates.folder().display()
    );
    harness::Tool::start("bash", &["-c", &make], "")
        .success()
        .await;
    let settings = with(&[
        required.clone(),
        authority.clone(),
        format!("tls.crl={old}"),
    ]);
    fail(&settings, &["tls.crl", &old, "version 1"]).await;
    let settings = with(&[required, authority, format!("tls.crl={none}")]);
    fail(&settings, &["tls.crl", &none]).await;
    let list = format!("tls.crl={}", certificates.file("crl.pem"));
    fail(
        &with(&[list]),
        &["tls.crl", "no effect", "tls.client_certificate"],
    )
    .await;
}

#[tokio::test]
async fn a_broken_own_ca_is_named_with_its_folder() {
    let scratch = harness::Scratch::new("own");
    let authority = scratch.write("ca.pem", "nonsense");
    let key = scratch.path().join("ca.key");
    let settings = format!("tls.folder={}", scratch.path().display());
    let arguments = [
        "serve",
        "--set",
        "listener.tcp=off",
        "--set",
        "http.listen=off",
    ];
    let more = ["--set", "listener.tls=127.0.0.1:0", "--set", &settings];
    let all: Vec<&str> = arguments.into_iter().chain(more).collect();
    fails(
        Command::new(&all),
        2,
        &["tls.folder", key.to_str().unwrap()],
    )
    .await;
    std::fs::remove_file(authority).unwrap();
    let settings = "tls.folder=/proc/no/tls";
    let all: Vec<&str> = arguments
        .into_iter()
        .chain(more[..3].iter().copied())
        .collect();
    let all = [all, vec![settings]].concat();
    fails(Command::new(&all), 2, &["tls.folder", "/proc/no"]).await;
}
