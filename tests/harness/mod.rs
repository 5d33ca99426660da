//! Starts a complete system for each test: its own DynamoDB table, database,
//! issuer and server.

mod call;
mod capacity;
pub mod checker;
mod database;
mod dynamo_proxy;
mod events;
mod faults;
mod lagging_index;
pub mod original;
mod overtaken;
mod partially_visible;
mod pgbouncer;
mod postgres_proxy;
mod process;
pub mod random;
mod redis;
mod relay;
mod reverse_proxy;
mod serving;
mod socket;
mod wait;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cruddur::auth::{CognitoVerifier, Issuers, TokenUse};
use cruddur::clock::Clock;
use cruddur::dev::{CLIENT_ID, DynamoDb, Issuer, SigningKey, TOKEN_LIFETIME};
use cruddur::messaging::{Bus, Directory, Messaging, SeededMessage, Viewer};
use cruddur::model::{MessageBody, User};
use cruddur::schema::{Api, Introspection, Limits, SendRate};
use cruddur::server::{
    App, Bounds, Documents, Graphiql, Health, Origins, Stopped, TrustedProxies, WebApp, serve,
};
use cruddur::store::{
    AwsService, DynamoTarget, MessageStore, NewTable, NewUser, PoolSettings, UserStore,
    connect_database, connect_dynamo, endpoint_of_environment, migrate,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub use capacity::Units;
pub use database::Database;
pub use dynamo_proxy::{DynamoProxy, Loss};
pub use events::Events;
pub use faults::Faults;
pub use pgbouncer::PgBouncer;
pub use postgres_proxy::PostgresProxy;
pub use process::{Process, cruddur, free_port, signal, with_stores};
pub use redis::Redis;
pub use relay::relay;
pub use reverse_proxy::ReverseProxy;
pub use serving::Serving;
pub use socket::{OURS, Socket};
pub use wait::{TIMEOUT, wait_for, wait_until};

pub const TABLE: &str = "cruddur-messages";
/// Number of connections to Postgres of a server.
pub const DATABASE_CONNECTIONS: u32 = 4;
/// Timeout for a connection to Postgres.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a test's system.
pub struct Setup {
    pub introspection: Introspection,
    /// Time for which users are cached.
    pub users_fresh_for: Duration,
    pub token_use: TokenUse,
    pub clock: Clock,
    pub send_rate: SendRate,
    pub bounds: Bounds,
    pub graphiql: Graphiql,
    pub web_app: WebApp,
    pub documents: Documents,
    /// Whether the table contains the marker, like a table that `schema-load`
    /// creates. The original's table does not contain it.
    pub marked: bool,
    /// URL of the Redis server that connects this server to others.
    pub redis_url: Option<String>,
}

impl Setup {
    /// Settings for a test that sends many requests at the same time. On a busy machine, one of
    /// them can take longer than the default timeout.
    pub fn for_many_requests() -> Self {
        let bounds = Bounds {
            request_within: TIMEOUT,
            ..Bounds::default()
        };
        Self {
            bounds,
            ..Self::default()
        }
    }

    fn bus(&self) -> Bus {
        self.redis_url.as_ref().map_or_else(Bus::local, |url| {
            Bus::between_instances(url, TABLE).expect("an address")
        })
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            introspection: Introspection::Authenticated,
            users_fresh_for: Duration::from_secs(30),
            token_use: TokenUse::Access,
            clock: Clock::system(),
            send_rate: SendRate::new(0, 0),
            bounds: Bounds::default(),
            graphiql: Graphiql::Off,
            web_app: WebApp::Off,
            documents: Documents::default(),
            marked: false,
            redis_url: None,
        }
    }
}

/// The stores, the issuer, and servers that use them.
pub struct Cruddur {
    pub url: String,
    pub issuer: Issuer,
    pub users: UserStore,
    pub messages: MessageStore,
    pub messaging: Arc<Messaging>,
    pub dynamo: Arc<DynamoProxy>,
    pub postgres: Arc<PostgresProxy>,
    pub http: reqwest::Client,
    app: Box<App>,
    pub database: Database,
    dynamodb: Option<DynamoDb>,
}

pub async fn start() -> Cruddur {
    start_with(Setup::default()).await
}

/// Starts a system for a test that sends many requests at the same time.
pub async fn start_for_many_requests() -> Cruddur {
    start_with(Setup::for_many_requests()).await
}

pub async fn start_with(setup: Setup) -> Cruddur {
    Box::pin(start_on(Database::create().await, setup)).await
}

