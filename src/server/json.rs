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
    /// The text is valid JSON, but a value of an unexpected type.
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
    fn invalid_json_is_described_with_its_place() {
        let deep = "[".repeat(200);
        let messages: Vec<String> = [
            "",
            " \n",
            "{",
            "{\"a\"",
            "{\"a\":",
            "[1",
            "\"a",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\":1 \"b\":2}",
            "[1 2]",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{}}",
            "{} {}",
            "tru",
            "nul!",
            "01",
            "-",
            "1.",
            "1e999",
            "\"\\q\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\udc00\"",
            "\"a\nb\"",
            "{\n  \"é\": é\n}",
            "undefined",
            "NaN",
            "\u{feff}\u{feff}{}",
            &deep,
        ]
        .map(message)
        .into();
        insta::assert_snapshot!(messages.join("\n"), @r#"
        it is empty
        it is empty
        line 1, column 2: the text ends inside an object
        line 1, column 5: the text ends inside an object
        line 1, column 6: the text ends where a value is expected
        line 1, column 3: the text ends inside a list
        line 1, column 3: the text ends inside a string
        line 1, column 6: `:` is expected after a member's name
        line 1, column 6: a value is expected, found `}`
        line 1, column 8: `,` or `}` is expected, found `"`
        line 1, column 4: `,` or `]` is expected, found `2`
        line 1, column 4: nothing follows `,`
        line 1, column 8: nothing follows `,`
        line 1, column 2: a member's name in double quotes is expected, found `a`
        line 1, column 2: a member's name in double quotes is expected, found `'`
        line 1, column 3: the end of the text is expected, found `}`
        line 1, column 4: the end of the text is expected, found `{`
        line 1, column 4: the text ends where a value is expected
        line 1, column 4: `true`, `false` or `null` is expected, found `!`
        line 1, column 2: a number is not written as in JSON
        line 1, column 2: the text ends where a value is expected
        line 1, column 3: the text ends where a value is expected
        line 1, column 5: a number is too large
        line 1, column 3: a string has an unknown escape
        line 1, column 8: a string has half of a surrogate pair
        line 1, column 8: a string has half of a surrogate pair
        line 1, column 7: a string has half of a surrogate pair
        line 2, column 1: a control character in a string is not escaped
        line 2, column 8: a value is expected, found `é`
        line 1, column 1: a value is expected, found `u`
        line 1, column 1: a value is expected, found `N`
        line 1, column 1: a value is expected, found U+FEFF
        line 1, column 128: lists and objects are nested more than 127 deep
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
