//! Parser of the `Accept` header (RFC 9110, 12.5.1) and of other headers with the same grammar.
//!
//! Clients send values that this grammar does not allow: `*`, `q=.2`, empty items. The parser uses
//! every item that it understands and ignores the others.

use std::cmp::Reverse;

use axum::http::{HeaderMap, HeaderName};

/// The items of a header, in order.
#[derive(Debug, Default)]
pub(super) struct AcceptHeader(Vec<Item>);

/// A media range or a coding in lower case, and its quality in thousandths.
#[derive(Debug)]
struct Item {
    name: String,
    quality: u16,
}

/// How well the client accepts a media type. A greater value is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Acceptance {
    /// Quality in thousandths; 0 means not acceptable.
    pub quality: u16,
    /// Position of the item that names the media type, of which the first is preferred; `None` if
    /// only a wildcard matches.
    pub named_at: Option<Reverse<usize>>,
}

/// Returns whether the client accepts a media type or a coding by its name, not by a wildcard.
pub fn accepts(headers: &HeaderMap, header: &HeaderName, name: &str) -> bool {
    let accepted = AcceptHeader::of(headers, header);
    let found = accepted.of_pattern(name);
    found.is_some_and(|(_, item)| item.quality > 0)
}

impl AcceptHeader {
    /// Parses the items of all lines of a header.
    pub fn of(headers: &HeaderMap, header: &HeaderName) -> Self {
        let mut items = Vec::new();
        for line in headers.get_all(header) {
            let line = String::from_utf8_lossy(line.as_bytes());
            items.extend(split(&line, ',').into_iter().filter_map(item));
        }
        Self(items)
    }

    /// Returns whether no item is a media range.
    pub fn has_no_media_range(&self) -> bool {
        !self.0.iter().any(|item| item.name.contains('/'))
    }

    /// Returns how well the client accepts a media type. The most specific range that matches
    /// decides.
    pub fn media_type(&self, name: &str) -> Acceptance {
        // The specification does not define `application/*+json` as a range, but Spring clients
        // send it.
        let suffix = name.split_once('+');
        let suffix = suffix.map(|(_, suffix)| format!("application/*+{suffix}"));
        let patterns = [
            Some(name),
            suffix.as_deref(),
            Some("application/*"),
            Some("*/*"),
        ];
        let found = patterns.into_iter().flatten().find_map(|pattern| {
            let (position, item) = self.of_pattern(pattern)?;
            Some(Acceptance {
                quality: item.quality,
                named_at: (pattern == name).then_some(Reverse(position)),
            })
        });
        found.unwrap_or_default()
    }

    /// Returns the item of this name with the highest quality. A name can occur several times with
    /// different parameters; only `q` is evaluated.
    fn of_pattern(&self, pattern: &str) -> Option<(usize, &Item)> {
        let items = self.0.iter().enumerate();
        // If several items have the same quality, the first one is used.
        let items = items.rev().filter(|(_, item)| item.name == pattern);
        items.max_by_key(|(_, item)| item.quality)
    }
}

/// Parses an item; `None` if it has no name.
fn item(text: &str) -> Option<Item> {
    let mut parts = split(text, ';').into_iter();
    let mut name = parts.next()?.to_ascii_lowercase();
    name.retain(|character| !character.is_ascii_whitespace());
    if name.is_empty() {
        return None;
    }
    if name == "*" {
        name.push_str("/*");
    }
    let mut parameters = parts.filter_map(|parameter| parameter.split_once('='));
    let weight = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
    let quality = weight.and_then(|(_, value)| thousandths(value));
    Some(Item {
        name,
        quality: quality.unwrap_or(1000),
    })
}

/// Parses a quality value: `0`, `0.5`, `1.000` (RFC 9110, 12.4.2), and also `.5`, `1.`, `"0.5"` and
/// more than three digits. Returns `None` for a text that is not a number.
fn thousandths(quality: &str) -> Option<u16> {
    let quality = quality.trim().trim_matches('"').trim();
    let is_digit_or_point = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let is_decimal = quality.bytes().all(is_digit_or_point);
    let quality: f64 = quality.parse().ok().filter(|_| is_decimal)?;
    let thousandths = (quality.min(1.0) * 1000.0).round();
    // A quality above zero must not be rounded to "not acceptable".
    let least = if quality > 0.0 { 1.0 } else { 0.0 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is between 0 and 1000"
    )]
    Some(thousandths.max(least) as u16)
}

