//! The memory budget: what each part may take, and how that shrinks where there is little.
//!
//! ```text
//!   as asked ─► all reservations halved, quartered … down to their least ─► fewer shards ─► (auto) what was typed, too
//! ```
//!
//! What was typed is kept where `--memory-limit` was typed, and else shrinks last: `auto` starts wherever it is.
//! A value that is its default counts as not typed.

use super::descriptors;
use crate::config::Plan;
use crate::deliver::Destination;
use crate::limits::*;
use crate::problem::{Flaw, Given, Problem};

/// The memory budget as a sum: what each part may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub limit: usize,
    /// What an empty process has, and each shard's buffers.
    pub base: usize,
    /// Buffers of all connections, and a scrape page being made.
    pub connections: usize,
    /// Queues of all destinations, and what is in flight.
    pub queues: usize,
    /// Encoded requests that wait for room in a queue; shared out evenly to shards and destinations.
    pub held: usize,
    /// Request bodies being read or inflated.
    pub bodies: usize,
    /// Series: identities, cells, routes.
    pub series: usize,
    /// Groups that there may be: what was asked for, or what fits into `series`.
    pub groups_max: usize,
    /// Connections on the OTLP doors, and on the pages.
    pub connections_max: (usize, usize),
    /// Bytes of colliding rows of a page.
    pub page_merge: usize,
    /// Requests in flight to a destination that does not say otherwise.
    pub in_flight: usize,
    /// How it was divided.
    shape: Shape,
}

impl Memory {
    /// The same with other destinations, whose queues shrink as they would have at the start: what these take more, series
    /// may take less. `ending`: bytes that destinations hold which are taken out; `taken`: what series take by now.
    ///
    /// # Errors
    /// Where the queues do not fit beside that.
    pub(super) fn exchanged(self, outs: &mut [Destination], ending: usize, taken: usize) -> Result<Memory, Problem> {
        for out in &mut *outs {
            out.queue_bytes = self.shape.queue(out);
        }
        let queues: usize = outs.iter().map(|out| self.shape.destination(out)).sum();
        let there = self.queues + self.held + self.series;
        let least = taken.max(halved(SERIES_BYTES_MIN, self.shape.level, TIGHT_SERIES_BYTES));
        let Some(left) = there.checked_sub(queues + ending + least) else {
            let mib = |bytes: usize| bytes.div_ceil(MIB);
            let fault = format!(
                "the queues of these destinations take {} MiB; series take {}, those that are taken out {}, and {} are there",
                mib(queues),
                mib(least),
                mib(ending),
                mib(there)
            );
            let remedy = "lower their ?queue=, or restart with a higher --memory-limit";
            return Err(Problem::bare("out", Flaw::new(fault).remedy(remedy)));
        };
        let held = if outs.is_empty() { 0 } else { ((there - queues) / 4).min(HELD_BYTES_MAX).min(left) };
        Ok(Memory { queues, held, series: there - queues - held, ..self })
    }
}

/// So often everything can be halved.
const LEVELS: u32 = 6;

/// `full` halved so often, but not under `least`.
const fn halved(full: usize, level: u32, least: usize) -> usize {
    let size = full >> level;
    if size > least { size } else { least }
}

/// Groups for which there is room in the memory for series.
fn groups_in(series: usize) -> usize {
    // whole thousands, as nobody counts them closer
    (series / GROUP_SHARE_BYTES / 1_000 * 1_000).clamp(GROUP_LIMIT_AUTO_MIN, GROUP_LIMIT_MAX)
}

/// One way to divide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    level: u32,
    shards: usize,
    /// What was typed shrinks, too.
    typed: bool,
}

impl Shape {
    fn max_body(self, plan: &Plan) -> usize {
        let free = self.typed || plan.max_body == MAX_BODY_BYTES_DEFAULT;
        if free {
            plan.max_body.min(halved(MAX_BODY_BYTES_DEFAULT, self.level, TIGHT_BODY_BYTES))
        } else {
            plan.max_body
        }
    }

    fn connections(self, plan: &Plan) -> usize {
        let free = self.typed || plan.connections_free;
        let most = if free { halved(CONNECTIONS_DEFAULT, self.level, TIGHT_CONNECTIONS) } else { CONNECTIONS_MAX };
        plan.connections.min(most).max(self.shards)
    }

    fn queue(self, out: &Destination) -> usize {
        let free = self.typed || out.queue_bytes == QUEUE_BYTES_DEFAULT;
        if free {
            out.queue_bytes.min(halved(QUEUE_BYTES_DEFAULT, self.level, TIGHT_QUEUE_BYTES))
        } else {
            out.queue_bytes
        }
    }

