//! Values: whatever text and numbers go in come out again, on both databases alike.

use super::{Db, on_both_databases, upload_of};
use crate::args;
use crate::catalog::audit::{Count, CountKind, Entry};
use crate::domain::{ErrorKind, Result};
use crate::transaction;

on_both_databases!(odd_text_survives, a_nul_is_refused_cleanly, extreme_numbers_survive, the_clock_is_plausible);

async fn odd_text_survives(db: &Db) -> Result<()> {
    let long = "Å".repeat(10_000);
    for text in [
        "",
        " leading and trailing ",
        "'; DROP TABLE videos; --",
        "\"double\" `back` \\backslash\\ %_$1 ?",
        "line\nbreak\r\n\ttab\u{1}\u{7f}",
        "ünïcödé 心臓 🫀👩🏽‍⚕️ e\u{301} \u{202e}right to left",
        "\u{feff}\u{fffd}\u{10ffff}",
        "007",
        "1e3",
        "NULL",
        &long,
    ] {
        let mut upload = upload_of(text);
        upload.title = text.to_owned();
        transaction!(db.catalog, |tx| tx.insert_video(&upload).await)?;
        let video = db.catalog.video(&upload.video).await?;
        assert_eq!((video.owner.as_str(), video.title.as_str()), (text, text));
    }
    Ok(())
}

async fn a_nul_is_refused_cleanly(db: &Db) -> Result<()> {
    let mut upload = upload_of("ada");
    upload.title = "a\0b".to_owned();
    let error = transaction!(db.catalog, |tx| tx.insert_video(&upload).await).expect_err("PostgreSQL cannot store a NUL");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Invalid, false), "{error:?}");
    let error = db.catalog.audit_entries(Some("\0"), 1).await.expect_err("nor compare one");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    Ok(())
}

async fn extreme_numbers_survive(db: &Db) -> Result<()> {
    for (minute, number) in [i64::MIN, -1, 0, 1, 1 << 53, i64::MAX].into_iter().enumerate() {
        let (subject, object) = (format!("s{minute}"), String::new());
        let count = Count { minute: number, kind: CountKind::Delivery, subject, object, accesses: number, bytes: number };
        transaction!(db.catalog, |tx| tx.add_audit_count(&count).await)?;
        assert_eq!(db.catalog.audit_count(CountKind::Delivery, &count.subject).await?, number);
    }
    let rows = db.catalog.fetch_all("SELECT minute FROM audit_counts ORDER BY minute", args![]).await?;
    let minutes = rows.iter().map(|row| row.int("minute")).collect::<Result<Vec<_>>>()?;
    assert_eq!(minutes, [i64::MIN, -1, 0, 1, 1 << 53, i64::MAX]);
    let mut upload = upload_of("ada");
    upload.size_bytes = i64::MAX.cast_unsigned();
    transaction!(db.catalog, |tx| tx.insert_upload(&upload, "wrapped").await)?;
    assert_eq!(db.catalog.upload(&upload.id).await?.size_bytes, upload.size_bytes);
    Ok(())
}

async fn the_clock_is_plausible(db: &Db) -> Result<()> {
    let ours = || i64::try_from(std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis()).expect("before the year 292278994");
    let before = ours();
    let (first, second) = transaction!(db.catalog, |tx| {
        let first = tx.now().await?;
        tx.append_audit(&Entry { decision: "allow", ..Entry::default() }).await?;
        Ok((first, tx.now().await?))
    })?;
    assert_eq!(first, second, "one transaction has one time");
    assert!((before - 1..=ours() + 1).contains(&first), "the same host's clock: {before} <= {first}");
    assert_eq!(db.catalog.audit_entries(None, 1).await?[0].at, first);
    Ok(())
}
