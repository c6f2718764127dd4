//! The last backup: when it was, and whether that is too long ago.

use super::Check;
use crate::cli::backup::LastBackup;
use crate::cli::text;
use crate::config;
use crate::depot::Place;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NAME: &str = "backup";
const ELSEWHERE: &str = "that is not backup.destination of the settings: the server notes deletions there only";
const RUN: &str = "run `theatrum backup` every night, by cron or a timer (docs/backup.md)";

/// Examines what the data folder remembers. Nothing to say before there is a house.
pub(super) fn examine(backup: &config::Backup, data: &Path) -> Option<Check> {
    if !data.join("keyring.json").exists() {
        return None;
    }
    let last = LastBackup::of(data);
    if last.is_none() && backup.destination.is_none() {
        return Some(Check::warn(NAME, "there was none, and the settings name no place for any", format!("set backup.destination; {RUN}")));
    }
    Some(judge(last.as_ref(), backup, now_ms()))
}

fn judge(last: Option<&LastBackup>, backup: &config::Backup, now_ms: i64) -> Check {
    let Some(last) = last else {
        return Check::warn(NAME, format!("none yet to {}", backup.destination.as_deref().unwrap_or_default()), RUN);
    };
    let wanted =
        backup.destination.as_deref().map(|text| Place::parse(text, None).map_or_else(|_| text.to_owned(), |place| place.address()));
    let is_elsewhere = wanted.is_some_and(|place| place != last.destination);
    let age = Duration::from_millis(u64::try_from(now_ms.saturating_sub(last.taken_at)).unwrap_or_default());
    let found = format!("the last was {} to {}", text::utc(last.taken_at), last.destination);
    match (age > backup.remind_after, is_elsewhere) {
        (false, false) => Check::ok(NAME, found),
        (false, true) => Check::warn(NAME, found, ELSEWHERE),
        (true, false) => Check::warn(NAME, format!("{found}, {} hours ago", age.as_secs() / 3600), RUN),
        (true, true) => Check::warn(NAME, format!("{found}, {} hours ago", age.as_secs() / 3600), format!("{RUN}; {ELSEWHERE}")),
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use std::collections::BTreeMap;

    const DAY_MS: i64 = 86_400_000;

    #[test]
    fn an_old_backup_and_a_misplaced_one_are_noticed() {
        let backup = |place: &str| config::Backup {
            destination: Some(place.to_owned()),
            endpoint: None,
            remind_after: Duration::from_secs(2 * 86_400),
        };
        let last = LastBackup { taken_at: 10 * DAY_MS, snapshot: "id".into(), destination: "/mnt/b".into(), keyrings: BTreeMap::new() };
        for (last, place, now_ms, status) in [
            (None, "/mnt/b", 0, Status::Warn),
            (Some(&last), "/mnt/b/", 11 * DAY_MS, Status::Ok),
            (Some(&last), "/mnt/b", 13 * DAY_MS, Status::Warn),
            (Some(&last), "/mnt/./b", 11 * DAY_MS, Status::Ok),
            (Some(&last), "s3://b", 11 * DAY_MS, Status::Warn),
        ] {
            assert_eq!(judge(last, &backup(place), now_ms).status, status);
        }
        let misplaced = judge(Some(&last), &backup("s3://b"), 13 * DAY_MS);
        assert!(misplaced.found.contains("72 hours ago"), "{}", misplaced.found);
    }
}
