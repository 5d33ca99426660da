//! `check`: finds and repairs inconsistencies in the table.

mod accept;
mod resume;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::operator::{Operator, OperatorSession};
use super::output::{self, Format};
use super::people::PeopleArgs;
use super::scan::{PageLimits, pages};
use super::{CliError, CliResult};
use crate::clock::Clock;
use crate::config::{ReadUnitsArgs, RemoteArgs, StreamArgs};
use crate::lock::lock;
use crate::messaging::{Finding, FindingKind, Inspector, Unrepaired};
use crate::store::ScannedItem;
use accept::{AcceptedFindings, FindingLine};
use resume::{CheckState, RunParameters, StateFile};

/// Number of items of a segment that are checked concurrently, so that the check does not wait for
/// one call to DynamoDB after the other.
const AT_ONCE: usize = 16;
/// Number of items of a segment that are checked between two writes of the state. A run that is
/// killed repeats at most this many per segment.
const PAGE: usize = 100;
/// The default number of segments. More segments consume read units faster than a table with little
/// capacity can provide them.
const SEGMENTS: u16 = 4;

#[derive(Args, Debug)]
#[command(after_help = "\
Each finding is one line of JSON. With --repair, a second line states the result
of the repair. The summary is printed to standard error, and with --json also as
a last line {\"summary\": …}. The exit code is 1 if findings remain that are
neither repaired nor accepted.

Messages are authoritative and are never deleted. --repair does the following:

  missing-head           writes head, rows and alias, like the first message to
                         the group. If another group has a row at the microsecond
                         of the newest message, that message moves by one
                         microsecond. Other problems of the rows are reported
                         separately
  unreachable-messages   writes head, rows and alias, if exactly two users have
                         sent the messages
  wrong-head             updates head and rows to the newest message
  missing-row, stale-row writes both rows again
  duplicate-row          deletes the row
  non-participant-row    deletes the row of a user who is not a participant and
                         has not sent a message
  row-without-messages   deletes the row
  head-without-messages  deletes the head, its rows and its alias
  dangling-alias         deletes the alias
  missing-alias          writes an alias from the pair's UUID to the pair's
                         newest group
  gap-in-seq             renumbers the messages 1, 2, 3, …; read messages stay
                         read, and unread messages stay unread
  wrong-marker           removes the marker. A run after which every group has a
                         head writes the marker
  future-key             changes nothing. New messages of the group are ordered
                         after its newest key until the clock reaches that key
  unreadable-item, not-checked
                         changes nothing, because the correct state is unknown

Items are printed before they are deleted. Each repair is verified with a strongly
consistent read; if the read does not show the repair, the finding counts as not
repaired. No item is deleted or renumbered because of a message that cannot be
read. Names that the table no longer contains are read from Postgres. The API can
keep running during a repair. --repair rejects a table with a stream.

The participants of a group are the users in its head, or without a head the users
in its rows. Messages of other users, which the original allowed, do not change
the participants.

Throttled calls are retried without a time limit, and all segments slow down
together. With --resume, a run that was interrupted or killed continues where it
stopped and keeps its counts.

Findings that cannot be repaired can be accepted: write them to a file with
--write-accepted, review the file, and pass it to later runs with --accept.
Accepted findings are not repaired and do not affect the exit code. A finding is
identified by kind, key and detail (future-key, not-checked and wrong-marker: by
kind and key). Lines of the file that begin with # are ignored.

Examples:
  cruddur check
  cruddur check --repair --prod
  cruddur check --repair --prod --resume check.state --read-units 50
  cruddur check --write-accepted accepted.jsonl
  cruddur check --accept accepted.jsonl
  cruddur check | jq -r .kind | sort | uniq -c")]
pub(super) struct CheckArgs {
    /// Repair inconsistencies whose correct state is known
    #[arg(long)]
    repair: bool,
    /// Number of segments to read in parallel [default: 4, or the number of the run that is
    /// resumed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: Option<u16>,
    /// Save the state of the run in this file, and resume from it if it exists; it is deleted when
    /// the run completes
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Ignore the findings in this file
    #[arg(long, value_name = "FILE")]
    accept: Option<PathBuf>,
    /// Write all remaining findings to this file, for --accept
    #[arg(long, value_name = "FILE")]
    write_accepted: Option<PathBuf>,
    #[command(flatten)]
    read_units: ReadUnitsArgs,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

/// The result of a finding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resolution {
    Left,
    Repaired,
    Accepted,
}

impl Resolution {
    fn without_repair(is_accepted: bool) -> Self {
        if is_accepted {
            Self::Accepted
        } else {
            Self::Left
        }
    }
}

/// The context of a run.
struct Check<'a> {
    session: &'a OperatorSession,
    inspector: &'a Inspector,
    progress: ProgressBar,
    accepted: Mutex<AcceptedFindings>,
    repair: bool,
    /// Whether remaining findings are collected in the state.
    collects: bool,
}

