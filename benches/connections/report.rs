//! What was measured, as a table, with the goals beside it.

use super::crowd::Kind;
use super::measure::{Entry, Measured, Rates};

/// What is to be reached, by the specification of this benchmark.
const TENTHS_MAX: f64 = 1.2;
const KIB_MAX: f64 = 8.0;
const RATE_MIN: f64 = 0.9;

pub(crate) fn print(measured: &Measured) {
    let (kind, memory_goal) = match measured.kind {
        Kind::Tcp => ("TCP", format!("goal: at most {KIB_MAX}; without the kernel's memory for sockets")),
        Kind::Tls => ("TLS", "without the kernel's memory for sockets".to_owned()),
        Kind::Duplex => ("duplex", "besides the pipe".to_owned()),
    };
    println!("{} connections, {kind}", measured.connections);
    print_entry("connect", &measured.first_time);
    print_entry("connect again", &measured.again);
    line("resident, an idle connection", measured.bytes_each / 1024.0, "KiB", &memory_goal);
    line("drop all", measured.dropped.as_secs_f64() * 1e3, "ms", "until the gateway has let the last one go");
    line("reconnect all", measured.again.all.took.as_secs_f64() * 1e3, "ms", "");
    let Rates { with: rates_with, without: rates_without, after } = &measured.rates;
    if !rates_with.is_empty() {
        let (with, without) = (median(rates_with), median(rates_without));
        line("ingest, with them connected", with, "messages/s", &spread(rates_with));
        line("ingest, without", without, "messages/s", &spread(rates_without));
        line("with / without", with / without, "", &format!("goal: at least {RATE_MIN}"));
        line("ingest, when they have gone", median(after), "messages/s", &spread(after));
    }
    println!();
}

fn print_entry(name: &str, entry: &Entry) {
    let Entry { first_tenth, last_tenth, all } = entry;
    let each = |cpu: f64, took: f64| format!("{cpu:.0} and {took:.0}");
    println!("  {name}: processor time and time, µs each");
    let text = |name: &str, figures: String, beside: &str| {
        println!("{}", format!("    {name:<28} {figures:>14} {beside}").trim_end());
    };
    text("all", each(all.cpu_micros(), all.micros()), "");
    text("first tenth", each(first_tenth.cpu_micros(), first_tenth.micros()), "");
    text("last tenth", each(last_tenth.cpu_micros(), last_tenth.micros()), "");
    let ratios = (last_tenth.cpu_micros() / first_tenth.cpu_micros(), last_tenth.micros() / first_tenth.micros());
    text("last / first", format!("{:.2} and {:.2}", ratios.0, ratios.1), &format!("goal: at most {TENTHS_MAX}"));
}

fn line(name: &str, figure: f64, unit: &str, beside: &str) {
    let digits = if figure >= 1_000.0 { 0 } else { 2 };
    println!("{}", format!("  {name:<30} {figure:>10.digits$} {unit:<12} {beside}").trim_end());
}

fn spread(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(0.0, f64::max);
    format!("median of {}, {least:.0} to {most:.0}", figures.len())
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
