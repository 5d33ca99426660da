//! Transactions that are executed only after a later transaction of the same
//! group.

use std::collections::HashMap;
use std::sync::Mutex;

use super::call::Call;

/// Delayed transactions by group.
#[derive(Default)]
pub(super) struct Overtaken {
    held: Mutex<HashMap<String, Vec<Call>>>,
    arrived: Mutex<Arrived>,
}

/// Results of overtaken transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrived {
    /// Rejected, because the condition no longer held.
    pub rejected: usize,
    /// Accepted without effect, because the client request token was already used.
    pub repeated: usize,
}

impl Overtaken {
    pub fn arrived(&self) -> Arrived {
        *self.arrived.lock().expect("no panic")
    }

    pub fn hold(&self, call: Call) {
        let group = call.transaction().group.unwrap_or_default();
        let mut held = self.held.lock().expect("no panic");
        held.entry(group).or_default().push(call);
    }

    /// Returns the transactions that a transaction has overtaken.
    pub fn by(&self, group: Option<&str>) -> Vec<Call> {
        let mut held = self.held.lock().expect("no panic");
        held.remove(group.unwrap_or_default()).unwrap_or_default()
    }

    /// Counts an executed transaction.
    pub fn count(&self, taken: bool) {
        let mut arrived = self.arrived.lock().expect("no panic");
        if taken {
            arrived.repeated += 1;
        } else {
            arrived.rejected += 1;
        }
    }
}
