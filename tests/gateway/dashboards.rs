//! The dashboards that are delivered show what they say: every query of theirs is run by a real Prometheus that scrapes a gateway.

use std::collections::BTreeMap;

use sealgate::mqtt::{ReasonCode, Version};
use sealgate_envelope::Encoding;
use serde_json::Value;

use crate::harness::{Client, Gateway, Prometheus, eventually};

const REFUSED: &str = include_str!("../../dashboards/refused.json");

#[test]
fn every_query_of_refused_is_answered_by_the_gateways_own_series() {
    let gateway = Gateway::start();
    let prometheus = Prometheus::scraping(gateway.admin());
    // The first scrape must come before the messages: a counter that starts above 0 has no rate.
    eventually("Prometheus has scraped", || {
        prometheus.query("sealgate_build_info").ok().filter(|info| !info.is_empty())
    });
    let sent = drive(&gateway);
    let received = format!("sealgate_ingest_received_total == {sent}");
    eventually("Prometheus has seen all messages", || prometheus.query(&received).ok().filter(|seen| !seen.is_empty()));

    every_query_is_answered(&prometheus, &gateway.admin().to_string());
}

fn every_query_is_answered(prometheus: &Prometheus, address: &str) {
    let dashboard = dashboard();
    for (title, query) in queries(&dashboard) {
        let samples = prometheus.query(&query).unwrap_or_else(|error| panic!("{title}: {query}: {error}"));
        assert!(!samples.is_empty(), "{title}: {query}: no answer");
        assert!(samples.iter().all(|sample| sample.value.is_finite()), "{title}: {query}: {samples:?}");
    }
    refusals_show_under_their_reason(prometheus, &dashboard);
    every_gateway_can_be_chosen(prometheus, &dashboard, address);
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    for panel in panels(&dashboard()) {
        let title = panel["title"].as_str().unwrap();
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 40), "{title} has no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
}

#[test]
fn refused_needs_nothing_but_a_prometheus() {
    let dashboard = dashboard();
    assert!(dashboard.get("__inputs").is_none() && dashboard["id"].is_null());
    let queries = queries(&dashboard);
    assert!(queries.iter().all(|(_, query)| query.contains("sealgate_") && !query.contains("vector(")));
    let kinds: Vec<&str> = panels(&dashboard).map(|panel| panel["type"].as_str().unwrap()).collect();
    assert!(kinds.iter().all(|kind| ["timeseries", "stat"].contains(kind)), "{kinds:?} come with every Grafana");
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
    let of_title = queries(dashboard).into_iter().filter(|(found, _)| found == title);
    let samples = of_title.flat_map(|(_, query)| prometheus.query(&query).unwrap());
    let answers: Vec<(Value, f64)> = samples.map(|sample| (sample.labels, sample.value)).collect();
    assert!(!answers.is_empty(), "there is no panel {title}");
    answers
}

/// The title and the query of every target, with Grafana's own variables filled in as it would.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().unwrap().clone();
        targets.into_iter().map(move |target| (title.clone(), filled_in(target["expr"].as_str().unwrap())))
    };
    panels(dashboard).flat_map(of_panel).collect()
}

fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "5m").replace("$__range", "5m").replace("$instance", ".*");
    assert!(!query.contains('$'), "{query}: a variable that this test does not know");
    query
}

/// Everything but the headings of rows.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

fn dashboard() -> Value {
    serde_json::from_str(REFUSED).unwrap()
}
