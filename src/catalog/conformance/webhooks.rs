//! Events in order, and deliveries: made once, claimed once, in order per video, fenced.

use super::{Db, LONG_MS, assert_one_wins, at_once, on_both_databases};
use crate::catalog::Catalog;
use crate::catalog::deliveries::{Behind, Claimed, Outcome};
use crate::catalog::outbox::{Audience, Event, Reading};
use crate::catalog::webhooks::NewWebhook;
use crate::domain::Result;
use crate::domain::event::Kind;
use crate::domain::ids::{VideoId, WebhookId};
use crate::domain::webhook::Changes;
use crate::transaction;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

on_both_databases!(
    who_reads_on_misses_no_event,
    deliveries_are_made_once,
    a_delivery_is_claimed_once_and_in_order,
    one_settle_of_a_delivery_wins,
    a_disabled_endpoint_loses_nothing,
    an_endpoint_has_few_under_way,
    what_nobody_has_had_is_not_forgotten,
    events_are_for_those_who_may_hear_them,
);

async fn webhook(db: &Db, kinds: &[Kind]) -> Result<WebhookId> {
    let id = WebhookId::new();
    let (url, secret_wrapped, created_by) = ("https://h.example/".to_owned(), "wrapped".to_owned(), "ada".to_owned());
    let new = NewWebhook { id: id.clone(), url, kinds: kinds.to_vec(), secret_wrapped, created_by };
    transaction!(db.catalog, |tx| tx.insert_webhook(&new).await)?;
    Ok(id)
}

async fn append(catalog: &Catalog, kind: Kind, video: &VideoId) -> Result<()> {
    transaction!(catalog, |tx| tx.append_event(kind, video, "{}").await)
}

async fn read(catalog: &Catalog, after: i64) -> Result<Vec<Event>> {
    catalog.read_events(&Reading { after, kinds: Vec::new(), audience: Audience::Everyones, limit: 10_000 }).await
}

/// Makes the deliveries that are missing.
async fn fan_out(catalog: &Catalog) -> Result<()> {
    for behind in catalog.webhooks_behind().await? {
        let events = read(catalog, behind.seen).await?;
        if let Some(seen) = events.last().map(|event| event.seq) {
            transaction!(catalog, |tx| tx.insert_deliveries(&behind, &events, seen).await)?;
        }
    }
    Ok(())
}

async fn claim(catalog: &Catalog) -> Result<Option<Claimed>> {
    transaction!(catalog, |tx| tx.claim_delivery("node/1", LONG_MS, 1_000).await)
}

/// invariant 1: a reader that goes on from its last event misses none, however many are appended at the same time.
async fn who_reads_on_misses_no_event(db: &Db) -> Result<()> {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let (video, written) = (db.video_of("ada").await?, Arc::new(AtomicUsize::new(0)));
    let before = db.catalog.newest_event().await?;
    let seen = at_once(WRITERS + 1, |number| {
        let (catalog, video, written) = (db.catalog.clone(), video.clone(), written.clone());
        async move {
            if number < WRITERS {
                for _ in 0..EACH {
                    append(&catalog, Kind::VideoEdited, &video).await?;
                }
                written.fetch_add(1, Ordering::SeqCst);
                return Ok(0);
            }
            let (mut after, mut seen) = (before, 0);
            loop {
                let is_all = written.load(Ordering::SeqCst) == WRITERS;
                let events = read(&catalog, after).await?;
                seen += events.len();
                after = events.last().map_or(after, |event| event.seq);
                if is_all {
                    return Ok(seen);
                }
            }
        }
    })
    .await;
    let seen: Vec<usize> = seen.into_iter().collect::<Result<_>>()?;
    assert_eq!(seen.into_iter().sum::<usize>(), WRITERS * EACH);
    Ok(())
}

/// invariant 3: of many who make the deliveries of the same events, one does.
async fn deliveries_are_made_once(db: &Db) -> Result<()> {
    let (id, video) = (webhook(db, &[]).await?, db.video_of("ada").await?);
    for _ in 0..5 {
        append(&db.catalog, Kind::VideoEdited, &video).await?;
    }
    let made = at_once(12, |_| {
        let catalog = db.catalog.clone();
        async move { fan_out(&catalog).await }
    });
    made.await.into_iter().collect::<Result<Vec<_>>>()?;
    let deliveries = db.catalog.deliveries(&id, Some(false), None, 100).await?;
    assert_eq!(deliveries.len(), 5);
    assert!(deliveries.is_sorted_by(|a, b| a.event.seq > b.event.seq), "newest first");
    assert!(db.catalog.webhooks_behind().await?.is_empty());
    let stale = Behind { webhook: id, kinds: Vec::new(), seen: 0 };
    assert!(!transaction!(db.catalog, |tx| tx.insert_deliveries(&stale, &[], 1).await)?, "a place that was left is not come back to");
    Ok(())
}

