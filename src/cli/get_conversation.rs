//! `get-conversation`: pattern A.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::operator::{Operator, OperatorSession};
use super::output::{self, OutputList};
use super::people::{PeopleArgs, user_json};
use super::signals::{INTERRUPTED, stop};
use super::span::SpanArgs;
use super::text;
use super::{CliError, CliResult};
use crate::config::ReadUnitsArgs;
use crate::model::{
    Consistency, End, HeadRecord, Message, MessageGroupId, PageRequest, Participants, Position,
    SortKey,
};
use crate::store::StoreResult;

/// Page size with `--all`. A page of this size has less than a megabyte if the messages have an
/// ordinary length.
const PAGE: usize = 500;
/// Interval at which the table is queried for new messages: half a read unit per second.
const EVERY: Duration = Duration::from_secs(1);
/// Number of intervals to wait for a message whose `seq` is missing between others: the timeout of
/// a request, after which the message can no longer be written.
const MAX_WAITS: u32 = 10;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cruddur get-conversation 969fb35a-5628-5d97-839f-ff5028c063b1
  cruddur get-conversation --between luu unamused --from 2026-11-01
  cruddur get-conversation --between luu unamused --all --json > conversation.json
  cruddur get-conversation --between luu unamused --limit 5 --follow")]
pub(super) struct GetConversationArgs {
    /// UUID of the message group
    #[arg(value_name = "GROUP UUID", required_unless_present = "between")]
    group: Option<MessageGroupId>,
    /// Print the message group of two users
    #[arg(long, num_args = 2, value_names = ["HANDLE", "HANDLE"], conflicts_with = "group")]
    between: Vec<String>,
    #[command(flatten)]
    span: SpanArgs,
    /// Continue with new messages as they arrive, until Ctrl-C
    ///
    /// The table is queried every second. As JSON, every message is an object on its own line, and
    /// the last line is a summary.
    #[arg(long, conflicts_with_all = ["to", "year"])]
    follow: bool,
    #[command(flatten)]
    read_units: ReadUnitsArgs,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

impl GetConversationArgs {
    pub async fn run(self) -> CliResult<ExitCode> {
        let bounds = self.span.bounds()?;
        let session = self.operator.connect_limited(self.read_units).await?;
        let shown = self.show(&session, bounds).await;
        session.finish_list(session.explained(shown)?)?;
        // A followed list ends at Ctrl-C, or when the reader closes standard output.
        let was_interrupted = self.follow && output::is_read();
        let code = if was_interrupted { INTERRUPTED } else { 0 };
        Ok(ExitCode::from(code))
    }

    async fn show(
        &self,
        session: &OperatorSession,
        [after, before]: [Option<Position>; 2],
    ) -> CliResult<OutputList> {
        let group = self.find(session).await?;
        let head = json!({ "messageGroupUuid": group });
        let mut shown = if self.follow {
            OutputList::lines(session.format)
        } else {
            OutputList::begin(session.format, &head, "messages")
        };
        let (end, limit) = if self.span.all {
            (End::First, PAGE)
        } else {
            (End::Last, self.span.limit as usize)
        };
        let mut request = PageRequest {
            end,
            limit,
            after,
            before,
        };
        let mut last = request.after.clone();
        loop {
            let messages = &session.messages;
            let page = messages.messages(group, &request, Consistency::Strong);
            let page = page.await?;
            print(&mut shown, &page.items)?;
            last = page.items.last().map(Message::position).or(last);
            if !(self.span.all && page.has_next && output::is_read()) {
                break;
            }
            request.after.clone_from(&last);
        }
        if self.follow {
            follow(session, group, last, &mut shown).await?;
        }
        Ok(shown)
    }

