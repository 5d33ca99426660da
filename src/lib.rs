//! Direct messages of the Cruddur app: a GraphQL API over DynamoDB and
//! Postgres, behind Amazon Cognito.
//!
//! A request passes through [`server`] → [`schema`] → [`messaging`] →
//! [`store`], and each layer knows only the next; [`engine`] knows none of them:
//!
//! 1. [`server`] takes it from the network, has [`auth`] check its token, and
//!    asks [`messaging`] for the viewer, the signed-in user.
//! 2. [`engine`] parses, validates and executes it over the types of [`schema`],
//!    whose objects wrap those of [`model`].
//! 3. [`messaging`] holds the rules: who may see what, and how a message gets
//!    into the table.
//! 4. [`store`] is all that knows DynamoDB and Postgres.
//!
//! Start reading at [`messaging`]. The commands are in [`cli`], their settings
//! in [`config`].

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
#[cfg(feature = "dev")]
pub mod dev;
pub mod engine;
pub mod environment;

pub mod http_url;
pub mod loopback;
pub mod messaging;
pub mod model;
#[cfg(test)]
#[path = "../tests/harness/random.rs"]
#[allow(dead_code, reason = "the integration tests use more of it")]
mod random;
pub mod schema;
pub mod server;
pub mod store;
pub mod telemetry;
