//! What a login may do, and until when: the answer to every question about topics.
//!
//! A grant is made of a verified token alone, so it is as good offline as online. It knows the fixed rules that no
//! token can change: a device speaks only for itself, and what the gateway or a device alone publishes is never
//! published by a service. What becomes of a grant that ends is the connection's affair.

use std::sync::Arc;

use super::foreign::Opaque;
use super::scope::{Action, Role, Scope};
use super::taken_back::TokenMark;
use crate::mqtt::topic::{Filter, Topic};

/// Behind a service's name, its client ids at another broker go on with it: no name can hold it, so that none of them
/// is another's.
const BEHIND_A_NAME: char = '@';

/// Who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A device, by its id.
    Device(Arc<str>),
    /// A service, by its name.
    Service(Arc<str>),
}

/// The rights of one login.
#[derive(Clone, Debug)]
pub struct Grant {
    principal: Principal,
    /// What a service may do. What a device may do follows from its id, and is not kept with each of ten thousands.
    scopes: Box<[Scope]>,
    /// Whether it is for another broker, where a worker of ours is a client like any other.
    is_elsewhere: bool,
    expires_at_ms: i64,
    token: TokenMark,
    /// The token itself, where its issuer has to be asked about it again.
    #[expect(dead_code, reason = "it is held, and by that watched")]
    opaque: Option<Arc<Opaque>>,
}

/// What a worker of the gateway publishes back through another broker. A service there may if its scopes say exactly this.
const OF_A_WORKER: [&str; 2] = ["pub:devices/+/receipts", "pub:readings/+"];

impl Grant {
    /// The grant of a device; none if the id is not one level of a topic, which a device's always is.
    pub fn device(device_id: &str, expires_at_ms: i64) -> Option<Grant> {
        if device_id.is_empty() || device_id.contains(['/', '+', '#']) {
            return None;
        }
        Some(Grant {
            principal: Principal::Device(device_id.into()),
            scopes: Box::default(),
            is_elsewhere: false,
            expires_at_ms,
            token: TokenMark::default(),
            opaque: None,
        })
    }

    /// The grant of a service.
    pub fn service(name: &str, scopes: Vec<Scope>, expires_at_ms: i64) -> Grant {
        let (principal, token) = (Principal::Service(name.into()), TokenMark::default());
        Grant { principal, scopes: scopes.into(), is_elsewhere: false, expires_at_ms, token, opaque: None }
    }

    /// The same at another broker.
    #[must_use]
    pub fn elsewhere(self) -> Grant {
        Grant { is_elsewhere: true, ..self }
    }

    /// The same, by this token.
    #[must_use]
    pub fn by_token(self, token: TokenMark) -> Grant {
        Grant { token, ..self }
    }

    /// The same, by this token, which is kept for as long as the grant.
    #[must_use]
    pub(super) fn by_opaque(self, opaque: Arc<Opaque>) -> Grant {
        Grant { token: opaque.mark(), opaque: Some(opaque), ..self }
    }

    /// The token that it rests on.
    pub fn token(&self) -> TokenMark {
        self.token
    }

    /// What the principal may do as an operator; none: nothing.
    pub fn role(&self) -> Option<Role> {
        self.scopes.iter().filter_map(Scope::role).max()
    }

    /// Who has logged in.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// When the grant ends, in Unix ms. At this moment it is over.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms
    }

    /// Whether the principal may publish to `topic`; a will is asked about in the same way.
    pub fn may_publish(&self, topic: &Topic) -> bool {
        match &self.principal {
            Principal::Device(id) => below_device(topic, id).is_some_and(is_a_devices_own),
            Principal::Service(_) => {
                let mut allowing = self.scopes.iter().filter(|scope| scope.allows(Action::Publish, topic));
                match is_reserved(topic) {
                    false => allowing.next().is_some(),
                    true => self.is_elsewhere && allowing.any(|scope| OF_A_WORKER.contains(&&*scope.to_string())),
                }
            }
        }
    }

    /// Whether the principal may subscribe with `filter`: one scope alone has to cover every topic that `filter` can
    /// match. A shared subscription is worth the filter in it.
    pub fn may_subscribe(&self, filter: &Filter) -> bool {
        match &self.principal {
            Principal::Device(id) => a_device_hears(id).any(|own| own.covers(filter)),
            Principal::Service(_) => self.scopes.iter().any(|scope| scope.allows_all(Action::Subscribe, filter)),
        }
    }

    /// Whether the principal may be told what is published to `topic`. A session that is taken up again was made under an earlier
    /// grant, so what waits in it is asked about anew.
    pub fn may_hear(&self, topic: &Topic) -> bool {
        match &self.principal {
            Principal::Device(id) => a_device_hears(id).any(|own| own.matches(topic)),
            Principal::Service(_) => self.scopes.iter().any(|scope| scope.allows(Action::Subscribe, topic)),
        }
    }
}