impl CheckArgs {
    pub async fn run(self) -> CliResult<ExitCode> {
        let accepted = self.accept.as_deref().map(AcceptedFindings::read);
        let accepted = accepted.transpose()?;
        let session = self.connect().await?;
        let users = if self.repair {
            let users = self.people.connect(self.operator.dynamodb.prod).await;
            users
                .inspect_err(|error| {
                    output::remark(&format!("names are not read from Postgres: {error}"));
                })
                .ok()
        } else {
            None
        };
        let inspector = Inspector::new(session.messages.clone(), users, Clock::system());
        let check = Check {
            session: &session,
            inspector: &inspector,
            progress: output::progress("items checked:"),
            accepted: Mutex::new(accepted.unwrap_or_default()),
            repair: self.repair,
            collects: self.write_accepted.is_some(),
        };
        let checked = self.check(&check).await;
        check.progress.finish_and_clear();
        let state = session.explained(checked)?;
        if let Some(path) = &self.write_accepted {
            accept::write(path, &state.left)?;
        }
        finish(&state, &session)
    }

    async fn connect(&self) -> CliResult<OperatorSession> {
        if !self.repair {
            return self.operator.connect_limited(self.read_units).await;
        }
        let (remote, limit) = (self.remote, self.read_units);
        let session = self.operator.connect_to_change(remote, limit).await?;
        if session.format == Format::Raw {
            let why = "--repair prints the items that it deletes, so it cannot be combined with --output raw";
            return Err(CliError::Usage(why.to_owned()));
        }
        let refused = session.reject_stream(self.stream).await;
        session.explained(refused)?;
        Ok(session)
    }

    /// Checks the table, starting at the saved state, and saves the state after each page.
    async fn check(&self, check: &Check<'_>) -> CliResult<CheckState> {
        let session = check.session;
        let run = RunParameters::new(session.messages.table(), &session.endpoint, self.repair);
        let file = self.resume.clone().map(StateFile);
        let begun = match &file {
            Some(file) => file.read(&run, self.segments)?,
            None => None,
        };
        let is_resumed = begun.is_some();
        let mut state =
            begun.unwrap_or_else(|| CheckState::new(run, self.segments.unwrap_or(SEGMENTS)));
        if is_resumed {
            check.progress.inc(state.items);
            output::remark(&format!("resuming after {} items", state.items));
        }
        let checked = check.pages(&mut state, file.as_ref()).await;
        if let (Err(_), Some(file)) = (&checked, &file) {
            let path = file.0.display();
            output::remark(&format!("continue this run with --resume {path}"));
        }
        let is_complete = checked?;
        if is_complete {
            check.correct_marker(&mut state).await?;
        }
        if let (true, Some(file)) = (is_complete, &file) {
            file.delete()?;
        }
        // A resumed run does not know which accepted findings the part before the interruption has
        // found.
        if is_complete && !is_resumed {
            check.report_outdated();
        }
        Ok(state)
    }
}

