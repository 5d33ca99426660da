//! DynamoDB's capacity units.

use serde::Serialize;

/// The cost of calls in DynamoDB's capacity units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// Number of calls that received a response.
    pub calls: u64,
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
}

/// The kind of capacity units that a call consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Read,
    Write,
}
