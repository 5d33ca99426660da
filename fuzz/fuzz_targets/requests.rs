//! Any bytes as a request: its `Accept`, its content type, and its query string
//! or its body. Whatever it is, it is answered, and not by a fault of ours.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run requests -- -max_len=65536 -len_control=0
//! -timeout=2 -rss_limit_mb=512`
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderValue, Request};
use cruddur::auth::{CognitoVerifier, Issuers, KeyCache, TokenUse};
use cruddur::clock::Clock;
use cruddur::graphql::{Api, Introspection, Limits, SendRate};
use cruddur::messaging::{Bus, Directory, Messaging};
use cruddur::server::{App, Bounds, Documents, Graphiql, Health, Origins, router};
use cruddur::store::{
    DynamoTarget, MessageStore, PoolSettings, UserStore, connect_database_lazily, connect_dynamo,
};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use tower::ServiceExt;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
