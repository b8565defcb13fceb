//! The judge and the generator of the OTLP/JSON writer's tests.

pub mod judge;
pub mod random;
