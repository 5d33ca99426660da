//! The public GraphQL schema, independent of how data is stored.
//!
//! The doc comments of its public types and fields are the schema's
//! descriptions.

mod api;
mod cursor;
mod error;
mod global_id;
mod loaders;
mod mutation;
mod paging;
mod query;
mod rate;
mod scalars;
mod session;
mod subscription;
mod types;

pub use api::{Api, Introspection};
pub use error::{ApiError, Code, rejected_response, timed_out, was_executed, with_request_id};
pub use rate::SendRate;
pub use session::{BeforeEvent, Session};

pub use crate::engine::{
    GraphqlRequest, InvalidSchema, Limits, Operation, Prepared, response_json,
};
