//! `check`: finds and repairs inconsistencies in the table.

mod accept;
mod resume;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::CliError;
use super::operator::{Operator, Session};
use super::output::{self, Format};
use super::people::PeopleArgs;
use super::scan::{PageLimits, pages};
use crate::clock::Clock;
use crate::config::{ReadUnitsArgs, RemoteArgs, StreamArgs};
use crate::messaging::{Finding, FindingKind, Inspector, Unmended};
use crate::store::ScannedItem;
use accept::{Accepted, FindingLine};
use resume::{Run, State, StateFile};

/// Number of items that are checked concurrently.
const AT_ONCE: usize = 16;
/// Number of items of a segment that are checked between two writes of the state. A run that is
/// killed repeats at most this many per segment.
const PAGE: usize = 100;
/// The default number of segments.
const SEGMENTS: u16 = 4;

#[derive(Args, Debug)]
#[command(after_help = "\
Each finding is one line of JSON, with --repair followed by one that says what
became of it; a summary goes to standard error, and with --json to a last line
{\"summary\": …}. Exit code 1 if anything is left that is not as it has to be.

Messages are the truth, and never deleted. This is what --repair does:

  missing-head           writes head, rows and alias as the first write of the
                         group would; a newest message at whose microsecond
                         another group has its row moves by one. What else is
                         wrong with the rows is counted beside it
  unreachable-messages   the same, where two people have sent the messages
  wrong-head             head and rows follow the newest message
  missing-row, stale-row both rows are written anew
  doubled-row            is deleted
  strangers-row          the row of somebody who neither takes part nor has
                         sent a message is deleted
  row-without-messages   is deleted
  head-without-messages  is deleted with its rows and its alias
  alias-to-nowhere       is deleted
  missing-alias          the pair's uuid leads to their newest group
  gap-in-seq             messages are numbered anew, 1, 2, 3, …; what was read
                         stays read, and nothing else becomes so
  wrong-marker           the marker is removed; it is written at the end of a run
                         after which each group has a head
  future-key             nothing: new messages of the group are ordered behind its
                         newest key, which is so far ahead of the clock, and it
                         passes when the clock has reached the key
  unreadable-item, not-checked
                         nothing: what would be right is not known

What is deleted is printed before. Every repair is read back: one that a strongly
consistent read does not show counts as not mended. Nothing is deleted or
numbered anew because of a message that cannot be read. Names that the table has
lost are asked of Postgres. Readers and writers may go on meanwhile. --repair
refuses a table with a stream.

Who takes part in a group follows from its rows, and later from its head. Messages
of other users, as the original allowed them, change nothing about that.

Throttled calls are repeated without a time limit, and all segments slow down
together. With --resume, a run that was interrupted or killed continues where it
stopped, and counts what it had found.

A finding that nothing repairs can be accepted: write what is left to a file with
--write-accepted, read it, and pass it to later runs with --accept. Exit code and
--repair pass over what is in the file; anything else fails the run as before.
Kind, key and detail of a finding decide (future-key and not-checked: kind and
key). Lines of the file that begin with # are passed over.

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
enum Fate {
    Left,
    Mended,
    Accepted,
}

/// The context of a run.
struct Check<'a> {
    session: &'a Session,
    inspector: &'a Inspector,
    progress: ProgressBar,
    accepted: Mutex<Accepted>,
    repair: bool,
    /// Whether remaining findings are collected in the state.
    remembers: bool,
}

