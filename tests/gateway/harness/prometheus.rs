//! A real Prometheus (Debian's package of that name) that scrapes one gateway.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use super::http::{encoded, get};
use super::scratch::Scratch;
use super::wait::{PATIENCE, eventually};

pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _scratch: Scratch,
}

impl Prometheus {
    /// Scrapes `target` four times a second.
    pub(crate) fn scraping(target: SocketAddr) -> Self {
        let scratch = Scratch::new("prometheus");
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs: [{{job_name: sealgate, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(scratch.join("prometheus.yml"), config).unwrap();
        let mut child = Command::new("prometheus")
            .arg(format!("--config.file={}", scratch.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", scratch.join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Debian's package prometheus is installed");
        let address = announced(child.stderr.take().unwrap());
        let Some(address) = address else {
            child.kill().unwrap();
            panic!("prometheus did not say where it listens");
        };
        let prometheus = Prometheus { child, address, _scratch: scratch };
        // It listens before it has opened its own data, and answers 503 until then.
        eventually("Prometheus is ready", || (get(address, "/-/ready").status == 200).then_some(()));
        prometheus
    }

    /// Where it is asked.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The samples that `query` gives at this moment, each with its labels and value; an error of the query is told.
    pub(crate) fn query(&self, query: &str) -> Result<Vec<Sample>, String> {
        let answer = get(self.address, &format!("/api/v1/query?{}", encoded(&[("query", query)]))).json();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let samples = answer["data"]["result"].as_array().ok_or("the answer is no vector")?;
        Ok(samples.iter().map(Sample::read).collect())
    }

    /// The values that `label` has among the series that `selector` matches.
    pub(crate) fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let answer = get(self.address, &format!("/api/v1/label/{label}/values?{}", encoded(&[("match[]", selector)])));
        serde_json::from_value(answer.json()["data"].clone()).unwrap()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One element of an instant vector.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) labels: serde_json::Value,
    pub(crate) value: f64,
}

impl Sample {
    fn read(element: &serde_json::Value) -> Self {
        let value = element["value"][1].as_str().and_then(|value| value.parse().ok());
        Sample { labels: element["metric"].clone(), value: value.expect("a sample has a number") }
    }
}

/// The address in its log, where port 0 has become one that is free; none if it ends or says nothing for too long.
fn announced(stderr: ChildStderr) -> Option<SocketAddr> {
    let (sender, addresses) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                let _ = sender.send(address.parse().unwrap());
            }
        }
    });
    addresses.recv_timeout(PATIENCE).ok()
}
