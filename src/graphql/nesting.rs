//! How deep a text is nested, before a recursive parser is let near it.

/// How deep brackets are nested, outside of strings and comments.
pub(super) fn nesting(document: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = document;
    while let Some(at) = rest.find(['{', '[', '(', '}', ']', ')', '"', '#']) {
        let (token, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match token {
            b'#' => behind
                .split_once(['\n', '\r'])
                .map_or("", |(_, behind)| behind),
            b'"' => behind_string(behind),
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
                behind
            }
            _ => {
                depth = depth.saturating_sub(1);
                behind
            }
        };
    }
    deepest
}

/// What comes after a string whose opening quote has been read.
fn behind_string(text: &str) -> &str {
    if let Some(block) = text.strip_prefix("\"\"") {
        let ends = block.match_indices("\"\"\"");
        let end = ends
            .map(|(at, _)| at)
            .find(|at| !block[..*at].ends_with('\\'));
        return end.map_or("", |at| &block[at + 3..]);
    }
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' | '\n' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_and_not_what_is_quoted() {
        for (document, deepest) in [
            ("", 0),
            ("{ a }", 1),
            ("{ a(b: {c: [1]}) { d } }", 4),
            ("{ a(b: \"{{{{\\\"{{\") }", 2),
            ("{ a(b: \"\"\"{{ \" \\\"\"\" {{\"\"\") }", 2),
            ("{ # {{{\n a }", 1),
            ("{ \"unclosed {{{", 1),
        ] {
            assert_eq!(nesting(document), deepest, "{document}");
        }
    }
}
