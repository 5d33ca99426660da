//! Rows of columns, formatted for the width of the terminal.

use std::io::IsTerminal;

use super::text::{plain, truncate, width};

/// Minimum width of the last cell of a row. If there is less space, the cell moves to its own line,
/// because a shorter text would be hard to read.
const MIN_TEXT_WIDTH: usize = 20;
/// Width of a UUID.
const UUID: usize = 36;
/// Number of spaces between two cells, and before the further lines of a row.
const GAP: usize = 2;

/// Returns the width of the terminal, or `None` if standard output is not a terminal. As in other
/// programs, the variable `COLUMNS` overrides the width that the terminal reports.
pub(super) fn terminal_width() -> Option<usize> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let given = std::env::var("COLUMNS").ok();
    let given = given.and_then(|columns| columns.trim().parse().ok());
    let reported = || terminal_size::terminal_size_of(&out).map(|(width, _)| width.0.into());
    given.filter(|columns| *columns > 0).or_else(reported)
}

/// Columns of a list.
///
/// If the terminal is too narrow for a row, its cells continue on further, indented lines. Only the
/// last cell, the text, is truncated: names, times and UUIDs are always complete.
pub(super) struct Columns<const N: usize> {
    widths: [usize; N],
    terminal: Option<usize>,
}

impl<const N: usize> Columns<N> {
    /// Creates columns of these widths, for a terminal of this width or for no terminal.
    pub fn new(widths: [usize; N], terminal: Option<usize>) -> Self {
        Self { widths, terminal }
    }

    /// Returns the names of the columns, dimmed unless `NO_COLOR` is set.
    pub fn names(&self, names: [&str; N]) -> String {
        let line = self.row(&names.map(str::to_owned));
        match std::env::var_os("NO_COLOR") {
            Some(set) if !set.is_empty() => line,
            _ => format!("\u{1b}[2m{}\u{1b}[0m\n", line.trim_end()),
        }
    }

    /// Returns one row. Control characters in the cells are escaped.
    pub fn row(&self, cells: &[String; N]) -> String {
        let mut row = String::new();
        let mut used = 0;
        for (index, cell) in cells.iter().enumerate() {
            let is_last = index + 1 == N;
            let printed = plain(cell);
            let needed = width(&printed);
            let column = self.column(index);
            let least = needed.max(column);
            let least = if is_last {
                least.min(MIN_TEXT_WIDTH)
            } else {
                least
            };
            if used > 0 && self.terminal.is_some_and(|max| used + least > max) {
                row.truncate(row.trim_end_matches(' ').len());
                row.push('\n');
                row.extend(std::iter::repeat_n(' ', GAP));
                used = GAP;
            }
            match self.terminal {
                Some(max) if is_last => row.push_str(&truncate(cell, max.saturating_sub(used))),
                _ => row.push_str(&printed),
            }
            if !is_last {
                let blanks = column.saturating_sub(needed) + GAP;
                row.extend(std::iter::repeat_n(' ', blanks));
                used += needed.max(column) + GAP;
            }
        }
        row.push('\n');
        row
    }

    /// Returns the width of a column, limited so that one long name does not widen all rows.
    fn column(&self, index: usize) -> usize {
        let widest = self.widths[index];
        self.terminal
            .map_or(widest, |max| widest.min((max / 2).max(UUID)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "ee3bee25-30d1-52ce-9c3e-4a01da89a683";

    fn rows(terminal: Option<usize>) -> String {
        let rows = [
            [
                "unamused",
                GROUP,
                "Then I will leave it on, the whole night.",
            ],
            ["luu", GROUP, "Three."],
        ];
        let columns = Columns::new([8, 36, 41], terminal);
        let rows = rows.map(|row| columns.row(&row.map(str::to_owned)));
        rows.concat()
    }

    #[test]
    fn columns_adapt_to_the_width_of_the_terminal() {
        insta::assert_snapshot!(rows(Some(60)), @"
        unamused  ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Then I will leave it on, the whole night.
        luu       ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Three.
        ");
        insta::assert_snapshot!(rows(Some(10)), @"
        unamused
          ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Then I …
        luu
          ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Three.
        ");
        for max in 40..100 {
            let rows = rows(Some(max));
            assert!(rows.lines().all(|line| width(line) <= max), "{rows}");
            assert_eq!(rows.matches(GROUP).count(), 2, "{rows}");
        }
    }
}
