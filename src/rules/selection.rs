//! What a destination wants of all that leaves: series by what they are, and outputs by their rules.
//!
//! Knows the words; does not know destinations, or who leaves what out.

use super::rule::{Rule, Selector};

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

impl Selection {
    /// Whether another one, of other rules, chooses the same: rules are the same by their names.
    pub fn is_like(&self, rules: &[Rule], other: &Selection, of: &[Rule]) -> bool {
        let names = |numbers: &[u32], rules: &[Rule]| {
            let mut names: Vec<_> =
                numbers.iter().filter_map(|at| rules.get(*at as usize)).map(|r| r.name.clone()).collect();
            names.sort();
            names
        };
        let has_same_rules = match (&self.rules, &other.rules) {
            (RuleChoice::These(one), RuleChoice::These(another)) => names(one, rules) == names(another, of),
            (one, another) => one == another,
        };
        let asks_the_same = self.selector == other.selector && self.except == other.except;
        has_same_rules && asks_the_same && self.takes_input == other.takes_input
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::Action;
    use super::*;

    #[test]
    fn rules_are_chosen_by_their_names() {
        let rules = |names: &[&str]| -> Vec<Rule> {
            let rule = |name: &&str| Rule {
                name: (*name).into(),
                was: None,
                selector: Selector::default(),
                except: None,
                action: Action::Keep,
                goes_on: false,
            };
            names.iter().map(rule).collect()
        };
        let (ab, ba) = (rules(&["a", "b"]), rules(&["b", "a"]));
        let of = |rules: RuleChoice| Selection { rules, ..Selection::default() };
        let first = of(RuleChoice::These(vec![0]));
        assert!(first.is_like(&ab, &first, &ab) && !first.is_like(&ab, &first, &ba));
        assert!(first.is_like(&ab, &of(RuleChoice::These(vec![1])), &ba));
        let both = of(RuleChoice::These(vec![0, 1]));
        assert!(both.is_like(&ab, &both, &ba));
        assert!(!both.is_like(&ab, &of(RuleChoice::All), &ab) && !of(RuleChoice::None).is_like(&ab, &both, &ab));
        assert!(!Selection { takes_input: false, ..both.clone() }.is_like(&ab, &both, &ab));
    }
}
