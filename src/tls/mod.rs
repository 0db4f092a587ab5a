//! TLS for every listener: who we are, whom we ask for a certificate, and how that changes while we run. And TLS towards others
//! ([`client_config`]).
//!
//! An [`Identity`] is a certificate chain with its key, TLS 1.2 and 1.3, and, if asked for, the authorities that a client's own
//! certificate must come from; that is a check besides the token, never instead of it. When the files change, new handshakes use
//! what they say then ([`Identity::keep_fresh`]); what cannot be used is told, and the last good one stays.
//!
//! What is said over a connection is not known here, and neither is who may say it.

mod client;
mod files;
mod metrics;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::interval;
use tokio_rustls::TlsAcceptor;
pub use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use client::client_config;
use files::Read;
pub use files::{Files, LoadError};
pub use metrics::Metrics;
use metrics::Reload;

/// How often the files are looked at. They are small; whoever exchanges them, by renaming or through a link, is not asked to tell.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Who a listener is. Clones are the same.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
    read: Read,
}

impl Identity {
    /// Reads the files; what cannot be used is an error with the file's name.
    pub fn load(files: Files) -> Result<Identity, LoadError> {
        let read = files.read()?;
        let current = RwLock::new(Arc::new(files.server_config(&read)?));
        Ok(Identity(Arc::new(Inner { files, current, read })))
    }

    /// The handshake.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let current = self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(current).accept(stream).await
    }

    /// Looks at the files until `stop`, and uses what they say from then on.
    pub async fn keep_fresh(self, listener: &'static str, metrics: Metrics, stop: CancellationToken) {
        let mut ticks = interval(LOOK_INTERVAL);
        let mut not_after = None;
        let mut show = |read: &Read| {
            // A certificate that does not say until when it is good has no series.
            let Some(seconds) = self.0.files.not_after(read) else { return };
            not_after.get_or_insert_with(|| metrics.not_after(listener)).set(seconds);
        };
        show(&self.0.read);
        let unused = metrics.unused(listener);
        let mut last = self.0.read.clone();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // A file that is away for a moment, while it is exchanged, is read the next time.
            let Ok(read) = self.0.files.read() else { continue };
            if read != last {
                let reloaded = self.reload(&read);
                if let Reload::Loaded = reloaded {
                    show(&read);
                }
                unused.set(i64::from(matches!(reloaded, Reload::Failed)));
                metrics.reloads.inc(reloaded);
                last = read;
            }
        }
    }

    fn reload(&self, read: &Read) -> Reload {
        match self.0.files.server_config(read) {
            Ok(config) => {
                *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!(certificate = %self.0.files.certificate.display(), "A new certificate is in use.");
                Reload::Loaded
            }
            Err(failure) => {
                error!(%failure, "A new certificate cannot be used; the old one stays.");
                Reload::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests;
