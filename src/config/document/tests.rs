//! Documents as operators write them, read whole: what they mean, and what is told of those that cannot be meant.

use super::super::keys::{FileSettings, Key, read};
use super::super::settings::Settings;
use super::super::source::SourceText;
use crate::problem::{At, Problem};
use crate::rules::{
    Action, Aggregation, AttributeChange, Change, Grouping, InitialValue, InputKind, KeyPattern, KeyPlace, Output,
    Rule, Stale,
};

const S: u64 = 1_000_000_000;

/// Rules of several files over a base interval of 10 s, or all that is wrong.
fn rules_of(texts: &[&str]) -> Result<Vec<Rule>, Vec<String>> {
    let keys: Vec<Key> = Key::structured().collect();
    let named = |(n, text): (usize, &&str)| SourceText { name: format!("f{n}.yaml"), text: (*text).to_owned() };
    let texts: Vec<SourceText> = texts.iter().enumerate().map(named).collect();
    let FileSettings { trees, mut problems, .. } = read(&texts, &keys, &|name| (name == "ENV").then(|| "prod".into()));
    let mut settings = Settings::default();
    trees.into_iter().for_each(|tree| settings.add_tree(tree));
    compiled(&settings, &mut problems)
}

fn compiled(settings: &Settings, problems: &mut Vec<Problem>) -> Result<Vec<Rule>, Vec<String>> {
    let before = problems.len();
    let plan = super::rules(settings, Some(10 * S), problems);
    assert_eq!(plan.is_some(), problems.len() == before, "{problems:#?}");
    let plan = plan.filter(|_| problems.is_empty());
    plan.map(|plan| plan.rules().to_vec()).ok_or(problems.iter().map(Problem::to_string).collect())
}

fn rules(text: &str) -> Vec<Rule> {
    rules_of(&[text]).unwrap_or_else(|problems| panic!("{text}: {problems:#?}"))
}

/// The aggregation of the only rule, named `r`, with these keys.
fn aggregation(keys: &str) -> Aggregation {
    let rules = rules(&format!("rules: [{{name: r, {keys}}}]"));
    let Action::Aggregate(aggregation) = rules.into_iter().next().unwrap().action else { panic!("{keys}") };
    *aggregation
}

fn outputs(keys: &str, input: InputKind) -> Vec<(String, u64)> {
    let outputs = &aggregation(keys).outputs[input as usize];
    outputs.iter().map(|spec| (spec.name.to_string(), spec.window_ns / S)).collect()
}

/// What is wrong with a rule named `r` of these keys: places and words.
fn wrong(keys: &str) -> Vec<String> {
    rules_of(&[&format!("rules: [{{name: r, {keys}}}]")]).expect_err(keys)
}

#[test]
fn the_rules_of_a_fleet_mean_what_they_say() {
    let all = rules(super::EXAMPLE);
    let names: Vec<&str> = all.iter().map(|rule| &*rule.name).collect();
    assert_eq!(names, ["noise", "http-by-route", "http-in-flight", "db-pools", "login-errors", "pods-away"]);
    assert_eq!((&all[0].action, all[0].goes_on), (&Action::Drop, false));
    let except = all[0].except.as_ref().unwrap();
    assert_eq!((&*except.resource[0].0, &*except.resource[0].1[0].text), ("service.name", "canary-*"));
    assert_eq!(&*all[1].selector.attributes[0].1[0].text, "{prod,staging}");
    let Action::Aggregate(http) = &all[1].action else { panic!("{:?}", all[1]) };
    assert_eq!((http.interval_ns, http.series_limit, http.changes.len()), (30 * S, Some(5_000), 3));
    let names: Vec<(&str, u64)> = http.outputs[3].iter().map(|spec| (&*spec.name, spec.window_ns / S)).collect();
    assert_eq!(names, [("{name}", 30), ("{name}.p50", 30), ("{name}.p99", 30), ("{name}.rate", 60)]);
    assert!(http.outputs[InputKind::Counter as usize].is_empty(), "match.kind names histograms alone");
    let Action::Aggregate(logins) = &all[4].action else { panic!("{:?}", all[4]) };
    assert!(logins.keeps_input && all[4].goes_on && logins.series_limit == Some(50_000));
    let names: Vec<(&str, u64)> = logins.outputs[0].iter().map(|spec| (&*spec.name, spec.window_ns / S)).collect();
    assert_eq!(names, [("{name}.rate", 300), ("{name}.unique", 300), ("{name}.topk", 300)]);
    let Action::Aggregate(pods) = &all[5].action else { panic!("{:?}", all[5]) };
    let taken: Vec<usize> = pods.outputs.iter().map(|specs| specs.len()).collect();
    assert_eq!(taken, [1, 1, 0, 1, 1, 0], "gauges and summaries have no merge");
}

