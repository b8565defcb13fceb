//! What a newborn series costs among many rules: what the plan says of it, and the folds that it belongs to.
//!
//! Each bench reports series per second and checks how many folds were linked. `cargo bench --bench rules` measures;
//! `cargo test` runs each body once in a tiny size. One thread: what is compared is the matcher with itself.

use catchment::identity::attributes::key_byte;
use catchment::model::Kind;
use catchment::rules::{
    Action, Aggregation, AttributeChange, Candidates, Change, Grouping, InputKind, KeyPattern, MetricSeen, Output,
    OutputSpec, Passage, Pattern, PatternKind, RouteVerdict, Rule, RuleMatcher, RulePlan, Selector,
};
use catchment::wire::put_bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;

/// `cargo bench` measures, everything else tries.
fn measuring() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

fn globs(texts: &[&str]) -> Vec<Pattern> {
    let glob = |text: &&str| Pattern { text: (*text).into(), kind: PatternKind::Glob, is_negated: false };
    texts.iter().map(glob).collect()
}

fn aggregation(without: &[&str]) -> Aggregation {
    let keys = without.iter().map(|text| KeyPattern { text: (*text).into(), place: None }).collect();
    let same = OutputSpec { output: Output::Same, window_ns: 1, name: "{name}".into(), text: "same".into() };
    let outputs: Arc<[OutputSpec]> = [same].into();
    Aggregation {
        outputs: std::array::from_fn(|_| outputs.clone()),
        ..Aggregation::new(Grouping::Without(keys), 10_000_000_000)
    }
}

const PODS: [&str; 4] = ["k8s.pod.*", "service.instance.id", "process.pid", "host.name"];

/// A fleet's rules: most name a metric, others a glob, an attribute, a resource; the last takes what is left.
fn fleet(count: usize) -> Vec<Rule> {
    let rule = |n: usize| {
        let mut selector = Selector::default();
        let mut made = aggregation(&PODS);
        match n % 10 {
            0 => selector.metric = globs(&[&format!("team{n}.*.duration")]),
            1 => selector.metric = globs(&[&format!("jvm.pool{n}.{{used,free}}")]),
            2 => {
                selector.metric = globs(&["http.*"]);
                selector.attributes = vec![("team".into(), globs(&[&format!("t{n}")]))];
            }
            3 => selector.resource = vec![("service.name".into(), globs(&[&format!("svc{n}")]))],
            _ => {
                selector.metric = globs(&[&format!("app.metric{n}")]);
                let class = AttributeChange::Class;
                made.changes =
                    vec![Change::Attribute { key: "http.response.status_code".into(), place: None, change: class }];
            }
        }
        Rule {
            name: format!("r{n}").into(),
            was: None,
            selector,
            except: None,
            action: Action::Aggregate(Box::new(made)),
            goes_on: false,
        }
    };
    let mut rules: Vec<Rule> = (0..count - 1).map(rule).collect();
    let all = Action::Aggregate(Box::new(aggregation(&PODS)));
    rules.push(Rule {
        name: "rest".into(),
        was: None,
        selector: Selector::default(),
        except: None,
        action: all,
        goes_on: false,
    });
    rules
}

fn run(key_byte: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        let (mut any, mut record) = (Vec::new(), Vec::new());
        put_bytes(&mut any, 0x0a, value.as_bytes());
        put_bytes(&mut record, 0x0a, key.as_bytes());
        put_bytes(&mut record, 0x12, &any);
        put_bytes(&mut out, key_byte, &record);
    }
    out
}

/// What a Kubernetes pod says of itself.
fn resource(n: usize) -> Vec<u8> {
    let (pod, uid, service) = (format!("web-{n}"), format!("3f2a-{n:08}"), format!("shop{}", n % 20));
    run(
        0x0a,
        &[
            ("service.name", &service),
            ("service.namespace", "shop"),
            ("service.version", "1.4.2"),
            ("service.instance.id", &uid),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.language", "java"),
            ("telemetry.sdk.version", "1.44.1"),
            ("k8s.cluster.name", "eu-1"),
            ("k8s.namespace.name", "shop"),
            ("k8s.deployment.name", "web"),
            ("k8s.pod.name", &pod),
            ("k8s.pod.uid", &uid),
            ("k8s.node.name", "node-7"),
            ("host.name", &pod),
            ("host.arch", "amd64"),
            ("os.type", "linux"),
            ("process.pid", "1"),
            ("process.runtime.name", "OpenJDK Runtime Environment"),
            ("deployment.environment.name", "prod"),
            ("cloud.region", "eu-central-1"),
        ],
    )
}

const METRICS: usize = 120;

fn metrics() -> Vec<String> {
    (0..METRICS)
        .map(|n| if n.is_multiple_of(3) { format!("http.server.m{n}") } else { format!("app.metric{n}") })
        .collect()
}

