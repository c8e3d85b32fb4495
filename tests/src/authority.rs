//! A certificate authority of a test's own, and connections that show what it signed, or nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tonic::transport::{Channel, Endpoint, Error};

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, in PEM format.
#[derive(Clone)]
pub struct Certificate {
    chain: String,
    key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Another one at each call.
    ///
    /// # Panics
    /// Never: it can be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate of one who goes by `names`, and listens on this machine.
    ///
    /// # Panics
    /// When a name cannot be one.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().chain(&["127.0.0.1"]).map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        Certificate { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// Its own certificate, in PEM format.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Writes the files that [`files`] names, for a process that runs `services`.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn write(&self, folder: &Path, services: &[&str]) {
        let Certificate { chain, key } = self.sign(services);
        for (file, text) in [("tls.crt", &chain), ("tls.key", &key), ("ca.crt", &self.certificate)] {
            // At once, as a renewed Secret comes: nobody reads half a file.
            let half = folder.join("half");
            fs::write(&half, text).unwrap();
            fs::rename(half, folder.join(file)).unwrap();
        }
    }

    /// A connection to a gRPC listener that this authority vouches for, by one who shows `shown`.
    ///
    /// # Errors
    /// When either refuses the other.
    ///
    /// # Panics
    /// When the certificate cannot be used.
    pub async fn connect(&self, to: SocketAddr, shown: Option<&Certificate>) -> Result<Channel, Error> {
        let config = Arc::new(self.client(shown));
        let dial = tower::service_fn(move |_: http::Uri| {
            let connector = TlsConnector::from(config.clone());
            async move {
                let stream = TcpStream::connect(to).await?;
                connector.connect(ServerName::from(to.ip()), stream).await.map(TokioIo::new)
            }
        });
        Endpoint::from_shared(format!("http://{to}")).unwrap().connect_with_connector(dial).await
    }

    fn client(&self, shown: Option<&Certificate>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let config =
            ClientConfig::builder_with_provider(ring()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(Certificate { chain, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// Speaks TLS where a server behind it does not. Ends when dropped.
pub struct Front {
    /// Where it listens.
    pub at: SocketAddr,
    _connections: tokio::task::JoinSet<()>,
}

impl Authority {
    /// Starts one in front of `server`, with a certificate of this authority.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn front(&self, server: SocketAddr) -> Front {
        let Certificate { chain, key } = self.sign(&[]);
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config =
            ServerConfig::builder_with_provider(ring()).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, mut connections) = (listener.local_addr().unwrap(), tokio::task::JoinSet::new());
        connections.spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                open.spawn(async move {
                    // Whoever does not believe the certificate hangs up.
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Front { at, _connections: connections }
    }
}

fn ring() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What `identity.tls` says of the certificates in a folder.
#[must_use]
pub fn files(folder: &Path) -> Value {
    let file = |name| folder.join(name);
    json!({"certificate_file": file("tls.crt"), "key_file": file("tls.key"), "ca_file": file("ca.crt")})
}
