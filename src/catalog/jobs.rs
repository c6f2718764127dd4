//! Jobs: inserted in the transaction that calls for them, claimed under a lease, fenced by their epoch.

use super::{Catalog, Row, Tx};
use crate::args;
use crate::domain::ids::{JobId, VersionId, VideoId};
use crate::domain::job::{Job, Kind, MAX_CLAIMS, NewJob, PAYLOAD_VERSION, State};
use crate::domain::{Error, Result};

fn job(row: &Row) -> Result<Job> {
    Ok(Job {
        id: JobId::parse(&row.text("id")?)?,
        kind: Kind::parse(&row.text("kind")?)?,
        payload: row.text("payload")?,
        video: VideoId::parse(&row.text("video_id")?)?,
        version: row.opt_text("version_id")?.as_deref().map(VersionId::parse).transpose()?,
        state: State::parse(&row.text("state")?)?,
        epoch: row.int("epoch")?,
        failures: row.int("failures")?,
        progress_percent: row.int("progress_percent")?,
        run_at: row.int("run_at")?,
        lease_until: row.opt_int("lease_until")?,
        created_at: row.int("created_at")?,
        finished_at: row.opt_int("finished_at")?,
        last_error: row.opt_text("last_error")?,
        stderr_tail: row.opt_text("stderr_tail")?,
    })
}

/// What a failed attempt leaves behind.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What happened, with causes.
    pub error: String,
    /// The end of ffmpeg's standard error, if it ran.
    pub stderr_tail: Option<String>,
}

/// Whose lease a call speaks for.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The epoch that its claim gave.
    pub epoch: i64,
}

/// Which jobs a listing holds; absent filters match all.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this video.
    pub video: Option<VideoId>,
    /// Only those of this owner's videos.
    pub owner: Option<String>,
    /// Only those that do this.
    pub kind: Option<Kind>,
    /// Only those before this one in the order (newest first).
    pub before: Option<JobId>,
    /// At most so many; absent: all.
    pub limit: Option<u64>,
}

impl Lease {
    /// The lease that the claim of `job` gave.
    pub fn of(job: &Job) -> Self {
        Self { job: job.id.clone(), epoch: job.epoch }
    }

    fn stale(&self) -> Error {
        Error::conflict("stale-epoch", format!("job {} is no longer leased at epoch {}", self.job, self.epoch))
    }
}

impl Catalog {
    /// The jobs of a listing, newest first.
    pub async fn jobs(&self, listing: &Listing) -> Result<Vec<Job>> {
        let sql = "SELECT jobs.* FROM jobs JOIN videos ON videos.id = jobs.video_id
            WHERE ($1 IS NULL OR jobs.state = $1) AND ($2 IS NULL OR jobs.video_id = $2) AND ($3 IS NULL OR videos.owner = $3)
            AND ($4 IS NULL OR jobs.kind = $4) AND ($5 IS NULL OR jobs.id < $5) ORDER BY jobs.id DESC LIMIT $6";
        let Listing { state, video, owner, kind, before, limit } = listing;
        let (state, kind) = (state.map(State::as_str), kind.map(Kind::as_str));
        let (video, before) = (video.as_ref().map(VideoId::as_str), before.as_ref().map(JobId::as_str));
        let args = args![state, video, owner.as_deref(), kind, before, limit.unwrap_or(u64::MAX)];
        self.fetch_all(sql, args).await?.iter().map(job).collect()
    }

    /// One job.
    pub async fn job(&self, id: &JobId) -> Result<Job> {
        let row = self.fetch_optional("SELECT * FROM jobs WHERE id = $1", args![id]).await?;
        row.as_ref().map_or_else(|| Err(Error::not_found(format!("there is no job {id}"))), job)
    }

    /// The last epoch of a version's jobs of a kind that is over: whoever claims one of them, or works at it, has a higher one.
    pub async fn settled_epoch(&self, video: &VideoId, version: &VersionId, kind: Kind) -> Result<i64> {
        let sql = "SELECT CAST(COALESCE(MIN(CASE WHEN state = 'running' THEN epoch - 1 ELSE epoch END), 0) AS BIGINT) AS epoch
            FROM jobs WHERE video_id = $1 AND version_id = $2 AND kind = $3";
        self.fetch_optional(sql, args![video, version, kind.as_str()]).await?.map_or(Ok(0), |row| row.int("epoch"))
    }
}

