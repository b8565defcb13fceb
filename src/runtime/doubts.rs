//! Warnings about what was asked for and can hardly be meant: said once, at the start, with what is done about it.
//!
//! Does not know: what is wrong in any case; that is refused where it is read. Bounds: a line each.

use super::machine::Available;
use crate::config::Plan;
use crate::deliver::DeliveryTarget;
use crate::limits::MIB;
use std::net::SocketAddr;

/// Says them.
pub(super) fn say(plan: &Plan, there: &Available) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for doubt in all(plan, there, cores) {
        crate::log::warn(format_args!("{doubt}"));
    }
}

fn all(plan: &Plan, there: &Available, cores: usize) -> Vec<String> {
    let mut doubts = Vec::new();
    if let Some(limit) = plan.memory_limit.filter(|limit| *limit > there.bytes) {
        doubts.push(format!(
            "--memory-limit of {} MiB is more than {} ({} MiB): it is kept, and whoever comes that far is ended by the \
             system; give --memory-limit auto, which takes {} MiB here",
            limit / MIB,
            there.source,
            there.bytes / MIB,
            there.share() / MIB
        ));
    }
    if !plan.shards_free && plan.shards > cores {
        doubts.push(format!(
            "--shards {}: this process may use {cores} {}: the number is kept, shards take turns there and are not pinned, \
             which is slower; give --shards auto",
            plan.shards,
            if cores == 1 { "core" } else { "cores" }
        ));
    }
    let same = |a: usize, b: usize| {
        let (a, b) = (&plan.outs[a], &plan.outs[b]);
        a.target == b.target && plan.view(a) == plan.view(b)
    };
    for second in 1..plan.outs.len() {
        if (0..second).any(|first| same(first, second)) {
            let twice = match plan.outs[second].target {
                DeliveryTarget::Stdout | DeliveryTarget::File(_) => "every line is written twice",
                DeliveryTarget::OtlpGrpc(_) | DeliveryTarget::OtlpHttp { .. } => "every point is sent there twice",
            };
            doubts.push(format!("--out {}: the same stands before it: {twice}; leave one out", plan.outs[second].name));
        }
    }
    let open = |(flag, door): (&'static str, Option<SocketAddr>)| {
        door.filter(|door| !door.ip().to_canonical().is_loopback()).map(|door| format!("{flag} {door}"))
    };
    let doors = [("--otlp-grpc", plan.otlp_grpc), ("--otlp-http", plan.otlp_http)];
    let open: Vec<String> = doors.into_iter().filter_map(open).collect();
    if !open.is_empty() {
        doubts.push(format!(
            "{}: open to other machines, without TLS and without a token: whoever reaches it can send; keep it in a \
             network that you trust, or behind a proxy",
            open.join(", ")
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::super::machine::MemorySource;
    use super::*;
    use crate::deliver::parse_out;
    use crate::rules::Selections;
    use std::sync::Arc;

    const GIB: usize = 1024 * MIB;

    /// What is within bounds, or was not typed, is no doubt; each doubt says what is done.
    #[test]
    fn what_can_hardly_be_meant_is_doubted() {
        let there = Available { bytes: 2 * GIB, source: MemorySource::Machine };
        let check = |change: &dyn Fn(&mut Plan), wanted: &[&[&str]]| {
            let mut plan = Plan::sample();
            change(&mut plan);
            let found = all(&plan, &there, 3);
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            for (found, words) in found.iter().zip(wanted) {
                assert!(words.iter().all(|words| found.contains(words)), "{words:?}: {found}");
            }
        };
        let outs = |urls: &[&str]| urls.iter().map(|url| parse_out(url).unwrap()).collect::<Vec<_>>();
        check(&|plan| plan.memory_limit = Some(2 * GIB), &[]);
        let much = ["3072 MiB", "the machine's memory (2048 MiB)", "kept", "1536 MiB"];
        check(&|plan| plan.memory_limit = Some(3 * GIB), &[&much]);
        check(&|plan| plan.shards = 3, &[]);
        check(&|plan| plan.shards = 4, &[&["--shards 4", "3 cores", "kept"]]);
        check(&|plan| (plan.shards, plan.shards_free) = (4, true), &[]);
        check(&|plan| plan.outs = outs(&["stdout", "stdout?temporality=delta", "file:a", "file:b"]), &[]);
        check(&|plan| plan.outs = outs(&["stdout", "file:a", "stdout"]), &[&["--out stdout", "written twice"]]);
        // two halves of what leaves
        let halves = |plan: &mut Plan| {
            plan.outs = outs(&["otlp-grpc://a", "otlp-grpc://a"]);
            plan.outs[1].selection.takes_input = false;
            plan.selections = Selections::new(plan.outs.iter().map(|out| &out.selection)).unwrap().map(Arc::new);
        };
        check(&halves, &[]);
        let one = ["otlp-http://a/v1/x", "otlp-http://a/v1/y", "otlp-grpc://a", "otlp-grpc://b", "otlp-grpcs://a"];
        check(&|plan| plan.outs = outs(&one), &[]);
        check(
            &|plan| plan.outs = outs(&["otlp-grpc://a", "otlp-grpc://a:4317"]),
            &[&["otlp-grpc://a", "sent there twice"]],
        );
        for (address, wanted) in
            [("127.0.0.1:1", 0), ("[::1]:1", 0), ("0.0.0.0:1", 1), ("[::]:1", 1), ("10.0.0.1:1", 1)]
        {
            let words: &[&[&str]] = &[&["--otlp-grpc", "without TLS"]];
            check(&|plan| plan.otlp_grpc = address.parse().ok(), &words[..wanted]);
        }
        check(&|plan| plan.admin = "0.0.0.0:1".parse().ok(), &[]);
    }
}
