//! Why a socket is closed.

use std::borrow::Cow;

use axum::extract::ws::CloseFrame;

use crate::auth::LONGEST_TOKEN;

/// The most bytes of a reason: a close frame has 125, and two are the code.
const LONGEST_REASON: usize = 123;
/// The most bytes of a client's id that a reason quotes.
const LONGEST_QUOTE: usize = 80;

/// Why a socket is closed, or that it is closed already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// The client has said that it is.
    ByClient,
    /// Nothing comes of it any more, or nothing is taken.
    Gone,
    /// The server stops.
    GoingAway,
    /// It is not a WebSocket that speaks.
    NotWebSocket,
    /// A text that is none.
    NotUtf8,
    /// A message of more than so many bytes.
    TooLarge(usize),
    /// It cannot be had now.
    TryAgain(&'static str),
    /// A message that is none of the protocol's.
    BadRequest(Cow<'static, str>),
    /// An operation of somebody who is not signed in yet.
    Unauthorized,
    /// The token is not good any more.
    TokenExpired,
    /// Whoever it is may not be here.
    Forbidden,
    /// An `Authorization` without a `Bearer` token.
    NotBearer,
    /// A token longer than is accepted.
    TokenTooLong,
    /// Another protocol than ours.
    NotAcceptable,
    /// Nobody has said who they are.
    TooLate,
    /// An id that is in use.
    SubscriberExists(String),
    /// It was said before.
    TooManyInitialisations,
}

impl Close {
    /// A message that is none of the protocol's.
    pub fn bad(why: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(why.into())
    }

    /// What the peer is told; nothing, where it does not listen.
    pub fn frame(&self) -> Option<CloseFrame> {
        let reason = shortened(&self.reason(), LONGEST_REASON).into_owned();
        Some(CloseFrame {
            code: self.code()?,
            reason: reason.into(),
        })
    }

    fn code(&self) -> Option<u16> {
        self.label().parse().ok()
    }

    /// How the metrics and the log call it.
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
            Self::TooLate => "4408",
            Self::SubscriberExists(_) => "4409",
            Self::TooManyInitialisations => "4429",
        }
    }

    fn reason(&self) -> Cow<'static, str> {
        match self {
            Self::ByClient | Self::Gone => "".into(),
            Self::GoingAway => "Going away".into(),
            Self::NotWebSocket => "Not the WebSocket protocol".into(),
            Self::NotUtf8 => "Text is UTF-8".into(),
            Self::TooLarge(most) => format!("A message has at most {most} bytes").into(),
            Self::TryAgain(why) => (*why).into(),
            Self::BadRequest(why) => why.clone(),
            Self::Unauthorized => "Unauthorized".into(),
            Self::TokenExpired => "Token expired".into(),
            Self::Forbidden => "Forbidden".into(),
            Self::NotBearer => "Authorization is not `Bearer <token>`".into(),
            Self::TokenTooLong => format!("A token has at most {LONGEST_TOKEN} bytes").into(),
            Self::NotAcceptable => "Subprotocol not acceptable".into(),
            Self::TooLate => "Connection initialisation timeout".into(),
            Self::SubscriberExists(id) => {
                let id = shortened(id, LONGEST_QUOTE);
                format!("Subscriber for {id} already exists").into()
            }
            Self::TooManyInitialisations => "Too many initialisation requests".into(),
        }
    }
}

/// A text in at most so many bytes.
fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = text.floor_char_boundary(most - '…'.len_utf8());
    format!("{}…", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_its_frame_whatever_it_quotes() {
        for text in ["x".repeat(500), "ü".repeat(500), "🦀".repeat(500)] {
            for close in [
                Close::bad(text.clone()),
                Close::SubscriberExists(text.clone()),
            ] {
                let reason = close.frame().expect("a frame").reason;
                assert!(reason.len() <= LONGEST_REASON, "{reason}");
            }
            let reason = Close::SubscriberExists(text).frame().expect("one").reason;
            assert!(reason.ends_with("… already exists"), "{reason}");
        }
    }
}
