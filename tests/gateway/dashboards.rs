//! The dashboards that are delivered show what they say: every query of theirs is run by a real Prometheus that scrapes a gateway, or by
//! the gateway's PostgreSQL.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use firmware_sim::host::{Encodings, FaultRates, Settings};
use sealgate::mqtt::{ReasonCode, Version};
use sealgate_envelope::Encoding;
use serde_json::Value;

use crate::harness::{Authority, Client, Gateway, Prometheus, RunningFleet, Scratch, eventually, get};

const FLEET: &str = include_str!("../../dashboards/fleet.json");
const FLOW: &str = include_str!("../../dashboards/flow.json");
const DEVICE: &str = include_str!("../../dashboards/device.json");
const METRICS: &str = include_str!("../../docs/metrics.md");

#[test]
fn fleet_shows_refusals_under_their_reason() {
    let gateway = Gateway::start();
    let prometheus = scraping(&gateway);
    let sent = drive(&gateway);
    let received = format!("sealgate_ingest_received_total == {sent}");
    eventually("Prometheus has seen all messages", || prometheus.query(&received).ok().filter(|seen| !seen.is_empty()));

    let fleet = dashboard(FLEET);
    refusals_show_under_their_reason(&prometheus, &fleet);
    every_gateway_can_be_chosen(&prometheus, &fleet, &gateway.admin().to_string());
}

#[test]
fn every_query_is_answered_while_a_fleet_goes_wrong() {
    let scratch = Scratch::new("dashboards");
    let mut gateway = Gateway::prepare_on_postgres(&[]);
    give_a_certificate(&mut gateway, &scratch);
    gateway.restart();
    let prometheus = scraping(&gateway);
    no_query_fails_where_nothing_has_come(&gateway, &prometheus);

    let (credentials, _) = gateway.add_fleet(4);
    let faults = FaultRates::all(0.02);
    let settings = Settings { encoding: Encodings::Mixed, rate: 50.0, faults, ..Settings::default() };
    let fleet = RunningFleet::start(&gateway, settings, &credentials, None);
    for (title, query) in of_prometheus() {
        eventually(&format!("{title} is answered: {query}"), || {
            let samples = asked(&prometheus, &title, &query);
            let numbers = samples.iter().all(|value| value.is_finite());
            (!samples.is_empty() && numbers).then_some(())
        });
    }
    for (title, query) in of_the_database() {
        eventually(&format!("{title} is answered: {query}"), || {
            gateway.sql(&query).iter().any(says_something).then_some(())
        });
    }
    preview_shows_each_panel(&prometheus);
    assert!(fleet.finish().is_clean());
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    for text in [FLEET, FLOW, DEVICE] {
        for panel in panels(&dashboard(text)) {
            let title = panel["title"].as_str().unwrap();
            assert!(panel["description"].as_str().is_some_and(|text| text.len() > 40), "{title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            let source = if text == DEVICE { "${database}" } else { "${datasource}" };
            assert_eq!(panel["datasource"]["uid"], source, "{title}");
        }
    }
}

#[test]
fn dashboards_need_nothing_but_a_stock_grafana() {
    for text in [FLEET, FLOW, DEVICE] {
        let dashboard = dashboard(text);
        assert!(dashboard.get("__inputs").is_none() && dashboard["id"].is_null());
        let kinds: BTreeSet<&str> = panels(&dashboard).map(|panel| panel["type"].as_str().unwrap()).collect();
        let stock = ["stat", "table", "timeseries"];
        assert!(kinds.iter().all(|kind| stock.contains(kind)), "{kinds:?} come with every Grafana");
    }
}

#[test]
fn every_answer_comes_from_the_gateways_own_series() {
    for (title, query) in of_prometheus() {
        let made_up = ["vector(", "absent"].iter().any(|word| query.contains(word));
        assert!(query.contains("sealgate_") && !made_up, "{title}: {query}");
    }
}

#[test]
fn every_series_is_documented_and_what_is_shown_is_there() {
    let scratch = Scratch::new("series");
    let mut gateway = Gateway::prepare(&[]);
    give_a_certificate(&mut gateway, &scratch);
    gateway.restart();
    // Each way for messages to come in has series of its own.
    let others = ["mqtt", "rumqttd"].map(|source| Gateway::start_with(&[("ingest.source", source)]));
    let all =
        || others.iter().chain([&gateway]).map(|gateway| get(gateway.admin(), "/metrics").body).collect::<String>();
    // Those of certificates appear a moment after the doors have opened.
    let exposition = eventually("the series of certificates are there", || {
        let exposition = all();
        exposition.contains("sealgate_tls_files_unused").then_some(exposition)
    });
    let types = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<&str> = types.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(series_in(METRICS), exposed);
    let family = |name: &str| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        exposed.contains(of_histogram.unwrap_or(name))
    };
    let titles: BTreeSet<String> = of_prometheus().into_iter().map(|(title, _)| title).collect();
    // A panel's title stands between asterisks there, and nothing else does.
    for title in METRICS.split('*').skip(1).step_by(2) {
        assert!(titles.contains(title), "there is no panel {title}");
    }
    for (title, query) in of_prometheus() {
        let unknown: Vec<&str> = series_in(&query).into_iter().filter(|name| !family(name)).collect();
        assert!(unknown.is_empty(), "{title}: {unknown:?}");
    }
}

