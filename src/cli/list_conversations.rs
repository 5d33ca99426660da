//! `list-conversations`: pattern B.

use clap::Args;
use serde_json::{Value, json};

use super::CliResult;
use super::operator::{Operator, OperatorSession};
use super::output::{self, OutputList};
use super::people::{PeopleArgs, user_json};
use super::span::SpanArgs;
use super::text;
use crate::config::ReadUnitsArgs;
use crate::model::{Consistency, End, MessageGroup, PageRequest, Position, User};

/// Page size with `--all`. A page of this size has less than a megabyte.
const PAGE: usize = 100;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  cruddur list-conversations luu
  cruddur list-conversations luu --year 2025 --all
  cruddur list-conversations luu --json | jq -r '.messageGroups[].uuid'")]
pub(super) struct ListConversationsArgs {
    /// Handle of the user
    handle: String,
    #[command(flatten)]
    span: SpanArgs,
    #[command(flatten)]
    read_units: ReadUnitsArgs,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

impl ListConversationsArgs {
    pub async fn run(self) -> CliResult<()> {
        // In the order of the list, which is newest first.
        let [before, after] = self.span.bounds()?;
        let prod = self.operator.dynamodb.prod;
        let [user] = self.people.find(prod, [&self.handle]).await?;
        let session = self.operator.connect_limited(self.read_units).await?;
        let shown = self.show(&session, &user, [before, after]).await;
        session.finish_list(session.explained(shown)?)
    }

    async fn show(
        &self,
        session: &OperatorSession,
        user: &User,
        [before, after]: [Option<Position>; 2],
    ) -> CliResult<OutputList> {
        let mut request = PageRequest {
            end: End::First,
            limit: PAGE,
            after,
            before,
        };
        let mut wanted = if self.span.all {
            usize::MAX
        } else {
            self.span.limit as usize
        };
        let head = json!({ "user": user_json(user) });
        let mut shown = OutputList::begin(session.format, &head, "messageGroups");
        while wanted > 0 && output::is_read() {
            request.limit = wanted.min(PAGE);
            let messages = &session.messages;
            let page = messages.message_groups(user, &request, Consistency::Strong);
            let page = page.await?;
            wanted -= page.items.len();
            shown.print(
                &page.items,
                as_json,
                ["with", "last message", "unread", "uuid", "text"],
                cells,
            )?;
            let last = page.items.last().filter(|_| page.has_next);
            let Some(last) = last else { break };
            request.after = Some(Position::new(last.key.clone(), 0));
        }
        Ok(shown)
    }
}

fn handle(group: &MessageGroup) -> String {
    group.other_user.as_ref().map_or_else(
        || group.other_user_id.to_string(),
        |user| text::name(&user.handle),
    )
}

fn cells(group: &MessageGroup) -> [String; 5] {
    [
        handle(group),
        output::time(group.last_message.created_at()),
        group.unread_count.to_string(),
        group.id.to_string(),
        group.last_message.body.clone(),
    ]
}

fn as_json(group: &MessageGroup) -> Value {
    json!({
        "uuid": group.id,
        "otherUser": group.other_user.as_ref().map(user_json),
        "unreadCount": group.unread_count,
        "lastMessage": super::get_conversation::as_json(&group.last_message),
    })
}
