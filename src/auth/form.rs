//! The body of a request to the issuer: parameters in a form (RFC 6749 section 3.2).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::request::TokenRefused;

/// The parameters, each of which came once; one without a value did not come (RFC 6749 section 3.2). One of them may be a
/// secret, so all values are wiped, whatever becomes of the request.
pub(crate) struct Form(BTreeMap<String, Zeroizing<String>>);

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Result<Form, TokenRefused> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if parameters.insert(name.into_owned(), Zeroizing::new(value.into_owned())).is_some() {
                return Err(TokenRefused::InvalidRequest);
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Form(parameters))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.0.remove(name)
    }

    /// A value that is no secret.
    pub(crate) fn take_public(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|mut value| std::mem::take(&mut *value))
    }
}
