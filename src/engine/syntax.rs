//! Checks the syntax of executable documents (GraphQL specification, section 2) on tokens, before
//! apollo-parser processes the document.
//!
//! apollo-parser records an error for each unexpected token at each nesting level, and copies the
//! token: a document of 32 kB costs 11 MB. This check stops at the first error and allocates only
//! the positions of descriptions.

use apollo_parser::{Token, TokenKind};

/// The first syntax error of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Syntax error: {message}")]
pub(super) struct SyntaxError {
    pub message: String,
    /// Offset in bytes from the start of the document.
    pub offset: usize,
}

/// Maximum number of characters of a token that an error quotes. A string token
/// can be as long as the document.
const MAX_QUOTE_LENGTH: usize = 40;

/// Checks the tokens of a document of `length` bytes. Ignored tokens must be
/// removed. Returns the offsets and lengths of its descriptions.
///
/// It recurses at each level of brackets, so the caller must limit the nesting
/// depth first.
pub(super) fn check_syntax(
    tokens: &[Token<'_>],
    length: usize,
) -> Result<Vec<(usize, usize)>, SyntaxError> {
    let mut check = SyntaxChecker {
        tokens,
        next: 0,
        length,
        descriptions: Vec::new(),
    };
    check.definition()?;
    while check.next < tokens.len() {
        check.definition()?;
    }
    Ok(check.descriptions)
}

struct SyntaxChecker<'a> {
    tokens: &'a [Token<'a>],
    /// Index of the next token.
    next: usize,
    length: usize,
    descriptions: Vec<(usize, usize)>,
}

type Checked = Result<(), SyntaxError>;