impl Tx {
    /// Inserts a job that may run at once. Call it in the transaction of the change that calls for the job (invariant 1).
    pub async fn insert_job(&mut self, new: &NewJob) -> Result<JobId> {
        self.insert_job_after(new, 0).await
    }

    /// Inserts a job that takes over from another one, which has reached `epoch`: it begins above, so that no blob of it has the name of one that
    /// is there already.
    pub async fn insert_job_after(&mut self, new: &NewJob, epoch: i64) -> Result<JobId> {
        let (id, now) = (JobId::new(), self.now().await?);
        let sql = "INSERT INTO jobs (id, kind, payload_version, payload, video_id, version_id, state, priority, weight, epoch, run_at, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, $8, $9, $10, $10)";
        let version = new.version.as_ref().map(|id| id.to_string());
        let row = args![&id, new.kind.as_str(), PAYLOAD_VERSION, &new.payload, &new.video, version, new.priority, new.weight, epoch, now];
        self.execute(sql, row).await?;
        Ok(id)
    }

    /// Leases the next job to `owner` for `lease_ms` and raises its epoch; with `light_only`, encodes are left to others.
    pub async fn claim(&mut self, owner: &str, lease_ms: i64, light_only: bool) -> Result<Option<Job>> {
        let (now, sql) = (self.now().await?, self.claim_sql());
        let row = self.fetch_optional(sql, args![now, owner, now + lease_ms, PAYLOAD_VERSION, light_only]).await?;
        row.as_ref().map(job).transpose()
    }

