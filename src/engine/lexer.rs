//! Checks the tokens of a document before apollo-compiler's recursive parser
//! processes it.

use apollo_parser::{Lexer, TokenKind};
use async_graphql::ServerError;

use super::error::{MAX_ERRORS, Rejected, RequestErrorKind, rejection};
use super::limits::within;
use super::positions::LineIndex;
use super::syntax::{SyntaxError, check_syntax};

/// Maximum nesting depth of brackets. The limit bounds the use of the stack,
/// because parsers recurse at each level of brackets.
const MAX_NESTING: usize = 200;

/// Checks the syntax of a document, the number of its tokens and their nesting
/// depth. Replaces descriptions and commas by spaces, because apollo-compiler
/// does not support descriptions of operations, fragments and variables yet, nor
/// a comma after an alias or `...`. Every other token keeps its line and column.
pub(super) fn parsable(document: &str, max: usize) -> Result<String, Rejected> {
    use TokenKind::{
        Comma, Comment, Eof, LBracket, LCurly, LParen, RBracket, RCurly, RParen, Whitespace,
    };
    let mut text = String::with_capacity(document.len());
    let (mut tokens, mut errors) = (Vec::new(), Vec::new());
    let (mut count, mut depth, mut deepest) = (0, 0_usize, 0);
    for token in Lexer::new(document) {
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                errors.push(SyntaxError {
                    message: error.message().to_owned(),
                    offset: error.index(),
                });
                // A response contains at most this number.
                errors.truncate(MAX_ERRORS);
                continue;
            }
        };
        match token.kind() {
            Comma => text.push(' '),
            Eof => continue,
            _ => text.push_str(token.data()),
        }
        match token.kind() {
            Comma | Whitespace | Comment => continue,
            LCurly | LParen | LBracket => depth += 1,
            RCurly | RParen | RBracket => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        count += 1;
        if count <= max {
            tokens.push(token);
        }
    }
    within("tokens", count, max)?;
    if !errors.is_empty() {
        return Err(rejected(document, errors));
    }
    within("levels of nested brackets", deepest, MAX_NESTING)?;
    let descriptions = check_syntax(&tokens, document.len());
    let descriptions = descriptions.map_err(|error| rejected(document, vec![error]))?;
    for (at, length) in descriptions.into_iter().rev() {
        let range = at..at + length;
        let blank: String = text[range.clone()].chars().map(blank).collect();
        text.replace_range(range, &blank);
    }
    Ok(text)
}

/// Returns the white space that replaces a character of a description. It has as
/// many UTF-16 code units as the character, so that later columns stay the same.
fn blank(c: char) -> &'static str {
    match c {
        '\n' => "\n",
        '\r' => "\r",
        _ if c.len_utf16() == 2 => "  ",
        _ => " ",
    }
}

fn rejected(document: &str, errors: Vec<SyntaxError>) -> Rejected {
    let positions = LineIndex::of(document);
    let errors = errors.into_iter().map(|error| {
        let position = positions.at(error.offset);
        ServerError::new(error.to_string(), Some(position))
    });
    rejection(RequestErrorKind::ParseFailed, errors.collect())
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;

    use super::*;

    /// Returns the document for the parser, or the message of the first error.
    fn checked(document: &str, max: usize) -> Result<String, String> {
        parsable(document, max).map_err(|rejected| rejected.errors[0].message.clone())
    }

    #[test]
    fn nesting_deeper_than_the_limit_is_rejected() {
        let nested = |levels: usize| {
            let (open, close) = ("[{c:".repeat(levels), "}]".repeat(levels));
            format!("{{a(b:[{open}1{close}])}}")
        };
        let exceeded = |what: &str, limit: usize| {
            let message = format!(
                "The operation has {what}, which exceeds the limit of {limit}. Request less at a time."
            );
            Err(message)
        };
        let deep = nested(98);
        assert_eq!(checked(&deep, 4000), Ok(deep));
        let levels = exceeded("201 levels of nested brackets", 200);
        assert_eq!(checked(&nested(99), 4000), levels);
        for quoted in ["#{}\n1", "\"{}\"", "\"\"\" \\\"\"\" {} \"\"\""] {
            let quoted = quoted.replace("{}", &"{".repeat(300));
            let document = format!("{{ a(b: {quoted}) }}");
            assert_eq!(checked(&document, 4000), Ok(document));
        }
        let long = "# one, two\n{ a, ".repeat(51);
        assert_eq!(checked(&long, 100), exceeded("102 tokens", 100));
    }

    #[test]
    fn syntax_errors_have_line_and_column() {
        for (document, line, column) in [
            ("{ a(\"é\")", 1, 5),
            ("{\r\n  é }", 2, 3),
            ("{\r a }\n }", 3, 2),
            ("{ a", 1, 4),
        ] {
            let rejected = parsable(document, 100).expect_err(document);
            let found = &rejected.errors[0].locations;
            assert_eq!(*found, [Pos { line, column }], "{document}");
        }
    }

    #[test]
    fn syntax_errors_are_at_most_twenty() {
        for token in ["%", "&", ":", "$", "..", "\"", "é"] {
            let document = format!("{{ a {} }}", token.repeat(500));
            let rejected = parsable(&document, 4000).expect_err(token);
            assert!((1..=20).contains(&rejected.errors.len()), "{token}");
        }
    }

    #[test]
    fn descriptions_and_commas_are_blank_and_everything_else_stays_where_it_is() {
        for (document, expected) in [
            ("\"what\" query { a }", "       query { a }"),
            ("\"é\" query { a }", "    query { a }"),
            ("\"🐌\" query { a }", "     query { a }"),
            (
                "{ a,: b(c: \",\",d: 1) ...,on A { b } } # ,",
                "{ a : b(c: \",\" d: 1) ... on A { b } } # ,",
            ),
            (
                "\"\"\"two\nlines\"\"\" # for a\nmutation M { a }",
                "      \n         # for a\nmutation M { a }",
            ),
            (
                "query(\"first\" $a: Int = 1 \"second\" $b: Int) { a }",
                "query(        $a: Int = 1          $b: Int) { a }",
            ),
            (
                "{ ...f } \"a fragment\" fragment f on Query { a }",
                "{ ...f }              fragment f on Query { a }",
            ),
        ] {
            assert_eq!(checked(document, 100).as_deref(), Ok(expected));
        }
        for same in [
            "query($a: String = \"x\" $b: Int) { a(b: \"query\" c: $b) }",
            "query @a(b: \"x\") { c }",
        ] {
            assert_eq!(checked(same, 100).as_deref(), Ok(same));
        }
        for wrong in ["\"what\" { a }", "\"one\" \"more\""] {
            assert!(checked(wrong, 100).is_err());
        }
    }
}
