//! TLS towards others: whom we believe, and who we are.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::files::{LoadError, certificates, read, roots};

/// TLS 1.2 and 1.3 with the authorities of `ca`, or with those of the system; and with a certificate of our own and its key, where
/// somebody asks for one.
pub fn client_config(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, LoadError> {
    let roots = match ca {
        Some(path) => roots(path, &read(path)?)?,
        None => system_roots(),
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder =
        builder.with_safe_default_protocol_versions().map_err(LoadError::Versions)?.with_root_certificates(roots);
    let Some((certificate, key)) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates(certificate, &read(certificate)?)?;
    let pem = Zeroizing::new(read(key)?);
    let private = PrivateKeyDer::from_pem_slice(&pem);
    let private = private.map_err(|_| LoadError::Empty { path: key.to_owned(), what: "private key" })?;
    let unusable = |source| LoadError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), source };
    Ok(Arc::new(builder.with_client_auth_cert(chain, private).map_err(unusable)?))
}

/// A system without any makes every certificate an unknown authority's, which is what the handshake then says.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