#[test]
fn attributes_change_as_written() {
    let changes = aggregation(
        "attributes: [{drop: [a, b]}, {keep: [c]}, {set: {key: d, value: '$${x}', at: resource}}, {default: {key: e, value: 1}}, \
         {rename: {key: f, to: g}}, {copy: {key: h, to: i}}, {hash: {key: j, at: scope}}, {bucket: {key: k, bounds: [-1, 2.5]}}, \
         {truncate: {key: l, length: 8}}, {lower: m}, {upper: n}, {limit: {key: o, values: 3}}, \
         {map: {key: p, values: {'x*': y}}}, {replace: {key: q, regex: 'a+', with: $1}}]",
    )
    .changes;
    let of = |key: &str, place, change| Change::Attribute { key: key.into(), place, change };
    let want = [
        of("a", None, AttributeChange::Drop),
        of("b", None, AttributeChange::Drop),
        of("", None, AttributeChange::Keep(vec!["c".into()])),
        of("d", Some(KeyPlace::Resource), AttributeChange::Set("${x}".into())),
        of("e", None, AttributeChange::Default("1".into())),
        of("f", None, AttributeChange::Rename("g".into())),
        of("h", None, AttributeChange::Copy("i".into())),
        of("j", Some(KeyPlace::Scope), AttributeChange::Hash),
        of("k", None, AttributeChange::Bucket([-1.0, 2.5].into())),
        of("l", None, AttributeChange::Truncate(8)),
        of("m", None, AttributeChange::Lower),
        of("n", None, AttributeChange::Upper),
        of("o", None, AttributeChange::Limit { values: 3, other: "other".into() }),
        of("p", None, AttributeChange::Map { values: vec![("x*".into(), "y".into())], other: None }),
        of("q", None, AttributeChange::Replace { regex: "a+".into(), with: "$1".into() }),
    ];
    assert_eq!(changes, want);
    let relabel = rules(
        "rules: [{name: r, action: relabel, attributes: [{name: {regex: 'old_(.*)', with: new.$1}}, {scale: {by: 0.001, unit: s}}, \
         {rename: {key: a, to: b}}]}]",
    );
    let Action::Relabel(changes) = &relabel[0].action else { panic!("{relabel:?}") };
    assert_eq!(changes[0], Change::Name { regex: "old_(.*)".into(), with: "new.$1".into() });
    assert_eq!(changes[1], Change::Scale { by: 0.001, unit: "s".into() });
    assert!(relabel[0].goes_on && changes.len() == 3);
}

#[test]
fn groups_are_by_or_without_everywhere_or_in_one_place() {
    let key = |text: &str, place| KeyPattern { text: text.into(), place };
    assert_eq!(aggregation("by: []").grouping, Grouping::By(vec![]));
    assert_eq!(aggregation("interval: 1m").grouping, Grouping::All);
    assert_eq!(aggregation("without: [a.*]").grouping, Grouping::Without(vec![key("a.*", None)]));
    let placed = [key("b", Some(KeyPlace::Point)), key("a", Some(KeyPlace::Resource))];
    assert_eq!(aggregation("by: {resource: [a], point: [b]}").grouping, Grouping::By(placed.into()));
}

#[test]
fn what_a_rule_does_not_say_is_its_default_or_that_of_all() {
    let own = aggregation("stale: 90s, initial_value: keep, limits: {series: 5k}");
    assert_eq!(
        (own.stale, own.initial_value, own.series_limit),
        (Stale::After(90 * S), InitialValue::Keep, Some(5_000))
    );
    let was = rules("rules: [{name: b, was: a}]");
    assert_eq!(was[0].was.as_deref(), Some("a"));
    let none = aggregation("by: [a]");
    assert_eq!((none.stale, none.initial_value, none.series_limit), (Stale::Auto, InitialValue::Auto, None));
    assert_eq!((none.interval_ns, none.keeps_input), (10 * S, false));
    let texts = [
        "rules: [{name: r, interval: }]\ndefaults: {interval: 20s, stale: 1m}",
        "defaults: {stale: 2m, limits: {series: 7}}",
    ];
    let all = rules_of(&texts).unwrap();
    let Action::Aggregate(of_files) = &all[0].action else { panic!("{all:?}") };
    let got = (of_files.interval_ns, of_files.stale, of_files.series_limit);
    assert_eq!(got, (20 * S, Stale::After(120 * S), Some(7)), "the later file wins, key by key");
}

