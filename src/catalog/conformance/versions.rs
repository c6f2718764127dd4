//! Versions: segments and init segments are adopted once, jobs are counted down, publishing happens once.

use super::{Db, is_conflict, is_missing, on_both_databases, rendition, segment};
use crate::catalog::versions::{Init, Publication};
use crate::domain::Result;
use crate::domain::ids::VersionId;
use crate::domain::video::{Stage, State};
use crate::transaction;

on_both_databases!(
    a_version_is_read_as_it_was_written,
    a_video_not_in_processing_gets_no_version,
    a_segment_is_adopted_once,
    an_init_segment_is_adopted_once,
    a_count_down_ends_at_zero,
    a_version_is_published_once_and_only_when_nothing_remains,
    an_abandoned_version_is_never_published,
    a_deleted_video_is_never_published,
);

async fn a_version_is_read_as_it_was_written(db: &Db) -> Result<()> {
    let version = db.version(7).await?;
    let read = db.catalog.version(&version.id).await?;
    assert_eq!(format!("{read:?}"), format!("{version:?}"));
    let source = db.catalog.source(&version.source).await?;
    assert_eq!((source.video, source.size_bytes), (version.video.clone(), 20 << 20));
    let sizes = db.catalog.renditions(&version.id).await?.into_iter().map(|rendition| rendition.size).collect::<Vec<_>>();
    assert_eq!(sizes, [Some((640, 360)), Some((1280, 720)), None]);
    let video = db.catalog.video(&version.video).await?;
    assert_eq!((video.version, video.stage, video.state), (Some(version.id), Stage::Encoding, State::Processing));
    assert_eq!((video.duration_ms, video.width, video.height, video.truncated), (Some(60_000), Some(1280), Some(720), false));
    assert!(is_missing(&db.catalog.version(&VersionId::new()).await));
    Ok(())
}

async fn a_video_not_in_processing_gets_no_version(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    transaction!(db.catalog, |tx| tx.delete_video(&version.video).await)?;
    let mut second = version.clone();
    second.id = VersionId::new();
    let outline = crate::catalog::versions::Outline { duration_ms: 1, size: None, truncated: true, source_duration_ms: 1 };
    let outcome = transaction!(db.catalog, |tx| tx.insert_version(&second, &[], outline, 1).await);
    assert!(is_conflict(&outcome), "{outcome:?}");
    assert!(is_missing(&db.catalog.version(&second.id).await), "a failed transaction leaves nothing");
    Ok(())
}

async fn a_segment_is_adopted_once(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    transaction!(db.catalog, |tx| tx.adopt_segment(&version.id, &segment(0, 1)).await)?;
    let again = transaction!(db.catalog, |tx| tx.adopt_segment(&version.id, &segment(0, 2)).await);
    assert!(is_conflict(&again), "{again:?}");
    transaction!(db.catalog, |tx| tx.adopt_segment(&version.id, &segment(1, 2)).await)?;
    let rows = db.catalog.segments(&version.id).await?;
    assert_eq!(rows.iter().map(|row| (row.number, row.epoch)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
    assert_eq!(format!("{:?}", rows[0]), format!("{:?}", segment(0, 1)));
    Ok(())
}

async fn an_init_segment_is_adopted_once(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    assert_eq!(db.catalog.inits(&version.id).await?.len(), 0);
    let init = |epoch| Init { epoch, size_bytes: 700, md5: "a1".repeat(16), sha256: "b2".repeat(32), codecs: "avc1.64001f".into() };
    let name = rendition("720p");
    transaction!(db.catalog, |tx| tx.adopt_init(&version.id, &name, &init(3)).await)?;
    let again = transaction!(db.catalog, |tx| tx.adopt_init(&version.id, &name, &init(4)).await);
    assert!(is_conflict(&again), "{again:?}");
    let inits = db.catalog.inits(&version.id).await?;
    assert_eq!(format!("{inits:?}"), format!("{:?}", [(name, init(3))]));
    let unknown = rendition("4320p");
    assert!(is_conflict(&transaction!(db.catalog, |tx| tx.adopt_init(&version.id, &unknown, &init(1)).await)));
    Ok(())
}

async fn a_count_down_ends_at_zero(db: &Db) -> Result<()> {
    let version = db.version(2).await?;
    for (pictures, left) in [(150, 1), (170, 0)] {
        assert_eq!(transaction!(db.catalog, |tx| tx.count_down(&version.id, pictures).await)?, left);
    }
    assert!(transaction!(db.catalog, |tx| tx.count_down(&version.id, 1).await).is_err());
    assert_eq!(db.catalog.version(&version.id).await?.pictures_decoded, 320);
    let unknown = VersionId::new();
    assert!(is_missing(&transaction!(db.catalog, |tx| tx.count_down(&unknown, 1).await)));
    Ok(())
}

async fn a_version_is_published_once_and_only_when_nothing_remains(db: &Db) -> Result<()> {
    let version = db.version(1).await?;
    let publish = || async { transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, true, 0).await) };
    assert_eq!(publish().await?, Publication::None);
    assert_eq!(db.catalog.video(&version.video).await?.state, State::Processing);
    transaction!(db.catalog, |tx| tx.count_down(&version.id, 320).await)?;
    assert_eq!(publish().await?, Publication::First);
    assert_eq!(publish().await?, Publication::None);
    let video = db.catalog.video(&version.video).await?;
    assert_eq!((video.state, video.stage, video.percent, video.truncated), (State::Ready, Stage::Done, 100, true));
    assert!(video.ready_at.is_some() && video.playable_at == video.ready_at);
    Ok(())
}

async fn an_abandoned_version_is_never_published(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    transaction!(db.catalog, |tx| tx.abandon_versions(&version.video).await)?;
    let again = transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, false, 0).await)?;
    assert_eq!(again, Publication::None);
    Ok(())
}

async fn a_deleted_video_is_never_published(db: &Db) -> Result<()> {
    let version = db.version(0).await?;
    transaction!(db.catalog, |tx| tx.delete_video(&version.video).await)?;
    let published = transaction!(db.catalog, |tx| tx.publish_version(&version.id, &version.video, false, 0).await);
    assert!(is_conflict(&published), "{published:?}");
    assert!(is_missing(&db.catalog.video(&version.video).await));
    Ok(())
}
