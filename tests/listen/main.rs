//! The doors: real `Doors` on a thread, a stub intake behind them, clients in front.

mod grpc;
mod http;
mod pages;
mod support;