impl Principal {
    /// The device's id or the service's name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Principal::Device(name) | Principal::Service(name) => name,
        }
    }

    /// Whether `client_id` can be nobody else's at a broker that knows no names, where whoever comes under a client id
    /// takes over its session: a device's is its id, and a service's is its name, alone or with `@` and anything
    /// behind it.
    ///
    /// A device and a service may have one name. Which of them the bare name stands for is the registry's to say.
    pub fn owns_client_id(&self, client_id: &str) -> bool {
        match self {
            Principal::Device(id) => client_id == &**id,
            Principal::Service(name) => held_name(client_id) == &**name,
        }
    }
}

/// The name that a client id at another broker begins with, by [`Principal::owns_client_id`].
pub(super) fn held_name(client_id: &str) -> &str {
    client_id.split_once(BEHIND_A_NAME).map_or(client_id, |(name, _)| name)
}

/// What stands behind `devices/{id}/` in a topic.
fn below_device<'a>(topic: &'a Topic, id: &str) -> Option<&'a str> {
    topic.as_str().strip_prefix("devices/")?.strip_prefix(id)?.strip_prefix('/')
}

/// The filters that a device may listen to.
fn a_device_hears(id: &str) -> impl Iterator<Item = Filter> {
    ["commands/#", "receipts"].into_iter().filter_map(move |own| Filter::new(format!("devices/{id}/{own}")).ok())
}

/// The topics below `devices/{id}/` that the device publishes. A stream is one level and has a name.
fn is_a_devices_own(rest: &str) -> bool {
    match rest.strip_prefix("telemetry/") {
        Some(stream) => !stream.is_empty() && !stream.contains('/'),
        None => rest == "telemetry" || rest == "answers",
    }
}

