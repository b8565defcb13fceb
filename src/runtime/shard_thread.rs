//! The thread of one shard: pins itself, opens the doors, polls, and calls the shard's turns.
//!
//! Does not know: what a turn does. Progress: waits in `poll` alone, at most until the next turn is due.

use super::shard::{Seed, Turned};
use mio::net::TcpListener;
use std::io;

/// Token of the waker.
pub(super) const WAKE: mio::Token = mio::Token(0);
const EVENTS: usize = 256;

/// Runs until the process quits.
pub(super) fn run(seed: Seed, mut poll: mio::Poll, listeners: Vec<TcpListener>, core: Option<core_affinity::CoreId>) {
    let number = seed.number();
    let registry = poll.registry().try_clone();
    let mut shard = match registry.and_then(|registry| seed.open(listeners, registry)) {
        Ok(shard) => shard,
        Err(error) => {
            tracing::error!(shard = number, %error, "cannot open the doors");
            return;
        }
    };
    if let Some(core) = core
        && !core_affinity::set_for_current(core)
    {
        tracing::warn!(shard = number, core = core.id, "cannot pin this shard; it runs unpinned");
    }
    let mut events = mio::Events::with_capacity(EVENTS);
    loop {
        if let Err(error) = poll.poll(&mut events, Some(shard.wait()))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(shard = number, %error, "poll failed");
        }
        if shard.turn(events.iter().map(Into::into)) == Turned::Quits {
            return;
        }
    }
}
