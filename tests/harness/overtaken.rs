//! Transactions that get to the store only when a later one of the same group
//! has been carried out.

use std::collections::HashMap;
use std::sync::Mutex;

use super::call::Call;

/// What is on its way, by group.
#[derive(Default)]
pub(super) struct Overtaken {
    held: Mutex<HashMap<String, Vec<Call>>>,
    arrived: Mutex<Arrived>,
}

/// What became of those that were overtaken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrived {
    /// Their condition did not hold any more.
    pub refused: usize,
    /// The store knew their token: they were what had overtaken them.
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

    /// Those that a transaction has overtaken.
    pub fn by(&self, group: Option<&str>) -> Vec<Call> {
        let mut held = self.held.lock().expect("no panic");
        held.remove(group.unwrap_or_default()).unwrap_or_default()
    }

    /// One has arrived.
    pub fn count(&self, taken: bool) {
        let mut arrived = self.arrived.lock().expect("no panic");
        if taken {
            arrived.repeated += 1;
        } else {
            arrived.refused += 1;
        }
    }
}