    fn in_flight(self) -> usize {
        halved(IN_FLIGHT_MAX, self.level, TIGHT_IN_FLIGHT)
    }

    fn destination(self, out: &Destination) -> usize {
        let fewer = if out.in_flight.is_none() { IN_FLIGHT_MAX - self.in_flight() } else { 0 };
        out.bytes_max() - out.queue_bytes + self.queue(out) + DESTINATION_BYTES - fewer * BATCH_BYTES_MAX
    }

    /// The sum with nothing but the least for bodies and series: that sum, and the memory that is left for these two.
    fn divide(self, plan: &Plan, limit: usize) -> (usize, Memory) {
        let capture = plan.capture.as_ref().map_or(0, |_| CAPTURE_QUEUE_BYTES);
        let shard = halved(SHARD_BYTES, self.level, SHARD_BYTES / 4);
        let base = halved(PROCESS_BYTES, self.level, TIGHT_PROCESS_BYTES) + self.shards * shard + capture;
        let connections_max =
            (self.connections(plan), halved(PAGE_CONNECTIONS_MAX, self.level, TIGHT_PAGE_CONNECTIONS));
        let page_merge = halved(PAGE_MERGE_BYTES, self.level, TIGHT_PAGE_MERGE_BYTES);
        let connections = (connections_max.0 + connections_max.1) * CONNECTION_BYTES / 4 + page_merge;
        let queues: usize = plan.outs.iter().map(|out| self.destination(out)).sum();
        let bodies_min = BODIES_MIN * self.max_body(plan);
        let fixed = base + connections + queues;
        let least = fixed + bodies_min + halved(SERIES_BYTES_MIN, self.level, TIGHT_SERIES_BYTES);
        let left = limit.max(least) - fixed;
        let bodies = (left / 4).max(bodies_min).min(BODIES_BYTES_MAX.max(bodies_min));
        let held = if plan.outs.is_empty() { 0 } else { ((left - bodies) / 4).min(HELD_BYTES_MAX) };
        let (in_flight, series) = (self.in_flight(), left - bodies - held);
        let limit = limit.max(least);
        let groups_max = plan.group_limit.unwrap_or_else(|| groups_in(series));
        let memory = Memory {
            limit,
            base,
            connections,
            queues,
            held,
            bodies,
            series,
            groups_max,
            connections_max,
            page_merge,
            in_flight,
            shape: self,
        };
        (least, memory)
    }

    /// Makes the plan what this shape is; says what that changed.
    fn apply(self, plan: &mut Plan) -> Vec<String> {
        let mut said = Vec::new();
        if self.shards != plan.shards {
            said.push(format!("--shards {}", self.shards));
            plan.shards = self.shards;
        }
        let max_body = self.max_body(plan);
        if max_body != plan.max_body {
            said.push(format!("--max-body {}MiB", max_body / MIB));
            plan.max_body = max_body;
        }
        let connections = self.connections(plan);
        if connections < plan.connections {
            said.push(format!("--connections {connections}"));
        }
        plan.connections = connections;
        let mut queue = 0;
        for out in &mut plan.outs {
            let bytes = self.queue(out);
            if bytes != out.queue_bytes {
                out.queue_bytes = bytes;
                queue = bytes;
            }
        }
        if queue > 0 {
            said.push(format!("?queue={}MiB", queue / MIB));
        }
        said
    }
}

/// What a run of this plan would take on this machine, and what would shrink: the plan is left as the run would have it.
///
/// # Errors
/// What was asked for and does not fit into descriptors or memory.
pub fn budget(plan: &mut Plan) -> Result<(Memory, Vec<String>), Problem> {
    let few = descriptors::settle(plan, descriptors::raise())?;
    let limit = plan.memory_limit.unwrap_or_else(|| super::machine::available(std::path::Path::new("/")).share());
    let auto = plan.memory_limit.is_none();
    let (memory, shrunk) = settle(plan, limit, auto)?;
    Ok((memory, few.into_iter().chain(shrunk).collect()))
}

