//! Direct messages of the Cruddur app: a GraphQL API over DynamoDB and Postgres, with sign-in by
//! Amazon Cognito.
//!
//! A request passes through [`server`] → [`schema`] → [`messaging`] → [`store`]:
//!
//! 1. [`server`] accepts the request, verifies its token with [`auth`], and gets the viewer, the
//!    signed-in user, from [`messaging`].
//! 2. [`engine`] parses, validates and executes it with the types of [`schema`], whose objects wrap
//!    those of [`model`].
//! 3. [`messaging`] contains the business rules: who can read what, and how messages are written to
//!    the table.
//! 4. [`store`] is the only module that accesses DynamoDB and Postgres.
//!
//! Start reading at [`messaging`]. The commands are in [`cli`], and their settings in [`config`].
//!
//! Dependencies between the layers (all may use `backoff`, [`clock`], [`environment`],
//! [`http_url`], `limit_args`, `lock`, [`loopback`], `named_enum` and [`telemetry`]):
//!
//! ```text
//! main → cli
//! cli → auth, config, demo, dev, engine, messaging, model, schema, server, store
//! config → auth, engine, messaging, schema, server, store
//! server → auth, engine, messaging, model, schema, store
//! schema → engine, messaging, model
//! messaging → model, store
//! store → model
//! demo → messaging, model, store
//! dev → demo, model, store
//! ```

pub mod auth;
mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
#[cfg(feature = "dev")]
pub mod dev;
pub mod engine;
pub mod environment;
pub mod http_url;
mod limit_args;
mod lock;
pub mod loopback;
pub mod messaging;
pub mod model;
mod named_enum;
#[cfg(test)]
#[path = "../tests/harness/random.rs"]
#[allow(dead_code, reason = "the integration tests use more of it")]
mod random;
pub mod schema;
pub mod server;
pub mod store;
pub mod telemetry;
