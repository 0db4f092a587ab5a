//! `sealgate client`: the programs that are no devices, and what they may publish and subscribe to.
//!
//! Beside a running gateway, as `sealgate device`.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use sealgate_envelope::DeviceId;
use serde::Serialize;
use zeroize::Zeroizing;

use super::output::{Format, ListFormat};
use super::registry::{
    PAGE, Proof, has_no_secret, not_provisioned, own_proof, read_public_keys, secret_of, state_is_set, word,
};
use super::settings::Settings;
use super::{Done, Exit, Failure, block_on, now_ms, open, open_existing, output, secret, time_text};
use crate::auth::IssuerUrl;
use crate::auth::scope::{self, Scope};
use crate::config::Config;
use crate::gateway::Cellar;
use crate::provision::{self, Admitted};
use crate::store::{Found, Kind, Service, State, Store};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate client add console --scope 'sub:readings/#'
  sealgate client add rules --scope 'sub:readings/+' --scope 'pub:alarms/#' --format json
  eval \"$(sealgate client add console --scope 'sub:readings/#' --format shell)\"   # sets SERVICE_CLIENT_ID …
  sealgate client add archive --scope introspect --public-key archive.jwks
  sealgate client list
  sealgate client disable console

A filter is granted only if a scope covers every topic that it can match: sub:readings/+ does not grant readings/#.")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Add a service and print its credentials, this once.
    Add {
        /// The service's name, which is its MQTT user name: 1 to 64 of A-Z a-z 0-9 . _ : -
        // A service's name stands where a device's id can, so it is of the same characters.
        name: DeviceId,
        /// What it may do; may be given again.
        ///
        /// pub:FILTER or sub:FILTER; introspect: ask what a token is worth; sealgate:viewer, sealgate:operator or sealgate:admin: operate the
        /// gateway.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// It proves who it is with the private half of this key (private_key_jwt), and gets no secret: a JWK, a JWK set, or PEM.
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        public_key: Option<PathBuf>,
        /// It logs in with tokens of this issuer, one of [[auth.issuer]]; of what they grant it has what its scopes here cover.
        #[arg(long, value_name = "URL", conflicts_with = "public_key")]
        issuer: Option<IssuerUrl>,
        /// How the credentials are printed.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// List all services.
    List {
        /// How the list is printed.
        #[arg(long, value_enum, default_value = "text")]
        format: ListFormat,
    },
    /// Refuse a service: new tokens and new logins.
    ///
    /// A running gateway knows of it within a second, and ends its connections and sessions.
    Disable {
        /// The service's name.
        name: String,
    },
    /// Remove a service for ever.
    Remove {
        /// The service's name.
        name: String,
    },
    /// Give a service's client another secret, beside the one that it has for a while.
    RotateSecret {
        /// The service's name.
        name: String,
        #[command(flatten)]
        wish: secret::Wish,
    },
    /// Take a disabled service back.
    Enable {
        /// The service's name.
        name: String,
    },
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        block_on(async {
            let Cellar { store, .. } = match &self.verb {
                Verb::Add { .. } => open(&config).await?,
                _ => open_existing(&config).await?,
            };
            let done = match self.verb {
                Verb::Add { name, scopes, public_key, issuer, format } => {
                    let wish =
                        Wish { scopes: &scopes, public_key: public_key.as_deref(), issuer: issuer.as_ref(), format };
                    add(&config, &store, &name, wish).await
                }
                Verb::List { format } => list(&store, format).await,
                Verb::Disable { name } => set_state(&store, &name, State::Disabled).await,
                Verb::Enable { name } => set_state(&store, &name, State::Enabled).await,
                Verb::Remove { name } => match store.remove_service(&name).await? {
                    Found::Yes => {
                        output::line(&format!("service {name} is removed")).map(|()| Exit::Done).map_err(Into::into)
                    }
                    Found::No => Err(anyhow!("there is no service {name}").into()),
                },
                Verb::RotateSecret { name, wish } => wish.carry_out(&store, Kind::Service, &name).await,
            };
            store.close().await;
            done
        })
    }
}

