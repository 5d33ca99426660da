//! Detection of loopback addresses.

use std::net::IpAddr;

/// Returns whether the host of a URL is a loopback address.
pub fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    url.is_some_and(|url| url.host_str().is_some_and(is_loopback_host))
}

/// Returns whether a host is a loopback address.
///
/// The host is a name, or an IP address with or without brackets.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<IpAddr>();
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        || ip.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_distinguished_from_similar_ones() {
        for (url, loopback) in [
            ("http://localhost:8000", true),
            ("http://127.0.0.1:8000", true),
            ("http://[::1]:8000", true),
            ("http://[::ffff:127.0.0.1]:8000", true),
            ("http://LocalHost.:8000", true),
            ("postgres://postgres:password@localhost:5432/cruddur", true),
            ("postgres://postgres:password@[::1]:5433/cruddur", true),
            ("https://dynamodb.eu-central-1.amazonaws.com", false),
            ("http://localhost.evil.com", false),
            ("postgres://localhost@db.example.com/cruddur", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_loopback(url), loopback, "{url}");
        }
    }
}
