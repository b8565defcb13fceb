//! What a reload changes: the settings of two plans side by side, and which of them can change while it runs.
//!
//! Knows which setting a part of the plan is of; does not know how a change is made. What can change stands in one table, and a
//! test holds that every setting is in it once.
//!
//! What needs a restart keeps the value that it runs with, and the rest is settled anew beside it: rules, for one, are made for
//! the interval that there is.

use super::plan::Plan;
use super::printed;
use super::settings::{SECRET, Settings};
use super::settle::settle;
use super::surroundings::{DoorAddresses, Surroundings};
use crate::limits::NAMES_TOLD_MAX;
use crate::problem::Problem;
use crate::rules::{IdleWas, Rule, idle_was_after};
use ring::digest::{SHA256, digest};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A plan, and the settings that it was made of.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What was asked for.
    pub settings: Settings,
    /// What it comes to.
    pub plan: Plan,
    /// Where the process that runs it listens; nowhere before it does.
    pub listening: DoorAddresses,
}

/// What becomes of a setting when it is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reloading {
    /// It is in force from the next cut on, or at once.
    Applies,
    /// It is told, and the one before stays in force.
    NeedsRestart,
}

use Reloading::{Applies, NeedsRestart};

/// A setting, what becomes of it, and whether two plans differ in it. What shows in another setting's part of the plan (a
/// destination's headers, the defaults of rules) is told there.
type SettingRow = (&'static str, Reloading, fn(&Plan, &Plan) -> bool);

const ROWS: [SettingRow; ROW_COUNT] = [
    ("otlp-grpc", NeedsRestart, |a, b| a.otlp_grpc != b.otlp_grpc),
    ("otlp-http", NeedsRestart, |a, b| a.otlp_http != b.otlp_http),
    ("connections", NeedsRestart, |a, b| (a.connections, a.connections_free) != (b.connections, b.connections_free)),
    ("out", Applies, |a, b| a.outs != b.outs),
    ("out-header", Applies, |_, _| false),
    ("out-ca", Applies, |_, _| false),
    ("out-cert", Applies, |_, _| false),
    ("out-key", Applies, |_, _| false),
    ("interval", NeedsRestart, |a, b| a.interval != b.interval),
    ("temporality", Applies, |a, b| a.temporality != b.temporality),
    ("without", Applies, |_, _| false),
    ("gauges", Applies, |_, _| false),
    ("prometheus", NeedsRestart, |a, b| a.prometheus != b.prometheus),
    ("prometheus-translation", Applies, |a, b| a.translation != b.translation),
    ("prometheus-created", Applies, |a, b| a.created != b.created),
    ("series-limit", NeedsRestart, |a, b| a.series_limit != b.series_limit),
    ("group-limit", NeedsRestart, |a, b| a.group_limit != b.group_limit),
    ("peer-share", NeedsRestart, |a, b| a.peer_share != b.peer_share),
    ("memory-limit", NeedsRestart, |a, b| a.memory_limit != b.memory_limit),
    ("max-name", NeedsRestart, |a, b| a.attributes.name_bytes != b.attributes.name_bytes),
    ("max-attributes", NeedsRestart, |a, b| a.attributes.attributes != b.attributes.attributes),
    ("max-attribute-value", NeedsRestart, |a, b| a.attributes.value_bytes != b.attributes.value_bytes),
    ("max-body", NeedsRestart, |a, b| a.max_body != b.max_body),
    ("expire", NeedsRestart, |a, b| a.expire != b.expire),
    ("max-future", NeedsRestart, |a, b| a.max_future != b.max_future),
    ("shards", NeedsRestart, |a, b| (a.shards, a.shards_free) != (b.shards, b.shards_free)),
    ("pin", NeedsRestart, |a, b| a.pin != b.pin),
    ("tuning", NeedsRestart, |_, _| false),
    ("admin", NeedsRestart, |a, b| a.admin != b.admin),
    ("allowed-host", Applies, |a, b| a.allowed_hosts != b.allowed_hosts),
    ("shutdown-timeout", Applies, |a, b| a.shutdown_timeout != b.shutdown_timeout),
    ("shutdown-delay", Applies, |a, b| a.shutdown_delay != b.shutdown_delay),
    ("feature-gates", Applies, |a, b| a.gates != b.gates),
    ("watch", NeedsRestart, |a, b| a.watch != b.watch),
    ("log", Applies, |a, b| a.log != b.log),
    ("log-format", NeedsRestart, |_, _| true),
    ("capture", NeedsRestart, |a, b| a.capture.as_ref().map(|one| &one.0) != b.capture.as_ref().map(|one| &one.0)),
    ("capture-limit", NeedsRestart, |a, b| a.capture.as_ref().map(|one| one.1) != b.capture.as_ref().map(|one| one.1)),
    ("ports-file", NeedsRestart, |a, b| a.ports_file != b.ports_file),
    ("dedup", Applies, |a, b| a.dedup != b.dedup),
    ("defaults", Applies, |_, _| false),
    ("rules", Applies, |a, b| a.rules != b.rules),
];
const ROW_COUNT: usize = 42;

/// Every setting, and whether it can change while it runs.
pub fn reloadable() -> impl Iterator<Item = (&'static str, bool)> {
    ROWS.iter().map(|(key, reloads, _)| (*key, *reloads == Applies))
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDifference {
    /// The setting.
    pub key: &'static str,
    /// What it was, as it may be shown.
    pub before: String,
    /// What it is.
    pub now: String,
}

impl fmt::Display for SettingDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.before, self.now)
    }
}

