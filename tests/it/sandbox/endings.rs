//! How runs end: by limits, by cancelling, by the death of the worker, by failures of ours.

use super::*;
use std::process::{Command, Stdio};
use theatrum::domain::ErrorKind;
use theatrum::worker::door::{SOURCE_URL, output_url};
use theatrum::worker::ffmpeg::Limit;

/// Ends never; writes pictures as fast as it can.
const ENDLESS: &str = "-f lavfi -i testsrc=size=64x64";
const MARKER_VARIABLE: &str = "THEATRUM_TEST_MARKER";

fn silence() -> Memory {
    Memory(Bytes::from(vec![128; 8000]))
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_killed() {
    let sandbox = sandbox().await;
    let marker = &marked("wall-clock");
    let mut run = ffmpeg(&format!("{ENDLESS} -f null {marker}"), silence());
    run.limits.wall = Duration::from_millis(500);
    let finished = finish(&sandbox, run).await.expect("a run");
    assert_eq!(finished.limit, Some(Limit::Wall));
    assert_eq!(finished.exit, "stopped: it took too long");
    assert!(!finished.success && finished.cpu_ms > 0 && finished.peak_rss_bytes > Some(1 << 20), "{finished:?}");
    assert_eq!(process_marked(marker), None);
}

#[tokio::test]
async fn standing_still_is_noticed_and_waiting_for_us_is_not() {
    let sandbox = sandbox().await;
    let mut run = ffmpeg(&format!("{ENDLESS} -f null -"), silence());
    run.limits.stall = Duration::from_millis(300);
    assert_eq!(finish(&sandbox, run).await.expect("a run").limit, Some(Limit::Stall));

    let (asked, _reads) = mpsc::unbounded_channel();
    let mut run = ffmpeg(&format!("-i {SOURCE_URL} -f null -"), Stuck(asked));
    (run.limits.stall, run.limits.wall) = (Duration::from_secs(8), Duration::from_secs(10));
    assert_eq!(finish(&sandbox, run).await.expect("a run").limit, Some(Limit::Wall));
}

#[tokio::test]
async fn processor_time_memory_and_output_are_limited() {
    let sandbox = sandbox().await;
    let mut run = ffmpeg(&format!("{ENDLESS} -f null -"), silence());
    run.limits.cpu_s = 1;
    let finished = finish(&sandbox, run).await.expect("a run");
    assert_eq!(finished.limit, Some(Limit::Cpu), "{finished:?}");

    let mut run = ffmpeg("-f lavfi -i color=size=8192x8192:rate=1 -frames:v 8 -vf reverse -f null -", silence());
    run.limits.memory_bytes = 256 << 20;
    let finished = finish(&sandbox, run).await.expect("a run");
    // ffmpeg may still call that a success: an exit code is no proof.
    assert!(finished.stderr_tail.contains("Cannot allocate memory"), "{finished:?}");
    assert!(finished.peak_rss_bytes < Some(400 << 20), "{finished:?}");

    let mut run = ffmpeg(&format!("{ENDLESS} -f rawvideo -method PUT {}", output_url("big")), silence());
    let (sender, mut pieces) = mpsc::channel(2);
    run.outputs.push(Output { name: "big".to_owned(), sender, max_bytes: 1 << 20 });
    let reader = tokio::spawn(async move { while pieces.recv().await.is_some() {} });
    let finished = finish(&sandbox, run).await.expect("a run");
    assert_eq!(finished.limit, Some(Limit::Output("big".to_owned())));
    assert!(!finished.outputs[0].complete && finished.outputs[0].size_bytes <= 1 << 20);
    reader.await.expect("the output was closed");
}

#[tokio::test]
async fn cancelling_and_dropping_kill() {
    let sandbox = sandbox().await;
    let marker = &marked("cancelled");
    for drops in [false, true] {
        let (asked, mut reads) = mpsc::unbounded_channel();
        let cancel = CancellationToken::new();
        let running = tokio::spawn({
            let (sandbox, cancel) = (sandbox.clone(), cancel.clone());
            let run = ffmpeg(&format!("-i {SOURCE_URL} -f null {marker}"), Stuck(asked));
            async move { sandbox.run(run, cancel).await }
        });
        reads.recv().await.expect("ffmpeg reads its source");
        assert!(process_marked(marker).is_some());
        if drops {
            running.abort();
        } else {
            cancel.cancel();
            assert_eq!(running.await.expect("a task").expect_err("an end").code(), "cancelled");
        }
        until(|| process_marked(marker).is_none()).await;
    }
}

#[tokio::test]
async fn a_source_we_cannot_read_is_our_failure_and_not_the_files() {
    let sandbox = sandbox().await;
    let error = finish(&sandbox, ffmpeg(&format!("-f u8 -i {SOURCE_URL} -f null -"), Broken)).await.expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable());
    assert_eq!(error.chain(), "the blob store does not answer: connection refused");

    let garbage = Memory(Bytes::from_static(b"this is no video"));
    let finished = finish(&sandbox, ffmpeg(&format!("-f mp4 -i {SOURCE_URL} -f null -"), garbage)).await.expect("a run");
    assert!(!finished.success && finished.limit.is_none());
    assert!(finished.stderr_tail.contains("moov atom not found") || finished.stderr_tail.contains("Invalid data"), "{finished:?}");
    assert_eq!(finished.exit, "exit code 1");
}