/// How a service is added.
struct Wish<'a> {
    scopes: &'a [Scope],
    public_key: Option<&'a Path>,
    issuer: Option<&'a IssuerUrl>,
    format: Format,
}

async fn add(config: &Config, store: &Store, name: &DeviceId, wish: Wish<'_>) -> Done {
    let Wish { scopes, public_key, issuer, format } = wish;
    let public_keys = public_key.map(read_public_keys).transpose()?;
    let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    scope::join(&scopes).map_err(|error| Failure::Unusable(error.into()))?;
    let admitted = provision::admit(store, name, scopes.clone(), issuer, now_ms()).await;
    let Admitted { client_id, client_secret } =
        admitted.map_err(|error| not_provisioned("service", name.as_str(), error))?;
    if public_keys.is_some() {
        store.set_client_keys(Kind::Service, name.as_str(), public_keys.as_deref()).await?;
    }
    let credentials = Credentials {
        name: name.as_str(),
        client_id: &client_id,
        proof: Proof::of(client_secret.expose(), public_keys.is_some(), issuer),
        scopes: &scopes,
    };
    let printed = output::line(&credentials.in_format(format, config));
    printed.map_err(|error| anyhow!("service {name} is added, but its credentials could not be printed: {error}"))?;
    Ok(Exit::Done)
}

/// What a service needs, shown once.
#[derive(Serialize)]
struct Credentials<'a> {
    name: &'a str,
    client_id: &'a str,
    #[serde(rename = "client_secret", serialize_with = "secret_of", skip_serializing_if = "has_no_secret")]
    proof: Proof<'a>,
    scopes: &'a [String],
}

impl Credentials<'_> {
    fn in_format(&self, format: Format, config: &Config) -> Zeroizing<String> {
        match format {
            Format::Text => self.text(config),
            Format::Json => Zeroizing::new(serde_json::to_string(self).expect("strings are JSON")),
            Format::Shell => output::exports(&self.values()),
            Format::Header => output::header(&self.values()),
        }
    }

    fn values(&self) -> [(&str, &str); 3] {
        [
            ("SERVICE_NAME", self.name),
            ("SERVICE_CLIENT_ID", self.client_id),
            ("SERVICE_CLIENT_SECRET", self.proof.secret().unwrap_or_default()),
        ]
    }

    fn text(&self, config: &Config) -> Zeroizing<String> {
        let Credentials { name, client_id, proof, scopes } = self;
        let scopes = scopes.join(" ");
        let token_endpoint = config.auth.identifier.endpoint("/oauth/token");
        let mqtt = config.edge.listen;
        let (secret, how) = own_proof(*proof, client_id, &token_endpoint);
        Zeroizing::new(format!(
            "Service {name} is added. Its credentials are shown this once:

  name           {name}
  client id      {client_id}
  client secret  {}
  scopes         {scopes}

Next: it fetches a token,
  {}
and connects to {mqtt} with its name as user name and the token as password.",
            *secret, *how
        ))
    }
}

async fn list(store: &Store, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line(&format!("{:<64}  {:<8}  {:<20}  SCOPES", "SERVICE", "STATE", "ADDED"))?;
    }
    let mut page = store.services(None, PAGE).await?;
    while let Some(last) = page.last() {
        let lines: Vec<String> = page.iter().map(|service| described(service, format)).collect();
        output::line(&lines.join("\n"))?;
        page = store.services(Some(&last.name), PAGE).await?;
    }
    Ok(Exit::Done)
}

fn described(service: &Service, format: ListFormat) -> String {
    let Service { name, client_id, scopes, issuer, state, created_at_ms } = service;
    let (state, added) = (word(*state), time_text(*created_at_ms));
    match format {
        ListFormat::Text => format!("{name:<64}  {state:<8}  {added:<20}  {}", scopes.join(" ")),
        ListFormat::Json => serde_json::json!({
            "name": name, "client_id": client_id, "scopes": scopes, "state": state, "created_at": added,
            "issuer": issuer.as_deref(),
        })
        .to_string(),
    }
}

async fn set_state(store: &Store, name: &str, state: State) -> Done {
    state_is_set("service", name, state, store.set_service_state(name, state).await?)
}
