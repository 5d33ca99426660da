//! Authentication of a WebSocket's client.

use axum::http::HeaderValue;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::close::Close;
use super::crowd::{Crowd, Seat};
use crate::auth::Caller;
use crate::schema::Code;
use crate::server::App;
use crate::server::caller::{CallerError, caller_of, viewer};
use crate::server::execution::REQUEST_DEADLINE;

/// An authenticated client of a WebSocket.
pub(super) struct Guest {
    pub caller: Caller,
    /// Counts towards the limit of connections of this user.
    _seat: Option<Seat>,
}

/// Authenticates the client. Only users may connect, or everyone if the schema is public. `header`
/// is the `Authorization` of the handshake, for clients that cannot send a payload.
pub(super) async fn sign_in(
    app: App,
    crowd: Crowd,
    payload: Map<String, Value>,
    header: Option<HeaderValue>,
) -> Result<Guest, Close> {
    let given = match authorization(&payload)? {
        None => header.map(|header| String::from_utf8_lossy(header.as_bytes()).into_owned()),
        Some(given) => Some(given),
    };
    let Some(given) = given else {
        return nobody(&app);
    };
    let user = timeout(REQUEST_DEADLINE, user(&app, &crowd, &given));
    user.await.unwrap_or(Err(OUT_OF_REACH))
}

const OUT_OF_REACH: Close = Close::TryAgain("Nobody can sign in right now. Try again later.");

fn nobody(app: &App) -> Result<Guest, Close> {
    let guest = Guest {
        caller: Caller::Anonymous,
        _seat: None,
    };
    let may_be_here = app.api.is_for_anybody();
    may_be_here.then_some(guest).ok_or(Close::Forbidden)
}

async fn user(app: &App, crowd: &Crowd, given: &str) -> Result<Guest, Close> {
    let caller = caller_of(app, given).await.map_err(not_accepted)?;
    let Caller::SignedIn { sub, .. } = &caller else {
        return Err(Close::Forbidden);
    };
    let users = app.messaging.directory.loader();
    let viewer = viewer(&users, sub).await;
    let viewer = viewer.map_err(|refused| closed(refused.code()))?;
    let most = app.bounds.sockets_per_user;
    let place = crowd.enter(viewer.user().id, most);
    let too_many =
        Close::TryAgain("You have too many connections. Close some, or try again later.");
    Ok(Guest {
        _seat: Some(place.ok_or(too_many)?),
        caller,
    })
}

fn not_accepted(error: CallerError) -> Close {
    match error {
        CallerError::Rejected => Close::Forbidden,
        CallerError::SeveralHeaders | CallerError::NotBearer => Close::NotBearer,
        CallerError::TooLong => Close::TokenTooLong,
        CallerError::KeysUnavailable => OUT_OF_REACH,
    }
}

fn closed(code: Code) -> Close {
    match code {
        Code::Unauthenticated | Code::Forbidden => Close::Forbidden,
        _ => OUT_OF_REACH,
    }
}

/// Returns `Authorization` from the payload, either at the top level or in `headers`, with a
/// case-insensitive name. It must occur only once, and be a string.
fn authorization(payload: &Map<String, Value>) -> Result<Option<String>, Close> {
    let headers = payload.get("headers").and_then(Value::as_object);
    let members = payload.iter().chain(headers.into_iter().flatten());
    let mut given = members
        .filter(|(name, value)| name.eq_ignore_ascii_case("authorization") && !value.is_null())
        .map(|(_, value)| value.as_str().map(str::to_owned));
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(Some(one)), None) => Ok(Some(one)),
        _ => Err(Close::Forbidden),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(payload: &Value) -> Result<Option<String>, Close> {
        authorization(payload.as_object().expect("an object"))
    }

    #[test]
    fn a_token_is_found_wherever_clients_put_it() {
        for payload in [
            json!({ "Authorization": "Bearer x" }),
            json!({ "authorization": "Bearer x" }),
            json!({ "headers": { "AUTHORIZATION": "Bearer x" }, "other": 1 }),
            json!({ "Authorization": null, "headers": { "authorization": "Bearer x" } }),
        ] {
            let expected = Ok(Some("Bearer x".to_owned()));
            assert_eq!(found(&payload), expected, "{payload}");
        }
    }

    #[test]
    fn two_tokens_are_as_bad_as_a_number() {
        for payload in [
            json!({ "Authorization": "Bearer x", "authorization": "Bearer x" }),
            json!({ "Authorization": "Bearer x", "headers": { "Authorization": "Bearer y" } }),
            json!({ "Authorization": 1 }),
        ] {
            assert_eq!(found(&payload), Err(Close::Forbidden), "{payload}");
        }
        assert_eq!(found(&json!({ "headers": 1 })), Ok(None));
    }
}
