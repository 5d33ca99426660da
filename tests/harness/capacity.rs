//! The capacity of a provisioned table: a token bucket for reads and one for
//! writes.

use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::call::Call;

/// Capacity of a table in units per second.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    pub read: f64,
    pub write: f64,
}

/// A bucket with the units of one second. A call passes if the bucket is not
/// empty, whatever the call costs. Later calls are throttled until the cost is
/// covered.
struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
    consumed: f64,
}

/// Counts the units that calls consume, and throttles calls.
#[derive(Default)]
pub(super) struct Capacity {
    buckets: Mutex<Option<[Bucket; 2]>>,
    throttled: Mutex<usize>,
}

/// Returns the bucket of a call, if it consumes units.
fn bucket(call: &Call) -> Option<usize> {
    match call.name.as_str() {
        "Query" | "Scan" | "GetItem" | "TransactGetItems" => Some(0),
        "TransactWriteItems" | "DeleteItem" => Some(1),
        _ => None,
    }
}

impl Capacity {
    pub fn set(&self, units: Units) {
        let bucket = |rate| Bucket {
            rate,
            tokens: rate,
            filled: Instant::now(),
            consumed: 0.0,
        };
        let buckets = [bucket(units.read), bucket(units.write)];
        *self.buckets.lock().expect("no panic") = Some(buckets);
    }

    pub fn consumed(&self) -> Units {
        let buckets = self.buckets.lock().expect("no panic");
        let buckets = buckets.as_ref().expect("a capacity");
        Units {
            read: buckets[0].consumed,
            write: buckets[1].consumed,
        }
    }

    pub fn throttled(&self) -> usize {
        *self.throttled.lock().expect("no panic")
    }

    /// Returns whether a call exceeds the capacity.
    pub fn exceeds(&self, call: &Call) -> bool {
        let mut buckets = self.buckets.lock().expect("no panic");
        let (Some(buckets), Some(number)) = (buckets.as_mut(), bucket(call)) else {
            return false;
        };
        let bucket = &mut buckets[number];
        let earned = bucket.filled.elapsed().as_secs_f64() * bucket.rate;
        bucket.tokens = (bucket.tokens + earned).min(bucket.rate);
        bucket.filled = Instant::now();
        let exceeds = bucket.tokens <= 0.0;
        *self.throttled.lock().expect("no panic") += usize::from(exceeds);
        exceeds
    }

    /// Returns whether a capacity is set, so that responses must be read.
    pub fn is_limited(&self) -> bool {
        self.buckets.lock().expect("no panic").is_some()
    }

    /// Deducts the consumed units that the response to a call contains.
    pub fn pay(&self, call: &Call, response: &Value) {
        let mut buckets = self.buckets.lock().expect("no panic");
        let (Some(buckets), Some(number)) = (buckets.as_mut(), bucket(call)) else {
            return;
        };
        let units = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
        let consumed = &response["ConsumedCapacity"];
        let consumed = match consumed.as_array() {
            Some(tables) => tables.iter().map(units).sum(),
            None => units(consumed),
        };
        buckets[number].tokens -= consumed;
        buckets[number].consumed += consumed;
    }
}
