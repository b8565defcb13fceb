//! What a destination chooses of all that leaves, from its tree: `match`, `except`, `rules`, `input`.
//!
//! Does not know: destinations, or what becomes of what nobody chooses.

use super::super::tree::TreeNode;
use super::check::Telling;
use super::faults;
use super::selector::selector;
use super::trail::{Trail, cut};
use crate::nearest::nearest;
use crate::problem::Flaw;
use crate::rules::{Action, Rule, RuleChoice, RulePlan, Selection};

/// Of a mapping that has the shape of a choice; `rules` are those that it can name.
pub(in crate::config) fn choice(telling: &mut Telling<'_>, node: &TreeNode, rules: &[Rule]) -> Selection {
    let selector_of = |key: &str| node.field(key).map(selector);
    let chosen = match node.field("rules") {
        None => RuleChoice::All,
        Some(list) if list.text() == Some("all") => RuleChoice::All,
        Some(list) if list.text() == Some("none") => RuleChoice::None,
        Some(list) => RuleChoice::These(named(telling, list, rules)),
    };
    let takes_input = node.field("input").and_then(TreeNode::text) != Some("false");
    if chosen == RuleChoice::None && !takes_input {
        let flaw = Flaw::new("neither rules nor input: nothing would leave").remedy("leave the destination out");
        telling.tell(node.at, &Trail::Start, flaw);
    }
    let (selector, except) = (selector_of("match").unwrap_or_default(), selector_of("except"));
    // whether its patterns can be meant, as those of a rule that does nothing
    let alone = Rule {
        name: "".into(),
        was: None,
        selector: selector.clone(),
        except: except.clone(),
        action: Action::Keep,
        goes_on: false,
    };
    for fault in RulePlan::new(vec![alone]).err().into_iter().flatten() {
        faults::tell(telling, node, &Trail::Start, &fault);
    }
    Selection { selector, except, rules: chosen, takes_input }
}

/// The numbers of the rules that a list names.
fn named(telling: &mut Telling<'_>, list: &TreeNode, rules: &[Rule]) -> Vec<u32> {
    let mut numbers = Vec::new();
    for (index, item) in list.items().iter().enumerate() {
        let Some(name) = item.text() else { continue };
        let shown = format!("\"{}\"", cut(name).escape_debug());
        let flaw = match rules.iter().position(|rule| *rule.name == *name) {
            Some(number) => match without_outputs(&rules[number].action) {
                None => {
                    numbers.push(number as u32);
                    continue;
                }
                Some(does) => Flaw::new(format!("the rule {shown} {does}: nothing of it leaves that could be chosen"))
                    .remedy("leave it out"),
            },
            None => {
                let flaw = Flaw::new(format!("there is no rule {shown}"));
                match nearest(cut(name), rules.iter().map(|rule| &*rule.name)) {
                    Some(meant) => flaw.remedy(format!("did you mean \"{meant}\"?")),
                    None => flaw.allowed("give all, none, or names of rules"),
                }
            }
        };
        let trail = Trail::Key(&Trail::Start, "rules");
        telling.tell(item.at, &Trail::Item(&trail, index), flaw);
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// What a rule does instead of giving outputs, if it gives none.
const fn without_outputs(action: &Action) -> Option<&'static str> {
    match action {
        Action::Aggregate(_) => None,
        Action::Drop => Some("drops what it takes"),
        Action::Keep => Some("passes on what it takes as it is"),
        Action::Relabel(_) => Some("changes what it takes one to one"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::parse;
    use super::super::check::check;
    use super::super::table::CHOICE_SHAPE;
    use super::*;
    use crate::problem::Problem;
    use crate::rules::{Aggregation, Grouping, Selector};

    fn read(text: &str) -> (Selection, Vec<String>) {
        let of = |name: &str, action| Rule {
            name: name.into(),
            was: None,
            selector: Selector::default(),
            except: None,
            action,
            goes_on: false,
        };
        let rule = |name| of(name, Action::Aggregate(Box::new(Aggregation::new(Grouping::All, 1))));
        let (file, mut problems, node) = ("f".into(), Vec::new(), parse(text).unwrap());
        let mut telling = Telling { file: &file, key: "out", problems: &mut problems };
        check(&mut telling, &node, &CHOICE_SHAPE, &Trail::Start);
        let selection = choice(
            &mut telling,
            &node,
            &[rule("a"), rule("pods"), rule("c"), of("noise", Action::Drop), of("names", Action::Relabel(Vec::new()))],
        );
        (selection, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn a_destination_chooses_by_series_and_by_rules() {
        assert_eq!(read("{rules: all, input: true}"), (Selection::default(), vec![]));
        let (chosen, problems) = read("{match: {metric: http.*}, except: {unit: s}, rules: [c, a], input: false}");
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!((chosen.rules, chosen.takes_input), (RuleChoice::These(vec![0, 2]), false));
        assert_eq!((&*chosen.selector.metric[0].text, &*chosen.except.unwrap().unit[0].text), ("http.*", "s"));
        assert_eq!(read("{rules: none}").0.rules, RuleChoice::None);
        let check = |text: &str, words: &str| {
            let (_, problems) = read(text);
            assert!(problems.len() == 1 && problems[0].starts_with(words), "{text}: {words}: {problems:#?}");
        };
        check("{rules: [pdos]}", "f:1:10 out: rules[0]: there is no rule \"pdos\": did you mean \"pods\"?");
        check("{rules: [frobnicate]}", "f:1:10 out: rules[0]: there is no rule \"frobnicate\"; give all, none,");
        check(
            "{rules: [a, noise]}",
            "f:1:13 out: rules[1]: the rule \"noise\" drops what it takes: nothing of it leaves",
        );
        check("{rules: [names]}", "f:1:10 out: rules[0]: the rule \"names\" changes what it takes one to one");
        check("{rules: none, input: false}", "f:1:1 out: neither rules nor input");
        check("{match: {metrik: a}}", "f:1:10 out: match: unknown key \"metrik\": did you mean \"metric\"?");
        check("{match: {metric: '~('}}", "f:1:18 out: match.metric: \"~(\" is no regular expression");
        check("{input: perhaps}", "f:1:9 out: input: \"perhaps\": give true or false");
    }
}
