//! Folds of rules: the worked vectors of the specification on the arithmetic alone, and random streams against a slow
//! reference. What members gave (Δ, V, live) is given here; who works it out is the flush room's matter.

mod group;
mod histograms;
mod reference;
mod vectors;
