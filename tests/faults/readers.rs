//! Readers that page through groups and messages during writes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::Cruddur;
use crate::harness::checker::{TableItems, text};
use crate::harness::random::draw;
use crate::load::Load;

const GROUPS: &str = "query($first: Int!) {
    messageGroups(first: $first) { edges { node { uuid lastMessage { uuid } } } }
}";
const MESSAGES: &str =
    "query($group: UUID!, $first: Int, $after: String, $last: Int, $before: String) {
    messages(messageGroupUuid: $group, first: $first, after: $after, last: $last, before: $before) {
        edges { node { uuid } }
        pageInfo { hasPreviousPage hasNextPage startCursor endCursor }
    }
}";

/// The pages of a group that a reader got.
struct PagedRead {
    group: String,
    /// Uuids of messages, oldest first.
    shown: Vec<String>,
    /// Whether they include the first message of the group.
    from_the_first: bool,
}

/// The pages that all readers got.
#[derive(Default)]
pub struct ReadResults {
    reads: Vec<PagedRead>,
    /// Number of lists of groups.
    lists: usize,
    /// Number of groups that were in a list twice.
    duplicates: usize,
    /// Number of groups that were in a list, but in neither of the next two.
    missing: usize,
}

/// Counts of errors that readers must never see.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReadErrors {
    /// The positions of each sequence of pages that lacks a message at its start
    /// or between two others.
    gaps: Vec<Vec<usize>>,
    duplicate_groups: usize,
    missing_groups: usize,
}

impl ReadResults {
    /// Reads as each user in turn, until the load has ended.
    pub async fn while_written(cruddur: &Cruddur, load: &Load, readers: &[String]) -> Self {
        let readers = readers
            .iter()
            .enumerate()
            .map(|(number, reader)| Reader::new(cruddur, load, reader, number).read());
        let mut results = Self::default();
        for part in join_all(readers).await {
            results.reads.extend(part.reads);
            results.lists += part.lists;
            results.duplicates += part.duplicates;
            results.missing += part.missing;
        }
        results
    }

    /// Prints the number of reads, and fails unless the readers got lists and
    /// pages, all of which agree with the final table.
    pub fn assert_correct(&self, found: &TableItems) {
        let errors = self.read_errors(found);
        let (lists, pages) = (self.lists, self.reads.len());
        println!("{lists} lists, {pages} paged reads: {errors:?}");
        assert_eq!(errors, ReadErrors::default());
        assert!(lists > 0 && pages > 0);
    }

    /// Compares the pages with the final table.
    fn read_errors(&self, found: &TableItems) -> ReadErrors {
        let mut places: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
        for (group, messages) in &found.messages {
            let uuids = messages.iter().map(|message| text(message, "message_uuid"));
            let uuids = uuids.enumerate().map(|(place, uuid)| (uuid, place));
            places.insert(group, uuids.collect());
        }
        let gap = |read: &PagedRead| {
            let places = &places[read.group.as_str()];
            let shown: Vec<usize> = read
                .shown
                .iter()
                .map(|uuid| places[uuid.as_str()])
                .collect();
            let begin = match shown.first() {
                Some(first) if !read.from_the_first => *first,
                _ => 0,
            };
            let is_whole = shown.iter().copied().eq(begin..begin + shown.len());
            (!is_whole).then_some(shown)
        };
        ReadErrors {
            gaps: self.reads.iter().filter_map(gap).collect(),
            duplicate_groups: self.duplicates,
            missing_groups: self.missing,
        }
    }
}

/// A user that reads.
struct Reader<'a> {
    cruddur: &'a Cruddur,
    load: &'a Load,
    token: String,
    /// Page size, different for each reader, so that no two readers send the
    /// same request.
    page: usize,
    /// Groups of the last list and of the one before.
    known: [HashSet<String>; 2],
    results: ReadResults,
}

