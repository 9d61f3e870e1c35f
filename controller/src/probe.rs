//! Probes: before the controller stores a registration, it checks that the endpoint answers, as the contract requires.
//!
//! `http` and `https`: HEAD on `/`, then GET if HEAD gets no response, 2 s each. Any HTTP response counts, whatever its
//! status. Every other protocol: a TCP connection within 3 s. Certificates are not verified: the probe only asks whether
//! something answers, and sends nothing secret.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

const HTTP_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Concurrent probes of one request.
const MAX_PER_REQUEST: usize = 64;
/// Concurrent probes of all requests.
const MAX_CONCURRENT: usize = 512;

/// An endpoint to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeTarget {
    pub(crate) ip: String,
    pub(crate) port: i64,
    pub(crate) protocol: String,
}

pub(crate) struct Prober {
    permits: Semaphore,
    tls: TlsConnector,
}

impl Prober {
    pub(crate) fn new() -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Self { permits: Semaphore::new(MAX_CONCURRENT), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Probes all targets concurrently. The results are in the order of the targets.
    pub(crate) async fn probe_all(&self, targets: Vec<ProbeTarget>) -> Vec<bool> {
        stream::iter(targets).map(|target| self.probe(target)).buffered(MAX_PER_REQUEST).collect().await
    }

    async fn probe(&self, target: ProbeTarget) -> bool {
        let Ok(_permit) = self.permits.acquire().await else { return false };
        match target.protocol.as_str() {
            "http" | "https" => {
                within(HTTP_TIMEOUT, self.request(&target, "HEAD")).await.is_some()
                    || within(HTTP_TIMEOUT, self.request(&target, "GET")).await.is_some()
            }
            _ => within(CONNECT_TIMEOUT, connect(&target)).await.is_some(),
        }
    }

    /// Sends one request; `Some` once a response begins with `HTTP/`.
    async fn request(&self, target: &ProbeTarget, method: &str) -> Option<()> {
        let tcp = connect(target).await?;
        if target.protocol == "http" {
            return exchange(tcp, target, method).await;
        }
        let name = ServerName::try_from(target.ip.clone()).ok()?;
        exchange(self.tls.connect(name, tcp).await.ok()?, target, method).await
    }
}

/// The result of the future, or `None` after this time.
async fn within<T>(time: Duration, future: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(time, future).await.ok().flatten()
}

async fn connect(target: &ProbeTarget) -> Option<TcpStream> {
    // The original connects to its own machine for an empty address, which no client intends.
    if target.ip.is_empty() {
        return None;
    }
    let port = u16::try_from(target.port).ok()?;
    TcpStream::connect((target.ip.as_str(), port)).await.ok()
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &ProbeTarget,
    method: &str,
) -> Option<()> {
    let host = if target.ip.contains(':') { format!("[{}]", target.ip) } else { target.ip.clone() };
    let request = format!(
        "{method} / HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: plumline-controller\r\nConnection: close\r\n\r\n",
        target.port
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await.ok()?;
    (&start == b"HTTP/").then_some(())
}

/// Accepts any certificate, if the server proves that it holds the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
