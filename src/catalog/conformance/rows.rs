//! Rows that are only appended: the audit log, its counts, events and playback sessions.

use super::{Db, is_conflict, is_missing, on_both_databases};
use crate::catalog::audit::{Count, CountKind, Entry};
use crate::catalog::playback::Session;
use crate::domain::Result;
use crate::domain::event::Kind;
use crate::domain::ids::{SessionId, VersionId, VideoId};
use crate::transaction;

on_both_databases!(
    the_audit_log_is_read_newest_first,
    counts_add_up_by_minute_kind_and_subject,
    events_keep_their_order,
    a_playback_session_is_inserted_once,
    playback_sessions_are_listed_newest_first_and_revoked_one_by_one,
);

async fn the_audit_log_is_read_newest_first(db: &Db) -> Result<()> {
    let video = VideoId::new().to_string();
    let entry = |reason: &str, video: Option<&str>| Entry {
        actor: "ada".into(),
        role: "author".into(),
        session: None,
        address: Some("192.0.2.1".into()),
        action: "playback".into(),
        video: video.map(str::to_owned),
        version: None,
        object: Some("key 3".into()),
        decision: "deny",
        reason: reason.into(),
        request_id: None,
    };
    for (reason, about) in [("first", Some(video.as_str())), ("second", None), ("third", Some(video.as_str()))] {
        transaction!(db.catalog, |tx| tx.append_audit(&entry(reason, about)).await)?;
    }
    let reasons = |video: Option<String>, limit| async move {
        let entries = db.catalog.audit_entries(video.as_deref(), limit).await?;
        assert!(entries.is_sorted_by(|newer, older| newer.seq > older.seq));
        Ok::<_, crate::domain::Error>(entries.into_iter().map(|entry| entry.reason).collect::<Vec<_>>())
    };
    assert_eq!(reasons(None, 10).await?, ["third", "second", "first"]);
    assert_eq!(reasons(None, 1).await?, ["third"]);
    assert_eq!(reasons(Some(video), 10).await?, ["third", "first"]);
    assert_eq!(reasons(Some(VideoId::new().to_string()), 10).await?.len(), 0);
    let newest = db.catalog.audit_entries(None, 1).await?.remove(0);
    assert_eq!((newest.actor.as_str(), newest.action.as_str(), newest.decision.as_str()), ("ada", "playback", "deny"));
    assert_eq!(newest.object.as_deref(), Some("key 3"));
    Ok(())
}

async fn counts_add_up_by_minute_kind_and_subject(db: &Db) -> Result<()> {
    let count =
        |minute, kind, subject: &str| Count { minute, kind, subject: subject.into(), object: "360p".into(), accesses: 3, bytes: 900 };
    transaction!(db.catalog, |tx| {
        for minute in [1, 1, 2] {
            tx.add_audit_count(&count(minute, CountKind::Delivery, "s")).await?;
        }
        tx.add_audit_count(&count(1, CountKind::Refusal, "s")).await?;
        tx.add_audit_count(&count(1, CountKind::Delivery, "t")).await
    })?;
    assert_eq!(db.catalog.audit_count(CountKind::Delivery, "s").await?, 9);
    assert_eq!(db.catalog.audit_count(CountKind::Refusal, "s").await?, 3);
    assert_eq!(db.catalog.audit_count(CountKind::Refusal, "nobody").await?, 0);
    Ok(())
}

async fn events_keep_their_order(db: &Db) -> Result<()> {
    let video = VideoId::new();
    let kinds = [Kind::UploadFinished, Kind::VideoPlayable, Kind::VideoReady];
    for kind in kinds {
        transaction!(db.catalog, |tx| tx.append_event(kind, &video, "{}").await)?;
    }
    let events = db.catalog.events(&video).await?;
    assert_eq!(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), kinds.map(Kind::as_str));
    assert!(events.iter().all(|event| event.video == video.as_str() && event.created_at > 0));
    assert_eq!(db.catalog.events(&VideoId::new()).await?.len(), 0);
    Ok(())
}

async fn a_playback_session_is_inserted_once(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    let session = Session {
        id: SessionId::new(),
        video: version.video,
        version: version.id,
        subject: "ada".into(),
        role: "viewer".into(),
        created_at: 0,
        expires_at: 9,
        revoked_at: None,
    };
    transaction!(db.catalog, |tx| tx.insert_playback_session(&session).await)?;
    let again = transaction!(db.catalog, |tx| tx.insert_playback_session(&session).await);
    assert!(is_conflict(&again), "{again:?}");
    let kept = db.catalog.playback_session(&session.id).await?;
    assert!(kept.created_at > 0);
    assert_eq!(format!("{kept:?}"), format!("{:?}", Session { created_at: kept.created_at, ..session.clone() }));
    assert!(is_missing(&db.catalog.playback_session(&SessionId::new()).await));
    let gone = Session { id: SessionId::new(), version: VersionId::new(), ..session };
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.insert_playback_session(&gone).await)));
    Ok(())
}

async fn playback_sessions_are_listed_newest_first_and_revoked_one_by_one(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    let session = |expires_at| Session {
        id: SessionId::new(),
        video: version.video.clone(),
        version: version.id.clone(),
        subject: "ada".into(),
        role: "viewer".into(),
        created_at: 0,
        expires_at,
        revoked_at: None,
    };
    let [over, first, second, third] = [9, 10, 10, 10].map(session);
    for session in [&over, &first, &second, &third] {
        transaction!(db.catalog, |tx| tx.insert_playback_session(session).await)?;
    }
    let listed = async |before, limit| -> Result<Vec<SessionId>> {
        let found = db.catalog.playback_sessions(&version.video, 9, before, limit).await?;
        Ok(found.into_iter().map(|session| session.id).collect())
    };
    assert_eq!(listed(None, 2).await?, [third.id.clone(), second.id.clone()]);
    assert_eq!(listed(Some(&second.id), 2).await?, std::slice::from_ref(&first.id));
    assert!(db.catalog.playback_sessions(&VideoId::new(), 9, None, 9).await?.is_empty());
    transaction!(db.catalog, |tx| tx.revoke_playback_session(&second.id).await)?;
    let revoked_at = db.catalog.playback_session(&second.id).await?.revoked_at;
    assert!(revoked_at.is_some_and(|at| at > 0));
    transaction!(db.catalog, |tx| tx.revoke_playback_session(&second.id).await)?;
    assert_eq!(db.catalog.playback_session(&second.id).await?.revoked_at, revoked_at);
    assert_eq!(db.catalog.playback_session(&first.id).await?.revoked_at, None);
    Ok(())
}
