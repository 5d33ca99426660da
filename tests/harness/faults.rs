//! Random faults between a server and DynamoDB.

use super::random::draw;

/// The rates of faults in percent of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes and reads that are throttled.
    pub throttled: u8,
    /// Calls without a response.
    pub hangs: u8,
    /// Writes that are executed, but whose response is lost.
    pub lost_after: u8,
    /// Writes that are lost before they are executed.
    pub lost_before: u8,
    /// Writes whose response is truncated.
    pub cut: u8,
    /// Transactions that conflict with another.
    pub conflict: u8,
    /// Writes whose response is lost and that are executed a second later.
    pub late: u8,
    /// Writes whose response is lost and that are executed after the next write
    /// of the same group.
    pub overtaken: u8,
    /// Transactions whose items become visible one by one before the response.
    pub partially_visible: u8,
    /// Reads with an error response (status 500).
    pub failed_reads: u8,
    /// Reads whose response is truncated.
    pub cut_reads: u8,
    /// Reads whose response is slow.
    pub slow_reads: u8,
    /// Whether the index lags behind the table.
    pub index_lags: bool,
}

/// The fault of a call, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Throttled,
    Hangs,
    Failed,
    LostAfter,
    Cut,
    Conflict,
    Late,
    Overtaken,
    PartiallyVisible,
    Slow,
}

impl Faults {
    /// Draws the fault of the next call.
    pub(super) fn next_fault(self, writes: bool) -> Fault {
        let of_all = [
            (self.throttled, Fault::Throttled),
            (self.hangs, Fault::Hangs),
        ];
        let of_writes = [
            (self.lost_after, Fault::LostAfter),
            (self.lost_before, Fault::Failed),
            (self.cut, Fault::Cut),
            (self.conflict, Fault::Conflict),
            (self.late, Fault::Late),
            (self.overtaken, Fault::Overtaken),
            (self.partially_visible, Fault::PartiallyVisible),
        ];
        let of_reads = [
            (self.failed_reads, Fault::Failed),
            (self.cut_reads, Fault::Cut),
            (self.slow_reads, Fault::Slow),
        ];
        let of_its_kind = if writes { &of_writes[..] } else { &of_reads };
        let mut roll = draw(|random| random.u8(..100));
        for (percent, fault) in of_all.iter().chain(of_its_kind) {
            if roll < *percent {
                return *fault;
            }
            roll -= percent;
        }
        Fault::None
    }
}
