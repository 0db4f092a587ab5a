//! Handshakes over a pipe, with certificates made here.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::metrics::Registry;

/// An authority, and what it has signed.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key in PEM.
struct Signed {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

/// A directory that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sealgate-tls-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, signed: &Signed, client_ca: Option<&Authority>) -> Files {
        let files = Files {
            certificate: self.0.join("chain.pem"),
            key: self.0.join("key.pem"),
            client_ca: client_ca.map(|_| self.0.join("ca.pem")),
        };
        fs::write(&files.certificate, &signed.certificate).unwrap();
        fs::write(&files.key, &signed.key).unwrap();
        if let Some(authority) = client_ca {
            fs::write(self.0.join("ca.pem"), &authority.pem).unwrap();
        }
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn client(trusted: &Authority, version: &'static SupportedProtocolVersion, own: Option<&Signed>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap()).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Whether both sides are content and a word goes through.
async fn meets(identity: &Identity, client: &TlsConnector) -> bool {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut stream = identity.accept(ours).await?;
        stream.write_all(b"word").await?;
        stream.shutdown().await
    };
    let ask = async {
        let mut stream = client.connect("gateway".try_into().unwrap(), theirs).await?;
        let mut word = String::new();
        stream.read_to_string(&mut word).await.map(|_| word == "word")
    };
    let (served, asked) = tokio::join!(serve, ask);
    served.is_ok() && asked.unwrap_or(false)
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken() {
    let (folder, authority) = (Folder::new("versions"), Authority::new());
    let identity = Identity::load(folder.write(&authority.sign("gateway"), None)).unwrap();
    for version in [&TLS12, &TLS13] {
        assert!(meets(&identity, &client(&authority, version, None)).await, "{version:?}");
        assert!(!meets(&identity, &client(&Authority::new(), version, None)).await, "an unknown authority");
    }
}

#[tokio::test]
async fn a_client_needs_a_certificate_where_it_is_asked_for_one() {
    let (folder, authority, clients) = (Folder::new("clients"), Authority::new(), Authority::new());
    let identity = Identity::load(folder.write(&authority.sign("gateway"), Some(&clients))).unwrap();
    for version in [&TLS12, &TLS13] {
        let of = |own: Option<&Signed>| client(&authority, version, own);
        assert!(meets(&identity, &of(Some(&clients.sign("pump")))).await);
        assert!(!meets(&identity, &of(None)).await);
        assert!(!meets(&identity, &of(Some(&authority.sign("pump")))).await, "another authority's");
    }
}

#[tokio::test]
async fn files_that_change_are_used_and_bad_ones_are_not() {
    let (folder, old, new) = (Folder::new("reload"), Authority::new(), Authority::new());
    let files = folder.write(&old.sign("gateway"), None);
    let identity = Identity::load(files.clone()).unwrap();
    let (registry, stop) = (Registry::default(), CancellationToken::new());
    let metrics = Metrics::new(&registry);
    let watching = tokio::spawn(identity.clone().keep_fresh("mqtts", metrics, stop.clone()));
    let counted = |result: &str, count: u32| {
        let line = format!("sealgate_tls_reloads_total{{result=\"{result}\"}} {count}");
        rendered(&registry).contains(&line)
    };

    fs::write(&files.key, "no key").unwrap();
    while !counted("failed", 1) {
        tokio::time::sleep(LOOK_INTERVAL / 50).await;
    }
    assert!(meets(&identity, &client(&old, &TLS13, None)).await, "the old one stays");
    assert!(rendered(&registry).contains("sealgate_tls_files_unused{listener=\"mqtts\"} 1"));
    // rcgen's certificates are good until the year 4096.
    assert!(
        rendered(&registry).contains("sealgate_tls_not_after_seconds{listener=\"mqtts\"} 67090"),
        "{}",
        rendered(&registry)
    );

    folder.write(&new.sign("gateway"), None);
    while !counted("loaded", 1) {
        tokio::time::sleep(LOOK_INTERVAL / 50).await;
    }
    assert!(meets(&identity, &client(&new, &TLS13, None)).await);
    assert!(rendered(&registry).contains("sealgate_tls_files_unused{listener=\"mqtts\"} 0"));
    assert!(!meets(&identity, &client(&old, &TLS13, None)).await);
    stop.cancel();
    watching.await.unwrap();
}

fn rendered(registry: &Registry) -> String {
    String::from_utf8(registry.render()).unwrap()
}

#[test]
fn what_cannot_be_used_is_told_with_its_file() {
    let (folder, authority) = (Folder::new("mistakes"), Authority::new());
    let files = folder.write(&authority.sign("gateway"), Some(&authority));
    let told = |files: &Files| Identity::load(files.clone()).err().unwrap().to_string();

    let away = Files { certificate: folder.0.join("away.pem"), ..files.clone() };
    assert!(told(&away).contains("away.pem: No such file"), "{}", told(&away));
    let swapped = Files { certificate: files.key.clone(), ..files.clone() };
    assert!(told(&swapped).ends_with("key.pem: there is no certificate in PEM"), "{}", told(&swapped));
    let no_key = Files { key: files.certificate.clone(), ..files.clone() };
    assert!(told(&no_key).ends_with("chain.pem: there is no private key in PEM"), "{}", told(&no_key));
    let no_authority = Files { client_ca: Some(files.key.clone()), ..files.clone() };
    assert!(told(&no_authority).ends_with("key.pem: there is no certificate in PEM"), "{}", told(&no_authority));

    let key = fs::read_to_string(&files.key).unwrap();
    fs::write(&files.key, authority.sign("another").key).unwrap();
    assert!(told(&files).contains("cannot be used"), "another's key: {}", told(&files));
    assert!(!told(&files).contains(&key));
}
