//! Rows of columns, laid out for the width of the terminal.

use std::io::IsTerminal;

use super::text::{plain, truncate, width};

/// The fewest columns that the last cell of a row is left before it goes to a
/// line of its own.
const LEAST_TEXT: usize = 20;
/// How wide a uuid is.
const UUID: usize = 36;
/// Blanks between two cells, and before the further lines of a row.
const GAP: usize = 2;

/// How many columns the terminal has, where standard output is one. As for
/// other programs, `COLUMNS` overrides what the terminal reports.
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
/// On a terminal that is too narrow for a row, its cells continue on further,
/// indented lines. Only the last cell, the text, is truncated: names, times and
/// uuids are always whole.
pub(super) struct Columns<const N: usize> {
    widths: [usize; N],
    terminal: Option<usize>,
}

impl<const N: usize> Columns<N> {
    /// Columns of these widths, for a terminal of a width or for no terminal.
    pub fn new(widths: [usize; N], terminal: Option<usize>) -> Self {
        Self { widths, terminal }
    }

    /// The names of the columns; dim, where colours are wanted.
    pub fn names(&self, names: [&str; N]) -> String {
        let line = self.row(&names.map(str::to_owned));
        match std::env::var_os("NO_COLOR") {
            Some(set) if !set.is_empty() => line,
            _ => format!("\u{1b}[2m{}\u{1b}[0m\n", line.trim_end()),
        }
    }

    /// One row. The cells are made plain.
    pub fn row(&self, cells: &[String; N]) -> String {
        let mut row = String::new();
        let mut used = 0;
        for (place, cell) in cells.iter().enumerate() {
            let is_last = place + 1 == N;
            let printed = plain(cell);
            let needed = width(&printed);
            let column = self.column(place);
            let least = needed.max(column);
            let least = if is_last {
                least.min(LEAST_TEXT)
            } else {
                least
            };
            if used > 0 && self.terminal.is_some_and(|most| used + least > most) {
                row.truncate(row.trim_end_matches(' ').len());
                row.push('\n');
                row.extend(std::iter::repeat_n(' ', GAP));
                used = GAP;
            }
            match self.terminal {
                Some(most) if is_last => row.push_str(&truncate(cell, most.saturating_sub(used))),
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

    /// How wide a column is made: one long name does not push all rows apart.
    fn column(&self, place: usize) -> usize {
        let widest = self.widths[place];
        self.terminal
            .map_or(widest, |most| widest.min((most / 2).max(UUID)))
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
        insta::assert_snapshot!(rows(None), @"
        unamused  ee3bee25-30d1-52ce-9c3e-4a01da89a683  Then I will leave it on, the whole night.
        luu       ee3bee25-30d1-52ce-9c3e-4a01da89a683  Three.
        ");
        insta::assert_snapshot!(rows(Some(70)), @"
        unamused  ee3bee25-30d1-52ce-9c3e-4a01da89a683  Then I will leave it …
        luu       ee3bee25-30d1-52ce-9c3e-4a01da89a683  Three.
        ");
        insta::assert_snapshot!(rows(Some(60)), @"
        unamused  ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Then I will leave it on, the whole night.
        luu       ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Three.
        ");
        insta::assert_snapshot!(rows(Some(40)), @"
        unamused
          ee3bee25-30d1-52ce-9c3e-4a01da89a683
          Then I will leave it on, the whole ni…
        luu
          ee3bee25-30d1-52ce-9c3e-4a01da89a683
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
        for most in 40..100 {
            let rows = rows(Some(most));
            assert!(rows.lines().all(|line| width(line) <= most), "{rows}");
            assert_eq!(rows.matches(GROUP).count(), 2, "{rows}");
        }
    }
}
