//! The reason for which a token is rejected.
//!
//! The reason is for the log only: clients receive the same text for all
//! reasons.

use jsonwebtoken::errors::ErrorKind;
use serde_json::Value;

/// Maximum length of a token's value in the log, in bytes. Clients choose these values, and
/// could otherwise fill the log.
const MAX_SHOWN_BYTES: usize = 200;
/// Placeholder in the log for a value that may identify a person.
const NOT_SHOWN: &str = "a value that is not logged";

/// The check that a token failed, with the expected and the actual value.
///
/// Contains neither the token nor a claim that may identify a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenRejection {
    pub check: &'static str,
    pub expected: String,
    pub found: String,
}

impl TokenRejection {
    pub fn new(check: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            check,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Converts an error of the verification of signature and claims.
    pub fn of(error: &ErrorKind, claims: &Value, now: i64) -> Self {
        match error {
            ErrorKind::InvalidSignature => Self::new(
                "signature",
                "the signature of the issuer's key",
                "another signature",
            ),
            ErrorKind::ExpiredSignature => {
                Self::new("exp", format!("after {now}"), time(claims, "exp"))
            }
            ErrorKind::ImmatureSignature => {
                Self::new("nbf", format!("at most {now}"), time(claims, "nbf"))
            }
            ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
                Self::new("format", "three parts in base64url", "another encoding")
            }
            _ => Self::of_types(claims),
        }
    }

    /// Returns a rejection for the first claim that is missing or has a wrong
    /// type.
    fn of_types(claims: &Value) -> Self {
        let checks: [(_, _, ClaimCheck); 6] = [
            ("exp", "a time in seconds", is_time),
            ("nbf", "a time in seconds, if any", |value| {
                value.is_null() || is_time(value)
            }),
            ("iss", "a string", Value::is_string),
            ("sub", "a string", Value::is_string),
            ("token_use", "a string", Value::is_string),
            ("client_id", "a string, if any", |value| {
                value.is_null() || value.is_string()
            }),
        ];
        let mut checks = checks.into_iter();
        match checks.find(|(name, _, is_right)| !is_right(&claims[*name])) {
            Some((name @ ("exp" | "nbf"), expected, _)) => {
                Self::new(name, expected, time(claims, name))
            }
            Some((name, expected, _)) => Self::new(name, expected, kind(&claims[name])),
            None => Self::new("format", "a JSON Web Token", "something else"),
        }
    }
}

/// A check of the JSON type of a claim.
type ClaimCheck = fn(&Value) -> bool;

fn is_time(value: &Value) -> bool {
    value.as_f64().is_some_and(|time| time >= 1.0)
}

/// Describes the JSON type of a claim.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "no value",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn time(claims: &Value, name: &str) -> String {
    let time = claims[name].as_f64();
    time.map_or_else(
        || kind(&claims[name]).to_owned(),
        |time| format!("{time:.0}"),
    )
}

/// Returns a value if it is the name of an application, a key, a kind of token
/// or an algorithm.
///
/// Otherwise, returns a placeholder or the JSON type.
pub(super) fn shown_name(value: &Value) -> String {
    shown(value, |name| {
        !name.is_empty() && consists_of(name, b"-_+/=")
    })
}

/// Returns an issuer's URL if it contains nothing that may be a secret.
///
/// Otherwise, returns a placeholder or the JSON type.
pub(super) fn shown_issuer(value: &Value) -> String {
    shown(value, |issuer| {
        let address = issuer.strip_prefix("https://");
        let address = address.or(issuer.strip_prefix("http://"));
        address.is_some_and(|address| consists_of(address, b"-_.:/"))
    })
}

fn shown(value: &Value, is_harmless: impl Fn(&str) -> bool) -> String {
    match value.as_str() {
        Some(text) if text.len() <= MAX_SHOWN_BYTES && is_harmless(text) => text.to_owned(),
        Some(text) if !text.is_empty() => NOT_SHOWN.to_owned(),
        _ => kind(value).to_owned(),
    }
}

/// Returns whether a text consists of letters, digits and these characters.
fn consists_of(text: &str, others: &[u8]) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}
