//! The GraphQL surface: what clients see, and nothing of how it is stored.
//!
//! The doc comments of everything public here are the schema's descriptions.

mod api;
mod completion;
mod cursor;
mod error;
mod global_id;
mod limits;
mod mutation;
mod normal;
mod one_field;
mod operation;
mod paging;
mod pair_loader;
mod query;
mod rate;
mod scalars;
mod session;
mod subscription;
mod suggestions;
mod syntax;
mod tokens;
mod types;
mod values;
mod variables;

pub use api::{Api, Introspection};
pub use error::{ApiError, Code, refusal, timed_out, was_executed};
pub use limits::Limits;
pub use operation::{GraphqlRequest, Operation, Prepared};
pub use rate::SendRate;
pub use session::Session;
