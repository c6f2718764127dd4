//! `theatrum s3`: access keys by which S3 clients put files into the inbox.

use super::client::{Client, answers::NewS3Credential, answers::S3Credential};
use super::connection::Connection;
use super::failure::Failure;
use super::text::{self, Table, Visible};
use super::{Exit, output};
use crate::domain::access_key::{AccessKeyId, Prefix};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum S3Command {
    /// Make, list and revoke access keys for the inbox.
    #[command(subcommand)]
    Credentials(CredentialsCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum CredentialsCommand {
    /// Make an access key; a profile for ~/.aws/credentials goes to standard output, its secret is never shown again.
    Create {
        /// Whose it is: their videos come in by it [default: yours; administrators only].
        #[arg(long, value_name = "NAME")]
        subject: Option<String>,
        /// The only folder of the inbox it is good for, such as cardiology/2026/ [default: all].
        #[arg(long, value_name = "FOLDER", value_parser = Prefix::parse)]
        prefix: Option<Prefix>,
        /// Print the key as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// List access keys; administrators see everyone's.
    List {
        /// Print {"credentials":[…],"endpoint_url":…,"bucket":…} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Revoke an access key: it opens nothing from then on.
    Revoke {
        /// The access key's id.
        #[arg(value_name = "ACCESS_KEY_ID", value_parser = AccessKeyId::parse)]
        id: AccessKeyId,
        /// Print {"access_key_id":ID,"state":"revoked"}.
        #[arg(long)]
        json: bool,
    },
}

/// Runs an `s3` command against the server.
pub(super) async fn run(connection: Connection, command: S3Command) -> Result<Exit, Failure> {
    let (S3Command::Credentials(command), client) = (command, Client::new(connection));
    match command {
        CredentialsCommand::Create { subject, prefix, json } => {
            let wanted = NewS3Credential { subject: subject.as_deref(), prefix: prefix.as_ref().map(Prefix::as_str) };
            let made = client.create_s3_credential(&wanted).await?;
            if json {
                output::json(&made)?;
            } else {
                output::line(&profile(&made.endpoint_url, &made.key.access_key_id, &made.secret_access_key))?;
                output::note(&format!("for {}: {}", Visible(&made.key.subject), place(&made.bucket, &made.key.prefix)));
                output::note("append this to ~/.aws/credentials and use it by --profile theatrum; the secret is not shown again");
            }
        }
        CredentialsCommand::List { json } => {
            let list = client.s3_credentials().await?;
            if json { output::json(&list)? } else { output::line(&table(&list.credentials))? }
        }
        CredentialsCommand::Revoke { id, json } => {
            client.revoke_s3_credential(&id).await?;
            let told = json!({ "access_key_id": id, "state": "revoked" });
            if json { output::json(&told)? } else { output::note(&format!("revoked {id}")) }
        }
    }
    Ok(Exit::Done)
}

/// A profile of the AWS tools (AWS SDKs and Tools Reference Guide, shared config and credentials files).
fn profile(endpoint_url: &str, access_key_id: &str, secret: &str) -> String {
    let (url, id, secret) = (Visible(endpoint_url), Visible(access_key_id), Visible(secret));
    format!("[theatrum]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\nregion = us-east-1\nendpoint_url = {url}")
}

fn place(bucket: &str, prefix: &str) -> String {
    format!("put files into s3://{}/{}", Visible(bucket), Visible(prefix))
}

fn table(credentials: &[S3Credential]) -> String {
    let mut table = Table::new(["ACCESS KEY", "OWNER", "ROLE", "CREATED", "PREFIX"]);
    for key in credentials {
        table.row([
            text::clipped(&key.access_key_id, 20),
            text::clipped(&key.subject, 20),
            text::clipped(&key.role, 8),
            text::utc(key.created_at),
            text::clipped(&key.prefix, 50),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_a_profile() {
        insta::assert_snapshot!(profile("https://s3.example.org", "THEATRUMU0123456789A", "s/e+c"), @r"
        [theatrum]
        aws_access_key_id = THEATRUMU0123456789A
        aws_secret_access_key = s/e+c
        region = us-east-1
        endpoint_url = https://s3.example.org
        ");
        assert_eq!(place("inbox", "a/"), "put files into s3://inbox/a/");
    }
}
