//! Why a command did not do what it was asked.

use std::net::SocketAddr;

use crate::messaging::SeedError;
use crate::store::{DatabaseError, NoCredentials, StoreError, TableError};

/// Shown as one line after `cruddur: `.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// The arguments do not fit together, or not what they are for.
    #[error("{0}")]
    Usage(String),
    /// It was refused, or did not work.
    #[error("{0}")]
    Failed(String),
    #[error("cannot listen on {address}: {cause}. Choose another address with --listen.")]
    Listen {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[cfg(feature = "dev")]
    #[error(transparent)]
    Dev(#[from] crate::dev::DevError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl CliError {
    /// The store's error, where it came from one.
    pub fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error)
            | Self::Table(TableError::Store(error))
            | Self::Seed(SeedError::Store(error)) => Some(error),
            _ => None,
        }
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}
