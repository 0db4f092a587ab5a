//! From PEM files to what a handshake needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

/// Where an identity lies.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate and those that lead from it to the authority, in this order.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// The authorities that a client's certificate must come from; none: clients are asked for no certificate.
    pub client_ca: Option<PathBuf>,
}

/// Why files cannot be used. Nothing of a key is repeated.
#[derive(Debug, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{}: there is no {what} in PEM", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A certificate and a key that do not belong together, or that TLS cannot use.
    #[error("{} and {} cannot be used: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The library knows no version of TLS.
    #[error("no version of TLS can be spoken: {0}")]
    Versions(rustls::Error),
    /// The authorities cannot be used.
    #[error("{}: {source}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::server::VerifierBuilderError,
    },
}

/// The bytes of the files. Wiped; compared to see whether one has changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Read {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    /// Reads them all.
    pub(super) fn read(&self) -> Result<Read, LoadError> {
        Ok(Read {
            certificate: read(&self.certificate)?,
            key: Zeroizing::new(read(&self.key)?),
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// What a handshake needs.
    pub(super) fn server_config(&self, read: &Read) -> Result<ServerConfig, LoadError> {
        let provider = Arc::new(ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = versions.map_err(|source| self.unusable(source))?;
        let builder = match (&self.client_ca, &read.client_ca) {
            (Some(path), Some(bytes)) => {
                let roots = Arc::new(roots(path, bytes)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier.map_err(|source| LoadError::ClientCa { path: path.clone(), source })?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let chain = certificates(&self.certificate, &read.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read.key)
            .map_err(|_| LoadError::Empty { path: self.key.clone(), what: "private key" })?;
        let mut config = builder.with_single_cert(chain, key).map_err(|source| self.unusable(source))?;
        // A session that is resumed is not asked for its client's certificate again, which may have been exchanged since.
        if self.client_ca.is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Until when the certificate is good, Unix seconds; none: it does not say so in a way that is understood.
    pub(super) fn not_after(&self, read: &Read) -> Option<i64> {
        let chain = certificates(&self.certificate, &read.certificate).ok()?;
        let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    fn unusable(&self, source: rustls::Error) -> LoadError {
        LoadError::Unusable { certificate: self.certificate.clone(), key: self.key.clone(), source }
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::File { path: path.to_owned(), source })
}

pub(super) fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| LoadError::Empty { path: path.to_owned(), what: "certificate" })
}

pub(super) fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, LoadError> {
    let mut roots = RootCertStore::empty();
    let (good, _) = roots.add_parsable_certificates(certificates(path, pem)?);
    match good {
        0 => Err(LoadError::Empty { path: path.to_owned(), what: "authority's certificate" }),
        _ => Ok(roots),
    }
}
