//! A reason with its cause in words.
//!
//! Who opens an envelope learns the reason alone, since nothing finer may be told to a sender that is not authenticated. The
//! words are for [`crate::inspect`], which an operator runs by hand; both come from the same check, so they cannot disagree.

use crate::Reason;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    #[cfg_attr(not(feature = "std"), expect(dead_code, reason = "inspect, which prints it, needs std"))]
    pub(crate) why: &'static str,
}

impl Fault {
    pub(crate) const fn malformed(why: &'static str) -> Self {
        Self { reason: Reason::Malformed, why }
    }

    pub(crate) const fn bad_seal(why: &'static str) -> Self {
        Self { reason: Reason::BadSeal, why }
    }
}