/// Starts a system on an existing database.
pub async fn start_on(database: Database, setup: Setup) -> Cruddur {
    let postgres = PostgresProxy::start(&database.url).await;
    let (dynamodb, dynamodb_url) = dynamodb();
    let dynamo = DynamoProxy::start(dynamodb_url).await;

    let pool = PoolSettings {
        max_connections: DATABASE_CONNECTIONS,
        acquire_timeout: ACQUIRE_TIMEOUT,
        ..PoolSettings::default()
    };
    let pool = connect_database(&postgres.url, pool)
        .await
        .expect("a database");
    migrate(&pool, None).await.expect("a migrated database");
    let users = UserStore::new(pool);
    let target = DynamoTarget::Endpoint(dynamo.url.clone());
    let messages = MessageStore::new(connect_dynamo(&target).await, TABLE.to_owned());
    messages
        .create_table(NewTable::default())
        .await
        .expect("a table");
    if setup.marked {
        messages.put_heads_marker().await.expect("a marker");
    }

    let key = SigningKey::generate().expect("a key");
    let issuer = Issuer::start(key, 0, users.clone(), Clock::system(), TOKEN_LIFETIME);
    let issuer = issuer.expect("an issuer");
    let issuers = Issuers::named(vec![issuer.url().to_owned()]).expect("an issuer");
    let clients = HashSet::from([CLIENT_ID.to_owned()]);
    let directory = Directory::new(users.clone(), setup.users_fresh_for);
    let bus = setup.bus();
    let messaging = Messaging::new(messages.clone(), directory, setup.clock, bus);
    let app = App {
        api: Api::new(setup.introspection, Limits::default()).expect("a valid schema"),
        messaging: messaging.clone(),
        verifier: CognitoVerifier::start(&issuers, clients, setup.token_use),
        health: Health::new(messages.clone(), users.clone()),
        documents: setup.documents,
        graphiql: setup.graphiql,
        web_app: setup.web_app,
        origins: Origins {
            named: vec!["https://cruddur.example".parse().expect("an origin")],
            ..Origins::default()
        },
        trusted_proxies: TrustedProxies::default(),
        send_rate: setup.send_rate,
        bounds: setup.bounds,
    };
    Cruddur {
        url: listen(app.clone()).await,
        issuer,
        users,
        messages,
        messaging,
        dynamo,
        postgres,
        http: reqwest::Client::new(),
        app: Box::new(app),
        database,
        dynamodb,
    }
}

/// Returns the DynamoDB that the environment names, such as DynamoDB Local, or
/// else starts an embedded one.
fn dynamodb() -> (Option<DynamoDb>, String) {
    let named = endpoint_of_environment(AwsService::DynamoDb).expect("an address");
    if let Some(endpoint) = named {
        assert!(endpoint.is_loopback(), "tests write only to this machine");
        return (None, endpoint.url);
    }
    let dynamodb = DynamoDb::start(None, 0).expect("an embedded DynamoDB");
    let url = dynamodb.url();
    (Some(dynamodb), url)
}

async fn listen(app: App) -> String {
    let (url, _) = listen_until(app, std::future::pending()).await;
    url
}

