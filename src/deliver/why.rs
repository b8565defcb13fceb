//! Why a try failed, in words for people.
//!
//! Does not know what was tried.

/// What went wrong, and what to do about it where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) what: String,
    pub(super) remedy: Option<&'static str>,
}

impl From<String> for Why {
    fn from(what: String) -> Self {
        Why { what, remedy: None }
    }
}