#[test]
fn outputs_have_windows_and_names() {
    let names = |keys: &str, input| outputs(keys, input).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(
        outputs("outputs: [same, rate, avg, 'p99.9(2m)']", InputKind::Histogram),
        [
            ("{name}".to_owned(), 10),
            ("{name}.rate".to_owned(), 60),
            ("{name}.avg".to_owned(), 10),
            ("{name}.p99.9".to_owned(), 120)
        ]
    );
    assert_eq!(names("outputs: [same, sum, count_series, total]", InputKind::Gauge), ["{name}.sum", "{name}.series"]);
    assert_eq!(
        names("rename: '{rule}.{name}.{output}.{interval}', outputs: [same, p50], interval: 1m", InputKind::Histogram),
        ["r.{name}.same.1m", "r.{name}.p50.1m"]
    );
    let last = aggregation("outputs: [last]");
    assert_eq!(
        last.outputs.iter().map(|specs| specs.len()).collect::<Vec<_>>(),
        [0, 0, 1, 0, 0, 1],
        "of gauges and summaries"
    );
    assert_eq!(names("outputs: [last], by: [a]", InputKind::Summary), ["{name}.last"]);
    let all = aggregation("match: {kind: gauge}, outputs: [sum, avg]");
    assert_eq!(all.outputs.iter().map(|specs| specs.len()).collect::<Vec<_>>(), [0, 0, 2, 0, 0, 0]);
    let rate = &aggregation("outputs: rate(5m)").outputs[0][0];
    assert_eq!((&rate.output, &*rate.text), (&Output::Rate, "rate(5m)"));
}

#[test]
fn rules_of_several_files_stand_one_behind_the_other() {
    let all = rules_of(&["rules: [{name: a}, {name: b}]", "# nothing\nrules:\n", "rules: [{name: c}]"]).unwrap();
    assert_eq!(all.iter().map(|rule| &*rule.name).collect::<Vec<_>>(), ["a", "b", "c"]);
    let problems = rules_of(&["rules: [{name: a}]", "rules: [{name: b},\n {name: a}]"]).unwrap_err();
    assert_eq!(problems, ["f1.yaml:2:9 rules[1] \"a\": another rule is called that: f0.yaml:1:16 rules"]);
}

