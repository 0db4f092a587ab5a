//! `sealgate issuer`: the keys that sign access tokens, and tokens that have to be taken back.
//!
//! Beside a running gateway, which looks at the keys again within a second, as every gateway on the database does.

use std::io::Read as _;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::output::ListFormat;
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, now_ms, open_existing, output, time_text};
use crate::auth::validator::TOKEN_BYTES_MAX;
use crate::auth::{self, Auth, Foreign, Rotation};
use crate::config::Config;
use crate::gateway::Cellar;
use crate::metrics::Registry;
use crate::store::{Added, SealedSigningKey, Store};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate issuer keys
  sealgate issuer rotate               # the next key is shown for auth.signing_key_announce, then it signs
  sealgate issuer rotate --now         # somebody else may have the key: it is believed no more, and connections end
  echo \"$TOKEN\" | sealgate issuer revoke -")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the keys that sign access tokens, oldest first.
    Keys {
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Make the next key.
    ///
    /// It is shown at /oauth/jwks before it signs, and the one before it until its last token has ended, so that no good token is refused.
    Rotate {
        /// The next key signs at once, and all tokens of the others are refused from now on: for a key that somebody else may have.
        #[arg(long)]
        now: bool,
    },
    /// Take an access token back before its end.
    ///
    /// Its connections end within a second, at each gateway on the database.
    Revoke {
        /// The token; `-` reads it from standard input, where no list of processes shows it.
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        block_on(async {
            let cellar = open_existing(&config).await?;
            let store = cellar.store.clone();
            let done = match self.verb {
                Verb::Keys { format } => keys(&store, format).await,
                Verb::Rotate { now } => {
                    rotate(&config, cellar, if now { Rotation::AtOnce } else { Rotation::Overlapping }).await
                }
                Verb::Revoke { token } => revoke(&config, cellar, token).await,
            };
            store.close().await;
            done
        })
    }
}

async fn auth(config: &Config, Cellar { store, masters }: Cellar) -> Result<Auth, Failure> {
    let metrics = auth::Metrics::new(&Registry::default());
    Ok(Auth::open(&config.auth, store, &masters.storage_key(), Foreign::default(), metrics, now_ms()).await?.0)
}

async fn keys(store: &Store, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line(&format!("{:<43}  {:<9}  {:<20}  {:<20}  ENDS", "KEY", "STATE", "MADE", "SIGNS FROM"))?;
    }
    let (keys, now_ms) = (store.signing_keys().await?, now_ms());
    let signing = auth::signing_key(&keys, now_ms);
    for (place, key) in keys.iter().enumerate() {
        let state = state(key, signing == Some(place), now_ms);
        output::line(&described(key, state, format))?;
    }
    Ok(Exit::Done)
}

fn state(key: &SealedSigningKey, signs: bool, now_ms: i64) -> &'static str {
    match key.ends_at_ms {
        Some(end_ms) if end_ms <= now_ms => "ended",
        _ if signs => "signing",
        Some(_) => "ending",
        None => "announced",
    }
}

fn described(key: &SealedSigningKey, state: &str, format: ListFormat) -> String {
    let SealedSigningKey { kid, created_at_ms, signs_from_ms, ends_at_ms, .. } = key;
    let (made, signs, ends) = (time_text(*created_at_ms), time_text(*signs_from_ms), ends_at_ms.map(time_text));
    match format {
        ListFormat::Text => {
            format!("{kid:<43}  {state:<9}  {made:<20}  {signs:<20}  {}", ends.as_deref().unwrap_or("-"))
        }
        ListFormat::Json => serde_json::json!({
            "kid": kid, "state": state, "created_at": made, "signs_from": signs, "ends_at": ends,
        })
        .to_string(),
    }
}

async fn rotate(config: &Config, cellar: Cellar, rotation: Rotation) -> Done {
    let store = cellar.store.clone();
    let added = auth(config, cellar).await?.rotate(rotation, now_ms()).await?;
    if added == Added::AlreadyThere {
        return Err(anyhow!("another process has just made the next key; look at `sealgate issuer keys`").into());
    }
    let keys = store.signing_keys().await?;
    let next = keys.last().ok_or_else(|| anyhow!("the key that was made is not there"))?;
    output::line(&match rotation {
        Rotation::AtOnce => {
            format!("key {} signs now; tokens of all others are refused, and their connections end", next.kid)
        }
        Rotation::Overlapping => format!("key {} signs from {} on", next.kid, time_text(next.signs_from_ms)),
    })?;
    Ok(Exit::Done)
}

async fn revoke(config: &Config, cellar: Cellar, token: String) -> Done {
    let mut token = Zeroizing::new(token);
    if *token == "-" {
        token.clear();
        std::io::stdin().take(TOKEN_BYTES_MAX as u64 + 2).read_to_string(&mut token)?;
    }
    let added = auth(config, cellar).await?.revoke_any(token.trim(), now_ms()).await?;
    output::line(match added {
        Some(Added::Now) => "the token is taken back; its connections end within a second",
        Some(Added::AlreadyThere) => "the token had been taken back before",
        None => return Err(anyhow!("it is no token that this gateway has issued and that is good now").into()),
    })?;
    Ok(Exit::Done)
}
