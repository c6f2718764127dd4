//! The server's disk, as the server itself sees it: room, promises, quotas, and what the last reconciliation found.

use super::Check;
use crate::cli::client::Client;
use crate::cli::client::answers::Quota;
use crate::cli::client::storage::{Room, Storage};
use crate::cli::text;

/// Examines the disk of a server that runs and takes the caller for an administrator; nothing otherwise.
pub(super) async fn examine(client: &Client) -> Vec<Check> {
    let Ok(storage) = client.storage().await else { return Vec::new() };
    let mut checks: Vec<Check> = storage.room.as_ref().map(room).into_iter().collect();
    if let Ok(list) = client.quotas().await {
        checks.push(quotas(&list.quotas));
    }
    checks.push(blobs(&storage));
    checks
}

fn room(room: &Room) -> Check {
    let size = text::size;
    let found = format!(
        "{} free, {} of it promised to what was begun, {} in reserve; the largest upload that may begin has {}",
        size(room.free_bytes),
        size(room.promised_bytes),
        size(room.reserve_bytes),
        size(room.largest_upload_bytes)
    );
    if room.largest_upload_bytes > 0 {
        return Check::ok("room", found);
    }
    Check::warn("room", found, "no upload may begin: delete videos, or move the data folder to a larger disk (docs/storage.md)")
}

fn quotas(quotas: &[Quota]) -> Check {
    let limited = quotas.iter().filter(|quota| quota.limit_bytes.is_some()).count();
    let full = quotas.iter().filter(|quota| quota.limit_bytes.is_some_and(|limit| quota.used_bytes >= limit));
    let full: Vec<String> = full.map(|quota| text::clipped(&quota.name, 40)).collect();
    let found = format!("{limited} of {} users and collections have one", quotas.len());
    if full.is_empty() {
        return Check::ok("quotas", found);
    }
    let mend = "have them delete videos, or give them more: theatrum quotas set";
    Check::warn("quotas", format!("{found}; used up: {}", full.join(", ")), mend)
}

fn blobs(storage: &Storage) -> Check {
    let newest = [&storage.looked, &storage.swept].into_iter().flatten().max_by_key(|report| report.ended_at);
    let Some(last) = newest else {
        return Check::ok("blobs", "never reconciled with the catalog: theatrum doctor --reconcile does");
    };
    let when = text::utc(last.ended_at);
    if last.missing.count > 0 {
        let found = format!("{} are missing, such as {} ({when})", last.missing.count, last.missing.paths.join(" "));
        return Check::fail("blobs", found, "restore them from a backup, or delete their videos and publish them again");
    }
    let is_swept = storage.swept.as_ref().is_some_and(|swept| swept.ended_at == last.ended_at);
    let found = format!("{} that were nobody's, {} ({when})", last.orphans.count, text::size(last.orphans.bytes));
    if last.orphans.count == 0 || is_swept {
        return Check::ok("blobs", found);
    }
    Check::warn("blobs", found, "theatrum doctor --reconcile --apply sweeps them")
}
