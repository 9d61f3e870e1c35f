//! TLS as rustls speaks it with ring: the system's roots, and a CA file beside them.
//!
//! One configuration is shared by everything that trusts the same CA: each holds about 90 KB of roots.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::sync::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::config::TlsConfig;
use crate::error::{Error, Result};

/// The name a certificate must carry, and whom to believe about it.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name to verify and to send as SNI.
    pub server_name: ServerName<'static>,
    /// Whom to believe.
    pub config: Arc<ClientConfig>,
}

impl Name {
    /// The name `host`, verified as the settings say.
    pub fn new(host: &str, settings: &TlsConfig) -> Result<Name> {
        Name::over(host, settings, Protocol::Http1)
    }

    /// The same for a connection that speaks this protocol.
    pub fn over(host: &str, settings: &TlsConfig, protocol: Protocol) -> Result<Name> {
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::invalid(format!("{host:?} is not a valid host name for a certificate")))?;
        Ok(Name { server_name, config: client_config(settings, protocol)? })
    }
}

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1, which needs no agreement.
    Http1,
    /// HTTP/2: a server must agree to it.
    Http2,
}

/// What one configuration is made of.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Files {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    protocol: Protocol,
}

/// The shared configuration that trusts the system's roots and those in the file `ca`, and shows what stands in
/// `cert`.
pub fn client_config(settings: &TlsConfig, protocol: Protocol) -> Result<Arc<ClientConfig>> {
    static SHARED: LazyLock<Mutex<HashMap<Files, Arc<ClientConfig>>>> = LazyLock::new(Mutex::default);
    let TlsConfig { ca, cert, key, .. } = settings.clone();
    let files = Files { ca, cert, key, protocol };
    if let Some(known) = SHARED.lock().get(&files) {
        return Ok(known.clone());
    }
    let config = Arc::new(build(&files)?);
    Ok(SHARED.lock().entry(files).or_insert(config).clone())
}

fn build(files: &Files) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    system.errors.iter().for_each(|error| tracing::debug!(%error, "a system certificate was skipped"));
    roots.add_parsable_certificates(system.certs);
    for certificate in
        files.ca.as_deref().map(|ca| read_certificates("tls.ca", ca)).transpose()?.unwrap_or_default()
    {
        roots.add(certificate).map_err(|error| Error::invalid(format!("tls.ca: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid(format!("tls: {error}")))?
        .with_root_certificates(roots);
    let mut config = match (&files.cert, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(read_certificates("tls.cert", cert)?, read_key(key)?)
            .map_err(|error| Error::invalid(format!("tls.cert and tls.key: {error}")))?,
        (Some(_), None) => return Err(Error::invalid("tls.cert needs tls.key, the file of its private key")),
        (None, Some(_)) => return Err(Error::invalid("tls.key needs tls.cert, the file of its certificate")),
    };
    if files.protocol == Protocol::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(config)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| Error::invalid(format!("tls.key {}: {error}", path.display())))
}

fn read_certificates(what: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let refuse = |why: String| Error::invalid(format!("{what} {}: {why}", path.display()));
    let certificates: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| refuse(error.to_string()))?.collect();
    match certificates {
        Ok(found) if found.is_empty() => Err(refuse("holds no PEM certificate".into())),
        Ok(found) => Ok(found),
        Err(error) => Err(refuse(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ca: Option<&str>, cert: Option<&str>, key: Option<&str>) -> TlsConfig {
        let path = |path: Option<&str>| path.map(PathBuf::from);
        TlsConfig { ca: path(ca), cert: path(cert), key: path(key), server_name: None }
    }

    #[test]
    fn invalid_file_is_named_in_the_error() {
        for (settings, says) in [
            (with(Some("/nowhere/ca.pem"), None, None), "tls.ca /nowhere/ca.pem"),
            (with(None, Some("/nowhere/c.pem"), Some("/nowhere/k.pem")), "tls.cert /nowhere/c.pem"),
            (with(None, Some("/nowhere/c.pem"), None), "tls.cert needs tls.key"),
            (with(None, None, Some("/nowhere/k.pem")), "tls.key needs tls.cert"),
        ] {
            let error = client_config(&settings, Protocol::Http1).unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[test]
    fn configuration_is_shared() {
        let made = |protocol| client_config(&TlsConfig::default(), protocol).unwrap();
        assert!(Arc::ptr_eq(&made(Protocol::Http1), &made(Protocol::Http1)));
        assert!(!Arc::ptr_eq(&made(Protocol::Http1), &made(Protocol::Http2)));
    }
}