/// What is said of a certificate is said of a listener that has one.
fn give_a_certificate(gateway: &mut Gateway, scratch: &Scratch) {
    let certified = Authority::new().certify("localhost", &scratch.join(""), "gateway");
    gateway.set("edge.tls_listen", "127.0.0.1:0");
    gateway.set("edge.tls_certificate", &certified.certificate.display().to_string());
    gateway.set("edge.tls_key", &certified.key.display().to_string());
}

fn scraping(gateway: &Gateway) -> Prometheus {
    let prometheus = Prometheus::scraping(gateway.admin());
    // The first scrape must come before the messages: a counter that starts above 0 has no rate.
    eventually("Prometheus has scraped", || {
        prometheus.query("sealgate_build_info").ok().filter(|info| !info.is_empty())
    });
    prometheus
}

fn no_query_fails_where_nothing_has_come(gateway: &Gateway, prometheus: &Prometheus) {
    let marks = dashboard(FLEET)["annotations"]["list"].as_array().unwrap().clone();
    let marks = marks.iter().map(|mark| ("a mark".to_owned(), filled_in(mark["expr"].as_str().unwrap(), LIVE)));
    for (title, query) in of_prometheus().into_iter().chain(marks) {
        asked(prometheus, &title, &query);
    }
    for (_, query) in of_the_database() {
        gateway.sql(&query);
    }
}

/// The values that a query gives; it fails the test if it is wrong.
fn asked(prometheus: &Prometheus, title: &str, query: &str) -> Vec<f64> {
    let samples = prometheus.query(query).unwrap_or_else(|error| panic!("{title}: {query}: {error}"));
    samples.iter().map(|sample| sample.value).collect()
}

fn preview_shows_each_panel(prometheus: &Prometheus) {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboards/preview"))
        .arg(prometheus.url())
        .args(["--range", "20", "--scrape-interval", "1"])
        .output()
        .expect("tests/dashboards/preview is there");
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{log}");
}

/// Good messages, the same ones again, and refused ones of several kinds; gives back how many.
fn drive(gateway: &Gateway) -> usize {
    let device = gateway.add_device("press-1");
    let mut client = Client::of_device(gateway, Version::V5, &device);
    let topic = device.topic();
    let mut sent = 0;
    let mut send = |message: Vec<u8>, expected: ReasonCode| {
        assert_eq!(client.publish_acknowledged(&topic, message).code, expected);
        sent += 1;
    };
    for encoding in Encoding::ALL {
        let mut draft = device.draft(20.5);
        draft.encoding = encoding;
        send(draft.seal(), ReasonCode::Success);
        send(draft.seal(), ReasonCode::Success);
        draft.key = [0; 32];
        send(draft.seal(), ReasonCode::PayloadFormatInvalid);
    }
    let mut damaged = device.seal(20.5);
    damaged[30] ^= 1;
    send(damaged, ReasonCode::PayloadFormatInvalid);
    send(b"no envelope".to_vec(), ReasonCode::PayloadFormatInvalid);
    sent
}

fn refusals_show_under_their_reason(prometheus: &Prometheus, dashboard: &Value) {
    let by_reason = answers(prometheus, dashboard, "Refused, by reason");
    let by_reason: BTreeMap<&str, f64> =
        by_reason.iter().map(|(labels, value)| (labels["reason"].as_str().unwrap(), *value)).collect();
    assert_eq!(by_reason.len(), sealgate_envelope::Reason::ALL.len());
    for (reason, rate) in by_reason {
        assert_eq!(rate > 0.0, ["malformed", "corrupt", "bad_seal"].contains(&reason), "{reason}: {rate}");
    }
    let broken = answers(prometheus, dashboard, "Damage (CRC) and forgery (HMAC)");
    assert!(broken.iter().filter(|(_, rate)| *rate > 0.0).count() == 1 + Encoding::ALL.len(), "{broken:?}");
    assert!(answers(prometheus, dashboard, "Law of the counts").iter().all(|(_, difference)| *difference == 0.0));
}

