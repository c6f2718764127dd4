//! `theatrum webhooks`: where events are sent, and what was.

use super::client::Client;
use super::client::webhooks::{Delivery, Tested, Webhook, WebhookChanges};
use super::connection::Connection;
use super::events::kind;
use super::failure::Failure;
use super::text::{self, Table, Visible};
use super::{Exit, output};
use crate::domain::ids::{DeliveryId, WebhookId};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum WebhooksCommand {
    /// Make a webhook: what happens from now on is posted to its URL. Its secret goes to standard output and is never shown again.
    Create {
        /// Where events are posted, https://….
        #[arg(value_name = "URL", value_parser = address)]
        url: String,
        /// Only these, such as video.ready,video.refused [default: all].
        #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind)]
        events: Vec<String>,
        /// Print the webhook as the API gives it.
        #[arg(long)]
        json: bool,
    },
    /// List webhooks.
    List {
        /// Print {"webhooks":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Show a webhook.
    Show(OneArgs),
    /// Change a webhook.
    Set(SetArgs),
    /// Delete a webhook; what it has not had it will not get.
    Delete(OneArgs),
    /// List what a webhook has had, and is to have; newest first.
    Deliveries {
        /// The webhook.
        #[arg(value_name = "ID", value_parser = WebhookId::parse)]
        id: WebhookId,
        /// Only those in this state.
        #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered"])]
        state: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Print {"deliveries":[…]} as the API gives them.
        #[arg(long)]
        json: bool,
    },
    /// Deliver an event once more, at once.
    Redeliver {
        /// The webhook.
        #[arg(value_name = "ID", value_parser = WebhookId::parse)]
        id: WebhookId,
        /// The delivery.
        #[arg(value_name = "DELIVERY", value_parser = DeliveryId::parse)]
        delivery: DeliveryId,
        /// Print {"delivery":ID,"state":"pending"}.
        #[arg(long)]
        json: bool,
    },
    /// Send a test message now, and tell how the endpoint takes it; fails if it does not.
    Test(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The webhook.
    #[arg(value_name = "ID", value_parser = WebhookId::parse)]
    id: WebhookId,
    /// Print what the API gives.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").args(["url", "events", "enable", "disable", "rotate_secret"]).required(true).multiple(true)))]
pub(super) struct SetArgs {
    /// The webhook.
    #[arg(value_name = "ID", value_parser = WebhookId::parse)]
    id: WebhookId,
    /// Another address.
    #[arg(long, value_name = "URL", value_parser = address)]
    url: Option<String>,
    /// Other events, such as video.ready,video.refused, or `all`.
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = kind_or_all)]
    events: Vec<String>,
    /// Send to it again, beginning with all that it has not had.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Send nothing to it; what happens waits.
    #[arg(long)]
    disable: bool,
    /// Give it another secret, which goes to standard output; for a while, messages are signed with both.
    #[arg(long)]
    rotate_secret: bool,
    /// Print the webhook as the API gives it.
    #[arg(long)]
    json: bool,
}

/// A URL as it is written: the server judges it.
fn address(text: &str) -> Result<String, String> {
    let is_url = reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    if is_url { Ok(text.to_owned()) } else { Err("give a URL that begins with https://".to_owned()) }
}

fn kind_or_all(text: &str) -> Result<String, crate::domain::Error> {
    if text == "all" { Ok(text.to_owned()) } else { kind(text) }
}

/// Runs a `webhooks` command against the server.
pub(super) async fn run(connection: Connection, command: WebhooksCommand) -> Result<Exit, Failure> {
    let client = Client::new(connection);
    match command {
        WebhooksCommand::Create { url, events, json } => {
            let events = (!events.is_empty()).then(|| events.iter().map(String::as_str).collect());
            let wanted = WebhookChanges { url: Some(&url), events, ..WebhookChanges::default() };
            tell(&client.create_webhook(&wanted).await?, json)?;
        }
        WebhooksCommand::List { json } => {
            let list = client.webhooks().await?;
            if json { output::json(&list)? } else { output::line(&table(&list.webhooks))? }
        }
        WebhooksCommand::Show(OneArgs { id, json }) => {
            let webhook = client.webhook(&id).await?;
            if json { output::json(&webhook)? } else { output::line(&table(&[webhook]))? }
        }
        WebhooksCommand::Set(args) => set(&client, args).await?,
        WebhooksCommand::Delete(OneArgs { id, json }) => {
            client.delete_webhook(&id).await?;
            let told = json!({ "webhook": id, "state": "deleted" });
            if json { output::json(&told)? } else { output::note(&format!("deleted {id}")) }
        }
        WebhooksCommand::Deliveries { id, state, limit, json } => {
            let list = client.deliveries(&id, state.as_deref(), limit).await?;
            if json { output::json(&list)? } else { output::line(&deliveries(&list.deliveries))? }
        }
        WebhooksCommand::Redeliver { id, delivery, json } => {
            let told = client.redeliver(&id, &delivery).await?;
            if json { output::json(&told)? } else { output::note(&format!("{delivery} is on its way")) }
        }
        WebhooksCommand::Test(args) => return test(&client, &args).await,
    }
    Ok(Exit::Done)
}

async fn set(client: &Client, args: SetArgs) -> Result<(), Failure> {
    let events = match args.events.iter().map(String::as_str).collect::<Vec<_>>() {
        events if events.is_empty() => None,
        events if events.contains(&"all") => Some(Vec::new()),
        events => Some(events),
    };
    let changes = WebhookChanges {
        url: args.url.as_deref(),
        events,
        disabled: (args.enable || args.disable).then_some(args.disable),
        rotate_secret: args.rotate_secret.then_some(true),
    };
    tell(&client.change_webhook(&args.id, &changes).await?, args.json)
}

async fn test(client: &Client, args: &OneArgs) -> Result<Exit, Failure> {
    let tested = client.test_webhook(&args.id).await?;
    if args.json {
        output::json(&tested)?
    } else {
        output::note(&outcome(&tested))
    }
    Ok(if tested.taken { Exit::Done } else { Exit::Failed })
}

/// The webhook as it is now; a new secret alone on standard output.
fn tell(webhook: &Webhook, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(webhook);
    }
    let id = &webhook.webhook;
    match &webhook.secret {
        Some(secret) => {
            output::line(secret)?;
            output::note(&format!("webhook {id}: its secret is not shown again; give it to whoever verifies the messages"));
        }
        None => output::note(&format!("webhook {id}: {}", condition(webhook))),
    }
    Ok(())
}

