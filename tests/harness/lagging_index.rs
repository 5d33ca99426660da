//! An index that lags behind the table: its responses may be up to a second
//! old, and a row that moves may be missing at both keys.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::call::{Call, Transaction};
use super::random::draw;

/// Maximum lag.
const LAG: Duration = Duration::from_secs(1);
/// Time that each response takes.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// Times at which the rows of each group have moved.
#[derive(Default)]
pub(super) struct LaggingIndex {
    moved: Mutex<HashMap<String, Instant>>,
    /// Number of responses that differ from the table.
    wrong: AtomicUsize,
}

impl LaggingIndex {
    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Records an executed transaction.
    pub fn moved(&self, transaction: &Transaction) {
        let rows = transaction.pieces.iter().filter_map(|(_, item)| {
            let group = item.as_ref()?["message_group_uuid"]["S"].as_str()?;
            Some((group.to_owned(), Instant::now()))
        });
        self.moved.lock().expect("no panic").extend(rows);
    }

    /// Changes a response to an older state of the index.
    pub async fn make_stale(&self, call: &Call, response: &mut Value) {
        tokio::time::sleep(UNDER_WAY).await;
        let query = call.json();
        let group = query["ExpressionAttributeValues"][":partition"]["S"].as_str();
        let moved = self.moved.lock().expect("no panic");
        let moved = group.and_then(|group| moved.get(group));
        if moved.is_some_and(|at| at.elapsed() < LAG) {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            if draw(fastrand::Rng::bool) {
                *response = json!({ "Items": [], "Count": 0 });
            }
        }
    }
}
