//! Descriptors: this process takes as many as it may, and connections get what others do not need.
//!
//! ```text
//!   limit ─ process ─ shards ─ twice what destinations have open ─ pages ─► most connections on the OTLP doors
//! ```
//!
//! Destinations count twice: one connection is closed while the next is made, and names are looked up meanwhile.

use crate::config::Plan;
use crate::deliver::Destination;
use crate::limits::{PAGE_CONNECTIONS_MAX, PROCESS_DESCRIPTORS, SHARD_DESCRIPTORS};
use crate::problem::{Flaw, Problem};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of descriptors to the hard one; the limit that is then in force.
pub(super) fn raise() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let in_force = if raised.is_ok() { maximum } else { current };
    in_force.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Connections for which `limit` descriptors leave room, at least one a shard.
fn most(outs: &[Destination], shards: usize, limit: usize) -> usize {
    let destinations: usize = outs.iter().map(|out| 2 * out.descriptors()).sum();
    let left = limit.saturating_sub(PROCESS_DESCRIPTORS + shards * SHARD_DESCRIPTORS + destinations);
    (left - PAGE_CONNECTIONS_MAX.min(left / 4)).max(shards)
}

/// Whether destinations that are given while it runs fit beside the connections that there may be of senders.
///
/// # Errors
/// Where they do not.
pub(super) fn check(outs: &[Destination], shards: usize, connections: usize, limit: usize) -> Result<(), Problem> {
    if connections <= most(outs, shards, limit) {
        return Ok(());
    }
    let needed: usize = outs.iter().map(Destination::descriptors).sum();
    let fault = format!(
        "these destinations may have {needed} connections open, for which {limit} descriptors (ulimit -Hn) leave no room \
         beside {connections} connections of senders"
    );
    let remedy = "lower their ?in-flight= or ?connections=, or restart with a higher limit or lower --connections";
    Err(Problem::bare("out", Flaw::new(fault).remedy(remedy)))
}

/// Lowers connections that nobody has asked for to what fits; what was lowered, for the banner.
///
/// # Errors
/// Where that many were asked for and do not fit.
pub(super) fn settle(plan: &mut Plan, limit: usize) -> Result<Option<String>, Problem> {
    let most = most(&plan.outs, plan.shards, limit);
    if plan.connections <= most {
        return Ok(None);
    }
    if !plan.connections_free {
        let fault =
            format!("this process may have {limit} descriptors open (ulimit -Hn), which leaves {most} for connections");
        let remedy =
            format!("raise the limit (LimitNOFILE= of systemd, --ulimit nofile= of docker), or give at most {most}");
        return Err(Problem::new("connections", plan.connections.to_string(), Flaw::new(fault).remedy(remedy)));
    }
    plan.connections = most;
    Ok(Some(format!("to fit {limit} descriptors (ulimit -Hn): --connections {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given while it runs must fit beside what was promised to senders.
    #[test]
    fn destinations_that_take_descriptors_of_senders_are_refused() {
        let out = |url: &str| parse_out(url).unwrap();
        let (few, many) = (vec![out("otlp-grpc://h:1")], vec![out("otlp-http://h:1?in-flight=64"); 4]);
        let limit = 1_024;
        let connections = most(&few, 2, limit);
        assert!(check(&few, 2, connections, limit).is_ok());
        let words = check(&many, 2, connections, limit).unwrap_err().to_string();
        assert!(words.contains("256 connections") && words.contains("?in-flight="), "{words}");
    }
    use crate::deliver::parse_out;
    use crate::limits::CONNECTIONS_DEFAULT;

    fn plan(shards: usize, outs: &[&str]) -> Plan {
        let outs = outs.iter().map(|out| parse_out(out).unwrap()).collect();
        let base = Plan::sample();
        Plan { shards, connections: CONNECTIONS_DEFAULT, connections_free: true, outs, ..base }
    }

    /// Whatever the limit, all that is open together fits into it, as long as a shard has its one connection.
    #[test]
    fn connections_get_what_others_leave() {
        for (limit, outs, want) in [
            (usize::MAX, &[][..], None),
            (20_000, &["otlp-http://h", "otlp-grpc://h", "stdout"][..], None),
            (1_024, &[][..], Some(1_024 - 32 - 16 - 64)),
            (1_024, &["otlp-grpc://h?connections=16"][..], Some(1_024 - 32 - 16 - 64 - 32)),
            (1_024, &["otlp-http://h", "file:/tmp/x"][..], Some(1_024 - 32 - 16 - 64 - 8 - 2)),
            (128, &[][..], Some(60)),
            (16, &["stdout"][..], Some(2)),
        ] {
            let mut plan = plan(2, outs);
            let said = settle(&mut plan, limit).unwrap();
            assert_eq!(plan.connections, want.unwrap_or(CONNECTIONS_DEFAULT), "{limit} {outs:?}");
            assert_eq!(said.is_some(), want.is_some(), "{said:?}");
        }
    }

    #[test]
    fn what_was_asked_for_is_kept_or_refused_with_the_number_that_fits() {
        let asked = |connections| Plan { connections, connections_free: false, ..plan(1, &[]) };
        let mut fits = asked(9_000);
        assert!(settle(&mut fits, 10_000).unwrap().is_none() && fits.connections == 9_000);
        let words = settle(&mut asked(5_000), 4_096).unwrap_err().to_string();
        for part in ["--connections 5000", "4096 descriptors", "at most 3992"] {
            assert!(words.contains(part), "{part} in {words}");
        }
    }
}