impl Check<'_> {
    /// Checks the remaining pages. Returns whether all of them were checked.
    async fn pages(&self, state: &mut CheckState, file: Option<&StateFile>) -> CliResult<bool> {
        let limits = PageLimits {
            page: Some(PAGE),
            all: None,
        };
        let parts = state.parts();
        let mut pages = pages(&self.session.messages, parts, limits, |items| items);
        while let Some(page) = pages.recv().await {
            let page = page?;
            let check = |item| self.finalize(item);
            let mut checked = stream::iter(page.items)
                .map(check)
                .buffer_unordered(AT_ONCE);
            while let Some(findings) = checked.next().await {
                state.items += 1;
                self.progress.inc(1);
                for (finding, resolution) in findings? {
                    self.count(state, &finding, resolution);
                }
            }
            if !output::is_read() {
                return Ok(false);
            }
            state.advance(page.segment, page.next);
            if let Some(file) = file {
                file.write(state)?;
            }
        }
        Ok(true)
    }

    /// Compares the table's marker with the findings. With --repair, writes the marker if every
    /// group has a head, and removes it if a group has none.
    async fn correct_marker(&self, state: &mut CheckState) -> CliResult<()> {
        let contradictions = state.count_left(&FindingKind::CONTRADICT_MARKER);
        let messages = &self.session.messages;
        state.is_marked = messages.has_heads_marker().await?;
        let can_be_marked = contradictions == 0 && state.unreadable_heads == 0;
        if !state.is_marked && can_be_marked && self.repair {
            messages.put_heads_marker().await?;
            state.is_marked = messages.has_heads_marker().await?;
            if state.is_marked {
                output::remark("marker written: every group has a head");
            }
            return Ok(());
        }
        if !state.is_marked || contradictions == 0 {
            return Ok(());
        }
        let finding = Finding::wrong_marker(contradictions);
        let is_accepted = self.accepts(&finding);
        self.print(&as_json(&finding, self.repair, is_accepted))?;
        let mut resolution = Resolution::without_repair(is_accepted);
        if self.repair && !is_accepted {
            messages.delete_heads_marker().await?;
            state.is_marked = messages.has_heads_marker().await?;
            let repaired = if state.is_marked {
                Err(Unrepaired::NotVisible)
            } else {
                resolution = Resolution::Repaired;
                Ok(())
            };
            self.print(&outcome_json(&finding, &repaired))?;
        }
        self.count(state, &finding, resolution);
        Ok(())
    }

    fn count(&self, state: &mut CheckState, finding: &Finding, resolution: Resolution) {
        let [found, repaired, accepted] = state.findings.entry(finding.kind).or_default();
        *found += 1;
        if finding.is_unreadable_head() {
            state.unreadable_heads += 1;
        }
        *repaired += u64::from(resolution == Resolution::Repaired);
        *accepted += u64::from(resolution == Resolution::Accepted);
        if self.collects && resolution != Resolution::Repaired {
            state.left.push(FindingLine::of(finding));
        }
    }

    fn accepts(&self, finding: &Finding) -> bool {
        lock(&self.accepted).accepts(finding)
    }

    fn report_outdated(&self) {
        let outdated = lock(&self.accepted).outdated();
        if outdated > 0 {
            output::remark(&format!("{outdated} accepted findings no longer exist"));
        }
    }

    fn print(&self, line: &Value) -> CliResult<()> {
        if self.session.format == Format::Raw {
            return Ok(());
        }
        self.progress.suspend(|| output::print(&output::line(line)))
    }

    /// Checks one item, prints its findings, and repairs them with --repair.
    async fn finalize(&self, item: ScannedItem) -> CliResult<Vec<(Finding, Resolution)>> {
        let mut all = Vec::new();
        let mut group_repaired = None;
        for finding in self.inspector.inspect(item).await? {
            let is_accepted = self.accepts(&finding);
            self.print(&as_json(&finding, self.repair, is_accepted))?;
            // Items are deleted only if their contents could be printed.
            if is_accepted || !self.repair || !output::is_read() {
                all.push((finding, Resolution::without_repair(is_accepted)));
                continue;
            }
            let repaired = match &group_repaired {
                // One repair fixes all findings of a group.
                Some(repaired) if finding.is_of_group() => Clone::clone(repaired),
                // Boxed because it is large and most items have no finding.
                _ => Box::pin(self.inspector.repair(&finding)).await?,
            };
            if finding.is_of_group() {
                group_repaired = Some(repaired.clone());
            }
            self.print(&outcome_json(&finding, &repaired))?;
            let resolution = if repaired.is_ok() {
                Resolution::Repaired
            } else {
                Resolution::Left
            };
            all.push((finding, resolution));
        }
        Ok(all)
    }
}

fn as_json(finding: &Finding, repair: bool, is_accepted: bool) -> Value {
    let mut line = json!(FindingLine::of(finding));
    if is_accepted {
        line["accepted"] = json!(true);
    } else if let (Some(item), true) = (finding.deletes(), repair) {
        line["deletes"] = item.to_json();
    }
    line
}

fn outcome_json(finding: &Finding, repaired: &Result<(), Unrepaired>) -> Value {
    let mut line = json!({
        "kind": finding.kind,
        "key": finding.key(),
        "repaired": repaired.is_ok(),
    });
    if let Err(why) = repaired {
        line["because"] = json!(why.to_string());
    }
    line
}

/// Prints the summary. Returns exit code 1 if findings remain that are not accepted.
fn finish(state: &CheckState, session: &OperatorSession) -> CliResult<ExitCode> {
    let mut summary = format!("{} items checked", state.items);
    let mut by_kind = Map::new();
    for (kind, [found, repaired, accepted]) in &state.findings {
        // Writing to a string cannot fail.
        let _ = write!(summary, ", {found} {kind}");
        let parts = [(repaired, "repaired"), (accepted, "accepted")];
        let parts = parts.iter().filter(|(count, _)| **count > 0);
        let parts = parts.map(|(count, what)| format!("{count} {what}"));
        let parts: Vec<String> = parts.collect();
        if !parts.is_empty() {
            let _ = write!(summary, " ({})", parts.join(", "));
        }
        by_kind.insert(
            kind.to_string(),
            json!({ "found": found, "repaired": repaired, "accepted": accepted }),
        );
    }
    if state.findings.is_empty() {
        summary.push_str(", no problems found");
    }
    output::remark(&summary);
    session.finish_lines(json!({
        "items": state.items,
        "headsMarker": state.is_marked,
        "findings": Value::Object(by_kind),
    }))?;
    let mut counts = state.findings.values();
    let is_left = counts.any(|[found, repaired, accepted]| repaired + accepted < *found);
    Ok(ExitCode::from(u8::from(is_left)))
}
