//! An index that lags: what it answers may be as old as a second, and a row
//! that has moved may be gone from it and not be there again.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::call::{Call, Transaction};
use super::random::draw;

/// By how much it lags at most.
const LAG: Duration = Duration::from_secs(1);
/// For how long an answer of its is under way.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// When the rows of each group have moved.
#[derive(Default)]
pub(super) struct LaggingIndex {
    moved: Mutex<HashMap<String, Instant>>,
    /// How many answers were not as the table is.
    wrong: AtomicUsize,
}

impl LaggingIndex {
    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    /// A transaction was carried out.
    pub fn moved(&self, transaction: &Transaction) {
        let rows = transaction.pieces.iter().filter_map(|(_, item)| {
            let group = item.as_ref()?["message_group_uuid"]["S"].as_str()?;
            Some((group.to_owned(), Instant::now()))
        });
        self.moved.lock().expect("no panic").extend(rows);
    }

    /// Makes an answer, which was right when the query came, an old one.
    pub async fn age(&self, call: &Call, answer: &mut Value) {
        tokio::time::sleep(UNDER_WAY).await;
        let query = call.json();
        let group = query["ExpressionAttributeValues"][":partition"]["S"].as_str();
        let moved = self.moved.lock().expect("no panic");
        let moved = group.and_then(|group| moved.get(group));
        if moved.is_some_and(|at| at.elapsed() < LAG) {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            if draw(fastrand::Rng::bool) {
                *answer = json!({ "Items": [], "Count": 0 });
            }
        }
    }
}
