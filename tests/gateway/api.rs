//! The operators' API: who may do what, and what it answers to what makes no sense.

use sealgate::mqtt::{ReasonCode, Version};
use serde_json::{Value, json};

use crate::harness::http::{Answer, get_as, send_bytes, send_json};
use crate::harness::issuer::Issuer;
use crate::harness::{Client, Device, Gateway, eventually, get};

struct Desk {
    gateway: Gateway,
    viewer: String,
    operator: String,
    admin: String,
}

fn desk(mut gateway: Gateway) -> Desk {
    gateway.restart();
    let token = |role: &str| {
        let service = gateway.add_service(role, &[&format!("sealgate:{role}")]);
        gateway.token(&service.client_id, &service.client_secret)
    };
    let [viewer, operator, admin] = ["viewer", "operator", "admin"].map(token);
    Desk { gateway, viewer, operator, admin }
}

impl Desk {
    fn ask(&self, line: &str, token: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send_json(self.gateway.admin(), line, token, &body)
    }
}

fn problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    let document = answer.json();
    assert!(
        document["status"] == json!(status) && document["detail"].is_string() && document["title"].is_string(),
        "{document}"
    );
}

#[test]
fn a_device_is_added_shown_changed_and_removed() {
    for gateway in [Gateway::prepare(&[]), Gateway::prepare_on_postgres(&[])] {
        let desk = desk(gateway);
        let added = desk.ask("POST /api/devices", &desk.operator, &json!({"device_id": "pump:1", "group": "vans"}));
        assert_eq!(added.status, 201, "{added:?}");
        assert!(
            added.head.contains("location: /api/devices/pump%3A1") && added.head.contains("no-store"),
            "{}",
            added.head
        );
        let device = Device::from_json(&added.json());
        let mut client = Client::of_device(&desk.gateway, Version::V5, &device);
        assert_eq!(client.publish_acknowledged(&device.topic(), device.seal(1.0)).code, ReasonCode::Success);
        problem(&desk.ask("POST /api/devices", &desk.operator, &json!({"device_id": "pump:1"})), 409);

        let shown = get_as(desk.gateway.admin(), "/api/devices/pump%3A1", &desk.viewer).json();
        assert_eq!((&shown["group"], &shown["state"]), (&json!("vans"), &json!("enabled")));
        let change = desk.ask("PATCH /api/devices/pump%3A1", &desk.operator, &json!({"group": null}));
        assert_eq!(change.status, 204, "{change:?}");
        assert_eq!(desk.ask("POST /api/devices/pump%3A1/disable", &desk.operator, &Value::Null).status, 204);
        client.until_closed();
        assert_eq!(desk.ask("POST /api/devices/pump%3A1/enable", &desk.operator, &Value::Null).status, 204);
        problem(&desk.ask("DELETE /api/devices/pump%3A1", &desk.operator, &Value::Null), 403);
        assert_eq!(desk.ask("DELETE /api/devices/pump%3A1", &desk.admin, &Value::Null).status, 204);
        problem(&get_as(desk.gateway.admin(), "/api/devices/pump%3A1", &desk.viewer), 404);

        // All of it is entered, with who did it from where.
        let entries = get_as(desk.gateway.admin(), "/api/audit?subject=pump%3A1&who=operator", &desk.viewer).json();
        let actions: Vec<&str> =
            entries["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["device_added", "device_grouped", "device_disabled", "device_enabled"]);
        assert!(entries["entries"][0]["from"] == json!("127.0.0.1"), "{entries}");
    }
}

#[test]
fn lists_come_page_by_page() {
    let desk = desk(Gateway::prepare(&[]));
    let names: Vec<String> = (0..25).map(|number| format!("van-{number:02}")).collect();
    let arguments: Vec<&str> = ["device", "add"].into_iter().chain(names.iter().map(String::as_str)).collect();
    assert!(desk.gateway.run(&[&arguments[..], &["--format", "json"]].concat()).status.success());
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page =
            get_as(desk.gateway.admin(), &format!("/api/devices?limit=10&prefix=van&after={after}"), &desk.viewer)
                .json();
        found.extend(
            page["devices"].as_array().unwrap().iter().map(|device| device["device_id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(found, names);
    let services = get_as(desk.gateway.admin(), "/api/services", &desk.viewer).json();
    assert_eq!(services["services"].as_array().unwrap().len(), 3);
    assert!(!services.to_string().contains("secret"), "{services}");
}

#[test]
fn who_has_no_role_or_too_little_of_one_changes_nothing() {
    let desk = desk(Gateway::prepare(&[]));
    let admin = desk.gateway.admin();
    let pump = desk.gateway.add_device("pump");
    let rules = desk.gateway.add_service("rules", &["sub:#"]);
    let [of_device, of_service] = [(&pump.client_id, &pump.client_secret), (&rules.client_id, &rules.client_secret)]
        .map(|(id, secret)| desk.gateway.token(id, secret));
    let none = get(admin, "/api/devices");
    problem(&none, 401);
    assert!(none.head.contains("www-authenticate: Bearer"), "{}", none.head);
    for bad in ["", "x", "a.b.c"] {
        problem(&get_as(admin, "/api/devices", bad), 401);
    }
    for little in [&of_device, &of_service] {
        problem(&get_as(admin, "/api/devices", little), 403);
    }
    problem(&desk.ask("POST /api/devices", &desk.viewer, &json!({"device_id": "a"})), 403);
    let service = json!({"name": "mine", "scopes": ["sealgate:admin"]});
    problem(&desk.ask("POST /api/services", &desk.operator, &service), 403);
    assert_eq!(desk.ask("POST /api/services", &desk.admin, &service).status, 201);
    assert_eq!(desk.ask("DELETE /api/services/mine", &desk.admin, &Value::Null).status, 204);
    // A page in a browser, be it by another name for this machine, is not let in with whatever token it has.
    let page = |headers: &str| {
        send_bytes(
            admin,
            &format!("GET /api/devices HTTP/1.0\r\n{headers}authorization: Bearer {}\r\n\r\n", desk.admin),
        )
        .status
    };
    assert_eq!(page("host: evil.example\r\n"), 403);
    assert_eq!(page(&format!("host: {admin}\r\norigin: http://evil.example\r\n")), 403);
    assert_eq!(page(&format!("host: {admin}\r\n")), 200);
    // What is open to others than this machine has no API.
    let exposed = Gateway::start_with(&[("admin.listen", "0.0.0.0:0"), ("admin.plaintext", "i-accept")]);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], exposed.admin().port()));
    assert_eq!(get(address, "/api/devices").status, 404);
}

#[test]
fn what_makes_no_sense_gets_a_clear_answer() {
    let desk = desk(Gateway::prepare(&[]));
    for name in [
        "a%20b",
        "a%2Fb",
        "%23",
        "%2B",
        "%24SYS",
        "%2A",
        "a%00b",
        "x'%3B%20DROP%20TABLE%20devices%3B",
        "(.%2A)",
        "%C3%A4",
        "a%FF",
    ] {
        let answer = get_as(desk.gateway.admin(), &format!("/api/devices/{name}"), &desk.viewer);
        problem(&answer, 400);
        problem(&desk.ask(&format!("POST /api/devices/{name}/disable"), &desk.operator, &Value::Null), 400);
    }
    for (body, status) in [
        (json!({"device_id": "a b"}), 400),
        (json!({"device_id": ""}), 400),
        (json!({"device_id": "a", "group": "b c"}), 400),
        (json!({"device_id": "a", "issuer": "nowhere"}), 400),
        (json!({"device_id": 7}), 422),
        (json!({"device_id": "a", "colour": "red"}), 422),
        (json!({}), 422),
        (json!([]), 422),
        (json!({"device_id": "a".repeat(20_000)}), 413),
    ] {
        problem(&desk.ask("POST /api/devices", &desk.operator, &body), status);
    }
    let admin = desk.gateway.admin();
    problem(&send_json(admin, "POST /api/devices", &desk.operator, "{\"device_id\": "), 400);
    let untyped = format!(
        "POST /api/devices HTTP/1.0\r\nhost: {admin}\r\nauthorization: Bearer {}\r\ncontent-length: 2\r\n\r\n{{}}",
        desk.operator
    );
    problem(&send_bytes(admin, &untyped), 415);
    for query in ["limit=x", "limit=-1", "state=gone", "colour=red", "after=%00"] {
        problem(&get_as(admin, &format!("/api/devices?{query}"), &desk.viewer), 400);
    }
    for scopes in [json!([]), json!(["everything"]), json!(["sub:a b"])] {
        problem(&desk.ask("POST /api/services", &desk.admin, &json!({"name": "s", "scopes": scopes})), 400);
    }
    problem(&get_as(admin, "/api/nothing", &desk.viewer), 404);
    problem(&desk.ask("PUT /api/devices", &desk.admin, &json!({})), 405);
    problem(&get_as(admin, "/api/audit?since_ms=-1", &desk.viewer), 400);
    assert_eq!(get(admin, "/nothing").status, 404);
}

#[test]
fn an_operator_of_another_issuer_needs_no_place_in_the_registry() {
    let issuer = Issuer::start();
    let setting = issuer.setting("groups_claim = \"groups\", group_scopes = { iot-ops = [\"sealgate:operator\"] }");
    let gateway = Gateway::start_with(&[("auth.issuer", &setting)]);
    eventually("its keys are there", || (get(gateway.admin(), "/ready").status == 200).then_some(()));
    let token = |groups: Value| {
        let mut claims = issuer.claims("ada", "openid");
        claims["groups"] = groups;
        issuer.sign("at+jwt", &claims)
    };
    let add = |token: &str| send_json(gateway.admin(), "POST /api/devices", token, "{\"device_id\": \"pump\"}");
    problem(&add(&token(json!(["others"]))), 403);
    assert_eq!(add(&token(json!(["iot-ops"]))).status, 201);
    let entered = gateway.run(&["audit", "--action", "device_added", "--format", "json"]);
    assert!(String::from_utf8_lossy(&entered.stdout).contains("\"who\":\"ada\""));
}
