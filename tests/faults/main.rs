//! Messages under load while processes and stores fail: every acknowledged
//! message must be stored once and in order. Each test prints its counts.

#[allow(
    dead_code,
    unused_imports,
    reason = "two test binaries share this module, and each uses a part of it"
)]
#[path = "../harness/mod.rs"]
mod harness;
mod load;
mod readers;
mod report;
#[allow(dead_code, reason = "the example `torture` uses more of it")]
mod server;

mod concurrent_writers;
mod crashes;
mod live;
mod originals;
mod postgres;
mod report_counts;
mod stores;
mod unread;
mod visibility;