/// Of many claimers each gets another delivery, and of each video only its first; the next when that one is settled.
async fn a_delivery_is_claimed_once_and_in_order(db: &Db) -> Result<()> {
    const VIDEOS: usize = 6;
    webhook(db, &[]).await?;
    for number in 0..VIDEOS {
        let video = db.video_of(&format!("ada {number}")).await?;
        for kind in [Kind::VideoReady, Kind::VideoEdited, Kind::VideoDeleted] {
            append(&db.catalog, kind, &video).await?;
        }
    }
    fan_out(&db.catalog).await?;
    for kind in ["video.ready", "video.edited", "video.deleted"] {
        let claimed = at_once(VIDEOS + 4, |_| {
            let catalog = db.catalog.clone();
            async move { claim(&catalog).await }
        });
        let claimed: Vec<Claimed> = claimed.await.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        assert_eq!(claimed.len(), VIDEOS);
        assert!(claimed.iter().all(|claimed| claimed.event.kind == kind && claimed.attempts == 1), "{claimed:?}");
        assert_eq!(claimed.iter().map(|claimed| &claimed.event.video).collect::<HashSet<_>>().len(), VIDEOS);
        for claimed in claimed {
            transaction!(db.catalog, |tx| tx.settle_delivery(&claimed, &Outcome::default()).await)?;
        }
    }
    assert!(claim(&db.catalog).await?.is_none());
    Ok(())
}

/// invariant 2: leases are fenced: of many ends of one attempt one counts, and none of an attempt that was taken over.
async fn one_settle_of_a_delivery_wins(db: &Db) -> Result<()> {
    webhook(db, &[]).await?;
    append(&db.catalog, Kind::VideoReady, &db.video_of("ada").await?).await?;
    fan_out(&db.catalog).await?;
    let lost = claim(&db.catalog).await?.expect("one is due");
    // As when its node begins another life.
    transaction!(db.catalog, |tx| tx.forget_former_deliveries("node", "node/2").await)?;
    let held = claim(&db.catalog).await?.expect("it is due again");
    assert_eq!((&held.lease.id, held.lease.epoch), (&lost.lease.id, lost.lease.epoch + 1));
    let stale = transaction!(db.catalog, |tx| tx.retry_delivery(&lost, &Outcome::default(), 0).await);
    assert_eq!(stale.expect_err("fenced off").code(), "stale-epoch");
    let settled = at_once(12, |number| {
        let (catalog, claimed) = (db.catalog.clone(), if number % 3 == 0 { lost.clone() } else { held.clone() });
        async move { transaction!(catalog, |tx| tx.settle_delivery(&claimed, &Outcome::default()).await) }
    });
    assert_one_wins(&settled.await);
    Ok(())
}

/// What an endpoint has not had waits while it is disabled, and comes in order when it is not.
async fn a_disabled_endpoint_loses_nothing(db: &Db) -> Result<()> {
    let (id, video) = (webhook(db, &[]).await?, db.video_of("ada").await?);
    append(&db.catalog, Kind::VideoReady, &video).await?;
    fan_out(&db.catalog).await?;
    let first = claim(&db.catalog).await?.expect("due");
    let gone = Outcome { status: Some(410), error: Some("refused-by-endpoint".to_owned()), answer: None };
    let disabled = transaction!(db.catalog, |tx| {
        tx.retry_delivery(&first, &gone, LONG_MS).await?;
        tx.disable_webhook(&id, "gone").await
    })?;
    assert!(disabled);
    assert!(!transaction!(db.catalog, |tx| tx.disable_webhook(&id, "asked").await)?, "it was already");
    append(&db.catalog, Kind::VideoDeleted, &video).await?;
    fan_out(&db.catalog).await?;
    assert!(claim(&db.catalog).await?.is_none());
    let refused = transaction!(db.catalog, |tx| tx.redeliver(&id, &first.lease.id).await);
    assert_eq!(refused.expect_err("disabled").code(), "webhook-disabled");
    let shown = db.catalog.webhook(&id).await?;
    assert_eq!((shown.pending, shown.disabled_why.as_deref()), (2, Some("gone")));
    assert!(shown.failing_since.is_some());
    transaction!(db.catalog, |tx| tx.enable_webhook(&id).await)?;
    for kind in ["video.ready", "video.deleted"] {
        let claimed = claim(&db.catalog).await?.expect("due at once");
        assert_eq!((&*claimed.event.kind, claimed.attempts), (kind, 1));
        transaction!(db.catalog, |tx| tx.settle_delivery(&claimed, &Outcome::default()).await)?;
    }
    transaction!(db.catalog, |tx| tx.redeliver(&id, &first.lease.id).await)?;
    assert_eq!(claim(&db.catalog).await?.expect("once more").lease.id, first.lease.id);
    transaction!(db.catalog, |tx| tx.delete_webhook(&id).await)?;
    assert!(transaction!(db.catalog, |tx| tx.change_webhook(&id, &Changes::default()).await).is_err());
    Ok(())
}

