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
    pub half_seen: u8,
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
pub(super) enum Fate {
    Answered,
    Throttled,
    Hangs,
    Failed,
    LostAfter,
    Cut,
    Conflict,
    Late,
    Overtaken,
    HalfSeen,
    Slow,
}

impl Faults {
    /// Draws the fault of the next call.
    pub(super) fn fate(self, writes: bool) -> Fate {
        let of_all = [(self.throttled, Fate::Throttled), (self.hangs, Fate::Hangs)];
        let of_writes = [
            (self.lost_after, Fate::LostAfter),
            (self.lost_before, Fate::Failed),
            (self.cut, Fate::Cut),
            (self.conflict, Fate::Conflict),
            (self.late, Fate::Late),
            (self.overtaken, Fate::Overtaken),
            (self.half_seen, Fate::HalfSeen),
        ];
        let of_reads = [
            (self.failed_reads, Fate::Failed),
            (self.cut_reads, Fate::Cut),
            (self.slow_reads, Fate::Slow),
        ];
        let of_its_kind = if writes { &of_writes[..] } else { &of_reads };
        let mut roll = draw(|random| random.u8(..100));
        for (percent, fate) in of_all.iter().chain(of_its_kind) {
            if roll < *percent {
                return *fate;
            }
            roll -= percent;
        }
        Fate::Answered
    }
}
