//! Compares the sent messages with the table, which it reads independently of
//! the code that wrote it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

use crate::harness::checker::{self, number, text};
use crate::load::SentMessage;

type Item = HashMap<String, AttributeValue>;

/// Counts. All except the first four must be zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub sent: usize,
    pub attempts: u32,
    pub acknowledged: usize,
    pub found: usize,
    pub lost: usize,
    pub duplicated: usize,
    pub out_of_order: usize,
    pub gaps: usize,
    pub wrong_previews: usize,
    pub wrong_unread_counts: usize,
}

impl Report {
    /// Reads the table at an address.
    pub async fn read(dynamodb_url: &str, sent: &[SentMessage]) -> Self {
        let found = checker::read(&checker::client(dynamodb_url)).await;
        let mut report = Self {
            sent: sent.len(),
            attempts: sent.iter().map(|sent| sent.attempts).sum(),
            acknowledged: sent
                .iter()
                .filter(|sent| sent.acknowledged.is_some())
                .count(),
            found: found.messages.values().map(Vec::len).sum(),
            ..Self::default()
        };
        report.count_messages(&found.messages, sent);
        for (group, messages) in &found.messages {
            let rows = found.rows.get(group).map_or(&[][..], Vec::as_slice);
            report.count_group(messages, rows);
        }
        report
    }

    /// Returns the number of errors.
    pub fn wrong(&self) -> usize {
        let messages = self.lost + self.duplicated + self.out_of_order + self.gaps;
        messages + self.wrong_previews + self.wrong_unread_counts
    }

    /// Prints the report. Panics if it contains errors.
    pub fn assert_correct(&self, what: &str) {
        println!("{what}: {self:?}");
        assert_eq!(self.wrong(), 0, "{what}: {self:?}");
        assert_eq!(self.acknowledged, self.sent, "{what}: {self:?}");
    }

    fn count_messages(&mut self, groups: &BTreeMap<String, Vec<Item>>, sent: &[SentMessage]) {
        let mut places: HashMap<&str, Vec<(&str, &str, &str)>> = HashMap::new();
        for (group, messages) in groups {
            for item in messages {
                let place = (group.as_str(), text(item, "sk"), text(item, "message_uuid"));
                places.entry(text(item, "message")).or_default().push(place);
            }
        }
        let mut in_order: BTreeMap<&str, Vec<(&SentMessage, &str)>> = BTreeMap::new();
        for sent in sent {
            let there = places
                .get(sent.body.as_str())
                .map_or(&[][..], Vec::as_slice);
            self.duplicated += there.len().saturating_sub(1);
            let Some((uuid, _)) = &sent.acknowledged else {
                continue;
            };
            match there.iter().find(|(_, _, found)| found == uuid) {
                None => self.lost += 1,
                Some((group, key, _)) => in_order.entry(group).or_default().push((sent, key)),
            }
        }
        for messages in in_order.values() {
            for (earlier, before) in messages {
                let at = earlier.acknowledged.as_ref().map(|(_, at)| *at);
                let later = messages.iter().filter(|(later, _)| Some(later.began) > at);
                self.out_of_order += later.filter(|(_, after)| after < before).count();
            }
        }
    }

    fn count_group(&mut self, messages: &[Item], rows: &[(String, Item)]) {
        let numbered: Vec<u64> = messages
            .iter()
            .filter(|message| message.contains_key("seq"))
            .map(|message| number(message, "seq"))
            .collect();
        self.gaps += (1..)
            .zip(&numbered)
            .filter(|(expected, found)| expected != *found)
            .count();
        let newest = &messages[messages.len() - 1];
        let shows_newest = |(_, row): &&(String, Item)| {
            ["sk", "message", "message_uuid"]
                .iter()
                .all(|name| text(row, name) == text(newest, name))
        };
        self.wrong_previews += rows.len().abs_diff(2);
        self.wrong_previews += rows.iter().filter(|row| !shows_newest(row)).count();
        for (owner, row) in rows {
            // A sender has read all earlier messages. The original's messages
            // count as read.
            let unread = messages
                .iter()
                .rev()
                .take_while(|message| text(message, "user_uuid") != owner)
                .filter(|message| message.contains_key("seq"))
                .count();
            if number(row, "unread_count") != unread as u64 {
                self.wrong_unread_counts += 1;
            }
        }
    }
}
