//! Detection of missing messages in the result of a `Query`, which is only
//! read-committed with respect to transactions.

use crate::model::{End, Message, PageRequest, Position};

/// Returns whether a sequence number is missing: between two messages, next to
/// the cursor at which the page begins or ends, or before the first message.
///
/// The original's messages have no numbers and precede all messages that have
/// one.
pub(super) fn has_gap(request: &PageRequest, messages: &[Message]) -> bool {
    let oldest = request.after.as_ref().map_or(Some(0), known_number);
    let newest = request.before.as_ref().and_then(known_number);
    let (begin, end) = match request.end {
        End::First => (oldest, newest),
        End::Last => (newest, oldest),
    };
    let is_read_out = messages.len() <= request.limit;
    let read = messages.iter().map(|message| message.seq);
    let numbers = begin.into_iter().chain(read);
    let numbers: Vec<u64> = numbers.chain(end.filter(|_| is_read_out)).collect();
    numbers.windows(2).any(|pair| pair[0].abs_diff(pair[1]) > 1)
}

/// Returns the sequence number of a position.
///
/// A position without a number may come from a time instead of a message, so it
/// is unknown which number follows it.
fn known_number(position: &Position) -> Option<u64> {
    (position.seq != 0).then_some(position.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misses_one(end: End, after: Option<u64>, before: Option<u64>, read: &[u64]) -> bool {
        let position = |seq: u64| Message::example(seq, 1).position();
        let request = PageRequest {
            end,
            limit: 3,
            after: after.map(position),
            before: before.map(position),
        };
        let read: Vec<Message> = read.iter().map(|seq| Message::example(*seq, 1)).collect();
        has_gap(&request, &read)
    }

    #[test]
    fn gap_in_seq_is_found_between_messages_and_at_the_cursors() {
        use End::{First, Last};
        let with_gap = [
            (First, None, None, &[1, 3, 4][..]),
            (First, None, None, &[2, 3]),
            (First, None, None, &[0, 0, 2]),
            (First, Some(5), None, &[7, 8]),
            (First, Some(5), Some(9), &[6, 7]),
            (First, Some(5), Some(7), &[]),
            (Last, None, None, &[9, 7, 6, 5]),
            (Last, None, None, &[3, 2]),
            (Last, None, None, &[2, 0]),
            (Last, None, Some(9), &[7, 6, 5, 4]),
            (Last, Some(5), None, &[8, 7]),
        ];
        // Messages outside the page or without a `seq` are no gap.
        let without_gap = [
            (First, None, None, &[][..]),
            (First, None, None, &[0, 0, 1, 2]),
            (First, Some(5), None, &[]),
            (First, Some(5), Some(20), &[6, 7, 8, 9]),
            (First, Some(0), None, &[7, 8]),
            (Last, None, None, &[9, 8, 7, 6]),
            (Last, None, None, &[1, 0, 0]),
            (Last, Some(5), None, &[7, 6]),
            (Last, Some(5), Some(20), &[19, 18, 17, 16]),
            (Last, Some(0), Some(9), &[8, 7, 6]),
        ];
        for (cases, expected) in [(&with_gap[..], true), (&without_gap, false)] {
            for (end, after, before, read) in cases {
                let found = misses_one(*end, *after, *before, read);
                assert_eq!(found, expected, "{end:?} {after:?} {before:?} {read:?}");
            }
        }
    }
}
