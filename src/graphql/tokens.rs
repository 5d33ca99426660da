//! The tokens of a document, before the recursive parser is let near them.

use apollo_parser::{Lexer, Token, TokenKind};

use super::completion::OWN_ALIAS;
use super::error::Code;
use super::limits::{Exceeded, within};

/// How deep brackets may be nested.
const DEEPEST_NESTING: usize = 200;
/// How many characters that are none of GraphQL's the parser is shown: each of
/// them costs it an error of its own.
const MOST_ERRORS: usize = 20;

/// Why a document is not parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unparsable {
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
    #[error("The document has {0} characters that are none of GraphQL's.")]
    NotGraphql(usize),
    #[error("`{OWN_ALIAS}` is a name of the server's own.")]
    OwnName,
}

impl Unparsable {
    pub fn code(&self) -> Code {
        match self {
            Self::Exceeded(_) => Code::QueryTooComplex,
            Self::NotGraphql(_) => Code::GraphqlParseFailed,
            Self::OwnName => Code::GraphqlValidationFailed,
        }
    }
}

/// Counts a document's tokens and how deep they are nested, and blanks its
/// descriptions: those of operations, fragments and variables are newer than
/// the parser. Every other token stays where it is.
pub(super) fn parsable(mut document: String, most: usize) -> Result<String, Unparsable> {
    let mut tokens = Vec::new();
    let (mut count, mut errors) = (0, 0);
    for token in Lexer::new(&document) {
        // What is no token is the parser's to tell.
        let Ok(token) = token else {
            errors += 1;
            continue;
        };
        match token.kind() {
            TokenKind::Whitespace | TokenKind::Comment | TokenKind::Comma | TokenKind::Eof => {}
            TokenKind::Name if token.data() == OWN_ALIAS => return Err(Unparsable::OwnName),
            _ => {
                count += 1;
                if count <= most {
                    tokens.push(token);
                }
            }
        }
    }
    within("tokens", count, most)?;
    if errors > MOST_ERRORS {
        return Err(Unparsable::NotGraphql(errors));
    }
    let descriptions = descriptions(&tokens)?;
    for (at, length) in descriptions.into_iter().rev() {
        let blank = |c: char| if matches!(c, '\n' | '\r') { c } else { ' ' };
        let range = at..at + length;
        let blanked: String = document[range.clone()].chars().map(blank).collect();
        document.replace_range(range, &blanked);
    }
    Ok(document)
}

/// Where descriptions begin, and how many bytes they have.
fn descriptions(tokens: &[Token<'_>]) -> Result<Vec<(usize, usize)>, Exceeded> {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut found = Vec::new();
    for (number, token) in tokens.iter().enumerate() {
        match token.kind() {
            TokenKind::LCurly | TokenKind::LParen | TokenKind::LBracket => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket => {
                depth = depth.saturating_sub(1);
            }
            TokenKind::StringValue => {
                let before = number.checked_sub(1).and_then(|before| tokens.get(before));
                let describes = match tokens.get(number + 1) {
                    Some(next) if depth == 0 => is_definition(next.data()),
                    // Not the default value of the variable before.
                    Some(next) if depth == 1 && next.kind() == TokenKind::Dollar => {
                        before.is_some_and(|before| before.kind() != TokenKind::Eq)
                    }
                    _ => false,
                };
                if describes {
                    found.push((token.index(), token.data().len()));
                }
            }
            _ => {}
        }
    }
    within("levels of brackets", deepest, DEEPEST_NESTING)?;
    Ok(found)
}

fn is_definition(keyword: &str) -> bool {
    matches!(keyword, "query" | "mutation" | "subscription" | "fragment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_deeper_than_the_parser_may_go_is_not_parsed() {
        let nested = |levels: usize| "{a(b:[".repeat(levels);
        assert_eq!(parsable(nested(66), 4000), Ok(nested(66)));
        let refused = parsable(nested(67), 4000).map_err(|error| error.to_string());
        let deep = "The operation has 201 levels of brackets, and 200 are the most. Ask for less at a time.";
        assert_eq!(refused, Err(deep.to_owned()));
        for quoted in ["#", "\"", "\"\"\""] {
            let document = format!("{{ a(b: {quoted}{}", "{".repeat(300));
            assert_eq!(parsable(document.clone(), 4000), Ok(document));
        }
        let escaped = format!("{{ a(b: \"\"\" \\\"\"\" {} \"\"\") }}", "{".repeat(300));
        assert_eq!(parsable(escaped.clone(), 4000), Ok(escaped));
        let long = parsable("# one, two\n{ a, ".repeat(51), 100).map_err(|error| error.to_string());
        let refused = "The operation has 102 tokens, and 100 are the most. Ask for less at a time.";
        assert_eq!(long, Err(refused.to_owned()));
    }

    #[test]
    fn what_is_no_token_is_told_by_the_parser_unless_there_is_much_of_it() {
        let few = format!("{{ a {} }}", "%".repeat(20));
        assert_eq!(parsable(few.clone(), 100), Ok(few));
        let much = format!("{{ a {} }}", "%".repeat(21));
        assert_eq!(parsable(much, 100), Err(Unparsable::NotGraphql(21)));
    }

    #[test]
    fn a_name_of_the_servers_own_is_not_asked_for_but_may_be_quoted() {
        let asked = format!("{{ {OWN_ALIAS}: a }}");
        assert_eq!(parsable(asked, 100), Err(Unparsable::OwnName));
        let quoted = format!("{{ a(b: \"{OWN_ALIAS}\") }} # {OWN_ALIAS}");
        assert_eq!(parsable(quoted.clone(), 100), Ok(quoted));
    }

    #[test]
    fn descriptions_are_blank_and_everything_else_stays_where_it_is() {
        for (document, expected) in [
            ("\"what\" query { a }", "       query { a }"),
            ("\"é\" query { a }", "    query { a }"),
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
            assert_eq!(parsable(document.to_owned(), 100).as_deref(), Ok(expected));
        }
        for same in [
            "query($a: String = \"x\" $b: Int) { a(b: \"query\" c: $b) }",
            "\"what\" { a }",
            "\"one\" \"more\"",
            "query @a(b: \"x\") { c }",
            "{ a(b: \"x\"",
        ] {
            assert_eq!(parsable(same.to_owned(), 100).as_deref(), Ok(same));
        }
    }
}
