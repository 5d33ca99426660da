//! `cruddur` as `serve` builds it, with the simulated DynamoDB.

use std::collections::HashSet;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use cruddur::auth::{CognitoVerifier, Issuers, TokenUse};
use cruddur::clock::Clock;
use cruddur::messaging::{Bus, Directory, Messaging};
use cruddur::model::{User, UserId};
use cruddur::schema::{Api, Introspection, Limits, SendRate};
use cruddur::server::{
    App, Bounds, Documents, Graphiql, Health, Origins, TrustedProxies, WebApp, router as routes,
};
use cruddur::store::{DynamoTarget, MessageStore, UserStore, connect_dynamo};
use serde_json::json;

use super::AnyError;
use super::dynamodb::{OTHERS, Replay, display_name, group, handle, user};
use super::sign_in::{CLIENT, ISSUER, VIEWER, key_set_url, token};

const W1: &str = "{messageGroups(first:20){edges{node{uuid lastMessageAt otherUser{handle displayName} \
    lastMessage{body sender{handle}}}}}}";
const W2: &str = "query($g:UUID!){messages(messageGroupUuid:$g,last:20){edges{node{uuid body createdAt \
    sender{handle displayName}}}}}";
const W3: &str = "mutation($g:UUID!,$b:String!){createMessage(input:{to:{messageGroupUuid:$g},body:$b}){\
    ...on CreateMessageSuccess{message:messageEdge{node{uuid body createdAt}} \
    messageGroup:messageGroupEdge{node{uuid lastMessageAt}}}}}";

/// Returns a request of a workload.
pub fn request(workload: &str, number: u64) -> Result<Request<Body>, AnyError> {
    let asked = match workload {
        "W1" => json!({ "query": W1, "variables": {} }),
        "W2" => json!({ "query": W2, "variables": { "g": group(1) } }),
        _ => json!({
            "query": W3,
            "variables": { "g": group(1), "b": format!("message {number} of the benchmark") },
        }),
    };
    let request = Request::post("/graphql")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, format!("Bearer {}", token()?));
    Ok(request.body(Body::from(asked.to_string()))?)
}

/// Returns the routes of the service.
pub async fn router() -> Result<Router, AnyError> {
    let target = DynamoTarget::Endpoint("http://127.0.0.1:8000".to_owned());
    let client = connect_dynamo(&target).await;
    let replayed = client.config().to_builder().http_client(Replay::new());
    let client = Client::from_conf(replayed.build());
    let messages = MessageStore::new(client, "cruddur-messages".to_owned());
    // All users are cached.
    let users = UserStore::failing();
    let directory = Directory::new(users.clone(), Duration::from_hours(24));
    for number in 0..=OTHERS {
        let sub = if number == 0 {
            VIEWER.to_owned()
        } else {
            handle(number)
        };
        let known = User {
            id: UserId(user(number)),
            handle: handle(number),
            display_name: display_name(number),
        };
        directory.insert(&sub, known);
    }
    let issuers = Issuers::of_issuer(ISSUER.to_owned())
        .with_jwks_urls(&[key_set_url()?])
        .map_err(|_| "one issuer has one key set")?;
    let clients = HashSet::from([CLIENT.to_owned()]);
    Ok(routes(App {
        api: Api::new(Introspection::Authenticated, Limits::default()).expect("a valid schema"),
        documents: Documents::default(),
        health: Health::new(messages.clone(), users),
        messaging: Messaging::new(messages, directory, Clock::system(), Bus::local()),
        verifier: CognitoVerifier::start(&issuers, clients, TokenUse::Access),
        graphiql: Graphiql::Off,
        web_app: WebApp::Off,
        origins: Origins::default(),
        trusted_proxies: TrustedProxies::default(),
        send_rate: SendRate::new(0, 0),
        bounds: Bounds::default(),
    }))
}
