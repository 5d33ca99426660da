//! Transactions that become visible item by item, which DynamoDB allows for a
//! `Query` until the transaction has returned.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::call::{Call, Key, Transaction};
use super::random::draw;

/// Period in which a repeated query gets the same response, because the SDK
/// retries.
const RETRY_PERIOD: Duration = Duration::from_secs(1);

/// The differences between the table and what queries see.
#[derive(Default)]
pub(super) struct PartiallyVisible {
    state: Mutex<VisibleState>,
    /// Number of responses that differ from the table.
    wrong: AtomicUsize,
}

#[derive(Default)]
struct VisibleState {
    /// Items that exist but are not visible yet.
    hidden: HashSet<Key>,
    /// Items that are deleted but still visible.
    still_shown: HashMap<Key, Value>,
    /// Rows by key, as they were put.
    rows: HashMap<Key, Value>,
    /// Queries that got a different response, and when; not again for a retry.
    queried: HashMap<String, Instant>,
}

impl PartiallyVisible {
    pub fn wrong(&self) -> usize {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Makes the items of an executed transaction visible one by one.
    pub async fn show(&self, transaction: Transaction) {
        let mut pieces = transaction.pieces;
        // Either the newest message first, or in random order.
        pieces.reverse();
        if draw(fastrand::Rng::bool) {
            draw(|random| random.shuffle(&mut pieces));
        }
        self.state.lock().expect("no panic").hide(&pieces);
        for (key, _) in pieces {
            tokio::time::sleep(Duration::from_millis(draw(|random| random.u64(..15)))).await;
            self.state.lock().expect("no panic").show(&key);
        }
    }

    /// Changes the response to a `Query` to the visible items.
    pub fn filter(&self, call: &Call, response: &mut Value) {
        let query = call.json();
        let queried = in_order(&query);
        let mut state = self.state.lock().expect("no panic");
        if let Some(at) = state.queried.remove(&queried) {
            if at.elapsed() < RETRY_PERIOD {
                state.queried.insert(queried, at);
            }
            return;
        }
        let true_items = response["Items"].as_array().cloned().unwrap_or_default();
        let items = state.items(&query, &true_items, response.get("LastEvaluatedKey"));
        if items != true_items {
            self.wrong.fetch_add(1, Ordering::Relaxed);
            state.queried.insert(queried, Instant::now());
            response["Count"] = items.len().into();
            response["Items"] = items.into();
        }
    }
}

impl VisibleState {
    fn hide(&mut self, pieces: &[(Key, Option<Value>)]) {
        for (key, item) in pieces {
            if let Some(item) = item {
                self.hidden.insert(key.clone());
                if key.0.starts_with("GRP#") {
                    self.rows.insert(key.clone(), item.clone());
                }
            } else {
                let row = self.rows.remove(key);
                self.still_shown.extend(row.map(|row| (key.clone(), row)));
            }
        }
    }

    fn show(&mut self, key: &Key) {
        self.hidden.remove(key);
        self.still_shown.remove(key);
    }

    /// Returns the visible items.
    fn items(&self, query: &Value, there: &[Value], more_behind: Option<&Value>) -> Vec<Value> {
        let descending = query["ScanIndexForward"] == false;
        let order = |item: &Value| item["sk"]["S"].as_str().map(str::to_owned);
        // Pages of a partition are read without `pk`.
        let key_of = |item: &Value| {
            let pk = item["pk"]["S"].as_str().or(value(query, ":partition"));
            Some((pk?.to_owned(), order(item)?))
        };
        let is_shown = |item: &&Value| key_of(item).is_none_or(|key| !self.hidden.contains(&key));
        let mut shown: Vec<Value> = there.iter().filter(is_shown).cloned().collect();
        let gone = self.still_shown.iter().filter(|((pk, sk), _)| {
            let end = more_behind.and_then(|key| key["sk"]["S"].as_str());
            let before_end = end.is_none_or(|end| (sk.as_str() < end) != descending);
            Some(pk.as_str()) == value(query, ":partition") && inside(query, sk) && before_end
        });
        shown.extend(gone.map(|(_, row)| row.clone()));
        shown.sort_by_key(order);
        if descending {
            shown.reverse();
        }
        shown
    }
}

/// Returns a query as text in a canonical order, because the SDK writes its
/// values in any order.
fn in_order(query: &Value) -> String {
    match query {
        Value::Object(members) => {
            let members: BTreeMap<&str, String> = members
                .iter()
                .map(|(name, value)| (name.as_str(), in_order(value)))
                .collect();
            format!("{members:?}")
        }
        other => other.to_string(),
    }
}

fn value<'a>(query: &'a Value, name: &str) -> Option<&'a str> {
    query["ExpressionAttributeValues"][name]["S"].as_str()
}

/// Returns whether a key is within the bounds of a query, which are exclusive.
fn inside(query: &Value, sk: &str) -> bool {
    let start = query["ExclusiveStartKey"]["sk"]["S"].as_str();
    let descending = query["ScanIndexForward"] == false;
    let begins = start.is_none_or(|start| sk != start && (sk > start) != descending);
    let above = value(query, ":above").is_none_or(|above| sk > above);
    let below = value(query, ":below").is_none_or(|below| sk < below);
    begins && above && below
}
