//! Text for a terminal: nothing that a terminal would obey, names that look
//! alike printed differently, and cuts between grapheme clusters.

use std::fmt::Write as _;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, is_nfc, is_nfc_quick};
use unicode_security::{GeneralSecurityProfile, MixedScript, confusable_detection::skeleton};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Whether a character does something to a line or a terminal other than to
/// stand there.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// JSON leaves DEL, the C1 controls and marks of direction as they are.
pub(super) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            // All of them are in the first plane, and inside of strings.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A text on one line, with everything escaped that could drive a terminal.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            c if is_unsafe(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// A name, such as a handle, printed so that it differs from every other name
/// that looks the same.
///
/// Escaped are: characters that cannot be seen, blanks at either end, the code
/// points by which a name is not in Unicode's normalization form C, and letters
/// of other scripts that look like ASCII, in a name that consists of them or
/// that mixes scripts (UTS 39). A backslash is doubled, so that no name can
/// contain an escape.
pub(super) fn name(text: &str) -> String {
    let normal = is_nfc(text);
    let looks_ascii = skeleton(text).all(|c| c.is_ascii());
    let mixed = !text.is_single_script();
    let inner = text.trim_matches(' ');
    let first = text.len() - text.trim_start_matches(' ').len();
    let last = first + inner.len();
    let mut name = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let outer_blank = c == ' ' && !(first..last).contains(&at);
        let unnormalized = !normal && !is_stable(c);
        let lookalike = !c.is_ascii() && (looks_ascii || mixed && looks_like_ascii(c));
        // A mark at the beginning would stand on the character before the name.
        let leading_mark = at == 0 && canonical_combining_class(c) != 0;
        if c == '\\' {
            name.push_str("\\\\");
        } else if outer_blank || unnormalized || lookalike || leading_mark || is_invisible(c) {
            name.extend(c.escape_unicode());
        } else {
            name.push(c);
        }
    }
    name
}

/// Whether normalization leaves a character as it is, whatever stands before it.
fn is_stable(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes
}

fn looks_like_ascii(c: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).all(|c| c.is_ascii())
}

/// Whether a character leaves no mark of its own: it is unsafe, ignorable, a
/// blank other than the space, or unassigned.
fn is_invisible(c: char) -> bool {
    // The skeleton leaves out what is ignorable by default.
    let is_ignorable = skeleton(c.encode_utf8(&mut [0; 4])).next().is_none();
    let is_blank = c != ' ' && c.is_whitespace() || c == '\u{2800}';
    let is_unassigned = !c.is_ascii()
        && c.identifier_type().is_none_or(|kind| {
            kind == unicode_security::general_security_profile::IdentifierType::Not_Character
        });
    is_unsafe(c) || is_ignorable || is_blank || is_unassigned
}

/// How many columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// A text on one line of at most so many columns; an ellipsis shows that it
/// goes on. Neither a grapheme cluster nor an escape is cut in two.
pub(super) fn truncate(text: &str, most: usize) -> String {
    let mut whole = String::new();
    let mut used = 0;
    // Where an ellipsis still fits.
    let mut end = 0;
    for cluster in text.graphemes(true) {
        let cluster = plain(cluster);
        used += width(&cluster);
        if used > most {
            whole.truncate(end);
            whole.push('…');
            return whole;
        }
        whole.push_str(&cluster);
        if used < most {
            end = whole.len();
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_printed_differently() {
        for (text, printed) in [
            // One letter each, as one code point and as two.
            ("zo\u{e9}", "zo\u{e9}"),
            ("zoe\u{301}", r"zoe\u{301}"),
            ("\u{1100}\u{1161}", "\u{1100}\\u{1161}"),
            ("\u{212b}ke", r"\u{212b}ke"),
            ("q\u{307}\u{323}", r"q\u{307}\u{323}"),
            // Marks of scripts that have no other form.
            ("हिन्दी", "हिन्दी"),
            ("q\u{323}", "q\u{323}"),
            // Characters that cannot be seen.
            ("lu\u{200b}u", r"lu\u{200b}u"),
            ("lu\u{ad}u", r"lu\u{ad}u"),
            ("luu\u{3164}", r"luu\u{3164}"),
            ("luu\u{fe0f}", r"luu\u{fe0f}"),
            ("luu\u{e0061}", r"luu\u{e0061}"),
            ("luu\u{e000}", r"luu\u{e000}"),
            ("\u{202e}luu", r"\u{202e}luu"),
            ("luu ", r"luu\u{20}"),
            (" luu", r"\u{20}luu"),
            ("  ", r"\u{20}\u{20}"),
            ("l\u{a0}uu", r"l\u{a0}uu"),
            ("luu\t", r"luu\u{9}"),
            ("\u{301}luu", r"\u{301}luu"),
            // Other scripts' letters, and compatibility forms.
            ("lu\u{445}", r"lu\u{445}"),
            ("\u{43e}\u{440}\u{435}", r"\u{43e}\u{440}\u{435}"),
            ("\u{fb01}nn", r"\u{fb01}nn"),
            ("ваня", "ваня"),
            ("ｌｕｕ", r"\u{ff4c}\u{ff55}\u{ff55}"),
            ("田中さん", "田中さん"),
            ("ada lovelace", "ada lovelace"),
            // An escape that is the name itself.
            (r"zoe\u{301}", r"zoe\\u{301}"),
        ] {
            assert_eq!(name(text), printed, "{text:?}");
        }
    }

    #[test]
    fn truncate_cuts_between_grapheme_clusters_and_escapes() {
        for (text, most, expected) in [
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 7, "漢字漢…"),
            ("漢字漢字", 6, "漢字…"),
            ("abc", 2, "a…"),
            ("abc", 3, "abc"),
            ("e\u{301}e\u{301}e\u{301}", 2, "e\u{301}…"),
            ("👩‍🚀👩‍🚀👩‍🚀", 5, "👩‍🚀👩‍🚀…"),
            ("👩‍🚀👩‍🚀👩‍🚀", 4, "👩‍🚀…"),
            ("🇫🇷🇩🇪🇮🇹", 5, "🇫🇷🇩🇪…"),
            ("a\u{1b}bc", 8, r"a\u{1b}…"),
            ("ab\u{1b}b", 7, "ab…"),
            ("a\r\nbc", 6, r"a\r\n…"),
            ("abc", 0, "…"),
            ("", 0, ""),
        ] {
            assert_eq!(truncate(text, most), expected, "{text:?} {most}");
        }
    }

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        let text = "a\u{1b}[31mb\nc\u{9b}2J\u{202e}d\t\u{7f}é✨";
        assert_eq!(
            plain(text),
            "a\\u{1b}[31mb\\nc\\u{9b}2J\\u{202e}d\\t\\u{7f}é✨"
        );
        let printed = safe_json(&serde_json::json!(text).to_string());
        assert!(!printed.chars().any(is_unsafe), "{printed}");
        let read: String = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(read, text);
    }
}
