//! Selects the messages of a page that follow a position without a gap.

use crate::model::{Message, Position};

/// Messages that follow a position without a gap.
#[derive(Debug, Default)]
pub(super) struct Contiguous {
    pub messages: Vec<Message>,
    /// The `seq` up to which all messages are delivered or skipped as
    /// unreadable.
    pub reaches: u64,
    /// Whether a `seq` is missing after these messages.
    pub has_gap: bool,
}

impl Contiguous {
    /// Selects the messages of a page that follow `from` without a gap. The
    /// original's messages precede all others and have no `seq`. If a message
    /// was already missing at the previous read, an item that cannot be read
    /// counts as the missing message.
    pub fn after(from: &Position, page: Vec<Option<Message>>, was_missing: bool) -> Self {
        let mut found = Self {
            reaches: from.seq,
            ..Self::default()
        };
        for message in page {
            let Some(message) = message else {
                found.reaches = found.reaches.saturating_add(u64::from(was_missing));
                continue;
            };
            let read = found.messages.last().map_or(from.seq, |last| last.seq);
            let follows = if message.seq == 0 {
                read == 0
            } else {
                read < message.seq && message.seq <= found.reaches.saturating_add(1)
            };
            if !follows {
                found.has_gap = true;
                break;
            }
            found.reaches = message.seq;
            found.messages.push(message);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Selects from a page of `seq`s; 1000 represents an item that cannot be
    /// read.
    fn select(from: u64, page: &[u64], was_missing: bool) -> (Vec<u64>, u64, bool) {
        let from = Message::example(from, 1).position();
        let readable = |seq: &u64| (*seq != 1000).then(|| Message::example(*seq, 1));
        let page = page.iter().map(readable);
        let found = Contiguous::after(&from, page.collect(), was_missing);
        let numbers = found.messages.iter().map(|message| message.seq);
        (numbers.collect(), found.reaches, found.has_gap)
    }

    #[test]
    fn delivered_messages_have_no_gap() {
        for (from, page, delivered, reaches, has_gap) in [
            (0, &[][..], &[][..], 0, false),
            (6, &[7, 8, 9], &[7, 8, 9], 9, false),
            (6, &[8], &[], 6, true),
            (6, &[7, 9, 10], &[7], 7, true),
            (0, &[0, 0, 1, 2], &[0, 0, 1, 2], 2, false),
            (0, &[0, 2], &[0], 0, true),
        ] {
            let expected = (delivered.to_vec(), reaches, has_gap);
            for was_missing in [false, true] {
                let found = select(from, page, was_missing);
                assert_eq!(found, expected, "{from} {page:?}");
            }
        }
    }

    #[test]
    fn unreadable_message_is_skipped_at_the_second_read() {
        for (from, page, delivered, reaches, has_gap) in [
            (6, vec![1000, 8], vec![8], 8, false),
            (6, vec![7, 1000], vec![7], 8, false),
            (6, vec![1000, 9], vec![], 7, true),
        ] {
            let found = select(from, &page, true);
            assert_eq!(found, (delivered, reaches, has_gap), "{from} {page:?}");
        }
        assert_eq!(select(6, &[1000, 8], false), (vec![], 6, true));
    }
}
