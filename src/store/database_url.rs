//! Validation of the connection string for the Postgres database.
//!
//! `sqlx` accepts almost every text as a connection string, connects to the
//! host that it finds in the text, and logs unknown parameters with their
//! values. A password whose reserved characters are not percent-encoded would
//! appear in an error or in the log. Therefore a connection string is validated
//! before `sqlx` parses it, and no error quotes it.

use std::env::var;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;
use sqlx::postgres::PgSslMode;

use super::cause::Cause;

/// Supported parameters, in addition to those of [`FILES`].
const PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "passfile",
    "password",
    "port",
    "ssl-mode",
    "sslmode",
    "statement-cache-capacity",
];
/// Files with certificates and keys: names of the parameter, and Postgres'
/// environment variable.
const FILES: [(&[&str], &str); 3] = [
    (&["sslrootcert", "ssl-root-cert", "ssl-ca"], "PGSSLROOTCERT"),
    (&["sslcert", "ssl-cert"], "PGSSLCERT"),
    (&["sslkey", "ssl-key"], "PGSSLKEY"),
];
/// Maximum length of a scheme or a parameter's name that is quoted. A longer text
/// may be a part of a password.
const MAX_NAME_BYTES: usize = 40;

/// The reason for which a connection string cannot be used.
///
/// Only the scheme and the names of parameters are quoted, because the rest may
/// be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// The text begins with a quotation mark, which `docker --env-file` and
    /// other tools keep.
    #[error("it begins with a quotation mark: remove the quotation marks")]
    Quoted,
    /// The scheme is not supported.
    #[error("its scheme is {0}://, and only postgres:// and postgresql:// are supported")]
    Scheme(String),
    /// The scheme is missing.
    #[error("it does not begin with postgres:// or postgresql://")]
    NoScheme,
    /// A reserved character is not percent-encoded.
    #[error(
        "reserved characters of user name, password and database name have to be percent-encoded (/ as %2F, ? as %3F, \
         # as %23, @ as %40, : as %3A, % as %25)"
    )]
    Reserved,
    /// The host or port is missing or not valid.
    #[error(
        "its host or port is missing or invalid; reserved characters of user name and password have to be \
         percent-encoded (/ as %2F, ? as %3F, # as %23, @ as %40, : as %3A, % as %25)"
    )]
    Host,
    /// The value of a parameter or variable is not valid.
    #[error("{name} is not {expected}")]
    Value {
        /// Name of the parameter or variable.
        name: &'static str,
        /// Description of a valid value.
        expected: &'static str,
    },
}

/// A validated connection string.
#[derive(Debug)]
pub(super) struct DatabaseUrl {
    /// The connection string with only the supported parameters.
    pub url: Url,
    /// Names of unsupported parameters.
    pub ignored: Vec<String>,
    /// Certificates and keys: the name of the parameter or variable, and the
    /// path.
    pub files: Vec<(&'static str, PathBuf)>,
}

impl DatabaseUrl {
    pub fn parse(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        let rest = after_scheme(text.trim())?;
        check_structure(rest)?;
        let text = format!("postgres://{}", with_host(rest));
        let mut url = Url::parse(&text).map_err(|_| InvalidDatabaseUrl::Host)?;
        check_host(url.host_str())?;
        let (known, ignored) = parameters(&url)?;
        check_values(&known)?;
        check_variables(&url, &known)?;
        let files = files(&known);
        // A URL has brackets around an IPv6 address; the `host` parameter does
        // not.
        let host = url.host_str().unwrap_or_default();
        let ip = host.strip_prefix('[').map(|ip| ip.trim_end_matches(']'));
        let ip = ip.map(str::to_owned);
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(ip.map(|ip| ("host", ip)));
        let sent = known
            .iter()
            .filter(|(name, value)| !is_system_root(name, value));
        for (name, value) in sent {
            let is_host = matches!(&**name, "host" | "hostaddr");
            let value = if is_host {
                value.trim_matches(['[', ']'])
            } else {
                value
            };
            query.append_pair(name, value);
        }
        drop(query);
        Ok(Self {
            url,
            ignored,
            files,
        })
    }
}

/// Returns the text after `postgres://`.
fn after_scheme(text: &str) -> Result<&str, InvalidDatabaseUrl> {
    if text.starts_with(['"', '\'']) {
        return Err(InvalidDatabaseUrl::Quoted);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(InvalidDatabaseUrl::NoScheme);
    };
    match &*scheme.to_ascii_lowercase() {
        "postgres" | "postgresql" => Ok(rest),
        // JDBC's schemes have two parts.
        lower if is_scheme(lower.strip_prefix("jdbc:").unwrap_or(lower)) => {
            Err(InvalidDatabaseUrl::Scheme(lower.to_owned()))
        }
        _ => Err(InvalidDatabaseUrl::NoScheme),
    }
}

fn is_scheme(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(is_part)
}

/// Checks the text after the scheme.
///
/// Only the database's name and the parameters may follow user name, password,
/// host and port. An `@` in them means that the password contains an unencoded
/// reserved character.
fn check_structure(rest: &str) -> Result<(), InvalidDatabaseUrl> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let behind = &rest[end..];
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let has_segments = path.trim_matches('/').contains('/');
    let is_pair = |pair: &str| pair.is_empty() || pair.contains('=');
    let is_query = query.split('&').all(is_pair);
    if behind.contains(['@', '#'])
        || has_segments
        || !is_query
        || rest.chars().any(char::is_control)
    {
        return Err(InvalidDatabaseUrl::Reserved);
    }
    Ok(())
}

