//! Delivery: real lanes on their threads, scripted receivers behind them.

mod breaker;
mod exchange;
mod faults;
mod grpc;
mod hold;
mod http;
mod order;
mod support;
mod tls;
#[path = "../tls_support/mod.rs"]
mod tls_support;
mod writer;
