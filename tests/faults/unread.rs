//! Unread counts during concurrent writes and reads.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::random::draw;
use crate::harness::{Cruddur, Faults, MARK, checker, start};
use crate::load::pairs;
use crate::server::Server;

const SEND: &str = "mutation($input: CreateMessageInput!) {
    createMessage(input: $input) { ... on CreateMessageSuccess { messageEdge { node { uuid } } } }
}";
const NEWEST: &str = "query($handle: String!) {
    user(handle: $handle) { messageGroup { uuid messages(last: 3) { edges { cursor node { uuid } } } } }
}";
const UNREAD: &str =
    "{ unreadMessageGroupCount messageGroups { edges { node { uuid unreadCount } } } }";

/// A participant of a group, on one of the servers.
struct Participant<'a> {
    cruddur: &'a Cruddur,
    url: &'a str,
    handle: &'a str,
    other: &'a str,
}

impl Participant<'_> {
    /// Writes and reads for some time. Returns the UUIDs of the messages up to
    /// which the user has read.
    async fn write_and_read(&self, number: usize) -> Vec<(String, String)> {
        let mut read = Vec::new();
        for round in 0..6 {
            let body = format!("message {round} of {number}");
            let to = json!({ "receiverHandle": self.other });
            let input = json!({ "to": to, "body": body, "idempotencyKey": body });
            let sent = self.until_it_works(SEND, &json!({ "input": input })).await;
            let sent = &sent["createMessage"]["messageEdge"]["node"]["uuid"];
            read.push((
                self.handle.to_owned(),
                sent.as_str().expect("a uuid").to_owned(),
            ));

            let found = self
                .until_it_works(NEWEST, &json!({ "handle": self.other }))
                .await;
            let group = &found["user"]["messageGroup"];
            let edges = group["messages"]["edges"].as_array().expect("edges");
            let edge = &edges[draw(|random| random.usize(..edges.len()))];
            let input = json!({ "messageGroupUuid": group["uuid"], "upTo": edge["cursor"] });
            let marked = self.until_it_works(MARK, &json!({ "input": input })).await;
            let marked = &marked["markMessageGroupRead"]["__typename"];
            assert_eq!(marked, "MarkMessageGroupReadSuccess");
            let uuid = edge["node"]["uuid"].as_str().expect("a uuid");
            read.push((self.handle.to_owned(), uuid.to_owned()));
        }
        read
    }

    async fn until_it_works(&self, document: &str, variables: &Value) -> Value {
        loop {
            let request =
                self.cruddur
                    .execute_at(self.url, self.handle, document, variables.clone());
            let mut response = request.await;
            if response.get("errors").is_none() {
                return response["data"].take();
            }
            let code = &response["errors"][0]["extensions"]["code"];
            assert_eq!(code, "UNAVAILABLE", "{response}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_counts_equal_the_number_of_unread_messages() {
    let cruddur = start().await;
    let (one, other) = tokio::join!(Server::start(&cruddur), Server::start(&cruddur));
    let pairs = pairs(&cruddur, 4).await;
    cruddur.dynamo.set_faults(Faults {
        lost_after: 10,
        conflict: 10,
        ..Faults::default()
    });
    let people: Vec<_> = (0..64)
        .map(|number| {
            let [left, right] = &pairs[number % 4];
            let (handle, other_handle) = if number / 4 % 2 == 0 {
                (left, right)
            } else {
                (right, left)
            };
            Participant {
                cruddur: &cruddur,
                url: if number / 8 % 2 == 0 {
                    &one.url
                } else {
                    &other.url
                },
                handle,
                other: other_handle,
            }
        })
        .collect();

    let each = people.iter().enumerate();
    let read = join_all(each.map(|(number, person)| person.write_and_read(number)))
        .await
        .concat();

    cruddur.dynamo.set_faults(Faults::default());
    let found = checker::read(&checker::client(&cruddur.dynamo.url)).await;
    found.check();
    let mut numbers = HashMap::new();
    for (group, messages) in &found.messages {
        for message in messages {
            let place = (group.clone(), checker::number(message, "seq"));
            numbers.insert(checker::text(message, "message_uuid").to_owned(), place);
        }
    }
    let (mut counts, mut unread_messages) = (0, 0);
    for handle in pairs.iter().flatten() {
        let data = cruddur.data(handle, UNREAD, json!({})).await;
        let group = &data["messageGroups"]["edges"][0]["node"];
        let uuid = group["uuid"].as_str().expect("a uuid");
        let own = read.iter().filter(|(reader, _)| reader == handle);
        let up_to = own
            .map(|(_, message)| &numbers[message])
            .map(|(_, seq)| *seq)
            .max();
        let all = found.messages[uuid].iter();
        let unread = all
            .filter(|message| Some(checker::number(message, "seq")) > up_to)
            .count();
        assert_eq!(group["unreadCount"], unread, "{handle}");
        assert_eq!(
            data["unreadMessageGroupCount"],
            usize::from(unread > 0),
            "{handle}"
        );
        counts += 1;
        unread_messages += unread;
    }
    println!(
        "64 writers and readers: {} messages, {} marks, {counts} correct counts, {unread_messages} messages unread",
        numbers.len(),
        read.len() / 2,
    );
}
