//! `get-conversation`: pattern A.

use std::process::ExitCode;

use chrono::SecondsFormat;
use clap::Args;
use serde_json::{Map, Value, json};

use super::CliError;
use super::operator::{Operator, Session};
use super::output::{self, List};
use super::people::{PeopleArgs, user_json};
use super::span::SpanArgs;
use crate::model::{End, HeadRecord, Message, MessageGroupId, PageRequest, Place};
use crate::store::{Consistency, StoreError};

/// How many are read at a time, where all are.
const PAGE: usize = 500;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cruddur get-conversation 969fb35a-5628-5d97-839f-ff5028c063b1
  cruddur get-conversation --between luu unamused --from 2026-11-01
  cruddur get-conversation --between luu unamused --all --json > conversation.json")]
pub(super) struct GetConversationArgs {
    /// Which message group
    #[arg(value_name = "GROUP UUID", required_unless_present = "between")]
    group: Option<MessageGroupId>,
    /// The message group of two users
    #[arg(long, num_args = 2, value_names = ["HANDLE", "HANDLE"], conflicts_with = "group")]
    between: Vec<String>,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

impl GetConversationArgs {
    pub async fn run(self) -> Result<ExitCode, CliError> {
        let [after, before] = self.span.bounds()?;
        let session = self.operator.connect().await?;
        let shown = self.show(&session, [after, before]).await;
        session.finish_list(session.explained(shown)?)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn show(
        &self,
        session: &Session,
        [after, before]: [Option<Place>; 2],
    ) -> Result<List, CliError> {
        let group = self.find(session).await?;
        let mut request = PageRequest {
            end: if self.span.all { End::First } else { End::Last },
            limit: if self.span.all {
                PAGE
            } else {
                self.span.limit as usize
            },
            after,
            before,
        };
        let head = Map::from_iter([("messageGroupUuid".to_owned(), json!(group))]);
        let mut shown = List::begin(session.format, &head, "messages");
        loop {
            let page = session
                .messages
                .messages(group, &request, Consistency::Strong)
                .await?;
            shown.print(
                &page.items,
                as_json,
                ["handle", "time (UTC)", "text"],
                cells,
            )?;
            let last = page.items.last();
            let last = last.filter(|_| self.span.all && page.has_next && output::is_read());
            let Some(last) = last else { break };
            request.after = Some(Place {
                key: last.key.clone(),
                seq: last.seq,
            });
        }
        Ok(shown)
    }

    /// The group that is meant, behind an alias too.
    async fn find(&self, session: &Session) -> Result<MessageGroupId, CliError> {
        let messages = &session.messages;
        if let Some(group) = self.group {
            return match messages.find_head(group).await? {
                Some(HeadRecord::Head(_)) => Ok(group),
                Some(HeadRecord::AliasOf(group)) => Ok(group),
                None if self.has_messages(session, group).await? => Ok(group),
                None => Err(CliError::Failed(format!(
                    "there is no message group {group} in the table {}: `cruddur list-conversations <handle>` \
                     shows a user's",
                    messages.table()
                ))),
            };
        }
        let [one, other] = self.between.as_slice() else {
            return Err(CliError::Usage("--between takes two handles".to_owned()));
        };
        let [one, other] = self.people.find([one, other]).await?;
        let group = MessageGroupId::of_pair(one.id, other.id);
        match messages.find_head(group).await? {
            Some(HeadRecord::Head(_)) => return Ok(group),
            Some(HeadRecord::AliasOf(group)) => return Ok(group),
            None => {}
        }
        let rows = messages.rows_of_pair(one.id, other.id).await?;
        let newest = rows.first().map(|row| row.group_id);
        newest.ok_or_else(|| {
            CliError::Failed(format!(
                "{} and {} have never written to each other",
                one.handle, other.handle
            ))
        })
    }

    async fn has_messages(
        &self,
        session: &Session,
        group: MessageGroupId,
    ) -> Result<bool, StoreError> {
        let newest = session
            .messages
            .newest_message(group, Consistency::Strong)
            .await?;
        Ok(newest.is_some())
    }
}

fn cells(message: &Message) -> [String; 3] {
    [
        message.sender.handle.clone(),
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