    /// Extends a lease and notes progress; `false` when the lease is lost.
    pub async fn heartbeat(&mut self, lease: &Lease, lease_ms: i64, progress_percent: i64) -> Result<bool> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET lease_until = $3, progress_percent = $4 WHERE id = $1 AND epoch = $2 AND state = 'running'";
        Ok(self.execute(sql, args![&lease.job, lease.epoch, now + lease_ms, progress_percent.clamp(0, 99)]).await? == 1)
    }

    /// Ends a leased job as done; a stale epoch is `Conflict` and changes nothing (invariant 2).
    pub async fn settle(&mut self, lease: &Lease) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'done', progress_percent = 100, finished_at = $3, lease_until = NULL, last_error = NULL, stderr_tail = NULL
            WHERE id = $1 AND epoch = $2 AND state = 'running'";
        self.fenced(sql, args![&lease.job, lease.epoch, now], lease).await
    }

    /// Puts a leased job back for `run_at` after a failure.
    pub async fn retry(&mut self, lease: &Lease, failure: &Failure, run_at: i64) -> Result<()> {
        let sql = "UPDATE jobs SET state = 'queued', failures = failures + 1, run_at = $3, last_error = $4, stderr_tail = $5,
            lease_owner = NULL, lease_until = NULL, progress_percent = 0 WHERE id = $1 AND epoch = $2 AND state = 'running'";
        self.fenced(sql, args![&lease.job, lease.epoch, run_at, &failure.error, failure.stderr_tail.clone()], lease).await
    }

    /// Puts a leased job back for `run_at`, as [`Self::hand_back`] does: what kept it from its work is not its own, and is no failed attempt.
    pub async fn put_off(&mut self, lease: &Lease, why: &Failure, run_at: i64) -> Result<()> {
        let sql = "UPDATE jobs SET state = 'queued', claims = claims - 1, run_at = $3, last_error = $4, stderr_tail = $5,
            lease_owner = NULL, lease_until = NULL, progress_percent = 0 WHERE id = $1 AND epoch = $2 AND state = 'running'";
        self.fenced(sql, args![&lease.job, lease.epoch, run_at, &why.error, why.stderr_tail.clone()], lease).await
    }

    /// Makes a leased job a dead letter.
    pub async fn bury(&mut self, lease: &Lease, failure: &Failure) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'dead', failures = failures + 1, finished_at = $3, last_error = $4, stderr_tail = $5,
            lease_owner = NULL, lease_until = NULL WHERE id = $1 AND epoch = $2 AND state = 'running'";
        self.fenced(sql, args![&lease.job, lease.epoch, now, &failure.error, failure.stderr_tail.clone()], lease).await
    }

    /// Hands a lease back unharmed, as a draining worker does; it does not count as an attempt.
    pub async fn hand_back(&mut self, lease: &Lease) -> Result<()> {
        let sql = "UPDATE jobs SET state = 'queued', claims = claims - 1, lease_owner = NULL, lease_until = NULL, progress_percent = 0
            WHERE id = $1 AND epoch = $2 AND state = 'running'";
        self.fenced(sql, args![&lease.job, lease.epoch], lease).await
    }

    /// Queues a dead job again with all its attempts; `Conflict` when it is not dead, or its video needs it no more.
    pub async fn redrive(&mut self, id: &JobId) -> Result<()> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'queued', failures = 0, claims = 0, run_at = $2, finished_at = NULL, progress_percent = 0
            WHERE id = $1 AND state = 'dead'
            AND EXISTS (SELECT 1 FROM videos WHERE id = jobs.video_id AND state IN ('processing', 'failed', 'ready'))";
        let changed = self.execute(sql, args![id, now]).await?;
        let message = || format!("job {id} is not a dead letter, or its video was refused or deleted");
        if changed == 1 { Ok(()) } else { Err(Error::conflict("not-dead", message())) }
    }

    /// Whether a dead letter of the version, or of a source not planned yet, is one that it cannot be published without. A dead publication is none: whatever else of the video
    /// is redriven ends in another.
    pub async fn has_fatal_letter(&mut self, video: &VideoId, version: Option<&VersionId>) -> Result<bool> {
        let sql = "SELECT DISTINCT kind FROM jobs WHERE video_id = $1 AND state = 'dead' AND (version_id IS NULL OR $2 IS NULL OR version_id = $2)";
        let rows = self.fetch_all(sql, args![video, version.map(VersionId::as_str)]).await?;
        let kinds = rows.iter().map(|row| Kind::parse(&row.text("kind")?)).collect::<Result<Vec<_>>>()?;
        Ok(kinds.into_iter().any(|kind| kind != Kind::Publish && !kind.is_optional()))
    }

    /// Cancels what is left of a video's jobs, its dead letters too: nobody needs them any more. A running one is fenced off by its epoch.
    pub async fn cancel_jobs(&mut self, video: &VideoId) -> Result<u64> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'cancelled', epoch = epoch + 1, finished_at = $2 WHERE video_id = $1 AND state IN ('queued', 'running', 'dead')";
        self.execute(sql, args![video, now]).await
    }

    /// Queues jobs again whose lease has ended without a word.
    pub async fn requeue_expired(&mut self) -> Result<u64> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, progress_percent = 0
            WHERE state = 'running' AND lease_until <= $1 AND claims < $2";
        self.execute(sql, args![now, MAX_CLAIMS]).await
    }

    /// Buries jobs whose lease has ended without a word once too often; gives them, for their videos to be told.
    pub async fn bury_expired(&mut self) -> Result<Vec<Job>> {
        let now = self.now().await?;
        let sql = "UPDATE jobs SET state = 'dead', finished_at = $1, lease_owner = NULL, lease_until = NULL,
            last_error = 'every worker that took this job was lost before it could report'
            WHERE state = 'running' AND lease_until <= $1 AND claims >= $2 RETURNING *";
        self.fetch_all(sql, args![now, MAX_CLAIMS]).await?.iter().map(job).collect()
    }

    /// Ends at once the leases that an earlier life of this node held: its data folder is locked, so that life is over.
    pub async fn forget_former_life(&mut self, node: &str, owner: &str) -> Result<u64> {
        let now = self.now().await?;
        // No LIKE: a name may hold its wildcards, and SQLite's ignores case.
        let sql = "UPDATE jobs SET lease_until = $3
            WHERE state = 'running' AND SUBSTR(lease_owner, 1, LENGTH($1)) = $1 AND lease_owner <> $2";
        self.execute(sql, args![format!("{node}/"), owner, now]).await
    }

    async fn fenced(&mut self, sql: &'static str, args: Vec<super::Value>, lease: &Lease) -> Result<()> {
        if self.execute(sql, args).await? == 1 { Ok(()) } else { Err(lease.stale()) }
    }
}