/// One endpoint takes no more than its share, and one that answers again is sent at once what waited for its next try.
async fn an_endpoint_has_few_under_way(db: &Db) -> Result<()> {
    webhook(db, &[]).await?;
    for number in 0..5 {
        append(&db.catalog, Kind::VideoReady, &db.video_of(&format!("ada {number}")).await?).await?;
    }
    fan_out(&db.catalog).await?;
    let claim_of_two = || async { transaction!(db.catalog, |tx| tx.claim_delivery("node/1", LONG_MS, 2).await) };
    let (first, second) = (claim_of_two().await?.expect("one"), claim_of_two().await?.expect("two"));
    assert!(claim_of_two().await?.is_none());
    transaction!(db.catalog, |tx| tx.retry_delivery(&first, &Outcome::default(), LONG_MS).await)?;
    transaction!(db.catalog, |tx| tx.settle_delivery(&second, &Outcome::default()).await)?;
    let mut due = Vec::new();
    while let Some(claimed) = claim(&db.catalog).await? {
        due.push(claimed.lease.id);
    }
    assert!(due.len() == 4 && due.contains(&first.lease.id), "{due:?}");
    Ok(())
}

/// The log goes back so far; what an endpoint has not had is kept, and so is the newest, whose number must not come again.
async fn what_nobody_has_had_is_not_forgotten(db: &Db) -> Result<()> {
    let (video, always) = (db.video_of("ada").await?, i64::MAX);
    let before = db.catalog.newest_event().await?;
    append(&db.catalog, Kind::VideoReady, &video).await?;
    let id = webhook(db, &[]).await?;
    append(&db.catalog, Kind::VideoEdited, &video).await?;
    assert_eq!(transaction!(db.catalog, |tx| tx.forget_events(always).await)?, 1, "the one before the webhook");
    fan_out(&db.catalog).await?;
    append(&db.catalog, Kind::VideoDeleted, &video).await?;
    assert_eq!(transaction!(db.catalog, |tx| tx.forget_events(always).await)?, 0);
    assert_eq!(transaction!(db.catalog, |tx| tx.disable_every_webhook().await)?, 1, "as after a restore");
    assert!(claim(&db.catalog).await?.is_none());
    transaction!(db.catalog, |tx| tx.enable_webhook(&id).await)?;
    let claimed = claim(&db.catalog).await?.expect("due");
    transaction!(db.catalog, |tx| tx.settle_delivery(&claimed, &Outcome::default()).await)?;
    assert_eq!(transaction!(db.catalog, |tx| tx.forget_events(0).await)?, 0, "none is that old");
    assert_eq!(transaction!(db.catalog, |tx| tx.forget_events(always).await)?, 1);
    assert!(db.catalog.deliveries(&id, None, None, 10).await?.is_empty());
    assert_eq!(read(&db.catalog, before).await?.len(), 1);
    Ok(())
}

/// invariant 9: of a video that is not ready only its owner hears, and how a video is made is nobody else's affair at all.
async fn events_are_for_those_who_may_hear_them(db: &Db) -> Result<()> {
    let video = db.video_of("ada").await?;
    let after = db.catalog.newest_event().await?;
    for kind in [Kind::UploadFinished, Kind::VideoReady, Kind::JobDead] {
        append(&db.catalog, kind, &video).await?;
    }
    let hears = |audience, kinds: &[Kind]| {
        let reading = Reading { after, kinds: kinds.to_vec(), audience, limit: 10 };
        async move {
            Ok::<_, crate::domain::Error>(db.catalog.read_events(&reading).await?.into_iter().map(|event| event.kind).collect::<Vec<_>>())
        }
    };
    let (ada, eve) = (|| Audience::Viewer(Some("ada".to_owned())), || Audience::Viewer(Some("eve".to_owned())));
    assert_eq!(hears(Audience::Everyones, &[]).await?.len(), 3);
    assert_eq!(hears(ada(), &[]).await?.len(), 3);
    assert_eq!(hears(ada(), &[Kind::JobDead, Kind::VideoDeleted]).await?, ["job.dead"]);
    assert!(hears(eve(), &[]).await?.is_empty() && hears(Audience::Viewer(None), &[]).await?.is_empty());
    let version = db.version(0).await?;
    transaction!(db.catalog, |tx| {
        tx.publish_version(&version.id, &version.video, false, 0).await?;
        tx.append_event(Kind::VideoReady, &version.video, "{}").await?;
        tx.append_event(Kind::JobDead, &version.video, r#"{"kind":"stills"}"#).await
    })?;
    assert_eq!(hears(eve(), &[]).await?, ["video.ready"]);
    assert_eq!(hears(Audience::Viewer(None), &[]).await?, ["video.ready"]);
    let told = &db.catalog.events(&version.video).await?;
    let told: serde_json::Value = serde_json::from_str(&told.last().expect("an event").payload).expect("json");
    assert_eq!(told, serde_json::json!({"video": version.video, "state": "ready", "version": version.id, "kind": "stills"}));
    Ok(())
}