#[tokio::test]
async fn an_output_that_nobody_takes_ends_the_run() {
    let sandbox = sandbox().await;
    let mut run = ffmpeg(&format!("{ENDLESS} -f rawvideo -method PUT {}", output_url("x")), silence());
    let (sender, pieces) = mpsc::channel(1);
    run.outputs.push(Output { name: "x".to_owned(), sender, max_bytes: u64::MAX });
    drop(pieces);
    assert_eq!(finish(&sandbox, run).await.expect_err("a failure").code(), "reader-gone");

    let mut run = run_printing_forever();
    let (sender, batches) = mpsc::channel(1);
    run.stdout = Some(sender);
    drop(batches);
    assert_eq!(finish(&sandbox, run).await.expect_err("a failure").code(), "reader-gone");
}

fn run_printing_forever() -> Run {
    ffmpeg(&format!("{ENDLESS} -f framemd5 -"), silence())
}

#[tokio::test]
async fn what_the_host_lacks_is_told_with_a_remedy() {
    let tools = Tools { ffmpeg: "/nonexistent/ffmpeg".into(), ..tools() };
    let error = Sandbox::detect_with(Setting::Auto, tools, &helper()).await.expect_err("no such program");
    assert_eq!(error.code(), "sandbox-unavailable");
    assert!(error.message().contains("/nonexistent/ffmpeg") && error.message().contains("readable and executable"), "{error}");
    let error = Sandbox::detect_with(Setting::Auto, super::tools(), Path::new("/bin/true")).await.expect_err("no helper");
    assert!(error.message().contains("without a word"), "{error}");
}

#[tokio::test]
async fn the_sandbox_can_be_switched_off_and_still_works() {
    let sandbox = sandbox_with(Setting::Off, tools()).await;
    assert_eq!(sandbox.level().to_string(), "off");
}

/// Not a test by itself: the worker of the next one.
#[tokio::test]
#[ignore = "run by ffmpeg_dies_with_its_worker"]
async fn a_worker_whose_run_is_stuck() {
    let Ok(marker) = std::env::var(MARKER_VARIABLE) else { return };
    let (asked, _reads) = mpsc::unbounded_channel();
    let run = ffmpeg(&format!("-i {SOURCE_URL} -f null {marker}"), Stuck(asked));
    let _ = finish(&sandbox().await, run).await;
}

#[tokio::test]
async fn ffmpeg_dies_with_its_worker() {
    let marker = &marked("orphan");
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.args(["--exact", "sandbox::endings::a_worker_whose_run_is_stuck", "--ignored"]).env(MARKER_VARIABLE, marker);
    let mut worker = command.stdout(Stdio::null()).spawn().expect("a worker");
    until(|| process_marked(marker).is_some()).await;
    worker.kill().expect("SIGKILL");
    worker.wait().expect("its end");
    until(|| process_marked(marker).is_none()).await;
}
