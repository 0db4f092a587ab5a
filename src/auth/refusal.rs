//! Why a login is refused: the closed list behind the log line and the metric's label.
//!
//! The client learns less: one code for all of it, chosen where MQTT is spoken.

use thiserror::Error;

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum LoginRefused {
    /// CONNECT has no password.
    #[error("no token came")]
    MissingToken,
    /// It is no JWT of the shape that an access token has, or a claim is missing or of the wrong type.
    #[error("the token is malformed")]
    Malformed,
    /// It is no access token, but another JWT such as an ID token (RFC 9068 section 4).
    #[error("the token is no access token")]
    WrongType,
    /// The issuer is not one that is trusted here.
    #[error("the token has an issuer that is not trusted")]
    WrongIssuer,
    /// It is for another resource server.
    #[error("the token is for another audience")]
    WrongAudience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not yet valid")]
    NotYetValid,
    /// Its issuer has no such key.
    #[error("the token names a key that its issuer does not have")]
    UnknownKey,
    /// The algorithm is not the one that its key is for; `none` and HMAC never are.
    #[error("the token names an algorithm that its key is not for")]
    WrongAlgorithm,
    /// The signature is not by its key.
    #[error("the token's signature does not fit")]
    WrongSignature,
    /// The user name is not the token's subject.
    #[error("the user name is not the token's subject")]
    WrongUserName,
    /// A device's MQTT client id is not its device id.
    #[error("the client id is not the device's")]
    WrongClientId,
    /// The device, the service or its client does not exist any more.
    #[error("the token's subject is not registered")]
    UnknownPrincipal,
    /// It comes with a token of another issuer, and nobody has added it to the registry for that one.
    #[error("the token's subject was not added for its issuer")]
    NotRegistered,
    /// It would be added at its first login, but its issuer has had as many added as it may in a second.
    #[error("too many devices of the issuer come for the first time at once")]
    TooManyNew,
    /// The device or the client is disabled.
    #[error("the token's subject is disabled")]
    Disabled,
    /// It was taken back, or the key that signed it was.
    #[error("the token was revoked")]
    Revoked,
    /// It gives no role, which operators need.
    #[error("the token gives no role of an operator")]
    NoOperator,
    /// Its issuer did not say what it is worth.
    #[error("the token's issuer did not answer")]
    IssuerUnavailable,
    /// Whether the subject may come in could not be looked up.
    #[error("the store did not answer")]
    StoreUnavailable,
}

impl LoginRefused {
    /// Whether it is no fault of whoever logs in, who should come again later.
    pub fn is_passing(self) -> bool {
        use LoginRefused::{IssuerUnavailable, StoreUnavailable, TooManyNew};
        matches!(self, StoreUnavailable | IssuerUnavailable | TooManyNew)
    }

    /// Every reason, in the order of the declaration.
    pub const ALL: [LoginRefused; 20] = [
        LoginRefused::MissingToken,
        LoginRefused::Malformed,
        LoginRefused::WrongType,
        LoginRefused::WrongIssuer,
        LoginRefused::WrongAudience,
        LoginRefused::Expired,
        LoginRefused::NotYetValid,
        LoginRefused::UnknownKey,
        LoginRefused::WrongAlgorithm,
        LoginRefused::WrongSignature,
        LoginRefused::WrongUserName,
        LoginRefused::WrongClientId,
        LoginRefused::UnknownPrincipal,
        LoginRefused::NotRegistered,
        LoginRefused::TooManyNew,
        LoginRefused::Disabled,
        LoginRefused::Revoked,
        LoginRefused::NoOperator,
        LoginRefused::IssuerUnavailable,
        LoginRefused::StoreUnavailable,
    ];

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            LoginRefused::MissingToken => "missing_token",
            LoginRefused::Malformed => "malformed",
            LoginRefused::WrongType => "wrong_type",
            LoginRefused::WrongIssuer => "wrong_issuer",
            LoginRefused::WrongAudience => "wrong_audience",
            LoginRefused::Expired => "expired",
            LoginRefused::NotYetValid => "not_yet_valid",
            LoginRefused::UnknownKey => "unknown_key",
            LoginRefused::WrongAlgorithm => "wrong_algorithm",
            LoginRefused::WrongSignature => "wrong_signature",
            LoginRefused::WrongUserName => "wrong_user_name",
            LoginRefused::WrongClientId => "wrong_client_id",
            LoginRefused::UnknownPrincipal => "unknown_principal",
            LoginRefused::NotRegistered => "not_registered",
            LoginRefused::TooManyNew => "too_many_new",
            LoginRefused::Disabled => "disabled",
            LoginRefused::Revoked => "revoked",
            LoginRefused::NoOperator => "no_operator",
            LoginRefused::IssuerUnavailable => "issuer_unavailable",
            LoginRefused::StoreUnavailable => "store_unavailable",
        }
    }
}
