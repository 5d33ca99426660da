//! Checks the tokens of a document before apollo-compiler's recursive parser
//! processes it.

use apollo_parser::{Lexer, Token, TokenKind};
use async_graphql::Pos;

use super::error::{MAX_ERRORS, RequestErrorKind};
use super::limits::{LimitExceeded, within};
use super::positions::LineIndex;
use super::syntax::{SyntaxError, check_syntax};

/// Maximum nesting depth of brackets. The limit bounds the use of the stack,
/// because parsers recurse at each level of brackets.
const MAX_NESTING: usize = 200;

/// The reason for which a document is not parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    #[error(transparent)]
    LimitExceeded(#[from] LimitExceeded),
    /// At least one error, and at most as many as a response contains.
    #[error("{}", .0[0].0)]
    Syntax(Vec<(SyntaxError, Pos)>),
}

impl DocumentError {
    pub fn kind(&self) -> RequestErrorKind {
        match self {
            Self::LimitExceeded(_) => RequestErrorKind::TooComplex,
            Self::Syntax(_) => RequestErrorKind::ParseFailed,
        }
    }
}

/// Checks the syntax of a document, the number of its tokens and their nesting
/// depth. Replaces descriptions and commas by spaces, because apollo-compiler
/// does not support descriptions of operations, fragments and variables yet, nor
/// a comma after an alias or `...`. Every other token keeps its line and column.
pub(super) fn parsable(document: &str, max: usize) -> Result<String, DocumentError> {
    let mut text = String::with_capacity(document.len());
    let mut tokens = Vec::new();
    let (mut count, mut errors) = (0, Vec::new());
    for token in Lexer::new(document) {
        let token = match token {
            Ok(token) => token,
            Err(error) => {
                if errors.len() < MAX_ERRORS {
                    errors.push(lexical(&error));
                }
                continue;
            }
        };
        match token.kind() {
            TokenKind::Eof => continue,
            TokenKind::Comma => text.push(' '),
            _ => text.push_str(token.data()),
        }
        if !is_ignored(token.kind()) {
            count += 1;
            if count <= max {
                tokens.push(token);
            }
        }
    }
    within("tokens", count, max)?;
    if !errors.is_empty() {
        return Err(syntax(document, errors));
    }
    within("levels of nested brackets", nesting(&tokens), MAX_NESTING)?;
    let descriptions = check_syntax(&tokens, document.len());
    let descriptions = descriptions.map_err(|error| syntax(document, vec![error]))?;
    for (at, length) in descriptions.into_iter().rev() {
        let range = at..at + length;
        let blank: String = text[range.clone()].chars().map(blank).collect();
        text.replace_range(range, &blank);
    }
    Ok(text)
}

fn is_ignored(token: TokenKind) -> bool {
    use TokenKind::{Comma, Comment, Eof, Whitespace};
    matches!(token, Whitespace | Comment | Comma | Eof)
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

fn syntax(document: &str, errors: Vec<SyntaxError>) -> DocumentError {
    let positions = LineIndex::of(document);
    let errors = errors.into_iter();
    let located = errors.map(|error| {
        let position = positions.at(error.offset);
        (error, position)
    });
    DocumentError::Syntax(located.collect())
}

fn lexical(error: &apollo_parser::Error) -> SyntaxError {
    SyntaxError {
        message: error.message().to_owned(),
        offset: error.index(),
    }
}

/// Returns the nesting depth of brackets.
fn nesting(tokens: &[Token<'_>]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token.kind() {
            TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(error: &DocumentError) -> String {
        error.to_string()
    }

    #[test]
    fn nesting_deeper_than_the_limit_is_rejected() {
        let nested = |levels: usize| {
            format!(
                "{{a(b:[{}1{}])}}",
                "[{c:".repeat(levels),
                "}]".repeat(levels)
            )
        };
        let deep = nested(98);
        assert_eq!(parsable(&deep, 4000), Ok(deep));
        let refused = parsable(&nested(99), 4000).map_err(|error| message_of(&error));
        let deep = "The operation has 201 levels of nested brackets, which exceeds the limit of 200. Request less at a time.";
        assert_eq!(refused, Err(deep.to_owned()));
        for quoted in ["#{}\n1", "\"{}\"", "\"\"\" \\\"\"\" {} \"\"\""] {
            let quoted = quoted.replace("{}", &"{".repeat(300));
            let document = format!("{{ a(b: {quoted}) }}");
            assert_eq!(parsable(&document, 4000), Ok(document));
        }
        let long =
            parsable(&"# one, two\n{ a, ".repeat(51), 100).map_err(|error| message_of(&error));
        let refused =
            "The operation has 102 tokens, which exceeds the limit of 100. Request less at a time.";
        assert_eq!(long, Err(refused.to_owned()));
    }

    #[test]
    fn syntax_errors_have_line_and_column() {
        for (document, line, column) in [
            ("{ a(\"é\")", 1, 5),
            ("{\r\n  é }", 2, 3),
            ("{\r a }\n }", 3, 2),
            ("{ a", 1, 4),
        ] {
            let Err(DocumentError::Syntax(errors)) = parsable(document, 100) else {
                panic!("{document}");
            };
            assert_eq!(errors[0].1, Pos { line, column }, "{document}");
        }
    }

    #[test]
    fn syntax_errors_are_at_most_twenty() {
        for token in ["%", "&", ":", "$", "..", "\"", "é"] {
            let document = format!("{{ a {} }}", token.repeat(500));
            let Err(DocumentError::Syntax(errors)) = parsable(&document, 4000) else {
                panic!("{token}");
            };
            assert!((1..=20).contains(&errors.len()), "{token}");
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
            assert_eq!(parsable(document, 100).as_deref(), Ok(expected));
        }
        for same in [
            "query($a: String = \"x\" $b: Int) { a(b: \"query\" c: $b) }",
            "query @a(b: \"x\") { c }",
        ] {
            assert_eq!(parsable(same, 100).as_deref(), Ok(same));
        }
        for wrong in ["\"what\" { a }", "\"one\" \"more\""] {
            assert!(parsable(wrong, 100).is_err());
        }
    }
}
