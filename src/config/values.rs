//! Parsers for the values of settings. They accept whitespace around values, and empty items in
//! lists.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::http_url::{InvalidHttpUrl, parse_any_http_url};

/// A setting that is missing or invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(String);

impl InvalidSetting {
    pub(super) fn new(setting: &str, why: impl Display) -> Self {
        Self(format!("{setting}: {why}"))
    }

    /// Creates the error for a required setting that is missing.
    pub(super) fn missing(settings: &str) -> Self {
        Self(format!(
            "a required setting is missing or empty: {settings}"
        ))
    }
}

/// One item of a comma-separated list. Whitespace around it is ignored, and an empty item has no
/// value.
#[derive(Clone, Debug)]
pub struct ListEntry<T>(Option<T>);

impl<T: FromStr> FromStr for ListEntry<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text.trim() {
            "" => Ok(Self(None)),
            text => text.parse().map(Some).map(Self),
        }
    }
}

/// Returns the values of a list.
pub(super) fn entries<T: Clone>(list: &[ListEntry<T>]) -> Vec<T> {
    list.iter().filter_map(|entry| entry.0.clone()).collect()
}

/// ID of a Cognito app client.
#[derive(Clone, Debug)]
pub struct ClientId(pub String);

impl FromStr for ClientId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_valid = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'');
        if !text.is_empty() && text.chars().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err("it is not an app client ID; several are separated by commas")
        }
    }
}

/// URL of a key set (JWKS). It may contain credentials that the server of the keys requires.
#[derive(Clone, Debug)]
pub struct JwksUrl(pub String);

impl FromStr for JwksUrl {
    type Err = InvalidHttpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpUrl> {
        parse_any_http_url(text).map(|url| Self(url.into()))
    }
}

/// Parses an address to listen on.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim().parse();
    address.map_err(|_| {
        "it is not an IP address with a port, like 127.0.0.1:4000, 0.0.0.0:4000 or [::]:4000"
            .to_owned()
    })
}

/// Parses the name of a table, or its ARN.
pub(super) fn table_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = (3..=255).contains(&text.len()) && text.bytes().all(is_valid);
    if is_name || text.starts_with("arn:") {
        Ok(text.to_owned())
    } else {
        Err("it is not the name of a table: 3 to 255 of A-Z, a-z, 0-9, _, - and .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_no_blanks_and_no_empty_values() {
        let list = " a , b,, c\n,".split(',').map(str::parse);
        let list: Vec<ListEntry<ClientId>> = list.collect::<Result<_, _>>().expect("ids");
        let ids: Vec<String> = entries(&list).into_iter().map(|id| id.0).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        "a b".parse::<ListEntry<ClientId>>().expect_err("two IDs");
    }

    #[test]
    fn address_to_listen_on_is_an_ip_address_with_a_port() {
        for right in [" 0.0.0.0:4000\n", "[::]:4000", "127.0.0.1:0"] {
            socket_address(right).expect(right);
        }
        for wrong in ["localhost:4000", ":4000", "4000", "0.0.0.0", "::4000", ""] {
            socket_address(wrong).expect_err(wrong);
        }
    }
}