/// Every problem with its place, its part, what is wrong and what may be given.
#[test]
fn what_is_wrong_is_told_in_words() {
    let check = |keys: &str, words: &[&str]| {
        let problems = wrong(keys);
        assert_eq!(problems.len(), words.len(), "{keys}: {problems:#?}");
        for (problem, words) in problems.iter().zip(words) {
            assert!(problem.starts_with("f0.yaml:1:") && problem.contains(words), "{keys}: {words}: {problem}");
        }
    };
    check("witout: [a]", &["rules[0] \"r\": unknown key \"witout\": did you mean \"without\"?"]);
    check("match: {metrik: a}", &["rules[0] \"r\": match: unknown key \"metrik\": did you mean \"metric\"?"]);
    check(
        "by: a",
        &["by: this is a text; give a list: the key of an attribute, or a glob of keys; or a mapping of point"],
    );
    check("by: [a], without: [b]", &["by: there is \"without\" as well"]);
    check("interval: soon", &["interval: \"soon\": give a duration, such as 30s"]);
    check("interval: 15s", &["interval: 15s is no multiple of --interval (10s); give 10s or 20s"]);
    check(
        "match: {kind: [gauges]}, outputs: [sum]",
        &["match.kind[0]: \"gauges\": give counter, updowncounter, gauge"],
    );
    check("action: dorp", &["action: \"dorp\": give aggregate, drop, keep, relabel: did you mean drop?"]);
    check("action: drop, by: [a], continue: true", &["\"by\" means nothing with action: drop", "no later rule sees"]);
    check("action: relabel", &["it changes nothing"]);
    check("action: relabel, attributes: [{lower: a}]", &["attributes[0]: \"lower\" makes one series of several"]);
    check("attributes: [{scale: {by: 2, unit: s}}]", &["\"scale\" stands in a rule with action: relabel alone"]);
    check("attributes: [{rename: {key: a}}]", &["attributes[0].rename: there is no \"to\""]);
    check("attributes: [{lower: a, upper: b}]", &["attributes[0]: this has 2 keys; give one key: drop, keep"]);
    check("attributes: [{drop: a.*}]", &["\"a.*\" is a glob, and drop takes a key: by and without take globs"]);
    check("attributes: [{bucket: {key: a, bounds: [2, 1]}}]", &["attributes[0].bucket.bounds: give ascending numbers"]);
    check(
        "outputs: {gauge: [same]}",
        &[
            "outputs.gauge: \"same\": a gauge has no merge of its own: say which value the members have together; gauges have sum, count,",
        ],
    );
    check("match: {kind: counter}, outputs: [avg]", &["\"avg\": of counters this is planned, and not there yet"]);
    check(
        "match: {kind: gauge}",
        &["match.kind names gauge, of which nothing leaves unless outputs says so; gauges have"],
    );
    check("match: {kind: gauge}, outputs: {counter: [same]}", &["outputs.counter: match.kind does not name it"]);
    check(
        "outputs: {summary: [first]}",
        &["outputs.summary: \"first\": of summaries there is no such output; summaries have count_series, last"],
    );
    check(
        "outputs: [same, topk(2, pod, id), count]",
        &[
            "outputs: \"topk(2\": the comma in its brackets ends an item of the list: put it in quotes: \"topk(2, pod, id)\"",
        ],
    );
    check("outputs: [topk(2]", &["outputs: \"topk(2\": there is no `)` at its end"]);
    check("outputs: [topk(2, rate(1m)]", &["outputs: \"topk(2\": there is no `)` at its end"]);
    check("outputs: [smae]", &["outputs: \"smae\": there is no such output: did you mean same?"]);
    check(
        "outputs: [p95, quantile(0.95)]",
        &["\"quantile(0.95)\": it leaves under the name {name}.p95, as \"p95\" does"],
    );
    check("outputs: [sum, avg], rename: '{name}.x'", &["\"avg\": it leaves under the name {name}.x"]);
    check("outputs: []", &["outputs: nothing leaves"]);
    check("rename: '{nmae}'", &["rename: `{nmae}` stands for nothing; there are {name}, {rule}"]);
    check("keep_input: true", &["keep_input: \"same\" leaves under the input's name"]);
    check("keep_input: yes, rename: '{name}.{rule}'", &["keep_input: \"yes\": give true or false"]);
    check("was: 'a b'", &["was: give 1 to 64 letters, digits, - _ or ."]);
    check("was: a, action: drop", &["\"was\" means nothing with action: drop"]);
    check("window: 5m", &["window: no output looks back over it"]);
    check("window: 5m, outputs: [rate(1m)]", &["window: no output looks back over it"]);
    check(
        "outputs: [rate(25s)]",
        &["outputs: \"rate(25s)\": 25s is no multiple of the interval (10s); give 20s or 30s"],
    );
    check("time: event", &["time: \"event\": give arrival"]);
    check("lateness: 30s", &["lateness: this is planned, and not there yet"]);
    check("match: {metric: }, by: [~]", &["by[0]: there is nothing here; give the key of an attribute"]);
    check("limits: {series: 0}", &["limits.series: \"0\": give a number from 1 to 4294967295"]);
    let problems = rules_of(&["rules: [{by: [a]}, {name: 'a b'}, {name: ''}]"]).unwrap_err();
    assert!(problems[0].contains("rules[0]: there is no \"name\""), "{problems:#?}");
    assert!(problems[1].contains("rules[2] \"\": name: \"\": give a name"), "{problems:#?}");
    assert!(problems[2].contains("rules[1] \"a b\": name: give 1 to 64 letters"), "{problems:#?}");
    let problems = rules_of(&["defaults: {interval: 15s, stale: never}\nrules: {name: a}\n"]).unwrap_err();
    assert!(problems[0].starts_with("f0.yaml:1:34 defaults: stale: \"never\": give"), "{problems:#?}");
    assert!(problems[1].starts_with("f0.yaml:2:8 rules: this is a mapping; give a list"), "{problems:#?}");
    assert!(problems[2].starts_with("f0.yaml:1:22 defaults: interval: 15s is no multiple"), "{problems:#?}");
}