/// Adds a placeholder host to a connection string such as
/// `user@/database?host=/socket`.
///
/// The URL standard does not allow an empty host.
fn with_host(rest: &str) -> String {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    if authority.ends_with('@') && behind.contains("host=") {
        format!("{authority}localhost{behind}")
    } else {
        rest.to_owned()
    }
}

/// Checks that the host is a name, an IP address, or the percent-encoded
/// directory of a Unix socket.
fn check_host(host: Option<&str>) -> Result<(), InvalidDatabaseUrl> {
    let is_valid = host.is_none_or(|host| {
        let is_name = |host: &str| {
            host.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        let is_socket = host.to_ascii_lowercase().starts_with("%2f");
        host.starts_with('[') || is_socket || is_name(host)
    });
    is_valid.then_some(()).ok_or(InvalidDatabaseUrl::Host)
}

type Parameters = Vec<(String, String)>;

/// Returns the supported parameters, and the names of the unsupported ones.
fn parameters(url: &Url) -> Result<(Parameters, Vec<String>), InvalidDatabaseUrl> {
    let is_file = |name: &str| FILES.iter().any(|(names, _)| names.contains(&name));
    let mut known = Parameters::new();
    let mut ignored = Vec::new();
    for (name, value) in url.query_pairs() {
        let is_option = name.starts_with("options[") && name.ends_with(']');
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if PARAMETERS.contains(&&*name) || is_file(&name) || is_option {
            known.push((name.into_owned(), value.into_owned()));
        } else if name.len() <= MAX_NAME_BYTES && name.bytes().all(is_name) {
            ignored.push(name.into_owned());
        } else {
            return Err(InvalidDatabaseUrl::Reserved);
        }
    }
    Ok((known, ignored))
}

fn check_values(parameters: &Parameters) -> Result<(), InvalidDatabaseUrl> {
    for (name, value) in parameters {
        let (is_valid, name, expected) = match &**name {
            "sslmode" | "ssl-mode" => (is_ssl_mode(value), "sslmode", SSL_MODES),
            "port" => (is_port(value), "port", PORT),
            "hostaddr" => (
                value.trim_matches(['[', ']']).parse::<IpAddr>().is_ok(),
                "hostaddr",
                "an IP address",
            ),
            "statement-cache-capacity" => (
                value.parse::<usize>().is_ok(),
                "statement-cache-capacity",
                "a number",
            ),
            _ => continue,
        };
        if !is_valid {
            return Err(InvalidDatabaseUrl::Value { name, expected });
        }
    }
    Ok(())
}

const SSL_MODES: &str = "one of disable, allow, prefer, require, verify-ca, verify-full";
const PORT: &str = "a port number";

fn is_ssl_mode(text: &str) -> bool {
    text.parse::<PgSslMode>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Checks Postgres' environment variables.
///
/// `sqlx` uses the default for a variable that it cannot parse: for example, no
/// TLS if `PGSSLMODE` is misspelled.
fn check_variables(url: &Url, parameters: &Parameters) -> Result<(), InvalidDatabaseUrl> {
    let is_given = |names: &[&str]| parameters.iter().any(|(name, _)| names.contains(&&**name));
    let is_mode_given = is_given(&["sslmode", "ssl-mode"]);
    let is_port_given = url.port().is_some() || is_given(&["port"]);
    for (name, is_replaced, is_valid, expected) in [
        (
            "PGSSLMODE",
            is_mode_given,
            is_ssl_mode as fn(&str) -> bool,
            SSL_MODES,
        ),
        ("PGPORT", is_port_given, is_port, PORT),
    ] {
        if !is_replaced && var(name).is_ok_and(|text| !is_valid(&text)) {
            return Err(InvalidDatabaseUrl::Value { name, expected });
        }
    }
    Ok(())
}

fn files(parameters: &Parameters) -> Vec<(&'static str, PathBuf)> {
    let file = |(names, variable): (&'static [&'static str], &'static str)| {
        let mut given = parameters.iter().rev();
        let given = given.find(|(name, _)| names.contains(&&**name));
        let (name, text) = match given {
            Some((name, value)) if is_system_root(name, value) => return None,
            Some((_, value)) => (names[0], value.clone()),
            None => (variable, var(variable).ok()?),
        };
        // The value may also be the certificate itself.
        (!text.starts_with("-----BEGIN")).then(|| (name, PathBuf::from(text)))
    };
    FILES.into_iter().filter_map(file).collect()
}

/// Returns whether a parameter selects the system's certificates, with libpq's
/// name for them.
///
/// They are also the default without a file.
fn is_system_root(name: &str, value: &str) -> bool {
    FILES[0].0.contains(&name) && value == "system"
}

/// Checks that a file is readable and contains the data that the parameter or
/// variable requires.
///
/// Returns a description of the problem as the error.
pub(super) fn check_file(name: &str, file: &Path) -> Result<(), Cause> {
    let pem = std::fs::read(file).map_err(Cause::of)?;
    if name.to_ascii_lowercase().ends_with("passfile") {
        return Ok(());
    }
    let (label, kind) = if name.to_ascii_lowercase().ends_with("sslkey") {
        ("PRIVATE KEY-----", "private key")
    } else {
        ("-----BEGIN CERTIFICATE-----", "certificate")
    };
    if String::from_utf8_lossy(&pem).contains(label) {
        return Ok(());
    }
    Err(Cause::text(format!("it has no {kind} in PEM format")))
}

#[cfg(test)]
mod tests {
    use super::super::connect::ConnectSource;
    use super::super::password::is_by_socket;
    use super::*;

    #[test]
    fn malformed_address_is_rejected_without_any_part_of_it() {
        for wrong in [
            "postgres://postgres:12/secret@127.0.0.1:5432/cruddur",
            "postgres://postgres:secret/12@127.0.0.1:5432/cruddur",
            "postgres://postgres:1?secret@127.0.0.1/cruddur",
            "postgres://postgres:1?secret=a@127.0.0.1/cruddur",
            "postgres://postgres:1#secret@127.0.0.1/cruddur",
            "postgres://postgres:p@secret/1@127.0.0.1/cruddur",
            "postgres://postgres:p@secret?1@127.0.0.1/cruddur",
            "postgres://postgres:p@secret#1@127.0.0.1/cruddur",
            "postgres://postgres:1/secret%40127.0.0.1/cruddur",
            "postgres://postgres:1/@secret",
            "postgres://postgres:p%ffsecret@127.0.0.1/cruddur",
            "postgres://postgres%3Asecret%40127.0.0.1/cruddur",
            "postgres://postgres:secret",
            "postgres://postgres:secret@127.0.0.1:port/cruddur",
            "postgres://postgres:secret@/cruddur",
            "postgres://postgres:secret@h/cruddur?secret",
            "postgres://postgres:secret@h/cruddur?se(cret=1",
            "postgres://postgres:secret@h/cruddur?sslmode=secret",
            "postgres://postgres:secret@h/cruddur?port=secret",
            "postgres://postgres:secret@h/cruddur/secret",
            "postgres:secret@127.0.0.1/cruddur",
            "postgres:/u:secret@127.0.0.1/cruddur",
            "postgres:secret://127.0.0.1/cruddur",
            "u:secret@127.0.0.1:5432/cruddur",
            "secret",
            "\"postgres://u:secret@127.0.0.1/cruddur\"",
            "mysql://u:secret@127.0.0.1/cruddur",
        ] {
            let parsed = ConnectSource::parse(wrong, None);
            let refused = parsed.expect_err(wrong).to_string();
            assert!(!refused.contains("secret"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn other_scheme_is_rejected_by_name() {
        for (wrong, scheme) in [
            ("mysql://u:p@h/d", "mysql"),
            ("jdbc:postgresql://h/d?user=u&password=p", "jdbc:postgresql"),
            ("postgresql+asyncpg://u:p@h/d", "postgresql+asyncpg"),
        ] {
            let refused = DatabaseUrl::parse(wrong).expect_err(wrong);
            assert_eq!(refused, InvalidDatabaseUrl::Scheme(scheme.to_owned()));
        }
    }

    #[test]
    fn reserved_characters_are_accepted_if_encoded_or_unambiguous() {
        for (url, host) in [
            ("postgres://u:12%2Fword@127.0.0.1:5432/cruddur", "127.0.0.1"),
            ("postgres://u:p@ss:w@db.example/cruddur", "db.example"),
            ("postgresql://u:p@[::1]:5433/cruddur", "::1"),
            ("postgres://u:p@h/cruddur?hostaddr=[::1]", "::1"),
            (" POSTGRES://u@h_1/cruddur?sslmode=require\n", "h_1"),
            ("postgres://h/d?sslrootcert=system&sslmode=verify-full", "h"),
        ] {
            let parsed = DatabaseUrl::parse(url).expect(url);
            assert_eq!(parsed.files, [], "{url}");
            let source = ConnectSource::parse(url, None).expect(url);
            assert_eq!(source.target.get_host(), host, "{url}");
        }
        let url = "postgres://u:p@/cruddur?host=/run/postgresql";
        let socket = ConnectSource::parse(url, None).expect("a socket");
        assert!(is_by_socket(&socket.target));
    }

    #[test]
    fn unknown_parameters_are_reported_without_their_values() {
        let url = "postgres://h/d?schema=secret&sslmode=disable&connect_timeout=10";
        let parsed = DatabaseUrl::parse(url).expect("an address");
        assert_eq!(parsed.ignored, ["schema", "connect_timeout"]);
    }
}
