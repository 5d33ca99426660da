//! `scan`: everything that is in the table.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::CliError;
use super::operator::{Operator, Session};
use super::output::{self, Format};
use crate::store::{ItemKind, MessageStore, ScannedItem, Segment};

/// How many pages of a megabyte wait to be printed, at most.
const PAGES_AHEAD: usize = 2;

#[derive(Args, Debug)]
#[command(after_help = "\
Each item is one line of plain JSON; counts and cost go to standard error, and
with --json to a last line {\"summary\": …}.

Examples:
  cruddur scan --limit 5
  cruddur scan | jq -r 'select(.pk | startswith(\"MSG#\")) | .message'
  cruddur scan --prod --segments 8 | gzip > table.jsonl.gz")]
pub(super) struct ScanArgs {
    /// Read in so many parts side by side
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
    /// At most so many items
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    operator: Operator,
}

/// Items by kind.
#[derive(Default)]
struct Counts(BTreeMap<ItemKind, u64>);

impl ScanArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let session = self.operator.connect().await?;
        let scanned = self.scan(&session).await;
        let counts = session.explained(scanned).await?;
        output::remark(&counts.in_words());
        session.finish_lines(Map::from_iter([("items".to_owned(), counts.json())]))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn scan(&self, session: &Session) -> Result<Counts, CliError> {
        let mut counts = Counts::default();
        let mut left = self.limit.unwrap_or(u64::MAX);
        let progress = output::progress("items read:");
        let mut pages = pages(&session.messages, self.segments, self.limit);
        while let Some(page) = pages.recv().await {
            let mut items = page?;
            items.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= items.len() as u64;
            let mut lines = String::new();
            for item in &items {
                *counts.0.entry(item.kind()).or_default() += 1;
                if session.format != Format::Raw {
                    lines.push_str(&output::line(&item.to_json()));
                }
            }
            progress.suspend(|| output::print(&lines))?;
            progress.inc(items.len() as u64);
            if left == 0 || !output::is_read() {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(counts)
    }
}

/// The pages of all segments, as they come. Reading stops when the receiver is
/// dropped, and waits while it is slow.
pub(super) fn pages(
    messages: &MessageStore,
    segments: u16,
    limit: Option<u64>,
) -> mpsc::Receiver<Result<Vec<ScannedItem>, CliError>> {
    let (pages, received) = mpsc::channel(PAGES_AHEAD);
    for number in 0..segments {
        let segment = Segment {
            number,
            of: segments,
        };
        let (messages, pages) = (messages.clone(), pages.clone());
        let limit = limit.map(|limit| usize::try_from(limit.clamp(1, 1000)).unwrap_or(1000));
        tokio::spawn(async move {
            let mut from = None;
            loop {
                let page = messages.scan(segment, from.take(), limit).await;
                let (items, next) = match page {
                    Ok(page) => (Ok(page.items), page.next),
                    Err(error) => (Err(error.into()), None),
                };
                from = next;
                if pages.send(items).await.is_err() || from.is_none() {
                    return;
                }
            }
        });
    }
    received
}

fn name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Message => "messages",
        ItemKind::GroupRow => "group rows",
        ItemKind::Head => "heads",
        ItemKind::Sent => "sent",
        ItemKind::Unknown => "unknown",
    }
}

impl Counts {
    fn in_words(&self) -> String {
        let total: u64 = self.0.values().sum();
        let kinds = self.0.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {}", name(*kind)))
            .collect();
        if kinds.is_empty() {
            return "0 items".to_owned();
        }
        format!("{total} items: {}", kinds.join(", "))
    }

    fn json(&self) -> Value {
        let kinds = self.0.iter();
        kinds
            .map(|(kind, count)| (name(*kind).to_owned(), json!(count)))
            .collect::<Map<String, Value>>()
            .into()
    }
}
