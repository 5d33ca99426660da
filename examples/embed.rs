//! The API as one route of another axum application, served by `async-graphql-axum`.
//!
//! The application decides who the viewer is, and adds a [`Session`] to each request. The API's
//! engine is an async-graphql executor like any other.
//!
//! `cargo run --example embed` serves it with an embedded DynamoDB and a private PostgreSQL, and
//! prints a request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Executor;
use async_graphql_axum::{GraphQLRequest, GraphQLResponse};
use axum::Router;
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use cruddur::auth::{Caller, CognitoVerifier, Issuers, TokenUse};
use cruddur::clock::Clock;
use cruddur::dev::{CLIENT_ID, DataDir, DynamoDb, Issuer, Postgres, SigningKey, TOKEN_LIFETIME};
use cruddur::messaging::{Bus, Directory, Messaging, Viewer};
use cruddur::schema::{Api, Introspection, Limits, SendRate, Session};
use cruddur::store::{
    DynamoTarget, MessageStore, NewTable, NewUser, PoolSettings, UserStore, connect_database,
    connect_dynamo, create_database, migrate,
};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Deadline of a request.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The components of the API.
#[derive(Clone)]
pub struct Application {
    /// The schema.
    pub api: Api,
    /// The rules and the stores.
    pub messaging: Arc<Messaging>,
    /// The verifier of tokens.
    pub verifier: CognitoVerifier,
    /// The rate limit of each caller.
    pub send_rate: SendRate,
}

/// The application's routes: a page of its own, and the API.
pub fn routes(application: Application) -> Router {
    Router::new()
        .route("/", get(async || "an application with direct messages\n"))
        .route("/messages/graphql", post(graphql))
        .with_state(application)
}

async fn graphql(
    State(application): State<Application>,
    headers: HeaderMap,
    request: GraphQLRequest,
) -> Result<GraphQLResponse, StatusCode> {
    let session = application.session(&headers).await?;
    let request = request.into_inner().data(session);
    Ok(application.api.engine().execute(request).await.into())
}

impl Application {
    /// Returns the session of a request from its bearer token.
    async fn session(&self, headers: &HeaderMap) -> Result<Session, StatusCode> {
        let authorization = headers
            .get(AUTHORIZATION)
            .and_then(|text| text.to_str().ok());
        let token = authorization.and_then(|text| text.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let caller = self.verifier.verify(token).await;
        let Ok(Caller::SignedIn { sub, .. }) = caller else {
            return Err(StatusCode::UNAUTHORIZED);
        };
        let users = self.messaging.directory.loader();
        let viewer = Viewer::find(&users, &sub).await;
        let viewer = viewer.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        let viewer = viewer.ok_or(StatusCode::FORBIDDEN)?;
        Ok(Session::new(
            self.messaging.clone(),
            users,
            Some(viewer),
            self.send_rate.clone(),
            Instant::now() + TIME_LIMIT,
        ))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = DataDir::temporary()?;
    let postgres = Postgres::start(&data, 0)?;
    let users = users(&postgres.url("embed")).await?;
    let dynamodb = DynamoDb::start(None, 0)?;
    let target = DynamoTarget::Endpoint(dynamodb.url());
    let messages = MessageStore::new(connect_dynamo(&target).await, "embed".to_owned());
    messages.create_table(NewTable::default()).await?;
    let directory = Directory::new(users.clone(), Duration::from_secs(30));
    let issuer = Issuer::start(
        SigningKey::generate()?,
        0,
        users,
        Clock::system(),
        TOKEN_LIFETIME,
    )?;
    let issuers = Issuers::named(vec![issuer.url().to_owned()]).ok_or("an issuer has a URL")?;
    let clients = HashSet::from([CLIENT_ID.to_owned()]);
    let application = Application {
        api: Api::new(Introspection::Authenticated, Limits::default())?,
        messaging: Messaging::new(messages, directory, Clock::system(), Bus::local()),
        verifier: CognitoVerifier::start(&issuers, clients, TokenUse::Access),
        send_rate: SendRate::new(10, 50),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!(
        "curl http://{}/messages/graphql -H 'content-type: application/json' \\\n  \
         -H 'authorization: Bearer {}' \\\n  -d '{{\"query\": \"{{ viewer {{ handle }} }}\"}}'",
        listener.local_addr()?,
        issuer.token("sub-luu")?,
    );
    Ok(axum::serve(listener, routes(application)).await?)
}

/// Creates a database with one user.
async fn users(url: &str) -> Result<UserStore, Box<dyn std::error::Error>> {
    create_database(url).await?;
    let pool = PoolSettings {
        max_connections: 4,
        acquire_timeout: TIME_LIMIT,
        ..PoolSettings::default()
    };
    let pool = connect_database(url, pool).await?;
    migrate(&pool, None).await?;
    let users = UserStore::new(pool);
    let luu = NewUser {
        handle: "luu".to_owned(),
        display_name: "Luu".to_owned(),
        email: "luu@example.com".to_owned(),
        cognito_user_id: Some("sub-luu".to_owned()),
    };
    users.create_missing(&[luu]).await?;
    Ok(users)
}