async fn listen_until(
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> (String, JoinHandle<std::io::Result<Stopped>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = tokio::spawn(serve(listener, app, shutdown));
    (url, served)
}

impl Cruddur {
    /// Returns the components of the server.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Starts another server on the same stores that shares no memory with the
    /// first.
    pub async fn second_server(&self, setup: Setup) -> String {
        listen(self.second_app(setup)).await
    }

    /// Starts another server that runs until `shutdown` resolves.
    pub async fn server_until(
        &self,
        setup: Setup,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> (String, JoinHandle<std::io::Result<Stopped>>) {
        listen_until(self.second_app(setup), shutdown).await
    }

    fn second_app(&self, setup: Setup) -> App {
        let directory = Directory::new(self.users.clone(), setup.users_fresh_for);
        let bus = setup.bus();
        let messaging = Messaging::new(self.messages.clone(), directory, setup.clock, bus);
        App {
            messaging,
            documents: setup.documents,
            bounds: setup.bounds,
            send_rate: setup.send_rate,
            ..(*self.app).clone()
        }
    }

    /// Creates users with the Cognito IDs `sub-<handle>`.
    pub async fn users<const N: usize>(&self, handles: [&str; N]) -> [User; N] {
        let new = handles.map(|handle| NewUser {
            handle: handle.to_owned(),
            display_name: format!("{handle} the user"),
            email: format!("{handle}@example.com"),
            cognito_user_id: Some(format!("sub-{handle}")),
        });
        self.users.create_missing(&new).await.expect("users");
        let mut users = Vec::new();
        for handle in handles {
            users.extend(
                self.users
                    .users_by_handle(&[handle.to_owned()])
                    .await
                    .expect("a user"),
            );
        }
        users.try_into().expect("a user for each handle")
    }

    /// Writes messages "message 1", "message 2", …, one minute apart, by both
    /// users alternately.
    pub async fn seed(&self, pair: [&User; 2], start: &str, count: u32) {
        let start: chrono::DateTime<chrono::Utc> = start.parse().expect("a time");
        let messages: Vec<SeededMessage> = (0..count)
            .map(|number| SeededMessage {
                by_first: number % 2 == 0,
                body: MessageBody::parse(format!("message {}", number + 1)).expect("a body"),
                at: start + chrono::TimeDelta::minutes(number.into()),
            })
            .collect();
        self.messaging
            .seeder
            .seed(pair, &messages)
            .await
            .expect("a conversation");
    }

    /// Returns the viewer of a user.
    pub async fn viewer(&self, handle: &str) -> Viewer {
        let users = self.messaging.directory.loader();
        let viewer = Viewer::find(&users, &format!("sub-{handle}")).await;
        viewer.expect("Postgres").expect("a user")
    }

    pub fn token(&self, handle: &str) -> String {
        self.issuer
            .token(&format!("sub-{handle}"))
            .expect("a token")
    }

    /// Returns whether the DynamoDB is the embedded one, whose pages have one
    /// megabyte before filter and projection, like those of AWS. DynamoDB Local
    /// measures pages after filter and projection.
    pub fn has_embedded_dynamodb(&self) -> bool {
        self.dynamodb.is_some()
    }

    pub async fn execute(&self, handle: &str, document: &str, variables: Value) -> Value {
        self.execute_at(&self.url, handle, document, variables)
            .await
    }

    pub async fn execute_at(
        &self,
        url: &str,
        handle: &str,
        document: &str,
        variables: Value,
    ) -> Value {
        let body = json!({ "query": document, "variables": variables });
        self.post(url, handle, &body).await
    }

    /// Sends a document as a user, and executes one of its operations.
    pub async fn execute_operation(&self, handle: &str, document: &str, operation: &str) -> Value {
        let body = json!({ "query": document, "operationName": operation });
        self.post(&self.url, handle, &body).await
    }

    async fn post(&self, url: &str, handle: &str, body: &Value) -> Value {
        let token = self.token(handle);
        let request = self
            .http
            .post(format!("{url}/graphql"))
            .bearer_auth(token)
            .json(body);
        let response = request.send().await.expect("a response");
        response.json().await.expect("JSON")
    }

    /// Sends a document that must succeed, and returns its data.
    pub async fn data(&self, handle: &str, document: &str, variables: Value) -> Value {
        let mut response = self.execute(handle, document, variables).await;
        assert_eq!(response.get("errors"), None, "{document}");
        response["data"].take()
    }

    /// Sends a message to a handle. Returns the result of the mutation.
    pub async fn send(&self, from: &str, to: &str, body: &str) -> Value {
        let input = json!({ "input": { "to": { "receiverHandle": to }, "body": body } });
        self.data(from, CREATE, input).await["createMessage"].take()
    }

    /// Starts a subscription to a user's new messages, and waits until it is
    /// active: after its second read of the user's rows, it delivers every
    /// message that is committed.
    pub async fn subscribed<T>(&self, start: impl Future<Output = T>) -> T {
        self.dynamo.calls();
        let started = start.await;
        for _ in 0..2 {
            self.dynamo.executed("Query strong").await;
        }
        started
    }

    /// Returns the UUID of the group of two users.
    pub async fn group_uuid(&self, handle: &str, other: &str) -> String {
        let document =
            "query($handle: String!) { user(handle: $handle) { messageGroup { uuid } } }";
        let data = self
            .data(handle, document, json!({ "handle": other }))
            .await;
        data["user"]["messageGroup"]["uuid"]
            .as_str()
            .expect("a group")
            .to_owned()
    }
}

pub const MARK: &str = "mutation($input: MarkMessageGroupReadInput!) { markMessageGroupRead(input: $input) { __typename } }";

pub const CREATE: &str = "
    mutation($input: CreateMessageInput!) {
        createMessage(input: $input) {
            __typename
            ... on CreateMessageSuccess {
                messageEdge { cursor node { id uuid body createdAt sender { handle } messageGroup { uuid } } }
                messageGroupEdge { cursor node { uuid otherUser { handle } lastMessage { body } lastMessageAt } }
            }
            ... on InvalidMessageBody { maxLength length }
            ... on Problem { message }
        }
    }";

/// Returns the bodies of a connection's messages.
pub fn bodies(connection: &Value) -> Vec<&str> {
    let edges = connection["edges"].as_array().expect("edges");
    edges
        .iter()
        .map(|edge| edge["node"]["body"].as_str().expect("a body"))
        .collect()
}

/// Returns "message 3", "message 4", … for the given numbers.
pub fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| format!("message {number}"))
        .collect()
}
