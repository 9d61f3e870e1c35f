//! Is anybody there? The look that the contract takes at an endpoint before it believes it.
//!
//! `http` and `https`: HEAD on `/`, and GET if that brings nothing, 2 s each; any answer in HTTP counts, whatever
//! its status. Everything else: a TCP connection within 3 s. A certificate is not judged: the question is
//! whether something answers, and nothing is sent that would have to be kept from a stranger.

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

const HTTP_WAIT: Duration = Duration::from_secs(2);
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// Probes of one request under way at once.
const SIDE_BY_SIDE: usize = 64;
/// Probes of all requests under way at once.
const AT_ONCE: usize = 512;

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) ip: String,
    pub(crate) port: i64,
    pub(crate) protocol: String,
}

pub(crate) struct Prober {
    under_way: Semaphore,
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
        Ok(Self { under_way: Semaphore::new(AT_ONCE), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Looks at all of them side by side; the answers are in the order of the targets.
    pub(crate) async fn probe_all(&self, targets: Vec<Target>) -> Vec<bool> {
        stream::iter(targets).map(|target| self.probe(target)).buffered(SIDE_BY_SIDE).collect().await
    }

    async fn probe(&self, target: Target) -> bool {
        let Ok(_permit) = self.under_way.acquire().await else { return false };
        match target.protocol.as_str() {
            "http" | "https" => {
                within(HTTP_WAIT, self.ask(&target, "HEAD")).await.is_some()
                    || within(HTTP_WAIT, self.ask(&target, "GET")).await.is_some()
            }
            _ => within(CONNECT_WAIT, connect(&target)).await.is_some(),
        }
    }

    /// Sends one request; true once something in HTTP comes back.
    async fn ask(&self, target: &Target, method: &str) -> Option<()> {
        let tcp = connect(target).await?;
        if target.protocol == "http" {
            return exchange(tcp, target, method).await;
        }
        let name = ServerName::try_from(target.ip.clone()).ok()?;
        exchange(self.tls.connect(name, tcp).await.ok()?, target, method).await
    }
}

/// What the future brings within the time.
async fn within<T>(time: Duration, future: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(time, future).await.ok().flatten()
}

async fn connect(target: &Target) -> Option<TcpStream> {
    // The original would take an empty address for its own machine; nobody means that.
    if target.ip.is_empty() {
        return None;
    }
    let port = u16::try_from(target.port).ok()?;
    TcpStream::connect((target.ip.as_str(), port)).await.ok()
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    target: &Target,
    method: &str,
) -> Option<()> {
    let host = if target.ip.contains(':') { format!("[{}]", target.ip) } else { target.ip.clone() };
    let request = format!(
        "{method} / HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: plumline-controller\r\nConnection: close\r\n\r\n",
        target.port
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut begin = [0; 5];
    stream.read_exact(&mut begin).await.ok()?;
    (&begin == b"HTTP/").then_some(())
}

/// Takes any certificate whose owner holds its key.
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
