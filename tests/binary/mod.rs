//! What the tests that start the binary share: the process and its clients, a backend, traffic whose totals are known.
//!
//! Apart from `common`, which the fuzz targets use too: they know neither HTTP nor JSON.
#![allow(dead_code)]

pub mod backend;
pub mod process;
pub mod traffic;
