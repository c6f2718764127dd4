//! `theatrum quotas`: who has how much, and may have.

use super::client::{Client, answers::Quota};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table};
use super::{Exit, output};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum QuotasCommand {
    /// List what users and collections have, and may have.
    List {
        /// Print {"quotas":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Set the quota of a user or a collection; what is there already stays.
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// The user, as in their token.
    #[arg(long, value_name = "NAME", required_unless_present = "collection", conflicts_with = "collection")]
    user: Option<String>,
    /// The collection.
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// How much: bytes, or 500MB, 20GiB, 1.5TB; `none` for no limit, `default` for that of the settings.
    #[arg(value_name = "LIMIT", value_parser = Limit::parse)]
    limit: Limit,
    /// Print the quota as the API gives it.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Default,
    None,
    Bytes(u64),
}

impl Limit {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::None),
            text => match text::bytes(text) {
                Some(0) => Err("nothing at all is no quota: write `none` for no limit, or take the user's token away".to_owned()),
                Some(bytes) => Ok(Self::Bytes(bytes)),
                None => Err("write bytes, or 500MB, 20GiB, 1.5TB; `none` for no limit, `default` for that of the settings".to_owned()),
            },
        }
    }

    fn of_api(self) -> Option<u64> {
        match self {
            Self::Default => None,
            Self::None => Some(0),
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// Runs a `quotas` command against the server.
pub(super) async fn run(connection: Connection, command: QuotasCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        QuotasCommand::List { json } => {
            let list = client.quotas().await?;
            if json { output::json(&list)? } else { output::line(&table(&list.quotas))? }
        }
        QuotasCommand::Set(SetArgs { user, collection, limit, json }) => {
            let (kind, name) = user.map_or_else(|| ("collections", collection.unwrap_or_default()), |user| ("users", user));
            let quota = client.set_quota(kind, &name, limit.of_api()).await?;
            if json { output::json(&quota)? } else { output::line(&table(&[quota]))? }
        }
    }
    Ok(Exit::Done)
}

fn table(quotas: &[Quota]) -> String {
    let mut table = Table::new(["KIND", "NAME", "USED", "LIMIT", ""]);
    for quota in quotas {
        let limit = quota.limit_bytes.map_or_else(|| "none".to_owned(), text::size);
        let full = quota.limit_bytes.is_some_and(|limit| quota.used_bytes >= limit);
        let remark = [(quota.is_default, "default"), (full, "full")].into_iter().filter(|(is, _)| *is).map(|(_, word)| word);
        let remark = remark.collect::<Vec<_>>().join(", ");
        table.row([text::clipped(&quota.kind, 12), text::clipped(&quota.name, 40), text::size(quota.used_bytes), limit, remark]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        for (text, limit) in [
            ("none", Limit::None),
            ("default", Limit::Default),
            ("500", Limit::Bytes(500)),
            ("1.5TB", Limit::Bytes(1_500_000_000_000)),
            ("20 GiB", Limit::Bytes(20 << 30)),
        ] {
            assert_eq!(Limit::parse(text), Ok(limit), "{text}");
        }
        for text in ["", "0", "-1", "much", "1e9", "1QB", "99999999TiB"] {
            assert!(Limit::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_quota_says_whether_it_is_full_and_whose_it_is() {
        let answer = r#"[{"kind":"user","name":"ada","used_bytes":2048,"limit_bytes":2048,"is_default":false},
            {"kind":"collection","name":"a\u001b/b","used_bytes":0,"limit_bytes":null,"is_default":true}]"#;
        let quotas: Vec<Quota> = serde_json::from_str(answer).expect("quotas");
        insta::assert_snapshot!(table(&quotas), @r"
        KIND        NAME       USED      LIMIT
        user        ada        2.00 KiB  2.00 KiB  full
        collection  a\u{1b}/b  0 B       none      default
        ");
    }
}
