//! `sealgate device list --worst`: of which devices most is refused, and why.

use super::moment::Moment;
use super::output::ListFormat;
use super::{Done, Exit, now_ms, output, time_text};
use crate::store::{Integrity, Period, Share, Store, Trend};

/// Prints them, the worst first.
pub(super) async fn worst(store: &Store, since: Moment, limit: u32, format: ListFormat) -> Done {
    let now = now_ms();
    let devices = store.worst(Period::since(since.unix_ms(now), now), limit).await?;
    if format == ListFormat::Text {
        output::line(&format!(
            "{:<64}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:<6}  {:<20}  LAST HOUR",
            "DEVICE", "REFUSED", "OF", "CRC", "HMAC", "OTHER", "BEFORE", "TREND", "FIRST HOUR"
        ))?;
    }
    let lines: Vec<String> = devices.iter().map(|device| described(device, format)).collect();
    if !lines.is_empty() {
        output::line(&lines.join("\n"))?;
    }
    Ok(Exit::Done)
}

fn described(device: &Integrity, format: ListFormat) -> String {
    let Integrity { device_id, now, before, hours } = device;
    let Share { accepted, refused, damaged, forged } = *now;
    let (first, last) = (time_text(hours.0), time_text(hours.1));
    let others = refused.saturating_sub(damaged + forged);
    let trend = match device.trend() {
        Trend::New => "new",
        Trend::Worse => "worse",
        Trend::Better => "better",
        Trend::Steady => "steady",
    };
    match format {
        ListFormat::Text => format!(
            "{device_id:<64}  {:>8}  {:>9}  {damaged:>9}  {forged:>9}  {others:>9}  {:>9}  {trend:<6}  {first:<20}  {last}",
            percent(now),
            accepted + refused,
            percent(before)
        ),
        ListFormat::Json => serde_json::json!({
            "device_id": device_id, "refused_part": now.refused_part(), "accepted": accepted, "refused": refused,
            "crc": damaged, "hmac": forged, "other": others, "refused_part_before": before.refused_part(), "trend": trend,
            "first_hour": first, "last_hour": last,
        })
        .to_string(),
    }
}

fn percent(share: &Share) -> String {
    share.refused_part().map_or("-".to_owned(), |part| format!("{:.1} %", part * 100.0))
}
