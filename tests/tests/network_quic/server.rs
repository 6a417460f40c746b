//! A QUIC server on a backend that says its name.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use evenkeel_tests::support::PATIENCE;
use lab::Host;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use tokio::sync::oneshot;

use super::ids::RoutableIds;

/// What the certificate is for.
pub(crate) const SERVER_NAME: &str = "quic.test";
/// Longest question.
pub(crate) const LONGEST: usize = 1 << 20;

/// The certificate of all servers, signed by itself.
#[derive(Debug)]
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]);
        let made = made.expect("a certificate");
        Self {
            certificate: made.cert.into(),
            key: made.signing_key.serialize_der().into(),
        }
    }

    fn server_config(&self) -> ServerConfig {
        let key = self.key.clone_key().into();
        ServerConfig::with_single_cert(vec![self.certificate.clone()], key)
            .expect("a certificate with its key")
    }

    /// Trusts this certificate only.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        ClientConfig::with_root_certificates(Arc::new(roots)).expect("a root")
    }
}

/// A server that runs on a thread inside its host, and ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<lab::Result<()>>>,
}

impl Server {
    /// Starts it on an address of the host, and waits until it has its socket.
    pub(crate) fn start(
        host: &Host,
        address: SocketAddr,
        identity: &Identity,
        ids: fn(u8) -> RoutableIds,
    ) -> Self {
        let name = host.name();
        let number = name[1..].parse().expect("backends are h and a number");
        let config = identity.server_config();
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let endpoint = open(address, config, move || ids(number));
                let endpoint = endpoint.expect("a socket for the server");
                ready.send(()).expect("somebody who waits");
                tokio::select! {
                    () = accept(&endpoint, name) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = host.thread(serve).expect("a thread on the host");
        let server = Self {
            stop: Some(stop),
            thread: Some(thread),
        };
        is_ready.recv_timeout(PATIENCE).expect("a server");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, its message is on the standard error already.
            let _ = thread.join();
        }
    }
}

fn open(
    address: SocketAddr,
    config: ServerConfig,
    ids: impl Fn() -> RoutableIds + Send + Sync + 'static,
) -> std::io::Result<Endpoint> {
    let mut endpoint = EndpointConfig::default();
    endpoint.cid_generator(move || Box::new(ids()));
    let socket = std::net::UdpSocket::bind(address)?;
    Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime))
}

async fn accept(endpoint: &Endpoint, name: &'static str) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                // The client knows best whether the connection ended as it should.
                let _ = answer(&connection, name).await;
            }
        });
    }
}

/// Answers each stream: the server's name and the client's address as it is now in a line, then
/// what the client sent.
async fn answer(connection: &Connection, name: &str) -> Result<(), Box<dyn Error>> {
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let question = receive.read_to_end(LONGEST).await?;
        let line = format!("{name} {}\n", connection.remote_address());
        send.write_all(line.as_bytes()).await?;
        send.write_all(&question).await?;
        send.finish()?;
    }
}
