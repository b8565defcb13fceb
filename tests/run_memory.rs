//! Memory, seen from outside: resident memory stays within `--memory-limit`, and what was freed goes back to the system.
//!
//! About 6 s. `tools/attack --limits 40,256,1024` tries it with all there is.

mod binary;
mod common;

use binary::process::{Catchment, until, wall_ns};
use catchment::limits::{MEMORY_LIMIT_MIN, MIB};
use common::{attribute, int, number, request_of, sum};
use prost::Message;

/// A number of the process's status, bytes.
fn memory(catchment: &Catchment, what: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", catchment.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a line");
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Metrics `from..to`, one point each, with descriptions of 4,000 bytes.
fn described(from: usize, to: usize) -> Vec<u8> {
    let now = wall_ns();
    let metrics = (from..to).map(|i| {
        let mut metric = sum(&format!("m{i}"), 1, true, vec![number(&[], now - 1, now, int(1))]);
        metric.description = format!("{i:04000}");
        metric
    });
    request_of("svc", metrics.collect()).encode_to_vec()
}

/// Descriptions count: twice the limit of them is sent, at the least limit that there is.
#[test]
fn descriptions_do_not_pass_the_limit() {
    let limit = format!("{}MiB", MEMORY_LIMIT_MIN / MIB);
    let catchment = Catchment::start(&["--shards", "1", "--interval", "200ms", "--memory-limit", &limit]);
    let mut http = catchment.http();
    for from in (0..20_000).step_by(500) {
        let reply = http.export(&described(from, from + 500)).expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let peak = memory(&catchment, "VmHWM");
    assert!(peak <= MEMORY_LIMIT_MIN / 20 * 21, "{} MiB of {limit}", peak / MIB);
    assert_eq!(catchment.admin().get("/ledger").json()["balanced"], true);
    assert_eq!(catchment.terminate().code(), 0);
}

/// After a mass death the process is small again, although nothing else happens in it.
#[test]
fn what_died_goes_back_to_the_system() {
    let catchment = Catchment::start(&[
        "--shards",
        "1",
        "--interval",
        "100ms",
        "--expire",
        "1s",
        "--memory-limit",
        "256MiB",
        "--max-body",
        "8MiB",
    ]);
    let before = memory(&catchment, "VmRSS");
    let mut http = catchment.http();
    for from in (0..10_000).step_by(1_000) {
        let now = wall_ns();
        let mut all = request_of("svc", Vec::new());
        let one = all.resource_metrics.pop().expect("one resource");
        for i in from..from + 1_000 {
            let point = vec![number(&[], now - 1, now, int(1))];
            let mut one =
                request_of("svc", vec![sum("m", 1, true, point)]).resource_metrics.pop().unwrap_or(one.clone());
            let resource = one.resource.as_mut().expect("a resource");
            resource.attributes.push(attribute("id", &format!("{i:03800}")));
            all.resource_metrics.push(one);
        }
        assert_eq!(http.export(&all.encode_to_vec()).expect("an answer").status, 200);
    }
    let grown = memory(&catchment, "VmRSS") - before;
    assert!(grown > 40 * MIB, "{} MiB: there is something to give back", grown / MIB);
    let mut admin = catchment.admin();
    until("it is given back", || {
        assert_eq!(admin.get("/readyz").status, 200);
        let kept = memory(&catchment, "VmRSS").saturating_sub(before);
        (kept < 16 * MIB).then_some(())
    });
    assert_eq!(catchment.terminate().code(), 0);
}
