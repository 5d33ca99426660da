//! Direct messages of the Cruddur app: a GraphQL API over DynamoDB and
//! Postgres, behind Amazon Cognito.

pub mod auth;
pub mod config;
pub mod graphql;
pub mod model;
pub mod clock;
pub mod store;
pub mod messaging;
pub mod demo;
pub mod server;
pub mod telemetry;
