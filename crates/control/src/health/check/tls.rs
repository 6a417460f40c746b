//! TLS under a check.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{ClientConfig, Resumption};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::bounded::Bounded;
use super::connect::describe;
use super::limit::Limit;
use crate::health::outcome::Found;
use crate::health::settings::Trust;

/// The protocol that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Alpn {
    Http1,
    Http2,
}

/// What certificates are judged by. CAs are read once.
#[derive(Default)]
pub(crate) struct Trusted {
    configs: Mutex<HashMap<(Trust, Alpn), Config>>,
}

/// Or why there is none.
type Config = Result<Arc<ClientConfig>, String>;

impl Trusted {
    /// Files are read again.
    pub(crate) fn forget(&self) {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        configs.clear();
    }

    /// Makes a connection secure, for a name or else for the address.
    pub(super) async fn handshake(
        &self,
        stream: Bounded,
        (name, address): (Option<&str>, IpAddr),
        trust: &Trust,
        alpn: Alpn,
        limit: &Limit,
    ) -> Result<TlsStream<Bounded>, Found> {
        let config = self.config(trust, alpn).map_err(Found::Inconclusive)?;
        let name = match name {
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| Found::Inconclusive(format!("{name:?} is not a server's name")))?,
            None => ServerName::from(address),
        };
        let handshake = async {
            let connected = TlsConnector::from(config).connect(name, stream).await;
            connected.map_err(|error| Found::Bad(format!("TLS: {}", describe(&error))))
        };
        let stream = limit.wait("TLS handshake", handshake).await?;
        match (alpn, stream.get_ref().1.alpn_protocol()) {
            (Alpn::Http2, Some(b"h2")) | (Alpn::Http1, _) => Ok(stream),
            (Alpn::Http2, _) => Err(Found::Bad("TLS: it does not offer HTTP/2 (ALPN)".into())),
        }
    }

    fn config(&self, trust: &Trust, alpn: Alpn) -> Config {
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = configs.entry((trust.clone(), alpn));
        known.or_insert_with(|| config(trust, alpn)).clone()
    }
}

fn config(trust: &Trust, alpn: Alpn) -> Config {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match trust {
        Trust::Anybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NobodyLooks(provider))),
        Trust::System => builder.with_root_certificates(system()?),
        Trust::File(path) => builder.with_root_certificates(file(path)?),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = match alpn {
        Alpn::Http1 => vec![b"http/1.1".to_vec()],
        Alpn::Http2 => vec![b"h2".to_vec()],
    };
    // A resumed session would not show a certificate that has expired since.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The host's own list, which knows the operator's CAs, and is kept current by the distribution.
fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    match (added, found.errors.first()) {
        (1.., _) => Ok(store),
        (0, Some(error)) => Err(format!("cannot check: no CAs on this host: {error}")),
        (0, None) => Err(
            "cannot check: no CAs on this host: install ca-certificates, or name a \
                          file with `ca`"
                .to_owned(),
        ),
    }
}

fn file(path: &Path) -> Result<RootCertStore, String> {
    let problem = |what: &dyn std::fmt::Display| {
        let path = path.display();
        format!("cannot check: the CAs of {path}: {what}")
    };
    let bytes = std::fs::read(path).map_err(|error: io::Error| problem(&describe(&error)))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|error| problem(&error))?;
        store.add(certificate).map_err(|error| problem(&error))?;
    }
    match store.is_empty() {
        true => Err(problem(&"no certificate in it")),
        false => Ok(store),
    }
}

/// Takes any certificate, as long as the other side has its key.
#[derive(Debug)]
struct NobodyLooks(Arc<CryptoProvider>);

impl ServerCertVerifier for NobodyLooks {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
