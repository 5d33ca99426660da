//! Lines and columns of a document.

use apollo_compiler::parser::SourceSpan;
use async_graphql::{Pos, Positioned};

/// The lines of a document. Lines end as the GraphQL specification defines
/// (2.1.3). Columns are counted in UTF-16 code units, as graphql-js and editors
/// count them; apollo-compiler counts bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct LineIndex {
    /// The offset of each line.
    lines: Vec<usize>,
    /// For each character that has more bytes than UTF-16 code units: the
    /// offset of its end, and by how much the bytes up to that offset exceed the
    /// UTF-16 code units.
    wide: Vec<(usize, usize)>,
}

impl LineIndex {
    pub fn of(document: &str) -> Self {
        let mut lines = vec![0];
        let (mut wide, mut difference) = (Vec::new(), 0);
        for (at, c) in document.char_indices() {
            let end = at + c.len_utf8();
            if c == '\n' || (c == '\r' && document.as_bytes().get(end) != Some(&b'\n')) {
                lines.push(end);
            }
            if !c.is_ascii() {
                difference += c.len_utf8() - c.len_utf16();
                wide.push((end, difference));
            }
        }
        Self { lines, wide }
    }

    /// Returns line and column of an offset in bytes, both counted from 1.
    pub fn at(&self, offset: usize) -> Pos {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.lines.get(line));
        let start = start.copied().unwrap_or_default();
        let column = offset - start - (self.difference(offset) - self.difference(start));
        Pos {
            line,
            column: column + 1,
        }
    }

    /// Returns line and column of the start of a node of the document.
    pub fn of_node(&self, location: Option<SourceSpan>) -> Option<Pos> {
        location.map(|location| self.at(location.offset()))
    }

    /// Returns the memory of the positions in bytes.
    pub fn size(&self) -> usize {
        size_of_val(self.lines.as_slice()) + size_of_val(self.wide.as_slice())
    }

    /// Returns by how much the bytes before an offset exceed the UTF-16 code
    /// units.
    fn difference(&self, offset: usize) -> usize {
        let before = self.wide.partition_point(|(end, _)| *end <= offset);
        let last = before.checked_sub(1).and_then(|last| self.wide.get(last));
        last.map_or(0, |(_, difference)| *difference)
    }
}

/// Returns a node of a document that the engine creates itself.
pub(super) fn unpositioned<T>(node: T) -> Positioned<T> {
    Positioned::new(node, Pos::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_in_utf_16_and_lines_end_as_specified() {
        for (document, line, column) in [
            ("", 1, 1),
            ("abc", 1, 4),
            ("é", 1, 2),
            ("a🐌", 1, 4),
            ("é\n", 2, 1),
            ("é\r\n🐌é", 2, 4),
            ("\r\r\n\n", 4, 1),
            ("a\u{2028}b\u{c}c", 1, 6),
            ("\u{feff}{", 1, 3),
        ] {
            let found = LineIndex::of(document).at(document.len());
            assert_eq!(found, Pos { line, column }, "{document:?}");
        }
    }
}
