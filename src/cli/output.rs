//! How commands print: columns for people, JSON for programs, or DynamoDB's
//! own answers.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthChar;

use super::CliError;
use crate::store::{Cost, Echo};

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// Short for --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns or sentences, for people
    Table,
    /// JSON, for programs
    Json,
    /// The answers of DynamoDB, one a line
    Raw,
}

impl OutputArgs {
    pub fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Set once nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// Why an answer could not be printed.
static NOT_ECHOED: Mutex<Option<CliError>> = Mutex::new(None);

/// Whether somebody still reads standard output.
pub(super) fn is_read() -> bool {
    !CLOSED.load(Ordering::Relaxed)
}

/// Writes to standard output. A reader that has gone is no failure.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    if !is_read() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

/// Writes one line to standard error, beside the data.
pub(super) fn remark(text: &str) {
    // Nobody is left to be told when standard error is gone.
    let lines: Vec<String> = text.lines().map(plain).collect();
    let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
}

/// Prints each answer as it came, on a line of its own.
pub(super) fn echo() -> Echo {
    Box::new(|answer| {
        let answer = String::from_utf8_lossy(answer);
        if let Err(error) = print(&format!("{}\n", safe_json(answer.trim_end()))) {
            let mut failed = NOT_ECHOED.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(error);
        }
    })
}

/// Whether all answers could be printed.
pub(super) fn echoed() -> Result<(), CliError> {
    let mut failed = NOT_ECHOED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.take().map_or(Ok(()), Err)
}

/// A value on one line, with nothing in it that a terminal would obey.
pub(super) fn line(value: &Value) -> String {
    format!("{}\n", safe_json(&value.to_string()))
}

/// JSON leaves DEL, the C1 controls and marks of direction as they are.
fn safe_json(json: &str) -> String {
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

/// Whether a character does something to a line or a terminal other than to
/// stand there.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A text on one line, with everything escaped that could drive a terminal.
fn plain(text: &str) -> String {
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

/// How many columns a text takes.
fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Lines of columns, of which the last is cut to the width of the terminal, if
/// standard output is one.
struct Columns<const N: usize> {
    widths: [usize; N],
    most: Option<usize>,
}

impl<const N: usize> Columns<N> {
    /// Columns of these widths.
    fn new(widths: [usize; N]) -> Self {
        let out = std::io::stdout();
        let size = terminal_size::terminal_size_of(&out).filter(|_| out.is_terminal());
        let most = size.map(|(width, _)| usize::from(width.0));
        Self { widths, most }
    }

    /// The names of the columns; dim, where colours are wanted.
    fn names(&self, names: [&str; N]) -> String {
        let line = self.line(&names.map(str::to_owned));
        match std::env::var_os("NO_COLOR") {
            Some(set) if !set.is_empty() => line,
            _ => format!("\u{1b}[2m{}\u{1b}[0m\n", line.trim_end()),
        }
    }

    /// One line. The cells are made plain.
    fn line(&self, cells: &[String; N]) -> String {
        let mut line = String::new();
        for (place, (cell, column)) in cells.iter().zip(self.widths).enumerate() {
            let cell = plain(cell);
            line.push_str(&cell);
            if place + 1 < N {
                let missing = column.saturating_sub(width(&cell));
                line.extend(std::iter::repeat_n(' ', missing + 2));
            }
        }
        if let Some(most) = self.most {
            line = cut(line, most);
        }
        line.push('\n');
        line
    }
}

/// A list that is printed a page at a time: lines of columns, or in JSON a field
/// of an object, or lines, of which the last is what it cost.
pub(super) struct List {
    format: Format,
    frame: Frame,
    is_empty: bool,
}

/// What stands around the items of a list in JSON.
enum Frame {
    /// An object: what it begins with, until that is printed.
    Object(Option<String>),
    /// Nothing.
    Lines,
}

impl List {
    /// Begins a list that may never end: in JSON each item is a line.
    pub fn lines(format: Format) -> Self {
        Self {
            format,
            frame: Frame::Lines,
            is_empty: true,
        }
    }

    /// Begins the list, in JSON behind the fields of `head`. Nothing is printed
    /// before there is something to print.
    pub fn begin(format: Format, head: &Map<String, Value>, name: &str) -> Self {
        let mut begin = String::from("{");
        for (name, value) in head {
            // Writing to a string does not fail.
            let _ = write!(begin, "{}:{},", json!(name), line(value).trim_end());
        }
        let _ = write!(begin, "{}:[", json!(name));
        Self {
            format,
            frame: Frame::Object(Some(begin)),
            is_empty: true,
        }
    }

    /// The end of the list.
    pub fn finish(mut self, cost: Cost) -> Result<(), CliError> {
        if self.format == Format::Json {
            let consumed = cost_json(cost);
            let end = match &mut self.frame {
                Frame::Object(begin) => {
                    let begin = begin.take().unwrap_or_default();
                    format!("{begin}\n],\"consumedCapacity\":{consumed}}}\n")
                }
                Frame::Lines => line(&json!({ "summary": { "consumedCapacity": consumed } })),
            };
            print(&end)?;
        }
        remark_cost(cost);
        echoed()
    }

    /// Prints some more items.
    pub fn print<T, const N: usize>(
        &mut self,
        items: &[T],
        as_json: impl Fn(&T) -> Value,
        names: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> Result<(), CliError> {
        let first = std::mem::take(&mut self.is_empty);
        let text: String = match self.format {
            // The answers have been printed as they came.
            Format::Raw => return Ok(()),
            Format::Json => {
                let lines = items
                    .iter()
                    .map(|item| line(&as_json(item)).trim_end().to_owned());
                let lines: Vec<String> = lines.collect();
                if lines.is_empty() {
                    self.is_empty = first;
                    return Ok(());
                }
                match &mut self.frame {
                    Frame::Object(begin) => {
                        let begin = begin.take().unwrap_or_else(|| ",".to_owned());
                        format!("{begin}\n{}", lines.join(",\n"))
                    }
                    Frame::Lines => format!("{}\n", lines.join("\n")),
                }
            }
            Format::Table => {
                let on_terminal = std::io::stdout().is_terminal();
                let rows: Vec<[String; N]> = items.iter().map(cells).collect();
                let mut widths = if on_terminal {
                    names.map(width)
                } else {
                    [0; N]
                };
                for row in &rows {
                    for (widest, cell) in widths.iter_mut().zip(row) {
                        *widest = (*widest).max(width(&plain(cell)));
                    }
                }
                let columns = Columns::new(widths);
                let rows = rows.iter().map(|row| columns.line(row));
                let names = (first && on_terminal).then(|| columns.names(names));
                names.into_iter().chain(rows).collect()
            }
        };
        print(&text)
    }
}

/// A line of at most so many columns; an ellipsis says that it goes on.
fn cut(line: String, most: usize) -> String {
    if width(&line) <= most {
        return line;
    }
    let mut cut = String::new();
    let mut taken = 1;
    for c in line.chars() {
        taken += c.width().unwrap_or(0);
        if taken > most {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// How many there are, and who.
pub(super) fn summary(what: &str, who: &[String]) -> String {
    let names: Vec<String> = who.iter().map(|name| plain(name)).collect();
    format!("{what}: {} ({})\n", who.len(), names.join(", "))
}

/// A time in UTC, to the second.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What calls have cost, as a field.
pub(super) fn cost_json(cost: Cost) -> Value {
    json!({
        "calls": cost.calls,
        "readUnits": cost.read_units,
        "writeUnits": cost.write_units,
    })
}

/// What calls have cost, on standard error.
pub(super) fn remark_cost(cost: Cost) {
    let Cost {
        calls,
        read_units,
        write_units,
    } = cost;
    remark(&format!(
        "DynamoDB: calls {calls}, read units {read_units}, write units {write_units}"
    ));
}

/// Progress of long work, where standard error is a terminal.
pub(super) fn progress(doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({per_sec})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.set_message(doing);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_gets_through() {
        let text = "a\u{1b}[31mb\nc\u{9b}2J\u{202e}d\t\u{7f}é✨";
        assert_eq!(
            plain(text),
            "a\\u{1b}[31mb\\nc\\u{9b}2J\\u{202e}d\\t\\u{7f}é✨"
        );
        let printed = line(&json!(text));
        assert!(!printed.trim_end().chars().any(is_unsafe), "{printed}");
        let read: String = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(read, text);
    }

    #[test]
    fn a_line_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(cut("漢字漢字".to_owned(), 8), "漢字漢字");
        assert_eq!(cut("漢字漢字".to_owned(), 7), "漢字漢…");
        assert_eq!(cut("abc".to_owned(), 2), "a…");
    }
}
