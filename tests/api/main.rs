//! Tests of the API over HTTP, and of the commands as processes, with an
//! embedded DynamoDB, a real PostgreSQL and the local token issuer.

#[allow(
    dead_code,
    unused_imports,
    reason = "two test binaries share this module, and each uses a part of it"
)]
#[path = "../harness/mod.rs"]
mod harness;
use harness::original;

mod accept;
mod adoption;
mod aws_failures;
mod check;
mod check_accepted;
mod check_capacity;
mod check_marker;
mod check_participants;
mod check_stream;
mod commands;
mod concurrency;
mod connections;
mod cors;
mod cost;
mod create_message;
mod created_at;
mod database;
mod documents;
mod drain;
mod embed;
mod errors;
mod event_cursor;
mod event_stream;
mod graphiql;
mod heads_marker;
mod hostile;
mod http;
mod issuer;
mod keys;
mod limits;
mod live;
mod membership;
mod message_groups;
mod messages;
mod migration;
mod operator;
mod overload;
mod policies;
mod pooler;
mod properties;
mod proxies;
mod response_memory;
mod scaling;
mod schema;
mod settings;
mod sign_in;
mod stores;
mod telemetry;
mod tls;
mod unread;
mod users;
mod web_app;
mod websocket;
