//! What can go wrong between a server and its DynamoDB.

use super::random::draw;

/// How often, of a hundred calls, something goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes and reads that are throttled.
    pub throttled: u8,
    /// Calls that are never answered.
    pub hangs: u8,
    /// Writes that are carried out and never told of.
    pub lost_after: u8,
    /// Writes that never get there.
    pub lost_before: u8,
    /// Writes whose answer breaks off.
    pub cut: u8,
    /// Transactions that conflict with another.
    pub conflict: u8,
    /// Writes that nobody is told of, and that get there a second later.
    pub late: u8,
    /// Writes that nobody is told of, and that get there once the next one of
    /// their group has been carried out.
    pub overtaken: u8,
    /// Transactions that are seen item by item until they are answered.
    pub half_seen: u8,
    /// Reads that are answered with a 500.
    pub failed_reads: u8,
    /// Reads whose answer breaks off.
    pub cut_reads: u8,
    /// Reads whose answer takes its time.
    pub slow_reads: u8,
    /// Whether the index shows rows later than the table does.
    pub index_lags: bool,
}

/// What becomes of a call.
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
    /// What becomes of the next call, by the dice.
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
