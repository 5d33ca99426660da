//! Authentication of a WebSocket's client.

use axum::http::HeaderValue;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::close::Close;
use crate::auth::{Caller, TokenError};
use crate::schema::Code;
use crate::server::authenticate::{CallerError, verify_authorization, viewer};
use crate::server::connection_quota::ConnectionSlot;
use crate::server::state::ServerState;

/// An authenticated client of a WebSocket.
pub(super) struct AuthenticatedPeer {
    pub caller: Caller,
    /// Counts towards the limit of connections of this user.
    _slot: Option<ConnectionSlot>,
}

/// Authenticates the client. Only users may connect, unless introspection is public. `header` is
/// the `Authorization` header of the handshake, for clients that cannot send a payload.
pub(super) async fn authenticate_peer(
    state: ServerState,
    payload: Map<String, Value>,
    header: Option<HeaderValue>,
) -> Result<AuthenticatedPeer, Close> {
    let authorization = match authorization(&payload)? {
        None => header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned()),
        in_payload => in_payload,
    };
    let Some(authorization) = authorization else {
        return anonymous(&state);
    };
    let within = state.app.bounds.request_within;
    let user = timeout(within, user(&state, &authorization));
    user.await.unwrap_or(Err(UNAVAILABLE))
}

const UNAVAILABLE: Close = Close::TryAgain("Sign-in is unavailable. Try again later.");

fn anonymous(state: &ServerState) -> Result<AuthenticatedPeer, Close> {
    let peer = AuthenticatedPeer {
        caller: Caller::Anonymous,
        _slot: None,
    };
    let is_allowed = state.app.api.allows_anonymous();
    is_allowed.then_some(peer).ok_or(Close::Forbidden)
}

async fn user(state: &ServerState, authorization: &str) -> Result<AuthenticatedPeer, Close> {
    let app = &state.app;
    let caller = verify_authorization(app, authorization).await;
    let caller = caller.map_err(close_of_error)?;
    let Caller::SignedIn { sub, .. } = &caller else {
        return Err(Close::Forbidden);
    };
    let users = app.messaging.directory.loader();
    let viewer = viewer(&users, sub).await;
    let viewer = viewer.map_err(|rejection| close_of_code(rejection.code))?;
    let slot = state.quota.acquire(viewer.user().id);
    let too_many =
        Close::TryAgain("You have too many connections. Close some, or try again later.");
    Ok(AuthenticatedPeer {
        _slot: Some(slot.ok_or(too_many)?),
        caller,
    })
}

fn close_of_error(error: CallerError) -> Close {
    match error {
        CallerError::Token(TokenError::Invalid) => Close::Forbidden,
        CallerError::SeveralHeaders | CallerError::NotBearer => Close::NotBearer,
        CallerError::Token(TokenError::TooLong) => Close::TokenTooLong,
        CallerError::Token(TokenError::KeysUnavailable) => UNAVAILABLE,
    }
}

fn close_of_code(code: Code) -> Close {
    match code {
        Code::Unauthenticated | Code::Forbidden => Close::Forbidden,
        _ => UNAVAILABLE,
    }
}

/// Returns `Authorization` from the payload, either at the top level or in `headers`, with a
/// case-insensitive name. It must occur only once, and be a string.
fn authorization(payload: &Map<String, Value>) -> Result<Option<String>, Close> {
    let headers = payload.get("headers").and_then(Value::as_object);
    let members = payload.iter().chain(headers.into_iter().flatten());
    let mut found = members
        .filter(|(name, value)| name.eq_ignore_ascii_case("authorization") && !value.is_null())
        .map(|(_, value)| value.as_str().map(str::to_owned));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(Some(one)), None) => Ok(Some(one)),
        _ => Err(Close::Forbidden),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn authorization_of(payload: &Value) -> Result<Option<String>, Close> {
        authorization(payload.as_object().expect("an object"))
    }

    #[test]
    fn token_is_found_in_the_payload_and_in_its_headers() {
        for payload in [
            json!({ "Authorization": "Bearer x" }),
            json!({ "authorization": "Bearer x" }),
            json!({ "headers": { "AUTHORIZATION": "Bearer x" }, "other": 1 }),
            json!({ "Authorization": null, "headers": { "authorization": "Bearer x" } }),
        ] {
            let expected = Ok(Some("Bearer x".to_owned()));
            assert_eq!(authorization_of(&payload), expected, "{payload}");
        }
    }

    #[test]
    fn token_that_is_ambiguous_or_not_a_string_is_rejected() {
        for payload in [
            json!({ "Authorization": "Bearer x", "authorization": "Bearer x" }),
            json!({ "Authorization": "Bearer x", "headers": { "Authorization": "Bearer y" } }),
            json!({ "Authorization": 1 }),
        ] {
            assert_eq!(
                authorization_of(&payload),
                Err(Close::Forbidden),
                "{payload}"
            );
        }
        assert_eq!(authorization_of(&json!({ "headers": 1 })), Ok(None));
    }
}
