//! `sealgate audit`: who has logged in, who has changed what, and from where.
//!
//! Beside a running gateway, on either database, page by page. What is entered is told in `docs/identity.md`.

use clap::Args;

use super::moment::Moment;
use super::output::ListFormat;
use super::registry::PAGE;
use super::settings::Settings;
use super::{Done, Exit, block_on, now_ms, open_existing, output, time_text_ms};
use crate::store::{AuditFilter, Audited, Store};

#[derive(Args)]
#[command(after_help = "\
Examples:
  sealgate audit --since 1h
  sealgate audit --subject sensor-1                  # what sensor-1 did, and what was done to it
  sealgate audit --action login_refused --since 2h --format json
  sealgate audit --who os:ada --since 7d

A running gateway enters logins and tokens within a second. database.audit_retention says how long they are kept.")]
pub(super) struct Arguments {
    /// Done by this one.
    #[arg(long)]
    who: Option<String>,
    /// Done to this device, service or key.
    #[arg(long)]
    subject: Option<String>,
    /// Of this kind, as the list shows it.
    #[arg(long)]
    action: Option<String>,
    /// At this time or later.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// At most so many, the oldest first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "text")]
    format: ListFormat,
}

impl Arguments {
    pub(super) fn run(self, settings: &Settings) -> Done {
        let config = settings.load()?;
        block_on(async {
            let store = open_existing(&config).await?.store;
            let now_ms = now_ms();
            let filter = AuditFilter {
                who: self.who,
                action: self.action,
                subject: self.subject,
                since_ms: self.since.map(|since| since.unix_ms(now_ms)),
                until_ms: self.until.map(|until| until.unix_ms(now_ms)),
            };
            let done = list(&store, &filter, self.limit.unwrap_or(u64::MAX), self.format).await;
            store.close().await;
            done
        })
    }
}

async fn list(store: &Store, filter: &AuditFilter, limit: u64, format: ListFormat) -> Done {
    if format == ListFormat::Text {
        output::line(&format!(
            "{:<24}  {:<20}  {:<20}  {:<24}  {:<24}  DETAIL",
            "TIME", "ACTION", "SUBJECT", "WHO", "FROM"
        ))?;
    }
    let (mut after, mut left) = (0, limit);
    while left > 0 {
        let page = store.audit_log(filter, after, u32::try_from(left).unwrap_or(u32::MAX).min(PAGE)).await?;
        let Some(last) = page.last() else { break };
        (after, left) = (last.id, left - page.len() as u64);
        let lines: Vec<String> = page.iter().map(|entry| described(entry, format)).collect();
        output::line(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

fn described(entry: &Audited, format: ListFormat) -> String {
    let Audited { id, at_ms, who, origin, action, subject, detail } = entry;
    let at = time_text_ms(*at_ms);
    match format {
        // Names come from outside: what is not printable must not move the cursor.
        ListFormat::Text => {
            let [who, origin, subject, detail] =
                [who, origin, subject, detail].map(|text| text.escape_debug().to_string());
            format!("{at:<24}  {action:<20}  {subject:<20}  {who:<24}  {origin:<24}  {detail}").trim_end().to_owned()
        }
        ListFormat::Json => serde_json::json!({
            "id": id, "at": at, "who": who, "from": origin, "action": action, "subject": subject, "detail": detail,
        })
        .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_outside_cannot_write_over_the_list() {
        let entry = Audited {
            id: 1,
            at_ms: 0,
            who: "\u{1b}[2Jpump".to_owned(),
            origin: "::1".to_owned(),
            action: "login_refused".to_owned(),
            subject: "a\nb".to_owned(),
            detail: String::new(),
        };
        let line = described(&entry, ListFormat::Text);
        assert!(!line.contains(['\u{1b}', '\n']), "{line:?}");
        let json: serde_json::Value = serde_json::from_str(&described(&entry, ListFormat::Json)).unwrap();
        assert_eq!(json["subject"], "a\nb");
    }
}
