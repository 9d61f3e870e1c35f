//! TLS as rustls speaks it with ring: the system's roots, and a CA file beside them.
//!
//! One configuration is shared by everything that trusts the same CA: each holds about 90 KB of roots.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use crate::sync::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

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
    /// The name `host`, verified against the system's roots and those in the file `ca`.
    pub fn new(host: &str, ca: Option<&Path>) -> Result<Name> {
        let server_name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::invalid(format!("{host:?} is no name that a certificate could carry")))?;
        Ok(Name { server_name, config: client_config(ca)? })
    }
}

/// The shared configuration that trusts the system's roots and those in the file `ca`.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    static SHARED: LazyLock<Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>> =
        LazyLock::new(Mutex::default);
    let key = ca.map(Path::to_path_buf);
    if let Some(known) = SHARED.lock().get(&key) {
        return Ok(known.clone());
    }
    let config = Arc::new(build(ca)?);
    Ok(SHARED.lock().entry(key).or_insert(config).clone())
}

fn build(ca: Option<&Path>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    system.errors.iter().for_each(|error| tracing::debug!(%error, "a system certificate was skipped"));
    roots.add_parsable_certificates(system.certs);
    for certificate in ca.map(read_certificates).transpose()?.unwrap_or_default() {
        roots.add(certificate).map_err(|error| Error::invalid(format!("tls.ca: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::invalid(format!("tls: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let refuse = |what: String| Error::invalid(format!("tls.ca {}: {what}", path.display()));
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

    #[test]
    fn a_ca_file_that_is_none_is_named_in_the_error() {
        let error = client_config(Some(Path::new("/nowhere/ca.pem"))).unwrap_err();
        assert!(error.message().contains("/nowhere/ca.pem"), "{error}");
    }

    #[test]
    fn the_configuration_is_shared() {
        assert!(Arc::ptr_eq(&client_config(None).unwrap(), &client_config(None).unwrap()));
    }
}
