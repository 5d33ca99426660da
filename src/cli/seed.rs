//! `seed`: writes demo users and their messages.

use clap::Args;
use serde_json::{Value, json};

use super::CliResult;
use super::operator::Operator;
use super::output::{self, Format};
use super::people::{self, PeopleArgs};
use super::text;
use crate::clock::Clock;
use crate::config::{ReadUnitsArgs, RemoteArgs, StreamArgs};
use crate::demo;
use crate::messaging::{Bus, Directory, Messaging, Seeding};
use crate::store::{UserStore, remote_database_host, shown_database};

#[derive(Args, Debug)]
#[command(after_help = "\
The messages are one minute apart, starting three hours ago. Existing users do not
change, nor do message groups that contain other messages. The next run completes
an interrupted one.

Examples:
  cruddur seed
  cruddur seed --between luu tove")]
pub(super) struct SeedArgs {
    /// Write demo messages between these two existing users
    #[arg(long, num_args = 2, value_names = ["HANDLE", "HANDLE"])]
    between: Vec<String>,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    operator: Operator,
    #[command(flatten)]
    people: PeopleArgs,
}

/// Two handles, and the result of seeding their group.
type Seeded = ([String; 2], Seeding);

impl SeedArgs {
    pub async fn run(self) -> CliResult<()> {
        let database = self.database()?;
        let limit = ReadUnitsArgs::default();
        let session = self.operator.connect_to_change(self.remote, limit).await?;
        session.reject_stream(self.stream).await?;
        output::remark(&format!("Postgres database {}", shown_database(&database)?));
        let prod = self.operator.dynamodb.prod;
        let users = self.people.connect_migrated(prod).await?;
        let clock = Clock::system();
        let directory = Directory::new(users.clone(), std::time::Duration::ZERO);
        let messaging = Messaging::new(
            session.messages.clone(),
            directory,
            clock.clone(),
            Bus::local(),
        );
        let seeded = self.seed(&messaging, &users, &clock).await;
        let seeded = session.explained(seeded)?;
        if session.format == Format::Table {
            let lines = seeded.iter().map(in_words);
            output::print(&lines.collect::<String>())?;
        }
        let conversations: Value = seeded.iter().map(as_json).collect();
        session.finish(json!({ "messageGroups": conversations }))
    }

    async fn seed(
        &self,
        messaging: &Messaging,
        users: &UserStore,
        clock: &Clock,
    ) -> CliResult<Vec<Seeded>> {
        let [one, other] = self.between.as_slice() else {
            let seeded = demo::seed(messaging, users, clock.now()).await?;
            let owned = |(pair, seeding): ([&str; 2], Seeding)| (pair.map(str::to_owned), seeding);
            return Ok(seeded.into_iter().map(owned).collect());
        };
        let [one, other] = people::find(users, [one, other]).await?;
        let seeding = demo::seed_between(messaging, [&one, &other], clock.now()).await?;
        Ok(vec![([one.handle, other.handle], seeding)])
    }

    /// Returns the database. Requires permission for another machine, so that a variable that
    /// happens to be set does not direct demo data to real users.
    fn database(&self) -> CliResult<String> {
        let prod = self.operator.dynamodb.prod;
        let database = self.people.database.url_with_prod(prod)?;
        if let Some(host) = remote_database_host(&database)? {
            let server = format!("the database at {host}");
            self.operator.require_remote(self.remote, &server)?;
        }
        Ok(database)
    }
}

fn in_words((pair, seeding): &Seeded) -> String {
    let result = match seeding {
        Seeding::Written(count) => format!("{count} messages written"),
        Seeding::Unchanged => "unchanged".to_owned(),
    };
    let [one, other] = pair.each_ref().map(|handle| text::name(handle));
    format!("{one} and {other}: {result}\n")
}

fn as_json((pair, seeding): &Seeded) -> Value {
    let written = match seeding {
        Seeding::Written(count) => *count,
        Seeding::Unchanged => 0,
    };
    json!({ "between": pair, "messagesWritten": written })
}
