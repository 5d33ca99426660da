//! Text for a terminal: escapes control characters, distinguishes names that look alike, and
//! truncates only between grapheme clusters.

use std::fmt::Write as _;

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, is_nfc, is_nfc_quick};
use unicode_security::{GeneralSecurityProfile, MixedScript, confusable_detection::skeleton};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Returns whether a character affects a line or a terminal instead of being displayed.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Escapes DEL, the C1 control characters and direction marks, which JSON does not require to be
/// escaped.
pub(super) fn safe_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            // All of these characters are in the Basic Multilingual Plane, and occur only in
            // strings.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Returns a text on one line, with all characters escaped that a terminal would interpret.
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

/// Returns a name, such as a handle, in a form that differs from every other name that looks the
/// same.
///
/// These characters are escaped: invisible characters; spaces at either end; code points for which
/// a name is not in Unicode's normalization form C; and letters of other scripts that look like
/// ASCII, in a name that consists only of them or that mixes scripts (UTS 39). A backslash is
/// written twice, so that no name can contain an escape.
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
        // A combining mark at the beginning would combine with the character before the name.
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

/// Returns whether normalization never changes a character, whatever precedes it.
fn is_stable(c: char) -> bool {
    canonical_combining_class(c) == 0 && is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes
}

fn looks_like_ascii(c: char) -> bool {
    skeleton(c.encode_utf8(&mut [0; 4])).all(|c| c.is_ascii())
}

/// Returns whether a character is invisible: unsafe, default-ignorable, whitespace other than the
/// space, or unassigned.
fn is_invisible(c: char) -> bool {
    // The skeleton omits default-ignorable characters.
    let is_ignorable = skeleton(c.encode_utf8(&mut [0; 4])).next().is_none();
    let is_blank = c != ' ' && c.is_whitespace() || c == '\u{2800}';
    let is_unassigned = !c.is_ascii()
        && c.identifier_type().is_none_or(|kind| {
            kind == unicode_security::general_security_profile::IdentifierType::Not_Character
        });
    is_unsafe(c) || is_ignorable || is_blank || is_unassigned
}

/// Returns the number of columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// Truncates a text to one line of at most `max` columns. An ellipsis marks the truncation.
/// Grapheme clusters and escapes are never split.
pub(super) fn truncate(text: &str, max: usize) -> String {
    let mut whole = String::new();
    let mut used = 0;
    // The last position at which an ellipsis still fits.
    let mut end = 0;
    for cluster in text.graphemes(true) {
        let cluster = plain(cluster);
        used += width(&cluster);
        if used > max {
            whole.truncate(end);
            whole.push('…');
            return whole;
        }
        whole.push_str(&cluster);
        if used < max {
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
            // Marks of scripts that have no composed form.
            ("हिन्दी", "हिन्दी"),
            ("q\u{323}", "q\u{323}"),
            // Invisible characters.
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
            // Letters of other scripts, and compatibility forms.
            ("lu\u{445}", r"lu\u{445}"),
            ("\u{43e}\u{440}\u{435}", r"\u{43e}\u{440}\u{435}"),
            ("\u{fb01}nn", r"\u{fb01}nn"),
            ("ваня", "ваня"),
            ("ｌｕｕ", r"\u{ff4c}\u{ff55}\u{ff55}"),
            ("田中さん", "田中さん"),
            ("ada lovelace", "ada lovelace"),
            // A name that contains the text of an escape.
            (r"zoe\u{301}", r"zoe\\u{301}"),
        ] {
            assert_eq!(name(text), printed, "{text:?}");
        }
    }

    #[test]
    fn truncate_cuts_between_grapheme_clusters_and_escapes() {
        for (text, max, expected) in [
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
            assert_eq!(truncate(text, max), expected, "{text:?} {max}");
        }
    }
}