/// Divides `limit`, which is `auto`'s or was typed, and shrinks what the plan reserves where it does not fit; what was
/// shrunk, for the banner.
///
/// # Errors
/// Where the limit was typed and what else was typed does not fit into it.
pub(super) fn settle(plan: &mut Plan, limit: usize, auto: bool) -> Result<(Memory, Vec<String>), Problem> {
    let asked = plan.shards;
    let counts = |free: bool| std::iter::successors(Some(asked), move |n| (free && *n > 1).then_some(n / 2));
    let shapes = |free: bool, typed: bool| {
        counts(free).flat_map(move |shards| (0..=LEVELS).map(move |level| Shape { level, shards, typed }))
    };
    let fits = |shape: &Shape, plan: &Plan| shape.divide(plan, limit).0 <= limit;
    let found = shapes(plan.shards_free, false).find(|shape| fits(shape, plan));
    let least = Shape { level: LEVELS, shards: 1, typed: true };
    let shape = match found {
        Some(shape) => shape,
        None if auto => shapes(true, true).find(|shape| fits(shape, plan)).unwrap_or(least),
        None => {
            let shards = if plan.shards_free { 1 } else { asked };
            let needed = Shape { level: LEVELS, shards, typed: false }.divide(plan, limit).0;
            let smallest = least.divide(plan, limit).0;
            let mib = |bytes: usize| bytes.div_ceil(MIB);
            let flags = least.apply(&mut plan.clone()).join(", ");
            let flags =
                if smallest < needed { format!("; with {flags}, {}MiB would do", mib(smallest)) } else { "".into() };
            let flaw = Flaw::predicate("is too small for the rest of what was asked for").remedy(format!(
                "at least {}MiB are needed{flags}; or leave it out, and what fits is taken",
                mib(needed)
            ));
            let given = Given::Settled(format!("{} MiB", limit / MIB));
            return Err(Problem { given, ..Problem::bare("memory-limit", flaw) });
        }
    };
    let memory = shape.divide(plan, limit).1;
    let mut said = shape.apply(plan);
    if memory.limit > limit {
        said.push(format!(
            "the least is {} MiB, more than auto would take here ({} MiB)",
            memory.limit.div_ceil(MIB),
            limit / MIB
        ));
    }
    Ok((memory, said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::parse_out;

    fn plan(shards: usize, outs: &[&str]) -> Plan {
        let outs = outs.iter().map(|out| parse_out(out).unwrap()).collect();
        Plan {
            shards,
            shards_free: true,
            max_body: MAX_BODY_BYTES_DEFAULT,
            connections: CONNECTIONS_DEFAULT,
            connections_free: true,
            outs,
            ..Plan::sample()
        }
    }

    fn check(memory: &Memory, plan: &Plan) {
        let Memory { limit, base, connections, queues, held, bodies, series, connections_max, .. } = *memory;
        assert_eq!(base + connections + queues + held + bodies + series, limit);
        assert!(bodies >= 2 * plan.max_body && series >= TIGHT_SERIES_BYTES / 4 * 3);
        assert!(queues >= plan.outs.iter().map(|out| out.queue_bytes).sum());
        assert_eq!(held == 0, plan.outs.is_empty());
        assert!(connections_max.0 == plan.connections && plan.connections >= plan.shards);
    }

    /// DESIGN 8: the sum is the same with other destinations, and what does not fit is refused.
    #[test]
    fn other_destinations_take_from_series_what_these_have_not_taken() {
        let mut first = plan(2, &[OUT]);
        let (memory, _) = settle(&mut first, 2048 * MIB, false).unwrap();
        let outs = |urls: &[&str]| -> Vec<Destination> { urls.iter().map(|url| parse_out(url).unwrap()).collect() };
        let sum = |memory: &Memory| memory.queues + memory.held + memory.series;
        let mut three = outs(&[OUT, "otlp-grpc://h:2", "stdout?queue=64MiB"]);
        let more = memory.exchanged(&mut three, 0, 10 * MIB).unwrap();
        assert_eq!(sum(&more), sum(&memory));
        assert!(more.queues > memory.queues + 300 * MIB && more.series < memory.series && more.held > 0);
        assert_eq!(more.exchanged(&mut outs(&[OUT]), 0, 0).unwrap().queues, memory.queues, "and back");
        let none = more.exchanged(&mut [], 0, 0).unwrap();
        assert_eq!((none.queues, none.held, sum(&none)), (0, 0, sum(&memory)));
        for (ending, taken) in [(0, memory.series), (memory.series, 0)] {
            let words = memory.exchanged(&mut three, ending, taken).unwrap_err().to_string();
            assert!(words.contains("?queue=") && words.contains("MiB"), "{words}");
        }
        // where memory is short a queue that nobody has typed is as small as at the start
        let mut small = plan(1, &[OUT]);
        let (tight, _) = settle(&mut small, 96 * MIB, true).unwrap();
        let mut again = outs(&[OUT]);
        tight.exchanged(&mut again, 0, 0).unwrap();
        assert_eq!(again[0].queue_bytes, small.outs[0].queue_bytes);
    }

    const OUT: &str = "otlp-grpc://h:1";

    #[test]
    fn where_there_is_enough_all_is_as_asked() {
        for (outs, shards) in [(&[][..], 1), (&[OUT][..], 64), (&[OUT; 3][..], 1)] {
            let mut plan = plan(shards, outs);
            let (memory, said) = settle(&mut plan, 4096 * MIB, false).unwrap();
            check(&memory, &plan);
            assert!(said.is_empty() && plan.shards == shards && plan.max_body == 64 * MIB, "{said:?}");
            assert_eq!((memory.connections_max.0, memory.in_flight), (CONNECTIONS_DEFAULT, IN_FLIGHT_MAX));
            assert!(memory.base >= shards * 8 * MIB && memory.series >= SERIES_BYTES_MIN);
        }
        let series = |shards| settle(&mut plan(shards, &[]), 4096 * MIB, false).unwrap().0.series;
        assert!(series(2) < series(1), "a shard more has its price");
    }

    /// A million groups at 8 GiB, whether that is the limit or the machine; and never fewer than there were by default.
    #[test]
    fn groups_are_as_many_as_memory_allows_or_as_asked() {
        let groups = |limit, asked| {
            let mut plan = Plan { group_limit: asked, ..plan(2, &[OUT]) };
            settle(&mut plan, limit, true).unwrap().0.groups_max
        };
        assert!(groups(8192 * MIB, None) > groups(6144 * MIB, None) && groups(6144 * MIB, None) >= 1_000_000);
        assert_eq!((groups(128 * MIB, None), groups(128 * MIB, Some(7))), (GROUP_LIMIT_AUTO_MIN, 7));
    }

    /// In every size of container there is a budget that is within it, from 64 MiB on.
    #[test]
    fn auto_always_fits_and_says_what_it_shrank() {
        for mib in (64..2048).step_by(16) {
            for (shards, outs) in [(1, &[][..]), (2, &[OUT][..]), (64, &[OUT][..])] {
                let mut plan = plan(shards, outs);
                let share = (mib * 3 / 4).min(mib - 24) * MIB;
                let (memory, said) = settle(&mut plan, share, true).unwrap();
                check(&memory, &plan);
                assert!(memory.limit <= mib * MIB, "{mib} MiB: {memory:?}");
                assert_eq!(said.is_empty(), plan.shards == shards && memory.in_flight == IN_FLIGHT_MAX, "{said:?}");
            }
        }
        // whatever was typed, and however little there is
        let mut tight = plan(8, &["otlp-grpc://h:1?queue=1GiB", "stdout"]);
        (tight.shards_free, tight.max_body) = (false, 512 * MIB);
        let (memory, said) = settle(&mut tight, 16 * MIB, true).unwrap();
        check(&memory, &tight);
        assert_eq!((tight.shards, tight.max_body), (1, TIGHT_BODY_BYTES));
        assert!(said.last().unwrap().contains("more than auto would take"), "{said:?}");
    }

    #[test]
    fn a_typed_limit_keeps_what_was_typed_or_says_which_flags_fit() {
        let mut small = plan(2, &[OUT]);
        let (memory, said) = settle(&mut small, 64 * MIB, false).unwrap();
        check(&memory, &small);
        assert!(memory.limit == 64 * MIB && (1..=2).contains(&small.shards) && !said.is_empty(), "{said:?}");
        let mut big = plan(2, &["otlp-grpc://h:1?queue=128MiB"]);
        let words = settle(&mut big, 100 * MIB, false).unwrap_err().to_string();
        for part in ["--memory-limit, given as 100 MiB", "MiB are needed", "?queue=8MiB", "would do"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert!(settle(&mut big, 400 * MIB, false).is_ok() && big.outs[0].queue_bytes == 128 * MIB);
    }

    /// Typed connections have their price, and stay; where they are free they shrink with the rest.
    #[test]
    fn connections_that_were_typed_are_reserved_for() {
        let many = |free: bool| Plan { connections: 4_000, connections_free: free, ..plan(1, &[]) };
        let mut typed = many(false);
        let (memory, _) = settle(&mut typed, 1024 * MIB, false).unwrap();
        check(&memory, &typed);
        assert!(typed.connections == 4_000 && memory.connections > 4_000 * CONNECTION_BYTES / 4);
        let words = settle(&mut many(false), 256 * MIB, false).unwrap_err().to_string();
        assert!(words.contains("--connections 64"), "{words}");
        let mut shrunk = many(false);
        let (_, said) = settle(&mut shrunk, 256 * MIB, true).unwrap();
        assert!(shrunk.connections < 4_000 && said.iter().any(|word| word.starts_with("--connections ")), "{said:?}");
        // fewer than by default, as descriptors are short: no more than that
        let mut few = Plan { connections: 100, ..plan(1, &[]) };
        settle(&mut few, 4096 * MIB, false).unwrap();
        assert_eq!(few.connections, 100);
    }
}
