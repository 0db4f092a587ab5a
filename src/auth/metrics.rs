//! What `auth` counts: logins and tokens by result, and what they cost.

use super::failed::PausedBy;
use super::journal::LeftOut;
use super::refusal::LoginRefused;
use super::request::TokenRefused;
use crate::metrics::{CountBy, IntCounter, IntGauge, Label, Registry, label};

/// The series of this area.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) logins: CountBy<LoginResult>,
    pub(crate) tokens: CountBy<TokenResult>,
    pub(crate) introspections: CountBy<AboutResult>,
    pub(crate) revocations: CountBy<AboutResult>,
    pub(crate) left_out: CountBy<LeftOut>,
    pub(crate) paused: CountBy<PausedBy>,
    pub(crate) signature_checks: IntCounter,
    pub(crate) cache_hits: IntCounter,
}

impl Metrics {
    /// Registers the series.
    pub fn new(registry: &Registry) -> Self {
        Metrics {
            logins: registry.counter_by("sealgate_auth_logins_total", "Logins of MQTT clients, by result."),
            tokens: registry.counter_by("sealgate_auth_tokens_total", "Answers of the token endpoint, by result."),
            introspections: registry.counter_by(
                "sealgate_auth_introspections_total",
                "Answers of the introspection endpoint, by result; positive: the token is good.",
            ),
            revocations: registry.counter_by(
                "sealgate_auth_revocations_total",
                "Answers of the revocation endpoint, by result; positive: the token was taken back.",
            ),
            left_out: registry.counter_by(
                "sealgate_auth_audit_left_out_total",
                "Logins and tokens that are missing in the audit log, by cause.",
            ),
            paused: registry
                .counter_by("sealgate_auth_paused_total", "Failed logins and token requests whose answer had to wait."),
            signature_checks: registry
                .counter("sealgate_auth_signature_checks_total", "Signatures of tokens that were checked."),
            cache_hits: registry
                .counter("sealgate_auth_cache_hits_total", "Tokens whose signature had been checked before."),
        }
    }
}

impl Metrics {
    /// Registers `sealgate_auth_issuer_up` for an issuer of tokens: 1 while its keys can be had. Which there are is what the settings say.
    pub fn issuer(registry: &Registry, issuer: &str) -> IntGauge {
        let help = "1 while the keys of an issuer of tokens can be had.";
        registry.gauge_with("sealgate_auth_issuer_up", help, &[("issuer", issuer)])
    }
}

/// What became of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginResult {
    Accepted,
    Refused(LoginRefused),
}

/// What became of a request for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenResult {
    Issued,
    Refused(TokenRefused),
}

/// What became of a request about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AboutResult {
    Positive,
    Negative,
    Refused,
}

label! { AboutResult as "result": Positive = "positive", Negative = "negative", Refused = "refused" }

impl AboutResult {
    pub(crate) fn of<T>(result: &Result<T, TokenRefused>, is_positive: impl Fn(&T) -> bool) -> Self {
        match result {
            Ok(answer) if is_positive(answer) => AboutResult::Positive,
            Ok(_) => AboutResult::Negative,
            Err(_) => AboutResult::Refused,
        }
    }
}

impl LoginResult {
    pub(crate) fn of<T>(result: &Result<T, LoginRefused>) -> Self {
        result.as_ref().map_or_else(|&reason| LoginResult::Refused(reason), |_| LoginResult::Accepted)
    }
}

impl TokenResult {
    pub(crate) fn of<T>(result: &Result<T, TokenRefused>) -> Self {
        result.as_ref().map_or_else(|&reason| TokenResult::Refused(reason), |_| TokenResult::Issued)
    }
}

impl Label for LoginResult {
    const NAME: &'static str = "result";
    const ALL: &'static [Self] = &{
        let mut all = [LoginResult::Accepted; LoginRefused::ALL.len() + 1];
        let mut place = 0;
        while place < LoginRefused::ALL.len() {
            all[place + 1] = LoginResult::Refused(LoginRefused::ALL[place]);
            place += 1;
        }
        all
    };

    fn as_str(self) -> &'static str {
        match self {
            LoginResult::Accepted => "accepted",
            LoginResult::Refused(reason) => reason.as_str(),
        }
    }

    fn index(self) -> usize {
        match self {
            LoginResult::Accepted => 0,
            LoginResult::Refused(reason) => reason as usize + 1,
        }
    }
}

impl Label for TokenResult {
    const NAME: &'static str = "result";
    const ALL: &'static [Self] = &{
        let mut all = [TokenResult::Issued; TokenRefused::ALL.len() + 1];
        let mut place = 0;
        while place < TokenRefused::ALL.len() {
            all[place + 1] = TokenResult::Refused(TokenRefused::ALL[place]);
            place += 1;
        }
        all
    };

    fn as_str(self) -> &'static str {
        match self {
            TokenResult::Issued => "issued",
            TokenResult::Refused(reason) => reason.as_str(),
        }
    }

    fn index(self) -> usize {
        match self {
            TokenResult::Issued => 0,
            TokenResult::Refused(reason) => reason as usize + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each_stands_at_its_place<L: Label + PartialEq + std::fmt::Debug>() {
        for (place, &value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), place, "{value:?}");
        }
        let mut words: Vec<_> = L::ALL.iter().map(|value| value.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), L::ALL.len());
    }

    #[test]
    fn every_result_has_a_place_and_a_word_of_its_own() {
        each_stands_at_its_place::<LoginResult>();
        each_stands_at_its_place::<TokenResult>();
    }
}