/// The values that a user can choose the gateway from hold the one that runs.
fn every_gateway_can_be_chosen(prometheus: &Prometheus, dashboard: &Value, address: &str) {
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let instance = variables.iter().find(|variable| variable["name"] == "instance").unwrap();
    let query = instance["query"]["query"].as_str().unwrap();
    let arguments = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).unwrap();
    let (selector, label) = arguments.rsplit_once(", ").unwrap();
    assert_eq!(prometheus.label_values(label, selector), [address]);
}

fn answers(prometheus: &Prometheus, dashboard: &Value, title: &str) -> Vec<(Value, f64)> {
    let of_title = targets(dashboard, "expr").into_iter().filter(|(found, _)| found == title);
    let samples = of_title.flat_map(|(_, query)| prometheus.query(&filled_in(&query, AFTERWARDS)).unwrap());
    let answers: Vec<(Value, f64)> = samples.map(|sample| (sample.labels, sample.value)).collect();
    assert!(!answers.is_empty(), "there is no panel {title}");
    answers
}

/// Every query of Prometheus on Fleet and Flow, by its panel's title.
fn of_prometheus() -> Vec<(String, String)> {
    let queries = [FLEET, FLOW].into_iter().flat_map(|text| targets(&dashboard(text), "expr"));
    queries.map(|(title, query)| (title, filled_in(&query, LIVE))).collect()
}

/// Every query of the database on Device: of its panels, and of its variables.
fn of_the_database() -> Vec<(String, String)> {
    let device = dashboard(DEVICE);
    let mut queries = targets(&device, "rawSql");
    for variable in device["templating"]["list"].as_array().unwrap().iter().filter(|found| found["type"] == "query") {
        let [name, query] = ["name", "query"].map(|key| variable[key].as_str().unwrap().to_owned());
        queries.push((name, query));
    }
    queries.into_iter().map(|(title, query)| (title, as_sql(&query))).collect()
}

/// The title and the query of every target.
fn targets(dashboard: &Value, key: &str) -> Vec<(String, String)> {
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let queries = panel["targets"].as_array().unwrap().iter().map(|target| target[key].as_str().unwrap());
        queries.map(|query| (title.clone(), query.to_owned())).collect::<Vec<_>>()
    };
    panels(dashboard).flat_map(of_panel).collect()
}

/// What Grafana's variables of time become.
#[derive(Clone, Copy)]
struct Times {
    rate_interval: &'static str,
    range: &'static str,
    deployed: &'static str,
}

/// While messages come: no longer than a test takes anyway.
const LIVE: Times = Times { rate_interval: "4s", range: "20s", deployed: "4s" };
/// When they have come.
const AFTERWARDS: Times = Times { rate_interval: "5m", range: "5m", deployed: "5m" };

/// PromQL as Grafana would send it.
fn filled_in(query: &str, times: Times) -> String {
    let Times { rate_interval, range, deployed } = times;
    let variables =
        [("$__rate_interval", rate_interval), ("$__range", range), ("$deployed", deployed), ("$instance", ".*")];
    let query = variables.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value));
    assert!(!query.contains('$'), "{query}: a variable that this test does not know");
    query
}

/// SQL as Grafana would send it, for the last hour.
fn as_sql(query: &str) -> String {
    const FROM: &str = "(now() - interval '1 hour')";
    let mut parts = query.split("$__timeFilter(");
    let first = parts.next().unwrap().to_owned();
    let query = parts.fold(first, |query, part| {
        let (column, rest) = part.split_once(')').expect("the macro ends");
        format!("{query}{column} BETWEEN {FROM} AND now(){rest}")
    });
    let device = dashboard(DEVICE);
    let variables = device["templating"]["list"].as_array().unwrap();
    let reasons = variables.iter().find(|variable| variable["name"] == "reason").unwrap();
    let reasons = format!("'{}'", reasons["query"].as_str().unwrap().replace(',', "','"));
    let query = [
        ("$__timeFrom()", FROM),
        ("$__timeTo()", "now()"),
        ("$__interval_ms", "1000"),
        ("${device:sqlstring}", "'sim-1'"),
        ("${reason:sqlstring}", reasons.as_str()),
        ("${reading:sqlstring}", "'temperature','humidity'"),
    ]
    .iter()
    .fold(query, |query, (name, value)| query.replace(name, value));
    assert!(!query.contains('$'), "{query}: a variable that this test does not know");
    query
}

/// Whether a row holds anything.
fn says_something(row: &Value) -> bool {
    row.as_object().unwrap().values().any(|value| !value.is_null())
}

/// Names of the gateway's series, wherever they stand in a text.
fn series_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("sealgate_")).collect()
}

/// Everything but the headings of rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn dashboard(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
