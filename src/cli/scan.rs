//! `scan`: prints all items of the table.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use super::operator::{Operator, OperatorSession};
use super::output::{self, Format};
use super::{CliError, CliResult};
use crate::config::ReadUnitsArgs;
use crate::store::{ItemKind, MessageStore, ScanPosition, ScannedItem, Segment};

/// Maximum number of pages (of one megabyte each) that wait to be printed, which bounds the memory
/// if the reader of the output is slow.
const PAGES_AHEAD: usize = 1;

#[derive(Args, Debug)]
#[command(after_help = "\
Each item is one line of plain JSON; counts and cost go to standard error, and
with --json to a last line {\"summary\": …}.

Examples:
  cruddur scan --limit 5
  cruddur scan | jq -r .pk | cut -d'#' -f1 | sort | uniq -c
  cruddur scan --prod --segments 8 | gzip > table.jsonl.gz")]
pub(super) struct ScanArgs {
    /// Number of segments to read in parallel
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
    /// Maximum number of items to print
    #[arg(long, value_name = "N", conflicts_with = "segments", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    read_units: ReadUnitsArgs,
    #[command(flatten)]
    operator: Operator,
}

/// Number of items by kind.
type Counts = BTreeMap<ItemKind, u64>;

impl ScanArgs {
    pub async fn run(self) -> CliResult<()> {
        let session = self.operator.connect_limited(self.read_units).await?;
        let scanned = self.scan(&session).await;
        let counts = session.explained(scanned)?;
        output::remark(&in_words(&counts));
        session.finish_lines(json!({ "items": counts }))
    }

    async fn scan(&self, session: &OperatorSession) -> CliResult<Counts> {
        let mut counts = Counts::default();
        let progress = output::progress("items read:");
        let raw = session.format == Format::Raw;
        let lines = move |items: Vec<ScannedItem>| -> Vec<(ItemKind, String)> {
            // With `--output raw`, the responses were already printed when they arrived.
            let line = |item: ScannedItem| {
                let line = (!raw).then(|| output::line(&item.to_json()));
                (item.kind(), line.unwrap_or_default())
            };
            items.into_iter().map(line).collect()
        };
        let limits = PageLimits {
            page: None,
            all: self.limit.map(|limit| limit as usize),
        };
        let mut pages = pages(&session.messages, whole_table(self.segments), limits, lines);
        while let Some(page) = pages.recv().await {
            let items = page?.items;
            let mut lines = String::new();
            for (kind, line) in &items {
                *counts.entry(*kind).or_default() += 1;
                lines.push_str(line);
            }
            progress.suspend(|| output::print(&lines))?;
            progress.inc(items.len() as u64);
            if !output::is_read() {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(counts)
    }
}

/// A page of a segment, after `make` was applied to its items.
pub(super) struct ReadPage<T> {
    /// Number of the segment.
    pub segment: u16,
    pub items: T,
    /// Position of the segment's next page; `None` after the last page.
    pub next: Option<ScanPosition>,
}

/// Maximum number of items per page, and per segment.
#[derive(Clone, Copy)]
pub(super) struct PageLimits {
    pub page: Option<usize>,
    pub all: Option<usize>,
}

/// Returns all segments of a table, from their beginning.
pub(super) fn whole_table(segments: u16) -> Vec<(Segment, Option<ScanPosition>)> {
    let segments = (0..segments).map(|number| Segment {
        number,
        of: segments,
    });
    segments.map(|segment| (segment, None)).collect()
}

/// Reads the pages of some segments and applies `make` to the items of each page in the task that
/// reads it. Reading stops when the receiver is dropped, and pauses while the receiver is slow.
pub(super) fn pages<T: Send + 'static>(
    messages: &MessageStore,
    segments: Vec<(Segment, Option<ScanPosition>)>,
    limits: PageLimits,
    make: impl Fn(Vec<ScannedItem>) -> T + Clone + Send + 'static,
) -> mpsc::Receiver<CliResult<ReadPage<T>>> {
    let (pages, received) = mpsc::channel(PAGES_AHEAD);
    for (segment, mut from) in segments {
        let (messages, pages, make) = (messages.clone(), pages.clone(), make.clone());
        let mut left = limits.all;
        tokio::spawn(async move {
            loop {
                let wanted = limits.page.into_iter().chain(left).min();
                let page = messages.scan(segment, from.take(), wanted).await;
                let page = page.map(|page| {
                    left = left.map(|left| left.saturating_sub(page.items.len()));
                    from = page.next.clone().filter(|_| left != Some(0));
                    ReadPage {
                        segment: segment.number,
                        items: make(page.items),
                        next: page.next,
                    }
                });
                let sent = pages.send(page.map_err(CliError::from)).await;
                if sent.is_err() || from.is_none() {
                    return;
                }
            }
        });
    }
    received
}

fn in_words(counts: &Counts) -> String {
    let total: u64 = counts.values().sum();
    let kinds = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
    let kinds: Vec<String> = kinds.collect();
    if kinds.is_empty() {
        return "0 items".to_owned();
    }
    format!("{total} items: {}", kinds.join(", "))
}
