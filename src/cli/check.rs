//! `check`: whether everything in the table is as it has to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::CliError;
use super::operator::{Operator, Session};
use super::output::{self, Format};
use super::people::PeopleArgs;
use super::scan::pages;
use crate::clock::Clock;
use crate::messaging::{Finding, FindingKind, Inspector, Unmended};
use crate::store::ScannedItem;

/// How many items are looked at side by side.
const AT_ONCE: usize = 16;

#[derive(Args, Debug)]
#[command(after_help = "\
Each finding is one line of JSON, with --repair followed by one that says what
became of it; a summary goes to standard error, and with --json to a last line
{\"summary\": …}. Exit code 1 if anything is left that is not as it has to be.

Messages are the truth, and never deleted. This is what --repair does:

  missing-head           writes head, rows and alias as the first write of the
                         group would; a newest message at whose microsecond
                         another group has its row moves by one
  unreachable-messages   the same, where two people have sent the messages
  wrong-head             head and rows follow the newest message
  missing-row, stale-row both rows are written anew
  doubled-row            is deleted
  strangers-row          the row of somebody who neither takes part nor has
                         sent a message is deleted
  row-without-messages   is deleted
  head-without-messages  is deleted with its rows and its alias
  alias-to-nowhere       is deleted
  gap-in-seq             messages are numbered anew, 1, 2, 3, …; what was read
                         stays read, and nothing else becomes so
  unreadable-item, future-key, not-checked
                         nothing: what would be right is not known

What is deleted is printed before. Nothing is deleted or numbered anew because
of a message that cannot be read. Names that the table has lost are asked of
Postgres. Readers and writers may go on meanwhile.

Examples:
  cruddur check
  cruddur check --repair --prod
  cruddur check | jq -r .kind | sort | uniq -c")]
pub(super) struct CheckArgs {
    /// Mend what can be mended without guessing
    #[arg(long)]
    repair: bool,
    /// Read in so many parts side by side
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

/// What was found, by kind: how many, and how many of them were mended.
#[derive(Default)]
struct Summary {
    items: u64,
    findings: BTreeMap<FindingKind, [u64; 2]>,
}

impl CheckArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let session = self.connect().await?;
        let users = if self.repair {
            let users = self.people.connect().await;
            users
                .inspect_err(|error| {
                    output::remark(&format!("names are not asked of Postgres: {error}"));
                })
                .ok()
        } else {
            None
        };
        let inspector = Inspector::new(session.messages.clone(), users, Clock::system());
        let checked = self.check(&session, &inspector).await;
        session.explained(checked)?.finish(&session)
    }

    async fn connect(&self) -> Result<Session, CliError> {
        if self.repair {
            self.operator.refuse_elsewhere()?;
        }
        let session = self.operator.connect().await?;
        if self.repair && session.format == Format::Raw {
            let why = "--repair prints what it deletes: not with --output raw";
            return Err(CliError::Usage(why.to_owned()));
        }
        Ok(session)
    }

    async fn check(&self, session: &Session, inspector: &Inspector) -> Result<Summary, CliError> {
        let mut summary = Summary::default();
        let progress = output::progress("items checked:");
        let mut pages = pages(&session.messages, self.segments, None, |items| items);
        while let Some(page) = pages.recv().await {
            let items = page?;
            let seen_to = |item| self.see_to(session, inspector, &progress, item);
            let mut seen = stream::iter(items).map(seen_to).buffer_unordered(AT_ONCE);
            while let Some(findings) = seen.next().await {
                summary.items += 1;
                progress.inc(1);
                for (kind, mended) in findings? {
                    summary.count(kind, mended);
                }
            }
            if !output::is_read() {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(summary)
    }

    /// Looks at one item, prints what is wrong, and mends it if that is asked
    /// for: whether each finding was mended.
    async fn see_to(
        &self,
        session: &Session,
        inspector: &Inspector,
        progress: &ProgressBar,
        item: ScannedItem,
    ) -> Result<Vec<(FindingKind, bool)>, CliError> {
        let print = |line: &Value| {
            if session.format == Format::Raw {
                return Ok(());
            }
            progress.suspend(|| output::print(&output::line(line)))
        };
        let mut seen = Vec::new();
        let mut group_mended = None;
        for finding in inspector.inspect(item).await? {
            print(&as_json(&finding, self.repair))?;
            // What is not printed is not deleted.
            if !self.repair || !output::is_read() {
                seen.push((finding.kind, false));
                continue;
            }
            let mended = match &group_mended {
                // All that is wrong with a group is mended at once.
                Some((group, mended)) if Some(group) == finding.group.as_ref() => {
                    Clone::clone(mended)
                }
                _ => Box::pin(inspector.mend(&finding)).await?,
            };
            group_mended = finding.group.map(|group| (group, mended.clone()));
            print(&outcome_json(&finding, &mended))?;
            seen.push((finding.kind, mended.is_ok()));
        }
        Ok(seen)
    }
}

fn as_json(finding: &Finding, repair: bool) -> Value {
    let mut line = json!({
        "kind": finding.kind.name(),
        "key": finding.key,
        "messageGroupUuid": finding.group,
        "detail": finding.detail,
    });
    if let (Some(item), true) = (&finding.deletes, repair) {
        line["deletes"] = item.to_json();
    }
    line
}

fn outcome_json(finding: &Finding, mended: &Result<(), Unmended>) -> Value {
    let mut line = json!({
        "kind": finding.kind.name(),
        "key": finding.key,
        "mended": mended.is_ok(),
    });
    if let Err(why) = mended {
        line["because"] = json!(why.to_string());
    }
    line
}

impl Summary {
    fn count(&mut self, kind: FindingKind, is_mended: bool) {
        let [found, mended] = self.findings.entry(kind).or_default();
        *found += 1;
        *mended += u64::from(is_mended);
    }

    fn finish(&self, session: &Session) -> Result<ExitCode, CliError> {
        let mut told = format!("{} items checked", self.items);
        let mut by_kind = Map::new();
        for (kind, [found, mended]) in &self.findings {
            // Writing to a string does not fail.
            let _ = write!(told, ", {found} {kind}");
            if *mended > 0 {
                let _ = write!(told, " ({mended} mended)");
            }
            by_kind.insert(
                kind.to_string(),
                json!({ "found": found, "mended": mended }),
            );
        }
        if self.findings.is_empty() {
            told.push_str(", all is as it has to be");
        }
        output::remark(&told);
        session.finish_lines(Map::from_iter([
            ("items".to_owned(), json!(self.items)),
            ("findings".to_owned(), Value::Object(by_kind)),
        ]))?;
        let left = self.findings.values().any(|[found, mended]| mended < found);
        Ok(ExitCode::from(u8::from(left)))
    }
}