/// What differs between what runs and what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingDifferences {
    /// What changes while it runs.
    pub applied: Vec<SettingDifference>,
    /// What would change at a restart.
    pub needs_restart: Vec<SettingDifference>,
    /// What is likely to be meant otherwise.
    pub notes: Vec<String>,
}

impl Settled {
    /// What these settings come to beside what runs, and what differs.
    ///
    /// # Errors
    /// Everything that is wrong with them, or with them beside what cannot change.
    pub fn again(
        &self,
        given: Settings,
        around: &Surroundings<'_>,
    ) -> Result<(Settled, SettingDifferences), Vec<Problem>> {
        let around = &Surroundings { listening: self.listening, ..*around };
        let asked = Settled { plan: settle(&given, around)?, settings: given, listening: self.listening };
        let fixed = || ROWS.iter().filter(|(_, reloads, _)| *reloads == NeedsRestart);
        let is_other = |(key, _, differs): &&SettingRow| {
            said(&self.settings, key) != said(&asked.settings, key) && differs(&self.plan, &asked.plan)
        };
        let needs_restart: Vec<SettingDifference> =
            fixed().filter(is_other).map(|row| self.difference(row.0, &asked)).collect();
        let mut next = asked;
        fixed().for_each(|(key, ..)| next.settings.keep(key, &self.settings));
        next.plan = settle(&next.settings, around)?;
        let changed =
            ROWS.iter().filter(|(_, reloads, differs)| *reloads == Applies && differs(&self.plan, &next.plan));
        let applied = changed.map(|row| self.difference(row.0, &next)).collect();
        let rules = next.plan.rules.rules();
        let note = |IdleWas { rule, why }| format!("rules: `was` of {} has no effect: {why}", rules[rule].name);
        let notes = idle_was_after(self.plan.rules.rules(), rules).into_iter().map(note).collect();
        Ok((next, SettingDifferences { applied, needs_restart, notes }))
    }