impl CheckArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let accepted = self.accept.as_deref().map(Accepted::read).transpose()?;
        let session = self.connect().await?;
        let users = if self.repair {
            let users = self.people.connect(self.operator.dynamodb.prod).await;
            users
                .inspect_err(|error| {
                    output::remark(&format!("names are not asked of Postgres: {error}"));
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
            remembers: self.write_accepted.is_some(),
        };
        let checked = self.check(&check).await;
        check.progress.finish_and_clear();
        let state = session.explained(checked)?;
        if let Some(path) = &self.write_accepted {
            accept::write(path, &state.left)?;
        }
        finish(&state, &session)
    }

    async fn connect(&self) -> Result<Session, CliError> {
        let session = if self.repair {
            let limit = self.read_units;
            self.operator.connect_to_change(self.remote, limit).await?
        } else {
            self.operator.connect_limited(self.read_units).await?
        };
        if self.repair && session.format == Format::Raw {
            let why = "--repair prints what it deletes: not with --output raw";
            return Err(CliError::Usage(why.to_owned()));
        }
        if self.repair {
            let refused = session.refuse_stream(self.stream).await;
            session.explained(refused)?;
        }
        Ok(session)
    }

    /// Checks the table, starting at the saved state, and saves the state after each page.
    async fn check(&self, check: &Check<'_>) -> Result<State, CliError> {
        let session = check.session;
        let run = Run::new(session.messages.table(), session.place(), self.repair);
        let file = self.resume.clone().map(StateFile::new);
        let begun = match &file {
            Some(file) => file.read(&run, self.segments)?,
            None => None,
        };
        let is_resumed = begun.is_some();
        let mut state = begun.unwrap_or_else(|| State::new(run, self.segments.unwrap_or(SEGMENTS)));
        if is_resumed {
            check.progress.inc(state.items);
            output::remark(&format!("continuing after {} items", state.items));
        }
        let checked = check.pages(&mut state, file.as_ref()).await;
        if let (Err(_), Some(file)) = (&checked, &file) {
            let path = file.path().display();
            output::remark(&format!("--resume {path} continues this run"));
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
    async fn pages(&self, state: &mut State, file: Option<&StateFile>) -> Result<bool, CliError> {
        let limits = PageLimits {
            page: Some(PAGE),
            all: None,
        };
        let parts = state.parts();
        let mut pages = pages(&self.session.messages, parts, limits, |items| items);
        while let Some(page) = pages.recv().await {
            let page = page?;
            let look_at = |item| self.finalize(item);
            let mut checked = stream::iter(page.items)
                .map(look_at)
                .buffer_unordered(AT_ONCE);
            while let Some(findings) = checked.next().await {
                state.items += 1;
                self.progress.inc(1);
                for (finding, fate) in findings? {
                    self.count(state, &finding, fate);
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
    async fn correct_marker(&self, state: &mut State) -> Result<(), CliError> {
        let contradictions = state.count_left(&FindingKind::CONTRADICT_MARKER);
        let messages = &self.session.messages;
        state.is_marked = messages.has_heads_marker().await?;
        let can_be_marked = contradictions == 0 && state.unreadable_heads == 0;
        if !state.is_marked && can_be_marked && self.repair {
            messages.put_heads_marker().await?;
            state.is_marked = messages.has_heads_marker().await?;
            if state.is_marked {
                output::remark("the table is marked now: each group has a head");
            }
            return Ok(());
        }
        if !state.is_marked || contradictions == 0 {
            return Ok(());
        }
        let finding = Finding::wrong_marker(contradictions);
        let is_accepted = self.accepts(&finding);
        self.print(&as_json(&finding, self.repair, is_accepted))?;
        let mut fate = if is_accepted {
            Fate::Accepted
        } else {
            Fate::Left
        };
        if self.repair && !is_accepted {
            messages.delete_heads_marker().await?;
            state.is_marked = messages.has_heads_marker().await?;
            let mended = if state.is_marked {
                Err(Unmended::NotVisible)
            } else {
                fate = Fate::Mended;
                Ok(())
            };
            self.print(&outcome_json(&finding, &mended))?;
        }
        self.count(state, &finding, fate);
        Ok(())
    }

    fn count(&self, state: &mut State, finding: &Finding, fate: Fate) {
        let kind = finding.kind.name().to_owned();
        let [found, mended, accepted] = state.findings.entry(kind).or_default();
        *found += 1;
        let is_head = finding.key.starts_with("HEAD#");
        if finding.kind == FindingKind::UnreadableItem && is_head {
            state.unreadable_heads += 1;
        }
        *mended += u64::from(fate == Fate::Mended);
        *accepted += u64::from(fate == Fate::Accepted);
        if self.remembers && fate != Fate::Mended {
            state.left.push(FindingLine::of(finding));
        }
    }

    fn accepts(&self, finding: &Finding) -> bool {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.accepts(finding)
    }

    fn report_outdated(&self) {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if accepted.outdated() > 0 {
            output::remark(&format!(
                "{} accepted findings were not found any more",
                accepted.outdated()
            ));
        }
    }

    fn print(&self, line: &Value) -> Result<(), CliError> {
        if self.session.format == Format::Raw {
            return Ok(());
        }
        self.progress.suspend(|| output::print(&output::line(line)))
    }

    /// Checks one item, prints its findings, and repairs them with --repair.
    async fn finalize(&self, item: ScannedItem) -> Result<Vec<(Finding, Fate)>, CliError> {
        let mut all = Vec::new();
        let mut group_mended = None;
        for finding in self.inspector.inspect(item).await? {
            let is_accepted = self.accepts(&finding);
            self.print(&as_json(&finding, self.repair, is_accepted))?;
            // Items are deleted only if their contents could be printed.
            if is_accepted || !self.repair || !output::is_read() {
                let fate = if is_accepted {
                    Fate::Accepted
                } else {
                    Fate::Left
                };
                all.push((finding, fate));
                continue;
            }
            let mended = match &group_mended {
                // One repair fixes all findings of a group.
                Some(mended) if finding.is_of_group() => Clone::clone(mended),
                _ => Box::pin(self.inspector.mend(&finding)).await?,
            };
            if finding.is_of_group() {
                group_mended = Some(mended.clone());
            }
            self.print(&outcome_json(&finding, &mended))?;
            let fate = if mended.is_ok() {
                Fate::Mended
            } else {
                Fate::Left
            };
            all.push((finding, fate));
        }
        Ok(all)
    }
}

fn as_json(finding: &Finding, repair: bool, is_accepted: bool) -> Value {
    let mut line = json!({
        "kind": finding.kind.name(),
        "key": finding.key,
        "messageGroupUuid": finding.group,
        "detail": finding.detail,
    });
    if is_accepted {
        line["accepted"] = json!(true);
    } else if let (Some(item), true) = (&finding.deletes, repair) {
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

/// Prints the summary. Returns exit code 1 if findings remain that are not accepted.
fn finish(state: &State, session: &Session) -> Result<ExitCode, CliError> {
    let mut told = format!("{} items checked", state.items);
    let mut by_kind = Map::new();
    let kinds = FindingKind::ALL.iter().map(|kind| kind.name());
    let found = kinds.filter_map(|kind| state.findings.get(kind).map(|counts| (kind, counts)));
    for (kind, [found, mended, accepted]) in found {
        // Writing to a string cannot fail.
        let _ = write!(told, ", {found} {kind}");
        let parts = [(mended, "mended"), (accepted, "accepted")];
        let parts = parts.iter().filter(|(count, _)| **count > 0);
        let parts: Vec<String> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !parts.is_empty() {
            let _ = write!(told, " ({})", parts.join(", "));
        }
        by_kind.insert(
            kind.to_owned(),
            json!({ "found": found, "mended": mended, "accepted": accepted }),
        );
    }
    if state.findings.is_empty() {
        told.push_str(", all is as it has to be");
    }
    output::remark(&told);
    session.finish_lines(Map::from_iter([
        ("items".to_owned(), json!(state.items)),
        ("headsMarker".to_owned(), json!(state.is_marked)),
        ("findings".to_owned(), Value::Object(by_kind)),
    ]))?;
    let mut counts = state.findings.values();
    let is_left = counts.any(|[found, mended, accepted]| mended + accepted < *found);
    Ok(ExitCode::from(u8::from(is_left)))
}