impl<'a> Reader<'a> {
    fn new(cruddur: &'a Cruddur, load: &'a Load, handle: &str, number: usize) -> Self {
        Self {
            cruddur,
            load,
            token: cruddur.token(handle),
            page: 5 + number,
            known: Default::default(),
            results: ReadResults::default(),
        }
    }

    async fn read(mut self) -> ReadResults {
        while !self.load.stop.load(Ordering::Relaxed) {
            let groups = self.list().await;
            let Some(group) = draw(|random| random.choice(&groups)) else {
                continue;
            };
            match draw(|random| random.u8(..4)) {
                0 => self.page_back(group).await,
                _ => self.catch_up(group).await,
            }
            self.load.rest().await;
        }
        self.results
    }

    /// Returns a field of the response, if there is a response.
    async fn execute(&self, document: &str, variables: Value) -> Option<Value> {
        let url = format!("{}/graphql", self.load.one_url());
        let request = self.cruddur.http.post(url).bearer_auth(&self.token);
        let variables = json!({ "query": document, "variables": variables });
        let mut response: Value = request
            .json(&variables)
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()?;
        let field = response["data"]
            .as_object_mut()?
            .values_mut()
            .next()?
            .take();
        (!field.is_null()).then_some(field)
    }

    async fn list(&mut self) -> Vec<String> {
        // All groups of a test.
        let first = 60 + self.page;
        let Some(response) = self.execute(GROUPS, json!({ "first": first })).await else {
            return Vec::new();
        };
        let edges = response["edges"].as_array().expect("edges");
        let uuids = edges.iter().map(|edge| word(&edge["node"]["uuid"]));
        let uuids: Vec<String> = uuids.collect();
        let now: HashSet<String> = uuids.iter().cloned().collect();
        let [last, before] = &self.known;
        self.results.lists += 1;
        self.results.duplicates += uuids.len() - now.len();
        self.results.missing += before
            .iter()
            .filter(|group| !last.contains(*group) && !now.contains(*group))
            .count();
        let last = std::mem::replace(&mut self.known[0], now);
        self.known[1] = last;
        uuids
    }

    /// Pages from the newest message back to the first.
    async fn page_back(&mut self, group: &str) {
        let mut shown = Vec::new();
        let mut before = Value::Null;
        loop {
            let variables = json!({ "group": group, "last": self.page, "before": before });
            let Some(mut page) = self.execute(MESSAGES, variables).await else {
                return;
            };
            shown.splice(..0, uuids(&page));
            before = page["pageInfo"]["startCursor"].take();
            if page["pageInfo"]["hasPreviousPage"] == false {
                self.record(group, shown, true);
                return;
            }
        }
    }

    /// Pages forward from some messages before the newest, like a client that
    /// resumes.
    async fn catch_up(&mut self, group: &str) {
        let variables = json!({ "group": group, "last": self.page });
        let Some(mut page) = self.execute(MESSAGES, variables).await else {
            return;
        };
        let mut shown: Vec<String> = uuids(&page).collect();
        for round in 0..10 {
            let side = if round % 2 == 0 { "first" } else { "last" };
            let after = page["pageInfo"]["endCursor"].take();
            let variables = json!({ "group": group, side: 50 + self.page, "after": after });
            match self.execute(MESSAGES, variables).await {
                Some(next)
                    if next["edges"]
                        .as_array()
                        .is_some_and(|edges| !edges.is_empty()) =>
                {
                    shown.extend(uuids(&next));
                    page = next;
                }
                _ => break,
            }
        }
        self.record(group, shown, false);
    }

    fn record(&mut self, group: &str, shown: Vec<String>, from_the_first: bool) {
        let group = group.to_owned();
        self.results.reads.push(PagedRead {
            group,
            shown,
            from_the_first,
        });
    }
}

fn word(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn uuids(page: &Value) -> impl Iterator<Item = String> + use<> {
    let edges = page["edges"].as_array().expect("edges");
    let uuids: Vec<String> = edges
        .iter()
        .map(|edge| word(&edge["node"]["uuid"]))
        .collect();
    uuids.into_iter()
}
