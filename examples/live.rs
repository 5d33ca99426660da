//! Measures thousands of subscriptions on one server: the memory of each, and the time from the
//! sender's response to the delivery of a message. Also measures the memory of other connections
//! (`--connection`).

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests share this module, and the example uses a part of it"
)]
#[path = "../tests/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "only the tests kill and freeze the server")]
#[path = "../tests/faults/server.rs"]
mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use cruddur::store::NewUser;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use harness::{CREATE, Cruddur, Events, Socket, start};
use server::Server;

const CREATED: &str = "subscription { messageCreated { messageEdge { node { body } } } }";
/// Number of connections of each user.
const OF_EACH: usize = 5;

#[derive(Parser)]
struct Options {
    /// Number of connections
    #[arg(long, default_value_t = 5000)]
    subscriptions: usize,
    /// What each connection is
    #[arg(long, value_enum, default_value_t = Connection::WebSocket)]
    connection: Connection,
    /// Messages per second
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Duration in seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Connection {
    /// A WebSocket with a subscription
    WebSocket,
    /// A WebSocket without operations
    IdleWebSocket,
    /// A subscription with server-sent events
    EventStream,
}

/// The times of delivery of a message to its subscribers.
type Arrivals = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let files = options.subscriptions as u64 + 1000;
    rlimit::increase_nofile_limit(files).expect("so many files");
    let cruddur = start().await;
    let server = Server::start(&cruddur).await;
    let users = options.subscriptions / OF_EACH;
    make_users(&cruddur, users).await;
    // Connections to the stores are open before the memory is measured.
    cruddur
        .execute_at(&server.url, "user-0", "{ viewer { handle } }", json!({}))
        .await;
    let before = server.resident_kilobytes().unwrap_or(0);

    let arrivals = Arrivals::default();
    let began = Instant::now();
    let mut event_streams = Vec::new();
    for number in 0..options.subscriptions {
        let user = handle(number % users);
        if options.connection == Connection::EventStream {
            let (url, body) = (
                format!("{}/graphql", server.url),
                json!({ "query": CREATED }),
            );
            event_streams.push(Events::open(&cruddur, &url, "live", &user, &body).await);
            continue;
        }
        let mut socket = Socket::connect(&server.url, &cruddur.token(&user)).await;
        if options.connection == Connection::WebSocket {
            socket.subscribe("live", CREATED, json!({})).await;
        }
        tokio::spawn(read(socket, Arc::clone(&arrivals)));
    }
    let count = options.subscriptions;
    println!("{count} connections in {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = server.resident_kilobytes().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a few megabytes")]
    let each = (after - before) as f64 / options.subscriptions as f64;
    println!("memory: {before} kB before, {after} kB with them: {each:.1} kB each");
    if options.connection != Connection::WebSocket {
        return;
    }

    let responses = send(&cruddur, &server, users, &options).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    report(&responses, &arrivals.lock().expect("no panic"));
}

fn handle(number: usize) -> String {
    format!("user-{number}")
}

async fn make_users(cruddur: &Cruddur, count: usize) {
    let users = (0..count).map(|number| NewUser {
        handle: handle(number),
        display_name: handle(number),
        email: format!("{}@example.com", handle(number)),
        cognito_user_id: Some(format!("sub-{}", handle(number))),
    });
    let users: Vec<_> = users.collect();
    cruddur.users.create_missing(&users).await.expect("users");
}

/// Reads until the connection ends, like a client. Reading also answers pings.
async fn read(mut socket: Socket, arrivals: Arrivals) {
    loop {
        match socket.frame_at_last().await {
            Some(Message::Text(text)) => {
                let now = Instant::now();
                let message: Value = serde_json::from_str(&text).expect("JSON");
                let event = &message["payload"]["data"]["messageCreated"];
                let body = event["messageEdge"]["node"]["body"]
                    .as_str()
                    .expect("a body");
                let mut arrivals = arrivals.lock().expect("no panic");
                arrivals.entry(body.to_owned()).or_default().push(now);
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Returns the time of the response to each message. A hundred pairs of users
/// send in turn.
async fn send(
    cruddur: &Cruddur,
    server: &Server,
    users: usize,
    options: &Options,
) -> HashMap<String, Instant> {
    let count = u64::from(options.rate) * options.seconds;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.rate);
    let mut sending = Vec::new();
    for number in 0..count {
        ticks.tick().await;
        let pair = usize::try_from(number % 100).expect("less than 100") * 2;
        let (from, to) = (handle(pair % users), handle((pair + 1) % users));
        let body = format!("message {number}");
        let input = json!({ "to": { "receiverHandle": to }, "body": body });
        let request = json!({ "query": CREATE, "variables": { "input": input } });
        let request = cruddur
            .http
            .post(format!("{}/graphql", server.url))
            .bearer_auth(cruddur.token(&from))
            .json(&request);
        sending.push(tokio::spawn(async move {
            let response = request.send().await.expect("a response");
            let answered = Instant::now();
            let response: Value = response.json().await.expect("JSON");
            let created = &response["data"]["createMessage"]["messageEdge"];
            assert!(created.is_object(), "{response}");
            (body, answered)
        }));
    }
    let mut responses = HashMap::new();
    for sent in sending {
        let (body, answered) = sent.await.expect("no panic");
        responses.insert(body, answered);
    }
    responses
}

fn report(responses: &HashMap<String, Instant>, arrivals: &HashMap<String, Vec<Instant>>) {
    let mut delays = Vec::new();
    let mut missing = 0;
    for (body, answered) in responses {
        let came = arrivals.get(body).map_or(&[][..], Vec::as_slice);
        missing += 2 * OF_EACH - came.len();
        // Some are delivered before the sender gets the response.
        let delay = |came: &Instant| {
            came.saturating_duration_since(*answered).as_secs_f64()
                - answered.saturating_duration_since(*came).as_secs_f64()
        };
        delays.extend(came.iter().map(delay));
    }
    delays.sort_by(f64::total_cmp);
    let at = |part: usize| delays[(delays.len() - 1) * part / 100] * 1000.0;
    println!(
        "{} messages, {} events, {missing} missing; from the answer to the event: median {:.1} ms, 99th percentile {:.1} ms, longest {:.1} ms",
        responses.len(),
        delays.len(),
        at(50),
        at(99),
        at(100),
    );
}
