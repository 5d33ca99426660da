//! Authentication: the caller from the access token, and the user in the database.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use tokio::time::sleep;

use super::rejection::Rejection;
use super::state::App;
use crate::auth::{Caller, TokenError};
use crate::clock::Clock;
use crate::messaging::{MessagingError, UserLoader, Viewer};

/// Why the caller cannot be determined from an `Authorization` header. All rejected tokens have the
/// same message; the log contains the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallerError {
    #[error("Send one `Authorization` header, as `Bearer <access token>`.")]
    SeveralHeaders,
    #[error("The `Authorization` header has no `Bearer` token: send `Bearer <access token>`.")]
    NotBearer,
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl From<CallerError> for Rejection {
    fn from(error: CallerError) -> Self {
        let message = error.to_string();
        match error {
            CallerError::SeveralHeaders
            | CallerError::NotBearer
            | CallerError::Token(TokenError::Invalid) => Self::unauthenticated(&message),
            // Not 401, because signing in again would not help.
            CallerError::Token(TokenError::TooLong) => {
                Self::bad_request(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, message)
            }
            CallerError::Token(TokenError::KeysUnavailable) => Self::unavailable(&message),
        }
    }
}

/// Returns the caller of a request. A request with an invalid token is rejected, even if its
/// operation needs no sign-in.
pub(super) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, CallerError> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(Caller::Anonymous),
        (Some(one), None) => {
            // A token with non-ASCII bytes is rejected as invalid like any other.
            verify_authorization(app, &String::from_utf8_lossy(one.as_bytes())).await
        }
        (Some(_), Some(_)) => Err(CallerError::SeveralHeaders),
    }
}

/// Verifies `Bearer <token>` and returns its caller.
pub(super) async fn verify_authorization(
    app: &App,
    authorization: &str,
) -> Result<Caller, CallerError> {
    let token = bearer_token(authorization).ok_or(CallerError::NotBearer)?;
    Ok(app.verifier.verify(token).await?)
}

/// Returns the token of `Bearer <token>` (RFC 6750, 2.1; the scheme is case-insensitive).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Resolves when the caller's token expires.
pub(super) fn token_expiry(caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
    let left = match caller {
        Caller::Anonymous => None,
        Caller::SignedIn { expires_at, .. } => Some(*expires_at - Clock::system().now()),
    };
    async move {
        match left {
            Some(left) => sleep(left.to_std().unwrap_or_default()).await,
            None => std::future::pending().await,
        }
    }
}

/// Returns the rejection of an operation that requires a token, for a request without one.
pub(super) fn sign_in_required() -> Rejection {
    Rejection::unauthenticated(
        "Authentication required: send an access token as `Authorization: Bearer <token>`.",
    )
}

/// Returns the user with the `sub` of the token, or the rejection if there is no such user.
pub(super) async fn viewer(users: &UserLoader, sub: &str) -> Result<Viewer, Rejection> {
    match Viewer::find(users, sub).await {
        Ok(Some(viewer)) => Ok(viewer),
        Ok(None) => Err(Rejection::forbidden(
            "The access token is valid, but its user does not exist here yet.",
        )),
        Err(MessagingError::Unavailable { cause, .. }) => {
            tracing::warn!(%cause, "looking up the caller failed");
            Err(Rejection::unavailable(
                "Temporarily unavailable. Try again.",
            ))
        }
        Err(error) => {
            tracing::error!(%error, "looking up the caller failed");
            Err(Rejection::internal())
        }
    }
}
