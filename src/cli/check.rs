//! `check`: whether everything in the table is as it has to be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::CliError;
use super::operator::{Operator, Session};
use super::output::{self, Format};
use super::people::PeopleArgs;
use super::scan::pages;
use crate::clock::Clock;
use crate::messaging::{Finding, FindingKind, Inspector, Unmended};

/// How many items are looked at side by side.
const AT_ONCE: usize = 16;

#[derive(Args, Debug)]
#[command(after_help = "\
Each finding is one line of JSON; a summary goes to standard error, and with
--json to a last line {\"summary\": …}. Exit code 1 if anything is left that is
not as it has to be.

Messages are the truth, and never deleted. This is what --repair does:

  missing-head           writes head, rows and alias as the first write of the
                         group would; a newest message at whose microsecond
                         another group has its row moves by one
  unreachable-messages   the same, where two people have sent the messages
  wrong-head             head and rows follow the newest message
  missing-row, stale-row both rows are written anew
  doubled-row            is deleted
  strangers-row          the row of somebody who does not take part is deleted
  row-without-messages   is deleted, after it has been printed
  head-without-messages  is deleted with its rows
  alias-to-nowhere       is deleted
  gap-in-seq             messages are numbered anew, 1, 2, 3, …; what was read
                         stays read, and nothing else becomes so
  unreadable-item, future-key
                         nothing: what would be right is not known

Names that the table has lost are asked of Postgres. Readers and writers may go
on meanwhile.

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
        let session = self.operator.connect().await?;
        let inspector = self.inspector(&session).await;
        let checked = self.check(&session, &inspector).await;
        session.explained(checked).await?.finish(&session)
    }

    async fn inspector(&self, session: &Session) -> Inspector {
        let (messages, clock) = (session.messages.clone(), Clock::system());
        if !self.repair {
            return Inspector::new(messages, clock);
        }
        let users = self.people.connect().await;
        let users = users.map_err(|error| {
            output::remark(&format!("names are not asked of Postgres: {error}"));
        });
        Inspector::repairing(messages, users.ok(), clock)
    }

    async fn check(&self, session: &Session, inspector: &Inspector) -> Result<Summary, CliError> {
        let mut summary = Summary::default();
        let progress = output::progress("items checked:");
        let mut pages = pages(&session.messages, self.segments, None);
        while let Some(page) = pages.recv().await {
            let items = page?;
            let mut inspected = stream::iter(items)
                .map(|item| inspector.inspect(item))
                .buffered(AT_ONCE);
            while let Some(findings) = inspected.next().await {
                let findings = findings?;
                summary.items += 1;
                progress.inc(1);
                for finding in &findings {
                    summary.count(finding);
                    if session.format != Format::Raw {
                        progress.suspend(|| output::print(&output::line(&as_json(finding))))?;
                    }
                }
            }
            if !output::is_read() && !self.repair {
                break;
            }
        }
        progress.finish_and_clear();
        Ok(summary)
    }
}

fn as_json(finding: &Finding) -> Value {
    let mut line = json!({
        "kind": finding.kind.name(),
        "key": finding.key,
        "messageGroupUuid": finding.group,
        "detail": finding.detail,
    });
    match &finding.mended {
        Ok(()) => line["mended"] = json!(true),
        Err(Unmended::NotAsked) => {}
        Err(why) => {
            line["mended"] = json!(false);
            line["because"] = json!(why.to_string());
        }
    }
    if let (Some(item), Ok(())) = (&finding.item, &finding.mended) {
        line["deleted"] = item.to_json();
    }
    line
}

impl Summary {
    fn count(&mut self, finding: &Finding) {
        let [found, mended] = self.findings.entry(finding.kind).or_default();
        *found += 1;
        *mended += u64::from(finding.mended.is_ok());
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
