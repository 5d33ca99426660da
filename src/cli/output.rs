//! Output of the commands: columns for people, JSON for programs, or DynamoDB's own responses.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::columns::{Columns, terminal_width};
use super::text::{name, plain, safe_json, width};
use super::{CliError, CliResult};
use crate::lock::lock;
use crate::store::{Cost, OnResponse};

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// Shorthand for --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns or sentences, for people
    Table,
    /// JSON, for programs
    Json,
    /// DynamoDB's responses, one per line
    Raw,
}

impl OutputArgs {
    pub fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

/// Whether the reader has closed standard output.
static CLOSED: AtomicBool = AtomicBool::new(false);
/// The error of a response that could not be printed.
static NOT_PRINTED: Mutex<Option<CliError>> = Mutex::new(None);

/// Returns whether standard output still has a reader.
pub(super) fn is_read() -> bool {
    !CLOSED.load(Ordering::Relaxed)
}

/// Writes to standard output. A closed pipe is not an error.
pub(super) fn print(text: &str) -> CliResult<()> {
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

/// Writes one line to standard error, above the progress.
pub(super) fn remark(text: &str) {
    let lines: Vec<String> = text.lines().map(plain).collect();
    let write = || {
        // If standard error is closed, the failure cannot be reported.
        let _ = writeln!(std::io::stderr(), "{}", lines.join("\n"));
    };
    match shown_progress() {
        Some((bar, _)) => bar.suspend(write),
        None => write(),
    }
}

/// The progress that is currently shown, and what it counts.
static PROGRESS: Mutex<Option<(ProgressBar, &'static str)>> = Mutex::new(None);

fn shown_progress() -> Option<(ProgressBar, &'static str)> {
    let shown = lock(&PROGRESS);
    shown.clone().filter(|(bar, _)| !bar.is_finished())
}

/// Shows in the progress whether the command is waiting for capacity.
pub(super) fn show_waiting(waits: bool) {
    if let Some((bar, doing)) = shown_progress() {
        bar.set_message(if waits {
            format!("throttled by DynamoDB, waiting for capacity; {doing}")
        } else {
            doing.to_owned()
        });
    }
}

/// Returns the progress's current count, to be appended to a line.
pub(super) fn position() -> String {
    let shown = shown_progress();
    shown.map_or_else(String::new, |(bar, doing)| {
        format!(" ({doing} {})", bar.position())
    })
}

/// Returns a callback that prints each response of DynamoDB unchanged, on its own line.
pub(super) fn response_printer() -> OnResponse {
    Box::new(|response| {
        let response = String::from_utf8_lossy(response);
        if let Err(error) = print(&format!("{}\n", safe_json(response.trim_end()))) {
            let mut failed = lock(&NOT_PRINTED);
            failed.get_or_insert(error);
        }
    })
}

/// Returns whether all responses could be printed.
pub(super) fn responses_printed() -> CliResult<()> {
    let mut failed = lock(&NOT_PRINTED);
    failed.take().map_or(Ok(()), Err)
}

/// Returns a value on one line, with the characters escaped that a terminal would interpret.
pub(super) fn line(value: &Value) -> String {
    format!("{}\n", safe_json(&value.to_string()))
}

/// A list that is printed page by page: as rows of columns, or in JSON as a field of an object, or
/// as one JSON object per line, of which the last contains the cost.
pub(super) struct OutputList {
    format: Format,
    frame: Frame,
    /// Whether no row of columns was printed yet.
    is_empty: bool,
    /// Maximum width of each column so far.
    widths: Vec<usize>,
}

/// The JSON around the items of a list.
enum Frame {
    /// An object. Contains its beginning until that is printed.
    Object(Option<String>),
    /// None: each item is one line.
    Lines,
}

impl OutputList {
    /// Begins a list that may not end: in JSON, each item is one line.
    pub fn lines(format: Format) -> Self {
        Self::new(format, Frame::Lines)
    }

    fn new(format: Format, frame: Frame) -> Self {
        Self {
            format,
            frame,
            is_empty: true,
            widths: Vec::new(),
        }
    }

    /// Begins a list, in JSON after the fields of `head`. Nothing is printed until there is an item
    /// or the list ends.
    pub fn begin(format: Format, head: &Value, name: &str) -> Self {
        let mut begin = String::from("{");
        for (name, value) in head.as_object().into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(begin, "{}:{},", json!(name), line(value).trim_end());
        }
        let _ = write!(begin, "{}:[", json!(name));
        Self::new(format, Frame::Object(Some(begin)))
    }

    /// Ends the list.
    pub fn finish(mut self, cost: Cost) -> CliResult<()> {
        if self.format == Format::Json {
            let consumed = json!(cost);
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
        responses_printed()
    }

    /// Prints further items.
    pub fn print<T, const N: usize>(
        &mut self,
        items: &[T],
        as_json: impl Fn(&T) -> Value,
        names: [&str; N],
        cells: impl Fn(&T) -> [String; N],
    ) -> CliResult<()> {
        let text: String = match self.format {
            // The responses were already printed when they arrived.
            Format::Raw => return Ok(()),
            Format::Json if items.is_empty() => return Ok(()),
            Format::Json => {
                let lines = items.iter().map(|item| line(&as_json(item)));
                let lines: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
                match &mut self.frame {
                    Frame::Object(begin) => {
                        let begin = begin.take().unwrap_or_else(|| ",".to_owned());
                        format!("{begin}\n{}", lines.join(",\n"))
                    }
                    Frame::Lines => format!("{}\n", lines.join("\n")),
                }
            }
            Format::Table => {
                let rows: Vec<[String; N]> = items.iter().map(cells).collect();
                let are_first = std::mem::take(&mut self.is_empty);
                self.rows(&rows, names, are_first)
            }
        };
        print(&text)
    }

    /// Formats further rows. On a terminal, the first rows begin with the names of the columns.
    fn rows<const N: usize>(
        &mut self,
        rows: &[[String; N]],
        names: [&str; N],
        are_first: bool,
    ) -> String {
        let terminal = terminal_width();
        self.widths.resize(N, 0);
        let with_names = terminal.map(|_| names.map(str::to_owned));
        for row in rows.iter().chain(&with_names) {
            for (widest, cell) in self.widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&plain(cell)));
            }
        }
        let columns = Columns::new(std::array::from_fn(|index| self.widths[index]), terminal);
        let rows = rows.iter().map(|row| columns.row(row));
        let names = (are_first && with_names.is_some()).then(|| columns.names(names));
        names.into_iter().chain(rows).collect()
    }
}

/// Returns the number of users, and their names.
pub(super) fn summary(what: &str, who: &[String]) -> String {
    let names: Vec<String> = who.iter().map(|who| name(who)).collect();
    format!("{what}: {} ({})\n", who.len(), names.join(", "))
}

/// Formats a time in UTC, to the second.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Prints the cost of calls to standard error.
pub(super) fn remark_cost(cost: Cost) {
    remark(&format!(
        "DynamoDB: calls {}, read units {}, write units {}",
        cost.calls, cost.read_units, cost.write_units
    ));
}

/// Shows the progress of a long operation if standard error is a terminal.
pub(super) fn progress(doing: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} ({per_sec})")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.set_message(doing);
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut shown = lock(&PROGRESS);
    *shown = Some((bar.clone(), doing));
    bar
}
