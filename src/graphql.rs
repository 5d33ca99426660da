//! The GraphQL surface: what clients see, and nothing of how it is stored.
//!
//! The doc comments of everything public here are the schema's descriptions.

mod api;
mod completion;
mod cursor;
mod error;
mod global_id;
mod mutation;
mod operation;
mod paging;
mod query;
mod scalars;
mod session;
mod types;

pub use api::{Api, Introspection};
pub use error::{ApiError, Code, refusal, timed_out};
pub use operation::Operation;
pub use session::Session;
