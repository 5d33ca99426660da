//! Messages under load while something goes wrong: every acknowledged one has
//! to be there once and in order, whatever dies, hangs, throttles or repeats
//! itself. Each test prints what it counted.

#[allow(
    dead_code,
    unused_imports,
    reason = "two test binaries share it, and each needs its part"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod load;
mod readers;
mod report;
#[allow(dead_code, reason = "the example torture shares it")]
mod server;

mod deaths;
mod judging;
mod live;
mod originals;
mod postgres;
mod sight;
mod stores;
mod together;
mod unread;
