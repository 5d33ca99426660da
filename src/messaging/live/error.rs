//! Why a subscription ends.

use crate::messaging::MessagingError;
use crate::store::StoreError;

/// Why a subscription ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LiveError {
    /// The group does not exist, or the viewer is not a participant.
    #[error("no such message group")]
    MessageGroupNotFound,
    /// The client reads too slowly, or a message is missing although it should
    /// be readable by now. The client can resume from the last event's cursor.
    #[error("the subscription fell behind: {0}")]
    Behind(&'static str),
    /// More groups were active than a cursor can hold. The client cannot resume
    /// from its cursor and must reload its groups.
    #[error("more groups were active than a cursor can hold")]
    Resync,
    /// A store is unavailable, or a read failed.
    #[error(transparent)]
    Messaging(#[from] MessagingError),
}

impl From<StoreError> for LiveError {
    fn from(error: StoreError) -> Self {
        Self::Messaging(error.into())
    }
}
