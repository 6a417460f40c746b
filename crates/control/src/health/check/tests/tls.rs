//! TLS: who signed, for whom, and with which protocol.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::http2::{http2, reply};
use super::*;
use crate::health::settings::{HttpCheck, TlsSettings, Trust};

/// A CA in a file of its own, which is removed with it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let folder = format!("evenkeel-ca-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            folder,
        }
    }

    fn trust(&self) -> Trust {
        Trust::File(self.folder.join("ca.pem"))
    }

    /// A server for `a.example` and 127.0.0.1.
    fn acceptor(&self, alpn: &[&str], expired: bool) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names = ["a.example".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        if expired {
            params.not_after = date_time_ymd(2000, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    async fn serve(&self, alpn: &[&str], expired: bool) -> SocketAddr {
        let acceptor = self.acceptor(alpn, expired);
        serve(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => {
                        let message = b"\0\0\0\0\x02\x08\x01";
                        let trailers = &[("grpc-status", "0")];
                        reply(stream, |_, _| (200, message, trailers)).await;
                    }
                    _ => answer(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n").await,
                }
            }
        })
        .await
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn https(trust: Trust, sni: Option<&str>, host: Option<&str>) -> CheckKind {
    CheckKind::Http(HttpCheck {
        tls: Some(TlsSettings {
            sni: sni.map(str::to_owned),
            trust,
        }),
        host: host.map(str::to_owned),
        ..HttpCheck::default()
    })
}

#[tokio::test]
async fn signer_name_and_date_have_to_be_right_unless_nobody_looks() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let to = ours.serve(&[], false).await;
    // By address, by name, by host.
    good(
        &ask(https(ours.trust(), None, None), to).await,
        "status 200",
    );
    good(
        &ask(https(ours.trust(), Some("a.example"), None), to).await,
        "status 200",
    );
    good(
        &ask(https(ours.trust(), None, Some("a.example:443")), to).await,
        "status 200",
    );
    let named = ask(
        https(ours.trust(), Some("b.example"), Some("a.example")),
        to,
    )
    .await;
    bad(&named, "TLS: invalid peer certificate");
    bad(
        &ask(https(other.trust(), None, None), to).await,
        "TLS: invalid peer certificate",
    );
    let anybody = ask(https(Trust::Anybody, Some("b.example"), None), to).await;
    good(&anybody, "status 200");
    let expired = ours.serve(&[], true).await;
    bad(
        &ask(https(ours.trust(), None, None), expired).await,
        "TLS: invalid peer certificate",
    );
}

#[tokio::test]
async fn the_hosts_own_cas_do_not_know_ours() {
    let ours = Authority::new("unknown");
    let to = ours.serve(&[], false).await;
    let outcome = ask(https(Trust::System, None, None), to).await;
    // Without any CAs on this host the check cannot be made.
    let expected = [
        "TLS: invalid peer certificate",
        "cannot check: no CAs on this host",
    ];
    assert!(
        expected.iter().any(|text| outcome.text.starts_with(text)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_file_of_cas_that_cannot_be_read_says_nothing_about_the_backend() {
    let ours = Authority::new("unread");
    let to = ours.serve(&[], false).await;
    let missing = Trust::File(ours.folder.join("none.pem"));
    let outcome = ask(https(missing, None, None), to).await;
    assert_eq!(outcome.answer, Answer::Inconclusive);
    assert!(
        outcome
            .text
            .ends_with("none.pem: no such file or directory"),
        "{outcome:?}"
    );
    std::fs::write(ours.folder.join("empty.pem"), "").unwrap();
    let empty = Trust::File(ours.folder.join("empty.pem"));
    let outcome = ask(https(empty, None, None), to).await;
    assert_eq!(outcome.answer, Answer::Inconclusive);
    assert!(
        outcome.text.ends_with("no certificate in it"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn what_does_not_speak_tls_is_bad() {
    let to = serve(|mut stream| async move { answer(&mut stream, b"").await }).await;
    let silent = ask_within(https(Trust::Anybody, None, None), to, IMPATIENT).await;
    bad(&silent, "no TLS handshake within 150ms");
    let to = serve(|mut stream| async move {
        let _ = stream.write_all(b"220 smtp.example ESMTP\r\n").await;
        let _ = stream.read_u8().await;
    })
    .await;
    bad(&ask(https(Trust::Anybody, None, None), to).await, "TLS: ");
}

#[tokio::test]
async fn http2_over_tls_takes_alpn() {
    let ours = Authority::new("alpn");
    let tls = Some(TlsSettings {
        sni: None,
        trust: ours.trust(),
    });
    let check = CheckKind::Http(HttpCheck {
        tls: tls.clone(),
        ..http2()
    });
    let grpc = CheckKind::Grpc {
        service: String::new(),
        tls,
    };
    let modern = ours.serve(&["http/1.1", "h2"], false).await;
    good(&ask(check.clone(), modern).await, "status 200");
    good(&ask(grpc, modern).await, "SERVING");
    let silent = ours.serve(&[], false).await;
    bad(
        &ask(check.clone(), silent).await,
        "it does not offer HTTP/2",
    );
    let old = ours.serve(&["http/1.1"], false).await;
    bad(&ask(check, old).await, "TLS: ");
}