    /// Finds the requested group, also through an alias.
    async fn find(&self, session: &OperatorSession) -> CliResult<MessageGroupId> {
        let messages = &session.messages;
        if let Some(group) = self.group {
            if let Some(found) = self.by_head(session, group).await? {
                return Ok(found);
            }
            return match messages.newest_message(group).await? {
                Some(_) => Ok(group),
                None => Err(CliError::Failed(format!(
                    "there is no message group {group} in the table {}: `cruddur list-conversations <handle>` \
                     lists a user's groups",
                    messages.table()
                ))),
            };
        }
        let [one, other] = self.between.as_slice() else {
            return Err(CliError::Usage("--between takes two handles".to_owned()));
        };
        let prod = self.operator.dynamodb.prod;
        let [one, other] = self.people.find(prod, [one, other]).await?;
        let group = MessageGroupId::of_pair(one.id, other.id);
        if let Some(found) = self.by_head(session, group).await? {
            return Ok(found);
        }
        let rows = if messages.has_heads_marker().await? {
            Vec::new()
        } else {
            let pair = Participants([one.id, other.id]);
            messages.rows_of_pair(pair, usize::MAX).await?
        };
        let newest = rows.first().map(|row| row.group_id);
        newest.ok_or_else(|| {
            CliError::Failed(format!(
                "{} and {} have no message group",
                text::name(&one.handle),
                text::name(&other.handle)
            ))
        })
    }

    /// Returns the group with this UUID if it has a head, or the group to which the alias with this
    /// UUID refers.
    async fn by_head(
        &self,
        session: &OperatorSession,
        uuid: MessageGroupId,
    ) -> StoreResult<Option<MessageGroupId>> {
        let found = session.messages.find_head(uuid).await?;
        Ok(found.map(|found| match found {
            HeadRecord::Head(_) => uuid,
            HeadRecord::AliasOf(group) => group,
        }))
    }
}

/// Prints new messages as they arrive, until Ctrl-C or until the reader closes standard output.
async fn follow(
    session: &OperatorSession,
    group: MessageGroupId,
    last: Option<Position>,
    shown: &mut OutputList,
) -> CliResult<()> {
    let mut stop = pin!(stop()?);
    let mut last = last.unwrap_or_else(|| Position::new(SortKey::before(DateTime::UNIX_EPOCH), 0));
    let mut waits = 0;
    while output::is_read() {
        tokio::select! {
            () = &mut stop => break,
            () = sleep(EVERY) => {}
        }
        let messages = &session.messages;
        let found = messages.messages_after(group, &last.key, PAGE).await?;
        let is_any = !found.is_empty();
        let new = if waits < MAX_WAITS {
            without_gap(found, last.seq)
        } else {
            found.into_iter().flatten().collect()
        };
        let is_held_back = is_any && new.is_empty();
        waits = if is_held_back { waits + 1 } else { 0 };
        print(shown, &new)?;
        last = new.last().map_or(last, Message::position);
    }
    Ok(())
}

/// Returns the messages after `seq`, up to the first gap. A `Query` can return a message without the
/// message that was written before it.
fn without_gap(found: Vec<Option<Message>>, mut seq: u64) -> Vec<Message> {
    let mut shown = Vec::new();
    for message in found {
        let Some(message) = message else {
            // The `seq` of a message that cannot be read is unknown.
            seq = 0;
            continue;
        };
        if seq > 0 && message.seq > seq + 1 {
            break;
        }
        seq = message.seq;
        shown.push(message);
    }
    shown
}

fn print(shown: &mut OutputList, messages: &[Message]) -> CliResult<()> {
    shown.print(messages, as_json, ["handle", "time (UTC)", "text"], cells)
}

fn cells(message: &Message) -> [String; 3] {
    [
        text::name(&message.sender.handle),
        output::time(message.created_at()),
        message.body.clone(),
    ]
}

pub(super) fn as_json(message: &Message) -> Value {
    json!({
        "uuid": message.id,
        "createdAt": message.created_at().to_rfc3339_opts(SecondsFormat::Micros, true),
        "seq": message.seq,
        "sender": user_json(&message.sender),
        "body": message.body,
    })
}
