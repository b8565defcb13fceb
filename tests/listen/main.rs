//! The doors: real `Doors` on a thread, a stub intake behind them, clients in front; and over a network in memory.

mod grpc;
mod http;
mod memory;
#[path = "../memory_network/mod.rs"]
mod memory_network;
mod pages;
mod support;
