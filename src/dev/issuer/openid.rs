//! Sign-in with OIDC: the authorization code flow with PKCE, at the paths of Cognito's
//! managed login. The sign-in page asks for a user instead of a password.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::tokens::{AuthorizedUser, CLIENT_ID, Issuer};
use crate::demo;
use crate::loopback::is_loopback;
use crate::model::User;
use crate::store::StoreError;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    frame-ancestors 'none'";

const STYLE: &str = "\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { margin: 3rem auto; max-width: 22rem; padding: 0 1rem }
button, input { box-sizing: border-box; font: inherit; margin: 0.25rem 0; padding: 0.6rem; width: 100% }
button { text-align: start }";

/// The route that pages call, and those that the browser navigates to.
pub(super) fn routes() -> Router<Issuer> {
    Router::new()
        .route("/oauth2/token", post(token))
        .route("/oauth2/authorize", get(authorize))
        .route("/logout", get(logout))
}

/// The provider's metadata (OIDC Discovery 1.0).
pub(super) async fn configuration(State(issuer): State<Issuer>) -> Json<Value> {
    let root = issuer.root();
    Json(json!({
        "issuer": issuer.url(),
        "authorization_endpoint": format!("{root}/oauth2/authorize"),
        "token_endpoint": format!("{root}/oauth2/token"),
        "end_session_endpoint": format!("{root}/logout"),
        "jwks_uri": format!("{}/.well-known/jwks.json", issuer.url()),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": ["openid"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

#[derive(Deserialize, Serialize)]
struct AuthorizeRequest {
    client_id: String,
    response_type: String,
    redirect_uri: String,
    code_challenge: String,
    code_challenge_method: String,
    state: Option<String>,
    nonce: Option<String>,
    scope: Option<String>,
    /// The handle of the user who signs in. Without it, the page asks for one.
    #[serde(skip_serializing)]
    login_hint: Option<String>,
}

impl AuthorizeRequest {
    /// Returns why the request is rejected, if it is. The error is not sent to `redirect_uri`,
    /// because it is for the developer of the page.
    fn problem(&self) -> Option<&'static str> {
        if self.client_id != CLIENT_ID {
            Some("`client_id` is not cruddur-dev")
        } else if self.response_type != "code" {
            Some("`response_type` is not code")
        } else if self.code_challenge_method != "S256" || self.code_challenge.len() != 43 {
            Some("`code_challenge` is not one of `code_challenge_method` S256")
        } else if !is_loopback(&self.redirect_uri) {
            Some("`redirect_uri` is not a URL of this machine")
        } else {
            None
        }
    }

    /// The parameters that the page sends back, with the chosen user.
    fn hidden_inputs(&self) -> String {
        let parameters = json!(self);
        let parameters = parameters.as_object().into_iter().flatten();
        let input = |(name, value): (&String, &Value)| {
            let value = escaped(value.as_str()?);
            Some(format!(
                r#"<input type="hidden" name="{name}" value="{value}">"#
            ))
        };
        parameters.filter_map(input).collect()
    }
}

/// `GET /oauth2/authorize`: shows the page to choose a user on, or signs in the user of
/// `login_hint` and redirects to `redirect_uri` with an authorization code.
async fn authorize(
    State(issuer): State<Issuer>,
    Query(request): Query<AuthorizeRequest>,
) -> Response {
    if let Some(problem) = request.problem() {
        return (StatusCode::BAD_REQUEST, format!("{problem}\n")).into_response();
    }
    let handle = request.login_hint.as_deref().unwrap_or_default();
    if handle.is_empty() {
        return choice(&issuer, &request, StatusCode::OK, "").await;
    }
    match issuer.shared.users.find_cognito_id(handle).await {
        Ok(Some(sub)) => redirect_with_code(&issuer, sub, request),
        Ok(None) => {
            let problem = format!(
                "<p role=\"alert\">No user with the handle {} can sign in.</p>",
                escaped(handle)
            );
            choice(&issuer, &request, StatusCode::NOT_FOUND, &problem).await
        }
        Err(error) => unavailable(&error),
    }
}

fn redirect_with_code(issuer: &Issuer, sub: String, request: AuthorizeRequest) -> Response {
    let Ok(mut to) = Url::parse(&request.redirect_uri) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let grant = AuthorizedUser {
        sub,
        redirect_uri: request.redirect_uri,
        code_challenge: request.code_challenge,
        nonce: request.nonce,
    };
    let code = Uuid::new_v4().to_string();
    issuer.shared.codes.insert(code.clone(), Arc::new(grant));
    to.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = &request.state {
        to.query_pairs_mut().append_pair("state", state);
    }
    ([(CACHE_CONTROL, "no-store")], Redirect::to(to.as_str())).into_response()
}

/// The page to choose a user on: the demo users, and a field for the handle of any other user.
async fn choice(
    issuer: &Issuer,
    request: &AuthorizeRequest,
    status: StatusCode,
    problem: &str,
) -> Response {
    let handles = demo::handles().map(str::to_owned);
    let mut users = match issuer.shared.users.users_by_handle(&handles).await {
        Ok(users) => users,
        Err(error) => return unavailable(&error),
    };
    users.sort_by_key(|user| handles.iter().position(|handle| *handle == user.handle));
    let button = |user: &User| {
        format!(
            r#"<button name="login_hint" value="{handle}">{} (@{handle})</button>"#,
            escaped(&user.display_name),
            handle = escaped(&user.handle),
        )
    };
    let buttons: Vec<String> = users.iter().map(button).collect();
    let page = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sign in to Cruddur</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Sign in to Cruddur</h1>
<p>This issuer runs on your machine and asks for no password.</p>
{problem}
<form action="authorize">{hidden}{}</form>
<form action="authorize">{hidden}
<label>Handle of another user <input name="login_hint" required></label>
<button>Sign in</button>
</form>
</main>
</body>
</html>
"#,
        buttons.concat(),
        hidden = request.hidden_inputs(),
    );
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn unavailable(error: &StoreError) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
}

#[derive(Deserialize)]
struct GrantRequest {
    grant_type: String,
    client_id: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
}

/// `POST /oauth2/token`: exchanges an authorization code, or a refresh token, for tokens.
async fn token(State(issuer): State<Issuer>, body: String) -> Response {
    // The body has the form of a query.
    let request = Uri::builder().path_and_query(format!("/?{body}")).build();
    let request = request
        .ok()
        .and_then(|uri| Query::<GrantRequest>::try_from_uri(&uri).ok());
    let Some(Query(request)) = request else {
        return rejected("invalid_request");
    };
    if request.client_id != CLIENT_ID {
        return rejected("invalid_client");
    }
    let tokens = match request.grant_type.as_str() {
        "authorization_code" => {
            redeem(&issuer, &request).map(|grant| issuer.tokens(&grant.sub, grant.nonce.as_deref()))
        }
        "refresh_token" => issuer.renewed(request.refresh_token.as_deref().unwrap_or_default()),
        _ => return rejected("unsupported_grant_type"),
    };
    match tokens {
        None => rejected("invalid_grant"),
        Some(Ok(tokens)) => ([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response(),
        Some(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Takes an authorization code, which is valid once, if the request proves that it comes from the
/// page that asked for the code.
fn redeem(issuer: &Issuer, request: &GrantRequest) -> Option<Arc<AuthorizedUser>> {
    let grant = issuer.shared.codes.remove(request.code.as_deref()?)?;
    let verifier = request.code_verifier.as_ref()?;
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let is_right = grant.code_challenge == challenge
        && Some(&grant.redirect_uri) == request.redirect_uri.as_ref();
    is_right.then_some(grant)
}

fn rejected(error: &'static str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response()
}

#[derive(Deserialize)]
struct LogoutRequest {
    /// The name of the parameter at Cognito.
    logout_uri: Option<String>,
    /// The name of the parameter in OIDC RP-Initiated Logout 1.0.
    post_logout_redirect_uri: Option<String>,
}

/// `GET /logout`: redirects back. The issuer has no session to end: it asks for the user each time.
async fn logout(Query(request): Query<LogoutRequest>) -> Response {
    let to = request.logout_uri.or(request.post_logout_redirect_uri);
    match to.filter(|to| is_loopback(to)) {
        Some(to) => Redirect::to(&to).into_response(),
        None => "You are signed out.\n".into_response(),
    }
}