/// The topics that the gateway or a device alone publishes.
fn is_reserved(topic: &Topic) -> bool {
    let first = topic.as_str().split('/').next();
    topic.as_str().starts_with('$') || matches!(first, Some("devices" | "readings"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(text: &str) -> Topic {
        Topic::new(text).unwrap()
    }

    fn filter(text: &str) -> Filter {
        Filter::new(text).unwrap()
    }

    fn service(scopes: &[&str]) -> Grant {
        Grant::service("console", scopes.iter().map(|text| Scope::parse(text).unwrap()).collect(), 0)
    }

    #[test]
    fn a_device_publishes_its_telemetry_and_answers_alone() {
        let grant = Grant::device("pump-7", 0).unwrap();
        for own in ["telemetry", "telemetry/fast", "answers"] {
            assert!(grant.may_publish(&topic(&format!("devices/pump-7/{own}"))), "{own}");
        }
        for gateways in ["status", "commands/stop", "receipts", "telemetry/a/b", "telemetry/", "answers/1", "", "x"] {
            assert!(!grant.may_publish(&topic(&format!("devices/pump-7/{gateways}"))), "{gateways}");
        }
        for foreign in
            ["devices/pump-8/telemetry", "devices/pump-7", "readings/pump-7", "devices/pump-77/telemetry", "a"]
        {
            assert!(!grant.may_publish(&topic(foreign)), "{foreign}");
        }
    }

    #[test]
    fn a_device_hears_its_commands_and_receipts_alone() {
        let grant = Grant::device("pump-7", 0).unwrap();
        for own in ["commands/#", "commands/+", "commands/stop", "commands/+/#", "receipts"] {
            assert!(grant.may_subscribe(&filter(&format!("devices/pump-7/{own}"))), "{own}");
            assert!(grant.may_subscribe(&filter(&format!("$share/g/devices/pump-7/{own}"))), "{own}");
        }
        for more in ["#", "+", "status", "telemetry", "receipts/#", "answers"] {
            assert!(!grant.may_subscribe(&filter(&format!("devices/pump-7/{more}"))), "{more}");
        }
        for foreign in ["#", "+/+/#", "devices/#", "devices/+/receipts", "devices/pump-8/receipts", "readings/pump-7"] {
            assert!(!grant.may_subscribe(&filter(foreign)), "{foreign}");
        }
    }

    #[test]
    fn a_client_id_elsewhere_is_ones_own() {
        let (device, service) = (Principal::Device("pump".into()), Principal::Service("pump".into()));
        for (client_id, devices, services) in [
            ("pump", true, true),
            ("pump@1", false, true),
            ("pump@", false, true),
            ("pump@fan@", false, true),
            ("", false, false),
            ("pump-1", false, false),
            ("pum", false, false),
            ("fan@pump", false, false),
            ("@pump", false, false),
            (" pump", false, false),
        ] {
            assert_eq!(device.owns_client_id(client_id), devices, "a device, {client_id:?}");
            assert_eq!(service.owns_client_id(client_id), services, "a service, {client_id:?}");
        }
    }

    #[test]
    fn what_is_not_one_level_is_no_device_and_gets_no_grant() {
        for id in ["", "+", "#", "pump-#", "pump-7/telemetry"] {
            assert!(Grant::device(id, 0).is_none(), "{id}");
        }
    }

    #[test]
    fn no_scope_lets_a_service_publish_what_is_the_gateways_or_a_devices() {
        let grant = service(&["pub:#", "pub:devices/#", "pub:readings/#", "pub:$SYS/#"]);
        for reserved in
            ["devices", "devices/a/commands/stop", "devices/a/telemetry", "readings", "readings/a", "$SYS/x", "$x"]
        {
            assert!(!grant.may_publish(&topic(reserved)), "{reserved}");
        }
        for free in ["commands/a/stop", "readingsx", "a/devices", "/devices"] {
            assert!(grant.may_publish(&topic(free)), "{free}");
        }
    }

    #[test]
    fn a_worker_publishes_at_another_broker_what_its_scopes_name_exactly() {
        let scopes = ["pub:devices/+/receipts", "pub:readings/+"];
        let worker = service(&scopes).elsewhere();
        for its in ["devices/a/receipts", "readings/a"] {
            assert!(worker.may_publish(&topic(its)), "{its}");
            assert!(!service(&scopes).may_publish(&topic(its)), "{its}, here");
            assert!(
                !service(&["pub:#", "pub:devices/#", "pub:readings/#"]).elsewhere().may_publish(&topic(its)),
                "{its}, by less"
            );
        }
        for others in [
            "devices/a/telemetry",
            "devices/a/commands/stop",
            "devices/a/receipts/b",
            "readings/a/b",
            "readings",
            "$SYS/x",
        ] {
            assert!(!worker.may_publish(&topic(others)), "{others}");
        }
    }

    #[test]
    fn a_scope_to_publish_is_none_to_subscribe() {
        let grant = service(&["pub:a", "sub:b"]);
        assert!(grant.may_publish(&topic("a")) && !grant.may_publish(&topic("b")));
        assert!(grant.may_subscribe(&filter("b")) && !grant.may_subscribe(&filter("a")));
    }

    #[test]
    fn one_level_does_not_grant_all_levels() {
        let grant = service(&["sub:readings/+"]);
        assert!(grant.may_subscribe(&filter("readings/+")) && grant.may_subscribe(&filter("$share/g/readings/pump-7")));
        assert!(!grant.may_subscribe(&filter("readings/#")) && !grant.may_subscribe(&filter("$share/g/#")));
    }

    // [MQTT-4.7.2-1]
    #[test]
    fn wildcards_never_cover_dollar_topics() {
        assert!(!service(&["sub:#", "sub:+/+"]).may_subscribe(&filter("$SYS/uptime")));
        assert!(service(&["sub:$SYS/#"]).may_subscribe(&filter("$SYS/uptime")));
    }

    /// A level that no filter below names stands for all the names that there are.
    const NAMES: [&str; 4] = ["a", "b", "$d", "other"];
    const TOPIC_LEVELS_MAX: usize = 4;

    fn every_topic() -> Vec<Topic> {
        let mut topics: Vec<String> = NAMES.map(str::to_owned).to_vec();
        let mut longest = topics.clone();
        for _ in 1..TOPIC_LEVELS_MAX {
            longest = longest.iter().flat_map(|head| NAMES.map(|name| format!("{head}/{name}"))).collect();
            topics.extend_from_slice(&longest);
        }
        topics.iter().map(|text| topic(text)).collect()
    }

    /// A filter of up to three levels, of which one topic of four levels tells `#` from `+`.
    fn any_filter() -> impl Strategy<Value = String> {
        let level = prop::sample::select(vec!["a", "b", "$d", "+"]);
        (prop::collection::vec(level, 0..3), prop::sample::select(vec!["a", "b", "+", "#"])).prop_map(
            |(mut levels, last)| {
                levels.push(last);
                levels.join("/")
            },
        )
    }

    proptest! {
        #[test]
        fn a_subscription_is_granted_if_and_only_if_every_topic_is(scope in any_filter(), asked in any_filter()) {
            let allowed = filter(&scope);
            let asked = filter(&asked);
            let every = every_topic().iter().filter(|topic| asked.matches(topic)).all(|topic| allowed.matches(topic));
            let grant = service(&[&format!("sub:{scope}")]);
            prop_assert_eq!(grant.may_subscribe(&asked), every, "sub:{} asked {}", scope, asked.as_str());
        }

        #[test]
        fn no_union_of_scopes_grants_what_none_of_its_topics_is(
            scopes in prop::collection::vec(any_filter(), 0..4), asked in any_filter()
        ) {
            let texts: Vec<String> = scopes.iter().map(|scope| format!("sub:{scope}")).collect();
            let grant = service(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            if !grant.may_subscribe(&filter(&asked)) {
                return Ok(());
            }
            let allowed: Vec<Filter> = scopes.iter().map(|scope| filter(scope)).collect();
            for topic in every_topic().iter().filter(|topic| filter(&asked).matches(topic)) {
                prop_assert!(allowed.iter().any(|allowed| allowed.matches(topic)), "{}", topic.as_str());
            }
        }
    }
}
