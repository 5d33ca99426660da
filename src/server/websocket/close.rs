//! Close codes and reasons of a WebSocket.

use std::borrow::Cow;

use axum::extract::ws::CloseFrame;

use crate::auth::MAX_TOKEN_BYTES;

/// Maximum size of a close reason in bytes: a close frame has at most 125 bytes, of which the code
/// takes two.
const MAX_REASON_BYTES: usize = 123;
/// Maximum number of bytes of a client's operation ID that a reason quotes, so that the end of the
/// reason also fits into the frame.
const MAX_QUOTED_BYTES: usize = 80;

/// Why a WebSocket is closed, or that it already is. The text is the reason in the close frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Close {
    /// The client sent a close frame.
    #[error("")]
    ByClient,
    /// The connection is lost: the client sends nothing or reads nothing any more.
    #[error("")]
    Gone,
    /// The server shuts down.
    #[error("Going away")]
    GoingAway,
    /// The client violates the WebSocket protocol.
    #[error("WebSocket protocol error")]
    NotWebSocket,
    /// A text message is not valid UTF-8.
    #[error("Text must be UTF-8")]
    NotUtf8,
    /// A message is larger than this many bytes.
    #[error("A message exceeds the limit of {0} bytes")]
    TooLarge(usize),
    /// The WebSocket is temporarily unavailable; the client should try again later.
    #[error("{0}")]
    TryAgain(&'static str),
    /// A message violates the subprotocol.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// The client started an operation before the server acknowledged the connection.
    #[error("Unauthorized")]
    Unauthorized,
    /// The access token has expired.
    #[error("Token expired")]
    TokenExpired,
    /// The caller is not allowed to connect.
    #[error("Forbidden")]
    Forbidden,
    /// `Authorization` has no `Bearer` token.
    #[error("Authorization is not `Bearer <token>`")]
    NotBearer,
    /// The token is longer than the limit.
    #[error("The token exceeds the limit of {MAX_TOKEN_BYTES} bytes")]
    TokenTooLong,
    /// The client requested another subprotocol.
    #[error("Subprotocol not acceptable")]
    NotAcceptable,
    /// The client did not send `connection_init` in time.
    #[error("Connection initialisation timeout")]
    InitialisationTimeout,
    /// An operation with this ID is already in progress.
    #[error("Subscriber for {} already exists", truncate(.0, MAX_QUOTED_BYTES))]
    SubscriberExists(String),
    /// The client sent `connection_init` more than once.
    #[error("Too many initialisation requests")]
    TooManyInitialisations,
}

impl Close {
    /// Creates a `BadRequest` with this reason.
    pub fn bad(why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(why.into())
    }

    /// Returns the close frame to send, or `None` if the connection is already closed or lost.
    pub fn frame(&self) -> Option<CloseFrame> {
        let reason = truncate(&self.to_string(), MAX_REASON_BYTES).into_owned();
        Some(CloseFrame {
            code: self.label().parse().ok()?,
            reason: reason.into(),
        })
    }

    /// Returns the label of this reason in metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ByClient => "client",
            Self::Gone => "gone",
            Self::GoingAway => "1001",
            Self::NotWebSocket => "1002",
            Self::NotUtf8 => "1007",
            Self::TooLarge(_) => "1009",
            Self::TryAgain(_) => "1013",
            Self::BadRequest(_) => "4400",
            Self::Unauthorized | Self::TokenExpired => "4401",
            Self::Forbidden | Self::NotBearer | Self::TokenTooLong => "4403",
            Self::NotAcceptable => "4406",
            Self::InitialisationTimeout => "4408",
            Self::SubscriberExists(_) => "4409",
            Self::TooManyInitialisations => "4429",
        }
    }
}

/// Truncates a text to at most `max` bytes.
fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let end = text.floor_char_boundary(max - '…'.len_utf8());
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reason_fits_into_its_frame_whatever_it_quotes() {
        for text in ["x".repeat(500), "ü".repeat(500), "🦀".repeat(500)] {
            for close in [
                Close::bad(text.clone()),
                Close::SubscriberExists(text.clone()),
            ] {
                let reason = close.frame().expect("a frame").reason;
                assert!(reason.len() <= MAX_REASON_BYTES, "{reason}");
            }
            let reason = Close::SubscriberExists(text).frame().expect("one").reason;
            assert!(reason.ends_with("… already exists"), "{reason}");
        }
    }
}
