//! Writers that send each message until it is acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cruddur::store::NewUser;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::random::draw;
use crate::harness::{CREATE, Cruddur, TIMEOUT};

/// A message that a writer has sent.
#[derive(Clone, Debug)]
pub struct SentMessage {
    pub body: String,
    pub began: Instant,
    /// The UUID of the message, and the time of the acknowledgement.
    pub acknowledged: Option<(String, Instant)>,
    /// Number of attempts.
    pub attempts: u32,
}

/// The writers and their messages.
#[derive(Clone)]
pub struct Load {
    /// Servers. Each attempt uses a different one.
    pub urls: Arc<Mutex<Vec<String>>>,
    pub pairs: Vec<[String; 2]>,
    /// Uuids of the pairs' groups, if known: half of the messages are sent to
    /// the group instead of the receiver.
    pub groups: Vec<String>,
    pub writers: usize,
    pub messages: usize,
    /// Pause of each writer and reader between two requests.
    pub pause: Duration,
    pub stop: Arc<AtomicBool>,
}

impl Load {
    pub fn new(
        urls: Vec<String>,
        pairs: Vec<[String; 2]>,
        writers: usize,
        messages: usize,
    ) -> Self {
        Self {
            urls: Arc::new(Mutex::new(urls)),
            pairs,
            groups: Vec::new(),
            writers,
            messages,
            pause: Duration::ZERO,
            stop: Arc::default(),
        }
    }

    /// Sends all messages.
    pub async fn run(&self, cruddur: &Cruddur) -> Vec<SentMessage> {
        let writers = (0..self.writers).map(|writer| self.write(cruddur, writer));
        join_all(writers).await.concat()
    }

    /// Returns one of the servers.
    pub fn one_url(&self) -> String {
        let urls = self.urls.lock().expect("no panic");
        urls[draw(|random| random.usize(..urls.len()))].clone()
    }

    pub async fn rest(&self) {
        tokio::time::sleep(self.pause.mul_f64(2.0 * draw(fastrand::Rng::f64))).await;
    }

    async fn write(&self, cruddur: &Cruddur, writer: usize) -> Vec<SentMessage> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            .build()
            .expect("a client");
        let mut sent = Vec::new();
        let [one, other] = &self.pairs[writer % self.pairs.len()];
        let tokens = [one, other].map(|handle| cruddur.token(handle));
        for number in 0..self.messages {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let [one_token, other_token] = &tokens;
            let (token, to) = if (writer / self.pairs.len() + number).is_multiple_of(2) {
                (one_token, other)
            } else {
                (other_token, one)
            };
            let body = format!("message {number} of writer {writer}");
            let to = match self.groups.get(writer % self.pairs.len()) {
                Some(group) if draw(fastrand::Rng::bool) => json!({ "messageGroupUuid": group }),
                _ => json!({ "receiverHandle": to }),
            };
            sent.push(self.send(&client, token, to, body).await);
            self.rest().await;
        }
        sent
    }

    /// Sends a message with an idempotency key until it is acknowledged.
    async fn send(
        &self,
        client: &reqwest::Client,
        token: &str,
        to: Value,
        body: String,
    ) -> SentMessage {
        let input = json!({ "to": to, "body": body, "idempotencyKey": body });
        let request = json!({ "query": CREATE, "variables": { "input": input } });
        let mut sent = SentMessage {
            body,
            began: Instant::now(),
            acknowledged: None,
            attempts: 0,
        };
        while sent.acknowledged.is_none() && sent.began.elapsed() < TIMEOUT {
            let url = self.one_url();
            sent.attempts += 1;
            let attempt = client.post(format!("{url}/graphql")).bearer_auth(token);
            if let Some(uuid) = acknowledged(attempt.json(&request)).await {
                sent.acknowledged = Some((uuid, Instant::now()));
            } else {
                tokio::time::sleep(Duration::from_millis(draw(|random| random.u64(5..100)))).await;
            }
        }
        sent
    }
}

/// Returns the UUID of the message if the response acknowledges it.
async fn acknowledged(request: reqwest::RequestBuilder) -> Option<String> {
    let response: Value = request.send().await.ok()?.json().await.ok()?;
    let created = &response["data"]["createMessage"];
    let uuid = created["messageEdge"]["node"]["uuid"].as_str();
    // No message of this load is invalid, so a rejection is an error of the
    // server.
    assert!(
        created.is_null() || uuid.is_some(),
        "a message was rejected: {response}"
    );
    Some(uuid?.to_owned())
}

/// Creates pairs of users.
pub async fn pairs(cruddur: &Cruddur, count: usize) -> Vec<[String; 2]> {
    let pair = |number| [format!("left-{number}"), format!("right-{number}")];
    make(cruddur, (0..count).map(pair).collect()).await
}

/// Creates pairs of users that all contain the same user.
pub async fn star(cruddur: &Cruddur, count: usize) -> Vec<[String; 2]> {
    let pair = |number| ["hub".to_owned(), format!("right-{number}")];
    make(cruddur, (0..count).map(pair).collect()).await
}

async fn make(cruddur: &Cruddur, pairs: Vec<[String; 2]>) -> Vec<[String; 2]> {
    let handles: BTreeSet<&String> = pairs.iter().flatten().collect();
    let new = handles.into_iter().map(|handle| NewUser {
        handle: handle.clone(),
        display_name: handle.clone(),
        email: format!("{handle}@example.com"),
        cognito_user_id: Some(format!("sub-{handle}")),
    });
    let users: Vec<NewUser> = new.collect();
    cruddur.users.create_missing(&users).await.expect("users");
    pairs
}
