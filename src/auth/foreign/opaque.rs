//! Opaque tokens of those who have come in: nothing in one says that it was taken back, so its issuer is asked again and again.
//!
//! A token is kept for as long as the grant that rests on it, so for as long as its connection, and is wiped with it. What becomes of one that
//! is good no more, is its connection's affair.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Issuer;
use super::introspection::{Introspection, TokenHash};
use crate::auth::claims::Claims;
use crate::auth::refusal::LoginRefused;
use crate::auth::taken_back::TokenMark;

/// How often it is looked for answers that are too old.
const INTERVAL: Duration = Duration::from_secs(1);
/// The next look after an answer that did not come.
const INTERVAL_AWAY: Duration = Duration::from_secs(5);
/// Questions at once: an issuer has others to answer.
const AT_ONCE: usize = 16;

/// A token that a grant rests on. It does not print.
pub(in crate::auth) struct Opaque {
    token: Zeroizing<String>,
    hash: TokenHash,
    mark: TokenMark,
}

impl Opaque {
    /// Its mark is of the whole token: not every issuer gives them ids.
    pub(super) fn new(issuer: &str, token: &str) -> Self {
        let hash: TokenHash = Sha256::digest(token).into();
        let mark = TokenMark::new(issuer, &hex::encode(hash), "");
        Opaque { token: Zeroizing::new(token.to_owned()), hash, mark }
    }

    pub(in crate::auth) fn mark(&self) -> TokenMark {
        self.mark
    }
}

impl std::fmt::Debug for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opaque(..)")
    }
}

/// Those that somebody has come in with. There are as many as grants, and for a while of those that have ended.
#[derive(Default)]
pub(super) struct Watched(Mutex<Vec<Weak<Opaque>>>);

impl Watched {
    pub(super) fn watch(&self, opaque: &Arc<Opaque>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|known| known.strong_count() > 0);
        }
        all.push(Arc::downgrade(opaque));
    }

    fn alive(&self) -> Vec<Arc<Opaque>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

/// What came of a look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Done,
    /// The issuer did not answer. Whose answer is too old stays: an issuer that is away takes nothing back.
    Away,
}

impl Issuer {
    /// Asks again about the tokens of those who have come in, for ever. `ended` hears of those that are good no more.
    pub(super) async fn keep_asking(&self, ended: impl Fn(&HashSet<TokenMark>)) {
        let Some(introspection) = &self.introspection else { return };
        loop {
            let pause = match self.ask_again(introspection, &ended).await {
                Look::Done => INTERVAL,
                Look::Away => INTERVAL_AWAY,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask_again(&self, introspection: &Introspection, ended: impl Fn(&HashSet<TokenMark>)) -> Look {
        let (mut due, mut gone) = (Vec::new(), HashSet::new());
        for opaque in self.watched.alive() {
            match introspection.known(&opaque.hash, now_ms()) {
                None => due.push(opaque),
                Some(said) if self.has_ended(said.as_deref()) => drop(gone.insert(opaque.mark)),
                Some(_) => {}
            }
        }
        tell(&gone, &ended);
        for some in due.chunks(AT_ONCE) {
            let asked = some.iter().map(|opaque| introspection.said(&opaque.token, opaque.hash, now_ms()));
            let said = futures_util::future::join_all(asked).await;
            let gone = some.iter().zip(&said).filter(|(_, said)| self.has_ended(said.as_deref()));
            tell(&gone.map(|(opaque, _)| opaque.mark).collect(), &ended);
            if said.iter().any(|said| said.as_ref().err() == Some(&LoginRefused::IssuerUnavailable)) {
                return Look::Away;
            }
        }
        Look::Done
    }

    /// Whether a token of which this is said lets nobody in any more. One whose time is over ends its connection by itself.
    fn has_ended(&self, said: Result<&Claims, &LoginRefused>) -> bool {
        match said {
            Ok(claims) => {
                matches!(self.judged(claims, now_ms()), Err(reason) if reason != LoginRefused::Expired)
            }
            Err(reason) => !reason.is_passing(),
        }
    }
}

fn tell(gone: &HashSet<TokenMark>, ended: impl Fn(&HashSet<TokenMark>)) {
    if !gone.is_empty() {
        tracing::info!(tokens = gone.len(), "Opaque tokens are good no more, as their issuer says.");
        ended(gone);
    }
}

#[expect(clippy::disallowed_methods, reason = "a driver reads the clock")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_watched_for_as_long_as_somebody_has_it() {
        let watched = Watched::default();
        let kept = Arc::new(Opaque::new("https://login.example", "kept"));
        watched.watch(&kept);
        for number in 0..10_000 {
            watched.watch(&Arc::new(Opaque::new("https://login.example", &number.to_string())));
        }
        assert!(watched.0.lock().unwrap().capacity() < 100, "those that are gone take no room");
        let alive: Vec<TokenMark> = watched.alive().iter().map(|opaque| opaque.mark()).collect();
        assert_eq!(alive, [kept.mark()]);
        drop(kept);
        assert!(watched.alive().is_empty());
    }

    #[test]
    fn a_token_does_not_print_and_no_two_have_one_mark() {
        let of = |issuer: &str, token: &str| Opaque::new(issuer, token);
        let first = of("https://a.example", "s3cret");
        assert_eq!(format!("{first:?}"), "Opaque(..)");
        assert_eq!(first.mark(), of("https://a.example", "s3cret").mark());
        assert_ne!(first.mark(), of("https://a.example", "other").mark());
        assert_ne!(first.mark(), of("https://b.example", "s3cret").mark());
    }
}
