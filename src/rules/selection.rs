//! What a destination wants of all that leaves: series by what they are, and outputs by their rules.
//!
//! Knows the words; does not know destinations, or who leaves what out.

use super::rule::Selector;

/// Which rules are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuleChoice {
    /// All there are.
    #[default]
    All,
    /// None.
    None,
    /// Those of these numbers, ascending.
    These(Vec<u32>),
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Which series and outputs, by the identity with which they leave.
    pub selector: Selector,
    /// Which of these not.
    pub except: Option<Selector>,
    /// The outputs of which rules.
    pub rules: RuleChoice,
    /// Series that came in and pass on, too.
    pub takes_input: bool,
}

/// All that leaves.
impl Default for Selection {
    fn default() -> Selection {
        Selection { selector: Selector::default(), except: None, rules: RuleChoice::All, takes_input: true }
    }
}
