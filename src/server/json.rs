//! Parser for the JSON that clients and their tools send.

use serde::Deserialize;
use serde_json::error::Category;

/// The byte order mark that some editors and clients put before a text (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a text is not valid JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// A byte is not valid UTF-8.
    #[error("byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// The text is valid JSON, but its value has an unexpected type.
    #[error("it is a value of another type")]
    OtherType,
    /// A character is not expected at its position.
    #[error("line {line}, column {column}: {problem}")]
    Syntax {
        /// Line number, starting at 1.
        line: usize,
        /// Column number in characters, starting at 1.
        column: usize,
        /// Description of the problem.
        problem: String,
    },
}

/// Parses a JSON text, with or without a byte order mark.
pub(super) fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, InvalidJson> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let text =
        str::from_utf8(text).map_err(|error| InvalidJson::NotUtf8(error.valid_up_to() + 1))?;
    serde_json::from_str(text).map_err(|error| {
        if text.trim().is_empty() {
            InvalidJson::Empty
        } else if error.is_data() {
            InvalidJson::OtherType
        } else {
            located(text, &error)
        }
    })
}

fn located(text: &str, error: &serde_json::Error) -> InvalidJson {
    let is_end = error.classify() == Category::Eof;
    let number = if is_end {
        text.split('\n').count()
    } else {
        error.line().max(1)
    };
    let line = text.split('\n').nth(number - 1).unwrap_or_default();
    // The parser counts columns in bytes.
    let at = if is_end {
        line.len()
    } else {
        line.floor_char_boundary(error.column().saturating_sub(1))
    };
    let (before, found) = line.split_at(at);
    let mut problem = if is_end {
        "the text ends too early".to_owned()
    } else {
        // The position is removed, because the message already begins with it.
        let position = format!(" at line {} column {}", error.line(), error.column());
        error.to_string().replace(&position, "")
    };
    if let Some(found) = found.chars().next() {
        problem = format!("{problem} at {}", shown(found));
    }
    InvalidJson::Syntax {
        line: number,
        column: before.chars().count() + 1,
        problem,
    }
}

/// Formats a character: as itself, or as its code point if it would not be visible.
fn shown(character: char) -> String {
    if character.is_alphanumeric() || character.is_ascii_punctuation() {
        format!("`{character}`")
    } else {
        format!("U+{:04X}", u32::from(character))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn message(text: &str) -> String {
        let error = parse_json::<Value>(text.as_bytes()).expect_err("not JSON");
        error.to_string()
    }

    #[test]
    fn invalid_json_is_described_with_its_position() {
        let deep = "[".repeat(200);
        let messages: Vec<String> = [
            "",
            "{\"a\"",
            "{\"a\" 1}",
            "[1,]",
            "{'a':1}",
            "{} {}",
            "nul!",
            "01",
            "1e999",
            "\"\\ud83dx\"",
            "\"a\nb\"",
            "{\n  \"é\": é\n}",
            "\u{feff}\u{feff}{}",
            &deep,
        ]
        .map(message)
        .into();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        it is empty
        line 1, column 5: the text ends too early
        line 1, column 6: expected `:` at `1`
        line 1, column 4: trailing comma at `]`
        line 1, column 2: key must be a string at `'`
        line 1, column 4: trailing characters at `{`
        line 1, column 4: expected ident at `!`
        line 1, column 2: invalid number at `1`
        line 1, column 5: number out of range at `9`
        line 1, column 8: unexpected end of hex escape at `x`
        line 2, column 1: control character (\u0000-\u001F) found while parsing a string at `b`
        line 2, column 8: expected value at `é`
        line 1, column 1: expected value at U+FEFF
        line 1, column 128: recursion limit exceeded at `[`
        "#);
        let latin = parse_json::<Value>(b"{\"a\": \"\xe9\"}").expect_err("not UTF-8");
        assert_eq!(latin.to_string(), "byte 8 is not UTF-8");
    }

    #[test]
    fn byte_order_mark_is_skipped() {
        let parsed = parse_json::<Value>("\u{feff}{\"a\": \"\u{feff}\"}".as_bytes());
        assert_eq!(parsed, Ok(serde_json::json!({ "a": "\u{feff}" })));
    }
}
