//! What the deliver thread does while it has nothing to do. Alone in its process, so that CPU time can be told apart: E4.

#[path = "deliver/support.rs"]
mod deliver_support;

use std::time::{Duration, Instant};

use catchment::deliver::start;
use deliver_support::*;

/// E4: while a destination has asked for silence nothing new is sent there, and afterwards the loop does not spin: a thread
/// that waits uses next to no CPU time.
#[test]
fn silence_is_kept_and_waiting_costs_nothing() {
    let server = HttpServer::new(|n, _| match n {
        0 => Reply::new(503, "retry-after: 1\r\n", vec![]),
        1 => Reply::ok(),
        _ => Reply::Hang,
    });
    let mut destination = server.destination();
    destination.timeout = Duration::from_millis(500);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let begun = Instant::now();
    let _ = sender.offer(0, batch(1, 100));
    wait_stats(&sender, 0, |stats| stats.throttled == 1);
    let _ = sender.offer(0, batch(1, 100));
    server.requests.recv_timeout(PATIENCE).unwrap();
    server.requests.recv_timeout(PATIENCE).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1), "something was sent into the silence");
    // one request hangs now; the deliver thread has nothing to do until its timeout
    let ticks = deliver_ticks();
    wait_stats(&sender, 0, |stats| stats.tries_timed_out >= 1);
    assert!(deliver_ticks() - ticks < 20, "the deliver thread spins");
    assert!(handle.shutdown(Instant::now())[0].balances());
}

/// CPU time of the threads named `deliver` in this process, in ticks of 10 ms.
fn deliver_ticks() -> u64 {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if name.ends_with("(deliver") {
            ticks += rest.split(' ').skip(12).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
        }
    }
    ticks
}