/// Splits a text at the separators that are outside of quoted strings. A quote without a closing
/// quote is treated as an ordinary character.
pub(in crate::server) fn split(text: &str, separator: char) -> Vec<&str> {
    let mut separators = Vec::new();
    // In a quoted string: the number of separators before it.
    let mut before_quote = None;
    let mut is_escaped = false;
    for (position, character) in text.char_indices() {
        if character == separator {
            separators.push(position);
        }
        match (before_quote, character) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(count), '"') => {
                separators.truncate(count);
                before_quote = None;
            }
            (None, '"') => before_quote = Some(separators.len()),
            _ => {}
        }
    }
    let mut rest = 0;
    let mut parts = Vec::with_capacity(separators.len() + 1);
    for position in separators {
        parts.push(&text[rest..position]);
        rest = position + separator.len_utf8();
    }
    parts.push(&text[rest..]);
    parts
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;
    use proptest::prelude::*;

    use super::*;

    /// Parses the header and returns how well `application/json` is accepted.
    fn json(header: &str) -> (u16, bool) {
        let lines = header.lines().map(|line| {
            let line = HeaderValue::from_bytes(line.as_bytes());
            (ACCEPT, line.expect("a header"))
        });
        let accepted = AcceptHeader::of(&lines.collect(), &ACCEPT);
        let json = accepted.media_type("application/json");
        (json.quality, json.named_at.is_some())
    }

    #[test]
    fn quality_is_parsed_in_every_form_that_clients_send() {
        for (parameters, expected) in [
            ("", 1000),
            (";q=0.5", 500),
            (" ; Q = 0.5", 500),
            ("; q=.2", 200),
            ("; q=1.", 1000),
            ("; q=0.", 0),
            ("; q=0.33333", 333),
            ("; q=0.00001", 1),
            ("; q=\"0.5\"", 500),
            ("; q=5", 1000),
            ("; q=", 1000),
            ("; q", 1000),
            ("; q=high", 1000),
            ("; q=NaN", 1000),
            ("; q=-1", 1000),
            ("; q=0.5; ext=1; q=0.9", 500),
            ("; charset=utf-8; q=0.5; level", 500),
        ] {
            let accept = format!("application/json{parameters}");
            assert_eq!(json(&accept), (expected, true), "{accept}");
        }
    }

    #[test]
    fn header_items_of_all_lines_are_used_and_invalid_ones_are_ignored() {
        for (accept, expected) in [
            ("*", (1000, false)),
            ("*;q=.2", (200, false)),
            ("text/html, *; q=.2, */*; q=.1", (200, false)),
            ("application/*;q=0.3, */*", (300, false)),
            ("application/*+json", (0, false)),
            ("application / json", (1000, true)),
            ("text/html\napplication/json;q=0.4", (400, true)),
            (",, application/json ,", (1000, true)),
            ("; q=0.1, application/json", (1000, true)),
            ("text/ümlaut, application/json", (1000, true)),
            (
                "x/y; z=\"a, application/json;q=0\", application/json",
                (1000, true),
            ),
            ("x/y; z=\"a \\\", b\";q=0, application/json", (1000, true)),
            ("x/y; z=\"not closed, application/json", (1000, true)),
            (
                "application/json; v=2; q=0.1, application/json; q=0.7",
                (700, true),
            ),
        ] {
            assert_eq!(json(accept), expected, "{accept}");
        }
    }

    proptest! {
        #![proptest_config(crate::random::config())]

        #[test]
        fn random_headers_are_split_into_their_parts(
            text in r#"[a-c/*;,="\\ü .]{0,40}"#,
        ) {
            let parts = split(&text, ',');
            prop_assert_eq!(parts.join(","), text.as_str());
            for part in parts {
                let _ = item(part);
            }
        }
    }
}