/// All series of some resources, each as if it were born: resource by resource, as requests bring them.
fn births(matcher: &mut RuleMatcher, resources: &[Arc<[u8]>], names: &[String], series: &[Vec<u8>]) -> (u64, u64) {
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let (mut linked, mut hidden) = (0, 0);
    let scope: &Arc<[u8]> = &b"\x0a\x0fio.opentelemetry\x12\x051.0.0"[..].into();
    for resource in resources {
        // as groups hold them
        let held = Some([resource, scope]);
        for name in names {
            let metric = MetricSeen { resource, scope, name, unit: "s", kind: Kind::Sum, monotonic: true, held };
            let candidates: Candidates = matcher.of_metric(&metric);
            for attributes in series {
                let passage = matcher.of_series(&candidates, &metric, attributes, &state, &mut |fold| {
                    assert_eq!(fold.input, InputKind::Counter);
                    black_box(fold.identity.resource.run.len() + fold.identity.attributes.len());
                    linked += 1;
                });
                hidden += u64::from(passage == Passage::Hidden);
            }
        }
    }
    (linked, hidden)
}

fn newborn(c: &mut Criterion) {
    let mut group = c.benchmark_group("a newborn series");
    group.sample_size(10);
    let attributes = |n: usize| {
        run(
            key_byte(Kind::Sum),
            &[
                ("http.request.method", "GET"),
                ("http.route", &format!("/api/v1/things/{n}")),
                ("http.response.status_code", if n.is_multiple_of(7) { "503" } else { "200" }),
                ("url.scheme", "https"),
                ("team", &format!("t{}", n % 50)),
            ],
        )
    };
    let many = if measuring() { 1_000 } else { 3 };
    for rules in [10, 1_000] {
        let plan = Arc::new(RulePlan::new(fleet(rules)).expect("right rules"));
        for (name, resources, series) in [("one resource", 1, many), ("many resources", many, 1)] {
            let mut matcher = RuleMatcher::new(plan.clone());
            let resources: Vec<Arc<[u8]>> = (0..resources).map(|n| resource(n).into()).collect();
            let series: Vec<Vec<u8>> = (0..series).map(attributes).collect();
            let names = metrics();
            let count = (resources.len() * names.len() * series.len()) as u64;
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("{name}, {rules} rules"), |b| {
                b.iter(|| assert_eq!(births(&mut matcher, &resources, &names, &series), (count, count), "checksum"));
            });
        }
    }
    group.finish();
}

/// What a route asks among rules of which some drop by an attribute, and one replaces within a value for each series.
fn door(c: &mut Criterion) {
    let mut group = c.benchmark_group("at the door");
    group.sample_size(10);
    let drops = |n: usize| {
        let attributes = vec![("http.route".into(), globs(&[&format!("/health/{n}*")]))];
        Rule { action: Action::Drop, selector: Selector { attributes, ..Selector::default() }, ..fleet(1).remove(0) }
    };
    let mut rules: Vec<Rule> = (0..10).map(drops).collect();
    rules.extend(fleet(1_000));
    let mut made = aggregation(&PODS);
    let ids = AttributeChange::Replace { regex: "/[0-9]+".into(), with: "/{id}".into() };
    made.changes = vec![Change::Attribute { key: "http.route".into(), place: None, change: ids }];
    let replaces = Rule { action: Action::Aggregate(Box::new(made)), ..fleet(1).remove(0) };
    let many = if measuring() { 1_000 } else { 3 };
    let (resource, scope): (Arc<[u8]>, Arc<[u8]>) = (resource(1).into(), Arc::default());
    let names = metrics();
    let series: Vec<Vec<u8>> = (0..many)
        .map(|n| {
            run(key_byte(Kind::Sum), &[("http.request.method", "GET"), ("http.route", &format!("/api/v1/{n}/items"))])
        })
        .collect();
    let mut matcher = RuleMatcher::new(Arc::new(RulePlan::new(rules).expect("right rules")));
    group.throughput(Throughput::Elements((names.len() * many) as u64));
    group.bench_function("a route of 1010 rules, 10 of which may drop it", |b| {
        b.iter(|| {
            for name in &names {
                let metric = MetricSeen {
                    resource: &resource,
                    scope: &scope,
                    name,
                    unit: "s",
                    kind: Kind::Sum,
                    monotonic: true,
                    held: Some([&resource, &scope]),
                };
                let pass = series.iter().filter(|run| matcher.of_route(&metric, run) == RouteVerdict::Pass).count();
                assert_eq!(pass, many, "checksum");
            }
        });
    });
    let mut matcher = RuleMatcher::new(Arc::new(RulePlan::new(vec![replaces]).expect("right rules")));
    let count = (names.len() * many) as u64;
    group.bench_function("a newborn series whose value is replaced", |b| {
        let resources = std::slice::from_ref(&resource);
        b.iter(|| assert_eq!(births(&mut matcher, resources, &names, &series), (count, count), "checksum"));
    });
    group.finish();
}

/// Reading is another's; this is what `RulePlan::new` takes.
fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compiling");
    group.sample_size(10);
    let count = if measuring() { 10_000 } else { 100 };
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(format!("{count} rules"), |b| {
        b.iter_batched(
            || fleet(count),
            |rules| RulePlan::new(rules).expect("right rules"),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, newborn, door, compile);
criterion_main!(benches);
