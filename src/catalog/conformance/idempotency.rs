//! Calls with an idempotency key: claimed once, marked by what they change, answered again.

use super::{Db, at_once, is_conflict, on_both_databases, upload_of};
use crate::catalog::Catalog;
use crate::catalog::idempotency::{Claim, Ticket, carry_out};
use crate::catalog::videos::{Filter, Listing, Unready};
use crate::domain::Result;
use crate::domain::upload::Upload;
use crate::{args, transaction};

on_both_databases!(
    of_many_that_come_at_once_one_is_granted,
    an_answer_is_given_to_the_same_request_only,
    a_change_and_its_mark_are_one_commit,
    a_call_that_was_taken_over_commits_nothing,
    a_call_that_was_cut_short_is_repeated_only_where_it_may_be,
    a_refusal_is_forgotten_and_a_failure_that_changed_nothing_too,
    a_key_is_forgotten_after_a_day,
);

async fn claim(catalog: &Catalog, fingerprint: &str, repeatable: bool) -> Result<Claim> {
    transaction!(catalog, |tx| tx.claim_key("scope", fingerprint, repeatable).await)
}

impl Db {
    async fn granted(&self) -> Result<Ticket> {
        match claim(&self.catalog, "a", false).await? {
            Claim::Granted(ticket) => Ok(ticket),
            other => panic!("not granted: {other:?}"),
        }
    }

    /// What someone does who holds a ticket: makes a video.
    async fn make(&self, ticket: &Ticket, upload: &Upload) -> Result<()> {
        let call = async { transaction!(self.catalog, |tx| tx.insert_video(upload).await) };
        carry_out(ticket.clone(), call).await
    }

    async fn made(&self) -> Result<usize> {
        let all = Listing { unready: Unready::Everyones, filter: Filter::NONE, before: None, limit: 100 };
        Ok(self.catalog.videos(&all).await?.len())
    }

    /// As if the claim's holder had fallen silent.
    async fn end_lease(&self) -> Result<()> {
        transaction!(self.catalog, |tx| tx.execute("UPDATE idempotency SET lease_until = 0", args![]).await).map(drop)
    }
}

async fn of_many_that_come_at_once_one_is_granted(db: &Db) -> Result<()> {
    let claims = at_once(16, |_| {
        let catalog = db.catalog.clone();
        async move { claim(&catalog, "a", false).await }
    });
    let claims = claims.await.into_iter().collect::<Result<Vec<_>>>()?;
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::Granted(_))).count(), 1, "{claims:?}");
    assert_eq!(claims.iter().filter(|claim| matches!(claim, Claim::InProgress)).count(), 15, "{claims:?}");
    Ok(())
}

async fn an_answer_is_given_to_the_same_request_only(db: &Db) -> Result<()> {
    let ticket = db.granted().await?;
    assert!(matches!(claim(&db.catalog, "b", false).await?, Claim::Reused), "also while the first runs");
    transaction!(db.catalog, |tx| tx.answer_key(&ticket, "sealed").await)?;
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Answered(answer) if answer == "sealed"));
    assert!(matches!(claim(&db.catalog, "b", false).await?, Claim::Reused));
    transaction!(db.catalog, |tx| tx.answer_key(&ticket, "another").await)?;
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Answered(answer) if answer == "sealed"), "the first stays");
    Ok(())
}

/// invariant 1: the row is the truth: it says that there was an effect if and only if there was one.
async fn a_change_and_its_mark_are_one_commit(db: &Db) -> Result<()> {
    let ticket = db.granted().await?;
    let upload = upload_of("ada");
    let undone: Result<()> = carry_out(ticket.clone(), async {
        transaction!(db.catalog, |tx| {
            tx.insert_video(&upload).await?;
            Err(crate::domain::Error::conflict("changed-my-mind", "taken back"))
        })
    })
    .await;
    assert!(is_conflict(&undone));
    db.end_lease().await?;
    let again = db.granted().await?;
    assert_eq!((again.epoch, again.created_at, again.ids()), (2, ticket.created_at, ticket.ids()), "nothing was marked");
    db.make(&again, &upload).await?;
    db.end_lease().await?;
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Lost), "the mark is there");
    assert_eq!(db.made().await?, 1);
    Ok(())
}

/// invariant 2: leases are fenced: of two that hold the same key, the older one changes nothing.
async fn a_call_that_was_taken_over_commits_nothing(db: &Db) -> Result<()> {
    let slow = db.granted().await?;
    db.end_lease().await?;
    let fast = db.granted().await?;
    assert!(is_conflict(&db.make(&slow, &upload_of("ada")).await));
    assert_eq!(db.made().await?, 0);
    db.make(&fast, &upload_of("ada")).await?;
    transaction!(db.catalog, |tx| tx.answer_key(&slow, "stale").await)?;
    transaction!(db.catalog, |tx| tx.release_key(&slow, false).await)?;
    transaction!(db.catalog, |tx| tx.answer_key(&fast, "fresh").await)?;
    assert!(is_conflict(&db.make(&fast, &upload_of("ada")).await), "what is answered is over");
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Answered(answer) if answer == "fresh"));
    assert_eq!(db.made().await?, 1);
    Ok(())
}

async fn a_call_that_was_cut_short_is_repeated_only_where_it_may_be(db: &Db) -> Result<()> {
    let ticket = db.granted().await?;
    db.make(&ticket, &upload_of("ada")).await?;
    assert!(matches!(claim(&db.catalog, "a", true).await?, Claim::InProgress), "its holder may still live");
    db.end_lease().await?;
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Lost));
    assert!(matches!(claim(&db.catalog, "a", true).await?, Claim::Granted(_)));
    Ok(())
}

async fn a_refusal_is_forgotten_and_a_failure_that_changed_nothing_too(db: &Db) -> Result<()> {
    for failed in [false, true] {
        let ticket = db.granted().await?;
        transaction!(db.catalog, |tx| tx.release_key(&ticket, failed).await)?;
        assert_eq!(db.granted().await?.epoch, 1, "as if it had never been");
        transaction!(db.catalog, |tx| tx.release_key(&ticket, failed).await)?;
    }
    let ticket = db.granted().await?;
    db.make(&ticket, &upload_of("ada")).await?;
    transaction!(db.catalog, |tx| tx.release_key(&ticket, true).await)?;
    assert!(matches!(claim(&db.catalog, "a", false).await?, Claim::Lost), "what failed after it changed something is not repeated");
    Ok(())
}

async fn a_key_is_forgotten_after_a_day(db: &Db) -> Result<()> {
    let ticket = db.granted().await?;
    transaction!(db.catalog, |tx| tx.answer_key(&ticket, "sealed").await)?;
    assert_eq!(db.catalog.forget_old_keys().await?, 0);
    let older = "UPDATE idempotency SET created_at = created_at - 86400000";
    transaction!(db.catalog, |tx| tx.execute(older, args![]).await)?;
    let anew = db.granted().await?;
    assert!(anew.created_at >= ticket.created_at && anew.epoch == 1, "also before it is swept");
    transaction!(db.catalog, |tx| tx.execute(older, args![]).await)?;
    assert_eq!(db.catalog.forget_old_keys().await?, 1);
    Ok(())
}
