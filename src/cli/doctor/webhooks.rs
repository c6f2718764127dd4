//! The endpoints that events are sent to: which of them does not get them.

use super::Check;
use crate::cli::client::Client;
use crate::cli::text;

/// Examines the webhooks of a server that runs and takes the caller for an administrator; nothing otherwise, or without any.
pub(super) async fn examine(client: &Client) -> Option<Check> {
    let webhooks = client.webhooks().await.ok()?.webhooks;
    // One that somebody asked to leave alone is as it should be.
    let disabled = webhooks.iter().filter(|webhook| webhook.disabled_why.as_deref().is_some_and(|why| why != "asked"));
    let disabled: Vec<String> = disabled.map(|webhook| webhook.webhook.to_string()).collect();
    let failing = webhooks.iter().filter(|webhook| webhook.disabled_at.is_none() && webhook.failing_since.is_some());
    let failing: Vec<String> =
        failing.map(|webhook| format!("{} (since {})", webhook.webhook, text::utc(webhook.failing_since.unwrap_or_default()))).collect();
    let mend = "mend the endpoint, try it with theatrum webhooks test ID, then theatrum webhooks set ID --enable sends all that waited";
    match (webhooks.len(), disabled.is_empty(), failing.is_empty()) {
        (0, ..) => None,
        (count, true, true) => Some(Check::ok("webhooks", format!("{count}, none failing"))),
        (_, false, _) => Some(Check::warn("webhooks", format!("disabled, and not told what happens: {}", disabled.join(", ")), mend)),
        (_, true, false) => {
            Some(Check::warn("webhooks", format!("failing: {}", failing.join(", ")), "see theatrum webhooks deliveries ID"))
        }
    }
}