impl<'a> SyntaxChecker<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.next)
    }

    fn is(&self, kind: TokenKind) -> bool {
        self.peek().is_some_and(|token| token.kind() == kind)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        let name = self.peek().filter(|token| token.kind() == TokenKind::Name);
        name.is_some_and(|name| name.data() == keyword)
    }

    fn skip(&mut self, kind: TokenKind) -> bool {
        let skipped = self.is(kind);
        self.next += usize::from(skipped);
        skipped
    }

    fn expect(&mut self, kind: TokenKind, expected: &str) -> Checked {
        if self.skip(kind) {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn skip_keyword(&mut self, keyword: &str) -> bool {
        let skipped = self.is_keyword(keyword);
        self.next += usize::from(skipped);
        skipped
    }

    fn name(&mut self) -> Checked {
        self.expect(TokenKind::Name, "a name")
    }

    fn unexpected(&self, expected: &str) -> SyntaxError {
        let (found, offset) = match self.peek() {
            Some(token) => (quoted(token.data()), token.index()),
            None => ("the end of the document".to_owned(), self.length),
        };
        SyntaxError {
            message: format!("expected {expected}, found {found}"),
            offset,
        }
    }

    fn definition(&mut self) -> Checked {
        // Like graphql-js, report a description before a token that cannot have
        // one (`{` or a name that is not a keyword) as the unexpected token. If
        // another token follows the description, report that token.
        let described = self.tokens.get(self.next + 1);
        if described.is_none_or(|next| {
            is_definition(next.data())
                || !matches!(next.kind(), TokenKind::LCurly | TokenKind::Name)
        }) {
            self.description();
        }
        match self.peek() {
            Some(token) if token.kind() == TokenKind::LCurly => self.selection_set(),
            Some(token) if token.data() == "fragment" => self.fragment(),
            Some(token) if is_definition(token.data()) => self.operation(),
            _ => Err(self.unexpected("an operation or a fragment")),
        }
    }

    fn description(&mut self) {
        if let Some(token) = self.peek()
            && self.skip(TokenKind::StringValue)
        {
            self.descriptions.push((token.index(), token.data().len()));
        }
    }

    fn operation(&mut self) -> Checked {
        self.next += 1;
        self.skip(TokenKind::Name);
        if self.skip(TokenKind::LParen) {
            self.variable()?;
            while !self.skip(TokenKind::RParen) {
                self.variable()?;
            }
        }
        self.directives(false)?;
        self.selection_set()
    }

    fn fragment(&mut self) -> Checked {
        self.next += 1;
        if self.is_keyword("on") {
            return Err(self.unexpected("the fragment's name"));
        }
        self.name()?;
        if !self.skip_keyword("on") {
            return Err(self.unexpected("`on`"));
        }
        self.name()?;
        self.directives(false)?;
        self.selection_set()
    }

    fn variable(&mut self) -> Checked {
        self.description();
        self.expect(TokenKind::Dollar, "`$` and a variable's name")?;
        self.name()?;
        self.expect(TokenKind::Colon, "`:`")?;
        self.type_reference()?;
        if self.skip(TokenKind::Eq) {
            self.value(true)?;
        }
        self.directives(true)
    }

    fn type_reference(&mut self) -> Checked {
        if self.skip(TokenKind::LBracket) {
            self.type_reference()?;
            self.expect(TokenKind::RBracket, "`]`")?;
        } else {
            self.expect(TokenKind::Name, "a type")?;
        }
        self.skip(TokenKind::Bang);
        Ok(())
    }

    fn directives(&mut self, constant: bool) -> Checked {
        while self.skip(TokenKind::At) {
            self.name()?;
            self.arguments(constant)?;
        }
        Ok(())
    }

    fn arguments(&mut self, constant: bool) -> Checked {
        if self.skip(TokenKind::LParen) {
            self.named_value(constant)?;
            while !self.skip(TokenKind::RParen) {
                self.named_value(constant)?;
            }
        }
        Ok(())
    }

    fn named_value(&mut self, constant: bool) -> Checked {
        self.name()?;
        self.expect(TokenKind::Colon, "`:`")?;
        self.value(constant)
    }

    fn value(&mut self, constant: bool) -> Checked {
        use TokenKind::{
            Dollar, Float, Int, LBracket, LCurly, Name, RBracket, RCurly, StringValue,
        };
        match self.peek().map(Token::kind) {
            Some(Dollar) if !constant => {
                self.next += 1;
                self.name()?;
            }
            Some(Int | Float | StringValue | Name) => self.next += 1,
            Some(LBracket) => {
                self.next += 1;
                while !self.skip(RBracket) {
                    self.value(constant)?;
                }
            }
            Some(LCurly) => {
                self.next += 1;
                while !self.skip(RCurly) {
                    self.named_value(constant)?;
                }
            }
            _ if constant => return Err(self.unexpected("a value without variables")),
            _ => return Err(self.unexpected("a value")),
        }
        Ok(())
    }

    fn selection_set(&mut self) -> Checked {
        self.expect(TokenKind::LCurly, "`{`")?;
        self.selection("a field or a fragment")?;
        while !self.skip(TokenKind::RCurly) {
            self.selection("`}`, a field or a fragment")?;
        }
        Ok(())
    }

    fn selection(&mut self, expected: &str) -> Checked {
        if self.skip(TokenKind::Spread) {
            return self.spread();
        }
        self.expect(TokenKind::Name, expected)?;
        if self.skip(TokenKind::Colon) {
            self.name()?;
        }
        self.arguments(false)?;
        self.directives(false)?;
        if self.is(TokenKind::LCurly) {
            self.selection_set()?;
        }
        Ok(())
    }

    fn spread(&mut self) -> Checked {
        if self.skip_keyword("on") {
            self.expect(TokenKind::Name, "a type")?;
        } else if self.skip(TokenKind::Name) {
            return self.directives(false);
        }
        self.directives(false)?;
        self.selection_set()
    }
}

/// Returns whether a keyword starts a definition that can have a description.
fn is_definition(keyword: &str) -> bool {
    matches!(keyword, "query" | "mutation" | "subscription" | "fragment")
}

/// Returns a token in backquotes, shortened to one line.
fn quoted(token: &str) -> String {
    let shown: String = token.chars().take(MAX_QUOTE_LENGTH).collect();
    let shown = shown.replace(char::is_control, " ");
    let more = if shown.len() < token.len() { "…" } else { "" };
    format!("`{shown}{more}`")
}

#[cfg(test)]
mod tests {
    use apollo_parser::Lexer;

    use super::*;

    fn error(document: &str) -> Option<(String, usize)> {
        let tokens = Lexer::new(document).filter_map(Result::ok);
        let tokens: Vec<_> = tokens
            .filter(|token| {
                use TokenKind::{Comma, Comment, Eof, Whitespace};
                !matches!(token.kind(), Whitespace | Comment | Comma | Eof)
            })
            .collect();
        let error = check_syntax(&tokens, document.len()).err()?;
        Some((error.message, error.offset))
    }

    #[test]
    fn syntax_errors_name_what_is_expected_and_what_is_found() {
        let definition = "an operation or a fragment";
        let selection = "`}`, a field or a fragment";
        let end = "the end of the document";
        for (document, expected, found, offset) in [
            ("", definition, end, 0),
            ("type A { b: C }", definition, "`type`", 0),
            ("\"a\" { b }", definition, "`\"a\"`", 0),
            ("\"a\" b", definition, "`\"a\"`", 0),
            ("\"a\" \"b\"", definition, "`\"b\"`", 4),
            ("{ a", selection, end, 3),
            ("{ }", "a field or a fragment", "`}`", 2),
            ("{ a } }", definition, "`}`", 6),
            ("{ a() }", "a name", "`)`", 4),
            ("{ a(b) }", "`:`", "`)`", 5),
            ("{ a(b: ) }", "a value", "`)`", 7),
            ("{ a(b: [c) }", "a value", "`)`", 9),
            ("{ a(b: {c: 1) }", "a name", "`)`", 12),
            ("{ a: }", "a name", "`}`", 5),
            ("{ ... }", "`{`", "`}`", 6),
            ("{ a ! }", selection, "`!`", 4),
            ("{ a @ }", "a name", "`}`", 6),
            ("query Q() { a }", "`$` and a variable's name", "`)`", 8),
            ("query Q($a) { a }", "`:`", "`)`", 10),
            ("query Q($a: [B) { a }", "`]`", "`)`", 14),
            ("query Q($a: ) { a }", "a type", "`)`", 12),
            (
                "query Q($a: B = $c) {a}",
                "a value without variables",
                "`$`",
                16,
            ),
            ("query Q", "`{`", end, 7),
            ("fragment on on A { b }", "the fragment's name", "`on`", 9),
            ("fragment a A { b }", "`on`", "`A`", 11),
        ] {
            let expected = format!("expected {expected}, found {found}");
            assert_eq!(error(document), Some((expected, offset)), "{document}");
        }
        let long = format!("{{ a \"{}\" }}", "x".repeat(30_000));
        let (message, _) = error(&long).expect("an error");
        assert!(message.len() < 150, "{message}");
    }

    #[test]
    fn syntax_of_the_specification_is_accepted() {
        for document in [
            "{ a b: c d { e } }",
            "query Q($a: [B!]! = [1, 2.5] @c(d: \"e\"), \"described\" $f: G) @h { a }",
            "{ a(b: $c, d: {e: [], f: {}, g: null, h: ENUM}) @i(j: true) @k }",
            "{ ...f ...on A { b } ... @c { d } ... { e } ...f @g }",
            "\"described\" fragment f on A @b { c } subscription { on: query fragment }",
            "mutation query { fragment(on: on) { mutation } } query on { a }",
        ] {
            assert_eq!(error(document), None, "{document}");
        }
    }

    const TOKENS: [&str; 31] = [
        "{", "}", "{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "=", "|", "&", ",", "a",
        "b", "on", "query", "mutation", "fragment", "true", "null", "1", "2.5", "\"c\"", "{ a }",
        "a(b: 1)", "# e\n",
    ];
    const PHRASES: [&str; 9] = [
        "subscription",
        "\"\"\"d\"\"\"",
        "@c(d: [1])",
        "...on A { b }",
        "...f",
        "fragment f on A { b }",
        "query Q($a: [B!] = 1)",
        "($a: B)",
        "(a: {b: $c})",
    ];

    /// apollo-parser must accept every document that this check accepts.
    #[test]
    fn random_documents_that_are_accepted_are_parsed() {
        let documents = 20 * crate::random::cases().unwrap_or(1000);
        let mut accepted = 0;
        for _ in 0..documents {
            let document = crate::random::draw(|random| {
                let count = random.usize(1..9);
                let pieces = [&TOKENS[..], &PHRASES].concat();
                let piece = |_| pieces[random.usize(..pieces.len())];
                (0..count).map(piece).collect::<Vec<_>>().join(" ")
            });
            if error(&document).is_none() && !document.contains('"') {
                accepted += 1;
                let parsed = apollo_compiler::ast::Document::parse(document.as_str(), "document");
                assert!(parsed.is_ok(), "{document}");
            }
        }
        // About one in 150 is accepted. Far fewer would mean that the test
        // compares nothing.
        assert!(accepted >= documents / 1000, "{accepted} of {documents}");
    }
}
