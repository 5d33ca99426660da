//! The services that a machine without AWS needs: an embedded DynamoDB, a private PostgreSQL and a
//! token issuer. Used by `cruddur dev` and by the tests.

mod data_dir;
mod dynamodb;
mod error;
mod issuer;
mod listen;
mod postgres;

pub use data_dir::DataDir;
pub use dynamodb::DynamoDb;
pub use error::{DevError, DevResult};
pub use issuer::{CLIENT_ID, Clients, Issuer, SigningKey, TOKEN_LIFETIME};
pub use postgres::Postgres;