fn condition(webhook: &Webhook) -> String {
    match (webhook.disabled_at, webhook.failing_since) {
        (Some(since), _) => format!("disabled ({}) {}", webhook.disabled_why.as_deref().unwrap_or("asked"), text::utc(since)),
        (None, Some(since)) => format!("failing since {}", text::utc(since)),
        (None, None) => "working".to_owned(),
    }
}

fn outcome(tested: &Tested) -> String {
    let status = tested.status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let answer = tested.answer.as_deref().map_or_else(String::new, |answer| format!(": {}", Visible(answer)));
    match &tested.error {
        None => format!("it took the message ({status})"),
        Some(error) => format!("it did not take the message ({}, {status}){answer}", Visible(error)),
    }
}

fn table(webhooks: &[Webhook]) -> String {
    let mut table = Table::new(["WEBHOOK", "STATE", "PENDING", "EVENTS", "URL"]);
    for webhook in webhooks {
        let events = if webhook.events.is_empty() { "all".to_owned() } else { webhook.events.join(",") };
        table.row([
            webhook.webhook.to_string(),
            text::clipped(&condition(webhook), 48),
            webhook.pending.to_string(),
            text::clipped(&events, 40),
            text::clipped(&webhook.url, 60),
        ]);
    }
    table.to_string()
}

fn deliveries(deliveries: &[Delivery]) -> String {
    let mut table = Table::new(["DELIVERY", "EVENT", "VIDEO", "STATE", "TRIES", "HAPPENED", "LAST ANSWER"]);
    for delivery in deliveries {
        let last = [delivery.status.map(|status| status.to_string()), delivery.error.clone(), delivery.answer.clone()];
        let last = last.into_iter().flatten().collect::<Vec<_>>().join(" ");
        table.row([
            delivery.delivery.to_string(),
            text::clipped(&delivery.kind, 22),
            text::clipped(&delivery.video, 32),
            text::clipped(&delivery.state, 9),
            delivery.attempts.to_string(),
            text::utc(delivery.happened_at),
            text::clipped(&last, 60),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_how_it_does() {
        let answer = r#"{"webhook":"0123456789abcdef0123456789abcdef","url":"https://h/","events":[],"created_by":"ada","created_at":0,
            "disabled_at":null,"disabled_why":null,"failing_since":null,"pending":3,"former_secret_until":null}"#;
        let working: Webhook = serde_json::from_str(answer).expect("a webhook");
        let failing =
            Webhook { failing_since: Some(0), events: vec!["video.ready".into()], ..serde_json::from_str(answer).expect("a webhook") };
        let disabled =
            Webhook { disabled_at: Some(0), disabled_why: Some("gone".into()), ..serde_json::from_str(answer).expect("a webhook") };
        insta::assert_snapshot!(table(&[working, failing, disabled]), @r"
        WEBHOOK                           STATE                                    PENDING  EVENTS       URL
        0123456789abcdef0123456789abcdef  working                                  3        all          https://h/
        0123456789abcdef0123456789abcdef  failing since 1970-01-01 00:00:00 UTC    3        video.ready  https://h/
        0123456789abcdef0123456789abcdef  disabled (gone) 1970-01-01 00:00:00 UTC  3        all          https://h/
        ");
    }

    #[test]
    fn a_test_tells_what_came_back() {
        let tested = Tested { taken: false, status: Some(500), error: Some("refused-by-endpoint".into()), answer: Some("oh\nno".into()) };
        assert_eq!(outcome(&tested), "it did not take the message (refused-by-endpoint, HTTP 500): oh\\nno");
        let tested = Tested { taken: true, status: Some(204), error: None, answer: None };
        assert_eq!(outcome(&tested), "it took the message (HTTP 204)");
    }
}
