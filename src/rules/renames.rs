//! Which rule each of some rules was before, by its name or by what `was` says.
//!
//! Knows names alone; does not know what a rule does, or what goes on with it.

use super::rule::Rule;
use hashbrown::{HashMap, HashSet};

/// A `was` that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleWas {
    /// The place of the rule that says it.
    pub rule: usize,
    /// Why it has none.
    pub why: String,
}

type Places<'a> = HashMap<&'a str, usize, ahash::RandomState>;

fn places(rules: &[Rule]) -> Places<'_> {
    rules.iter().enumerate().map(|(at, rule)| (&*rule.name, at)).collect()
}

/// By place of the rules `after`, the place in those `before` of the rule that each of them was: of its own name, or of the
/// one that `was` says, if that was written since. Of two that were one the first is it, and before those the one that keeps
/// its name.
pub fn places_before(before: &[Rule], after: &[Rule]) -> Vec<Option<usize>> {
    let known = places(before);
    let own = |rule: &Rule| known.get(&*rule.name).copied();
    let renamed = |rule: &Rule| {
        let place = known.get(rule.was.as_deref()?).copied();
        place.filter(|_| is_said_since(before, own(rule), rule))
    };
    let mut places = vec![None; after.len()];
    let mut is_taken = vec![false; before.len()];
    let mut take = |is_asked: &dyn Fn(&Rule) -> bool, place: &dyn Fn(&Rule) -> Option<usize>| {
        for (at, rule) in after.iter().enumerate() {
            if places[at].is_none()
                && is_asked(rule)
                && let Some(old) = place(rule)
                && !std::mem::replace(&mut is_taken[old], true)
            {
                places[at] = Some(old);
            }
        }
    };
    take(&|rule| renamed(rule).is_none(), &own);
    take(&|_| true, &renamed);
    take(&|_| true, &own);
    places
}

/// What `was` says was not said by the rule of the same name before.
fn is_said_since(before: &[Rule], own: Option<usize>, rule: &Rule) -> bool {
    own.is_none_or(|own| before[own].was != rule.was)
}

/// `was` that can have no effect, whatever the rules before are.
pub fn idle_was(rules: &[Rule]) -> Vec<IdleWas> {
    let (known, mut said) = (places(rules), HashSet::<&str, ahash::RandomState>::default());
    let mut all = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let Some(was) = rule.was.as_deref() else { continue };
        let keeper = known.get(was).filter(|other| rules[**other].was.is_none());
        let why = if *was == *rule.name {
            "that is its name".to_owned()
        } else if keeper.is_some() {
            format!("a rule is called {was} still")
        } else if !said.insert(was) {
            format!("a rule before it was {was}, too")
        } else {
            continue;
        };
        all.push(IdleWas { rule: at, why });
    }
    all
}

/// `was` that is said by rules `after` those `before` for the first time, and has no effect there.
pub fn idle_was_after(before: &[Rule], after: &[Rule]) -> Vec<IdleWas> {
    let (known, found, mut all) = (places(before), places_before(before, after), idle_was(after));
    all.retain(|idle| is_said_since(before, known.get(&*after[idle.rule].name).copied(), &after[idle.rule]));
    for (at, rule) in after.iter().enumerate() {
        let Some(was) = rule.was.as_deref().filter(|_| all.iter().all(|idle| idle.rule != at)) else { continue };
        if !is_said_since(before, known.get(&*rule.name).copied(), rule) {
            continue;
        }
        match known.get(was) {
            None => all.push(IdleWas { rule: at, why: format!("there was no rule {was}") }),
            Some(place) if found[at] != Some(*place) => {
                all.push(IdleWas { rule: at, why: format!("another rule goes on with what {was} gathered") });
            }
            Some(_) => {}
        }
    }
    all.sort_by_key(|idle| idle.rule);
    all
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Action, Selector};
    use super::*;

    fn rules(rules: &[(&str, Option<&str>)]) -> Vec<Rule> {
        let of = |(name, was): &(&str, Option<&str>)| Rule {
            name: (*name).into(),
            was: was.map(Into::into),
            selector: Selector::default(),
            except: None,
            action: Action::Keep,
            goes_on: false,
        };
        rules.iter().map(of).collect()
    }

    fn told(idle: Vec<IdleWas>) -> Vec<(usize, String)> {
        idle.into_iter().map(|IdleWas { rule, why }| (rule, why)).collect()
    }

    #[test]
    fn a_name_that_cannot_be_taken_over_is_told_without_knowing_what_runs() {
        let check = |all: &[(&str, Option<&str>)], want: &[(usize, &str)]| {
            let want: Vec<_> = want.iter().map(|(rule, why)| (*rule, (*why).to_owned())).collect();
            assert_eq!(told(idle_was(&rules(all))), want, "{all:?}");
        };
        check(&[("b", Some("a"))], &[]);
        check(&[("a", Some("b")), ("b", Some("a"))], &[]);
        check(&[("b", Some("a")), ("c", Some("b"))], &[]);
        check(&[("a", Some("a"))], &[(0, "that is its name")]);
        check(&[("b", Some("a")), ("a", None)], &[(0, "a rule is called a still")]);
        check(&[("b", Some("a")), ("c", Some("a"))], &[(1, "a rule before it was a, too")]);
    }

    #[test]
    fn a_name_that_is_not_taken_over_is_told_at_the_reload_that_brings_it() {
        let check = |before: &[(&str, Option<&str>)], after: &[(&str, Option<&str>)], want: &[(usize, &str)]| {
            let want: Vec<_> = want.iter().map(|(rule, why)| (*rule, (*why).to_owned())).collect();
            assert_eq!(told(idle_was_after(&rules(before), &rules(after))), want, "{before:?} to {after:?}");
        };
        let two = [("a", None), ("b", None)];
        check(&two, &[("c", Some("a")), ("b", None)], &[]);
        check(&two, &[("c", Some("z"))], &[(0, "there was no rule z")]);
        check(&two, &[("a", None), ("c", Some("a"))], &[(1, "a rule is called a still")]);
        check(&two, &[("c", Some("a")), ("d", Some("a"))], &[(1, "a rule before it was a, too")]);
        // a chain of which the first has no effect: the rule keeps its own name
        check(
            &two,
            &[("c", Some("a")), ("a", Some("z"))],
            &[(0, "another rule goes on with what a gathered"), (1, "there was no rule z")],
        );
        // said before, and done
        check(&[("c", Some("a"))], &[("c", Some("a")), ("a", None)], &[]);
        check(&[("c", Some("a"))], &[("c", Some("a"))], &[]);
    }
}