#[test]
fn variables_stand_in_values() {
    let all = rules("rules: [{name: r, match: {attributes: {env: '${env:ENV}', region: '${env:REGION:-eu}'}}}]");
    let texts: Vec<&str> = all[0].selector.attributes.iter().map(|(_, patterns)| &*patterns[0].text).collect();
    assert_eq!(texts, ["prod", "eu"]);
    let problems = rules_of(&["rules: [{name: r, match: {metric: '${env:ABSENT}'}}]"]).unwrap_err();
    assert!(problems[0].starts_with("f0.yaml:1:35 rules: the variable ABSENT is not set"), "{problems:#?}");
}

/// A hundredth of the most rules there may be, in a hundredth of a second and more: what takes the square of them shows.
#[test]
fn many_rules_are_read_in_the_time_of_their_text() {
    let texts: Vec<String> = (0..4)
        .map(|file| {
            let rule = |n: usize| {
                format!("- {{name: r{file}.{n}, match: {{metric: m{n}.*}}, without: [pod, id], outputs: [same]}}\n")
            };
            "rules:\n".to_owned() + &(0..1_000).map(rule).collect::<String>()
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(rules_of(&texts).unwrap().len(), 4_000);
}

/// What only compiling finds has its place, too.
#[test]
fn patterns_that_cannot_be_meant_are_told_where_they_stand() {
    let problems = rules_of(&["\
rules:
- name: a
  match: {metric: ['*', '~(x'], attributes: {k: '!~)'}}
  except: {scope: {name: '{a'}}
  attributes:
  - lower: [a, b]
  - replace: {key: k, regex: '[', with: ''}
  - map: {key: k, values: {'{a': b}}
  by: {resource: [x], point: ['a}', y]}
- name: b
  without: ['{']
"])
    .unwrap_err();
    let want = [
        "f0.yaml:3:25 rules[0] \"a\": match.metric[1]: \"~(x\" is no regular expression: ",
        "f0.yaml:3:49 rules[0] \"a\": match.attributes.k: \"!~)\" is no regular expression: ",
        "f0.yaml:4:26 rules[0] \"a\": except.scope.name: \"{a\" has a `{` without its `}`",
        "f0.yaml:7:30 rules[0] \"a\": attributes[1].replace.regex: \"[\" is no regular expression: ",
        "f0.yaml:8:28 rules[0] \"a\": attributes[2].map.values.{a: \"{a\" has a `{` without its `}`",
        "f0.yaml:9:31 rules[0] \"a\": by.point[0]: \"a}\" has a `}` without its `{`",
        "f0.yaml:11:13 rules[1] \"b\": without[0]: \"{\" has a `{` without its `}`",
    ];
    assert_eq!(problems.len(), want.len(), "{problems:#?}");
    for (problem, want) in problems.iter().zip(want) {
        assert!(problem.starts_with(want), "{want}: {problem}");
    }
}

/// The same rule without a file.
#[test]
fn flags_say_the_rule_that_a_document_would() {
    let of_flags = |flags: &[(&'static str, &str)]| {
        let mut settings = Settings::default();
        flags.iter().for_each(|(key, text)| settings.add(key, At::Flag, text));
        compiled(&settings, &mut Vec::new())
    };
    let of_file = |outputs: &str| rules(&format!("rules: [{{name: without, without: [k8s.pod.*, id], {outputs}}}]"));
    assert_eq!(of_flags(&[("without", "k8s.pod.*,id")]).unwrap(), of_file(""));
    let list = "outputs: {counter: same, updowncounter: same, gauge: [avg, 'p99(1m)'], histogram: same, exponential_histogram: same}";
    let flags = [("without", "k8s.pod.*"), ("without", " id "), ("gauges", "avg, p99(1m)")];
    assert_eq!(of_flags(&flags).unwrap(), of_file(list));
    assert!(of_flags(&[]).unwrap().is_empty() && of_flags(&[("without", "")]).unwrap().is_empty());
    let check = |flags: &[(&'static str, &str)], words: &str| {
        let problems = of_flags(flags).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with(words), "{words}: {problems:#?}");
    };
    check(&[("gauges", "avg")], "--gauges avg: this says what becomes of gauges under --without: give that as well");
    check(&[("without", "a"), ("gauges", "same")], "--gauges: \"same\": a gauge has no merge of its own");
    check(&[("without", "a"), ("gauges", "agv")], "--gauges: \"agv\": there is no such output: did you mean avg?");
    check(&[("without", "a,{b")], "--without {b has a `{` without its `}`");
}
