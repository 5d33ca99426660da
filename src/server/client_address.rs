//! The address of a client behind trusted proxies, from `X-Forwarded-For` or `Forwarded` (RFC
//! 7239).

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::header::FORWARDED;
use axum::http::{HeaderMap, HeaderName, Request};
use ipnet::IpNet;

use super::negotiate::split;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network of proxies: a CIDR block or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyNetwork(IpNet);

impl FromStr for ProxyNetwork {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let not_a_network =
            "it is not a network like 10.0.0.0/8 or 2001:db8::/32, or an IP address";
        network.map(Self).map_err(|_| not_a_network)
    }
}

/// The proxies whose forwarding headers are trusted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[ProxyNetwork]>);

impl FromIterator<ProxyNetwork> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = ProxyNetwork>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// The address of the client that sent a request, stored in the request's extensions.
#[derive(Clone, Copy)]
struct ClientAddress(IpAddr);

/// Returns the address of the client, if the address of its connection is known.
pub(super) fn client_address<B>(request: &Request<B>) -> Option<IpAddr> {
    let client = request.extensions().get::<ClientAddress>();
    client.map(|ClientAddress(client)| *client)
}

impl TrustedProxies {
    /// Stores the client's address in the extensions of a request, if the address of its connection
    /// is known.
    pub(super) fn find_client<B>(&self, mut request: Request<B>) -> Request<B> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        if let Some(ConnectInfo(peer)) = peer {
            let client = self.client(peer.ip(), request.headers());
            request.extensions_mut().insert(ClientAddress(client));
        }
        request
    }

    /// Returns the rightmost address that is not a trusted proxy's. A client can write any address
    /// to the left of it. Returns the peer's address if the peer is not trusted, or if an address
    /// is malformed or hidden.
    ///
    /// `X-Forwarded-For` takes precedence, because proxies that append to it forward `Forwarded` as
    /// the client sent it.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contain(peer) {
            return peer;
        }
        let (name, parse): (_, fn(&str) -> Option<IpAddr>) =
            if headers.contains_key(X_FORWARDED_FOR) {
                (X_FORWARDED_FOR, address)
            } else {
                (FORWARDED, forwarded_for)
            };
        let mut client = peer;
        for line in headers.get_all(name).iter().rev() {
            let line = String::from_utf8_lossy(line.as_bytes());
            for item in split(&line, ',').into_iter().rev() {
                let Some(address) = parse(item) else {
                    return peer;
                };
                client = address;
                if !self.contain(client) {
                    return client;
                }
            }
        }
        client
    }

    fn contain(&self, address: IpAddr) -> bool {
        let mut networks = self.0.iter();
        networks.any(|ProxyNetwork(network)| network.contains(&address))
    }
}

/// Parses the address of the `for` parameter of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut node = None;
    for pair in split(element, ';') {
        let (name, value) = pair.split_once('=')?;
        // If a client sends an opening quote only, the quoted text would extend to the first quote
        // that a proxy appends, and the proxy's element would be part of the client's.
        let value = unquote(value.trim())?;
        if name.trim().eq_ignore_ascii_case("for") {
            node = Some(value);
        }
    }
    address(node?)
}

/// Returns a value without the quotes around it; `None` if it has any other quote.
fn unquote(value: &str) -> Option<&str> {
    Some(between(value, '"', '"')).filter(|value| !value.contains('"'))
}

/// Returns the text between two delimiters; the whole text if it has only one of them or none.
fn between(text: &str, open: char, close: char) -> &str {
    let inner = text.strip_prefix(open);
    let inner = inner.and_then(|text| text.strip_suffix(close));
    inner.unwrap_or(text)
}

/// Parses an address with or without a port, and an IPv6 address with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address = between(text, '[', ']').parse().ok().or_else(with_port);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const OUTSIDE: &str = "203.0.113.9";

    fn client(peer: &str, lines: &[(HeaderName, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::1"].map(|text| text.parse().expect("a network"));
        let trusted = TrustedProxies::from_iter(trusted);
        let lines = lines.iter().cloned();
        let headers = lines.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let peer = peer.parse().expect("an address");
        trusted.client(peer, &headers.collect()).to_string()
    }

    fn forwarded_by(name: &HeaderName, value: &'static str) -> String {
        client(PROXY, &[(name.clone(), value)])
    }

    #[test]
    fn forwarded_address_of_an_untrusted_peer_is_ignored() {
        for name in [X_FORWARDED_FOR, FORWARDED] {
            let lines = [
                (name, "for=198.51.100.1"),
                (X_FORWARDED_FOR, "198.51.100.1"),
            ];
            assert_eq!(client(OUTSIDE, &lines), OUTSIDE);
        }
        assert_eq!(client(PROXY, &[]), PROXY);
    }

    #[test]
    fn forwarded_address_is_the_rightmost_that_is_not_trusted() {
        for (value, expected) in [
            ("203.0.113.9", OUTSIDE),
            ("203.0.113.9:4711", OUTSIDE),
            ("::ffff:203.0.113.9", OUTSIDE),
            ("198.51.100.1, 203.0.113.9", OUTSIDE),
            ("not an address, 203.0.113.9 , 10.9.9.9", OUTSIDE),
            ("203.0.113.9, 2001:db8::1", OUTSIDE),
            ("[2001:db8::7]:443, [2001:db8::1]", "2001:db8::7"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ] {
            assert_eq!(forwarded_by(&X_FORWARDED_FOR, value), expected, "{value}");
        }
        for (value, expected) in [
            ("for=203.0.113.9", OUTSIDE),
            (
                "proto=https; For=\"203.0.113.9:4711\" ;by=10.0.0.1",
                OUTSIDE,
            ),
            (
                "for=198.51.100.1;host=\"a, b\", for=203.0.113.9, for=10.0.0.2",
                OUTSIDE,
            ),
            ("for=\"[2001:db8::7]:443\"", "2001:db8::7"),
        ] {
            assert_eq!(forwarded_by(&FORWARDED, value), expected, "{value}");
        }
        let lines = [
            (X_FORWARDED_FOR, "198.51.100.1"),
            (X_FORWARDED_FOR, OUTSIDE),
            (FORWARDED, "for=198.51.100.2"),
        ];
        assert_eq!(client(PROXY, &lines), OUTSIDE);
    }

    #[test]
    fn forwarded_address_that_is_malformed_gives_the_address_of_the_peer() {
        for value in [
            "",
            "unknown",
            "203.0.113.9,",
            "203.0.113.9, x",
            "203.0.113",
            "[::1",
        ] {
            assert_eq!(forwarded_by(&X_FORWARDED_FOR, value), PROXY, "{value}");
        }
        for value in [
            "",
            "by=203.0.113.9",
            "for=_hidden",
            "for=unknown",
            "203.0.113.9",
            "for=198.51.100.1;x=\", for=\"[2001:db8::7]:443\"",
        ] {
            assert_eq!(forwarded_by(&FORWARDED, value), PROXY, "{value}");
        }
    }

    #[test]
    fn network_of_proxies_is_a_block_or_an_address() {
        for right in ["10.0.0.0/8", "10.0.0.1", "::1", "fd00::/8"] {
            right.parse::<ProxyNetwork>().expect(right);
        }
        for wrong in ["10.0.0.0/33", "proxy.example", "*", "10.0.0.1:80"] {
            wrong.parse::<ProxyNetwork>().expect_err(wrong);
        }
    }
}