    /// Eight hexadecimal digits of all that was asked for but for what may be a secret, and of what rules come to.
    pub fn fingerprint(&self) -> String {
        let mut all = format!("{:?}", self.plan.dedup.entries());
        for rule in self.plan.rules.rules() {
            all += &format!("{} {:08x} ", rule.name, rule.fingerprint());
        }
        for (key, ..) in ROWS {
            all += &format!("{key} {:?} ", (!SECRET.contains(&key)).then(|| texts(&self.settings, key)));
        }
        let names: Vec<&String> = self.plan.outs.iter().map(|out| &out.name).collect();
        let digest = digest(&SHA256, format!("{all}{names:?}{:?}", choices(&self.settings)).as_bytes());
        digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn difference(&self, key: &'static str, now: &Settled) -> SettingDifference {
        let (before, now) = match key {
            "rules" => named(self.plan.rules.rules(), now.plan.rules.rules(), |rule: &Rule| &*rule.name),
            "dedup" => named(self.plan.dedup.entries(), now.plan.dedup.entries(), |entry| &*entry.name),
            "out" => named(&self.plan.outs, &now.plan.outs, |out| &*out.name),
            key => (shown(&self.settings, key), shown(&now.settings, key)),
        };
        SettingDifference { key, before, now }
    }
}

fn texts(settings: &Settings, key: &str) -> Vec<String> {
    settings.all(key).iter().map(|setting| setting.text().into_owned()).collect()
}

/// The same, and what destinations choose.
fn said(settings: &Settings, key: &str) -> Vec<String> {
    let choices = if key == "out" { choices(settings) } else { Vec::new() };
    texts(settings, key).into_iter().chain(choices).collect()
}

/// What destinations choose, as it was written.
fn choices(settings: &Settings) -> Vec<String> {
    settings.trees().iter().filter(|tree| tree.key == "out").map(|tree| printed::yaml(&tree.node)).collect()
}

/// The values of a setting, as they may be shown.
fn shown(settings: &Settings, key: &str) -> String {
    if SECRET.contains(&key) {
        return "(not shown)".to_owned();
    }
    match texts(settings, key).join(" ") {
        text if text.is_empty() => "(not set)".to_owned(),
        text => text,
    }
}

/// How many there were and are, and the names of those that came, went and changed.
fn named<T: PartialEq>(before: &[T], now: &[T], name: impl Fn(&T) -> &str) -> (String, String) {
    let were: HashMap<&str, &T> = before.iter().map(|one| (name(one), one)).collect();
    let are: HashSet<&str> = now.iter().map(&name).collect();
    let names = |word: &str, all: Vec<&T>| {
        let mut shown: Vec<&str> = all.iter().take(NAMES_TOLD_MAX).map(|one| name(one)).collect();
        if all.len() > NAMES_TOLD_MAX {
            shown.push("…");
        }
        (!all.is_empty()).then(|| format!("{word} {}", shown.join(", ")))
    };
    let new = now.iter().filter(|one| !were.contains_key(name(one))).collect();
    let gone = before.iter().filter(|one| !are.contains(name(one))).collect();
    let changed = now.iter().filter(|one| were.get(name(one)).is_some_and(|was| *was != *one)).collect();
    let mut parts: Vec<String> =
        [names("new", new), names("gone", gone), names("changed", changed)].into_iter().flatten().collect();
    if parts.is_empty() {
        parts.push("in another order".to_owned());
    }
    (before.len().to_string(), format!("{} ({})", now.len(), parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::super::TreeSetting;
    use super::super::settle::tests::settings;
    use super::super::surroundings::tests::around;
    use super::super::tree::parse;
    use super::*;
    use crate::problem::At;
    use std::time::Duration;

    fn given(texts: &[(&'static str, &str)], rules: &str) -> Settings {
        let mut settings = settings(&[]);
        for (key, text) in texts {
            match *key {
                "out" | "out-header" => settings.add(key, At::File { name: "f".into(), line: 1, column: 1 }, *text),
                _ => settings.replace(key, [(At::Variable, (*text).to_owned())]),
            }
        }
        if !rules.is_empty() {
            settings.add_tree(TreeSetting { key: "rules", file: "f".into(), node: parse(rules).unwrap() });
        }
        settings
    }

    fn settled(texts: &[(&'static str, &str)], rules: &str) -> Settled {
        settled_of(given(texts, rules))
    }

    fn settled_of(settings: Settings) -> Settled {
        Settled { plan: settle(&settings, &around()).unwrap(), settings, listening: DoorAddresses::default() }
    }

    fn told(differences: &[SettingDifference]) -> Vec<String> {
        differences.iter().map(ToString::to_string).collect()
    }

    /// A port that was chosen when the process began is known when settings are read again, by which the door is what it was.
    #[test]
    fn a_door_that_listens_is_no_destination_whatever_port_was_asked_for() {
        let mut running = settled(&[("otlp-grpc", "127.0.0.1:0"), ("admin", "127.0.0.1:0")], "");
        let asked = |out: &str| given(&[("otlp-grpc", "127.0.0.1:0"), ("admin", "127.0.0.1:0"), ("out", out)], "");
        let urls = ["otlp-grpc://localhost:41001", "otlp-http://127.0.0.1:41002"];
        assert!(urls.iter().all(|url| running.again(asked(url), &around()).is_ok()), "nothing listens");
        let at = |text: &str| text.parse().ok();
        let (otlp_grpc, admin) = (at("127.0.0.1:41001"), at("127.0.0.1:41002"));
        running.listening = DoorAddresses { otlp_grpc, admin, ..DoorAddresses::default() };
        for (url, door) in urls.into_iter().zip(["--otlp-grpc 127.0.0.1:0", "--admin 127.0.0.1:0"]) {
            let problems = running.again(asked(url), &around()).unwrap_err();
            assert!(problems[0].to_string().contains(&format!("this is the own door {door}, ")), "{problems:?}");
        }
        let (next, differences) = running.again(asked("otlp-grpc://127.0.0.1:41003"), &around()).unwrap();
        assert_eq!((next.listening, differences.needs_restart), (running.listening, vec![]));
    }

    /// Rules that stand elsewhere are no other choice of a destination, but have other numbers there.
    #[test]
    fn what_destinations_choose_is_a_difference_of_theirs() {
        let chosen = |choice: &str, rules: &str| {
            let mut settings = given(&[("out", "stdout")], rules);
            settings.add_tree(TreeSetting { key: "out", file: "f".into(), node: parse(choice).unwrap() });
            settings
        };
        let (one, two) = ("[{name: a, without: [x]}]", "[{name: b, without: [y]}, {name: a, without: [x]}]");
        let settings = chosen("{rules: [a]}", one);
        let running = settled_of(settings);
        let (next, differences) = running.again(chosen("{rules: [a]}", two), &around()).unwrap();
        assert_eq!(differences.needs_restart, []);
        assert_ne!(next.plan.selections, running.plan.selections, "the rule stands elsewhere");
        let (next, differences) = running.again(chosen("{rules: none}", one), &around()).unwrap();
        assert_eq!(told(&differences.applied), ["out: 1 -> 1 (changed stdout)"]);
        assert_ne!(next.plan.selections, running.plan.selections);
        assert_ne!(next.fingerprint(), running.fingerprint());
    }

    #[test]
    fn what_cannot_change_is_told_and_stays_and_the_rest_is_as_if_it_were_not_asked_for() {
        let rule = "[{name: a, match: {metric: a}, without: [x]}]";
        let running = settled(&[("log", "info"), ("out", "stdout?name=one")], rule);
        let texts = [("log", "debug"), ("interval", "20s"), ("max-body", "1MiB"), ("shutdown-delay", "1s")];
        let (next, differences) = running.again(given(&texts, rule), &around()).unwrap();
        assert_eq!(
            told(&differences.applied),
            ["out: 1 -> 0 (gone one)", "shutdown-delay: 0s -> 1s", "log: info -> debug"]
        );
        assert_eq!(told(&differences.needs_restart), ["interval: 10s -> 20s", "max-body: 64MiB -> 1MiB"]);
        let shutdown_delay = Duration::from_secs(1);
        let want = Plan { log: "debug".into(), shutdown_delay, outs: Vec::new(), ..running.plan.clone() };
        assert_eq!(next.plan, want, "rules are for the interval that there is");
        // and is told again, for it is still not in force
        let (_, again) = next.again(given(&texts, rule), &around()).unwrap();
        assert_eq!(told(&again.applied), [""; 0]);
        assert_eq!(told(&again.needs_restart), told(&differences.needs_restart));
        assert_eq!(running.again(running.settings.clone(), &around()).unwrap().1, SettingDifferences::default());
    }

    /// What means the same is no difference, and what is no interval of a rule beside the interval that there is is refused.
    #[test]
    fn meanings_are_compared() {
        let running = settled(&[], "");
        let same = [("interval", "10000ms"), ("max-body", "65536KiB"), ("expire", "300s")];
        assert_eq!(running.again(given(&same, ""), &around()).unwrap().1, SettingDifferences::default());
        let rule = "[{name: a, match: {metric: a}, without: [x], interval: 15s}]";
        assert!(settle(&given(&[("interval", "5s")], rule), &around()).is_ok());
        let wrong = [("interval", "7s")];
        assert!(running.again(given(&wrong, rule), &around()).is_err());
    }

    /// A rule that says it was one that did not run is told at the reload that brings it, and not again.
    #[test]
    fn a_rule_that_takes_nothing_over_is_told() {
        let rule = |text: &str| given(&[], &format!("[{{name: b, {text}without: [x]}}]"));
        let running = settled_of(rule(""));
        let (next, differences) = running.again(rule("was: a, "), &around()).unwrap();
        assert_eq!(differences.notes, ["rules: `was` of b has no effect: there was no rule a"]);
        assert_eq!(next.again(rule("was: a, "), &around()).unwrap().1.notes, [""; 0]);
    }

    /// T21: a header is a difference of nothing that is shown.
    #[test]
    fn t21_what_differs_shows_no_secret() {
        let running = settled(&[("out", "otlp-http://h/hunter1"), ("out-header", "a=hunter2")], "");
        let texts = [("out", "otlp-http://h/hunter3"), ("out-header", "a=hunter4")];
        let (next, differences) = running.again(given(&texts, ""), &around()).unwrap();
        let shown = format!("{differences:?} {} {}", next.fingerprint(), told(&differences.needs_restart).join(" "));
        assert!(!shown.contains("hunter"), "{shown}");
        assert_eq!(differences.applied.len(), 1, "{shown}");
    }

    #[test]
    fn names_that_came_went_and_changed_are_told() {
        let say = |before: &[(&str, u8)], now: &[(&str, u8)]| named(before, now, |one| one.0).1;
        assert_eq!(say(&[("a", 1), ("b", 1)], &[("b", 2), ("c", 1)]), "2 (new c; gone a; changed b)");
        assert_eq!(say(&[("a", 1), ("b", 1)], &[("b", 1), ("a", 1)]), "2 (in another order)");
        let many: Vec<String> = (0..NAMES_TOLD_MAX + 3).map(|n| n.to_string()).collect();
        let many: Vec<(&str, u8)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        assert_eq!(say(&[], &many), "11 (new 0, 1, 2, 3, 4, 5, 6, 7, …)");
        // as many rules as there may be: each name is looked at a few times, not once for each other one
        let all: Vec<(u32, String)> = (0..10_000).map(|n| (n % 7, n.to_string())).collect();
        let now: Vec<(u32, String)> = all.iter().rev().map(|(n, name)| (n / 6, name.clone())).collect();
        let asked = std::cell::Cell::new(0);
        let told = named(&all, &now, |(_, name)| {
            asked.set(asked.get() + 1);
            name
        });
        assert!(told.1.starts_with("10000 (changed 9999, ") && asked.get() <= 60_000, "{told:?} {asked:?}");
    }
}
