//! A certificate authority of the bed's own, and what it signs.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// Signs for any name.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

type Outcome<T> = Result<T, String>;

fn in_words(error: impl std::fmt::Display) -> String {
    format!("TLS: {error}")
}

impl Authority {
    /// A new one, that nobody trusts yet.
    pub fn new() -> Outcome<Authority> {
        let mut params = CertificateParams::new(Vec::new()).map_err(in_words)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(in_words)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(in_words)?;
        Ok(Authority { issuer })
    }

    /// Its own certificate: who trusts it trusts all it signs.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names or addresses.
    pub fn sign(&self, names: &[String]) -> Outcome<Pem> {
        let (certificate, key) = self.certificate(names)?;
        Ok(Pem { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn certificate(&self, names: &[String]) -> Outcome<(rcgen::Certificate, KeyPair)> {
        let key = KeyPair::generate().map_err(in_words)?;
        let params = CertificateParams::new(names.to_vec()).map_err(in_words)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(in_words)?;
        Ok((certificate, key))
    }

    /// What a server with such a certificate needs.
    pub fn server(&self, names: &[String]) -> Outcome<Arc<ServerConfig>> {
        let (certificate, key) = self.certificate(names)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)
            })
            .map(Arc::new)
            .map_err(in_words)
    }

    /// A connection to a server that it signed for `127.0.0.1`.
    pub fn connect(&self, socket: TcpStream) -> Outcome<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).map_err(in_words)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(in_words)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").map_err(in_words)?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(in_words)?;
        Ok(StreamOwned::new(session, socket))
    }
}
