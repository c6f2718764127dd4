//! The disk that forgets is as harsh as it says, and no harsher: a program that does not sync loses, one that does keeps.

use crate::support::powercut::Layer;
use crate::support::powercut::disk::{Disk, Keep};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row};
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

fn mounted() -> (tempfile::TempDir, Layer) {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = Layer::mount(folder.path(), Disk::new(0o700));
    (folder, layer)
}

fn sync(path: &Path) {
    File::open(path).and_then(|file| file.sync_all()).expect("synced");
}

/// Tier: `make test`. What nobody synced is gone: contents without names, names without contents, and changes of either.
#[test]
fn what_is_not_synced_is_lost() {
    let (folder, mut layer) = mounted();
    let at = |name: &str| folder.path().join(name);
    for name in ["kept", "replaced", "removed", "grown", "cut"] {
        fs::write(at(name), "first").expect("written");
        sync(&at(name));
    }
    sync(folder.path());
    fs::write(at("nameless"), "synced, but nobody finds it").expect("written");
    sync(&at("nameless"));
    fs::write(at("new"), "second").expect("written");
    fs::rename(at("new"), at("replaced")).expect("renamed");
    fs::remove_file(at("removed")).expect("removed");
    OpenOptions::new().append(true).open(at("grown")).and_then(|mut file| file.write_all(b" and more")).expect("written");
    OpenOptions::new().write(true).truncate(true).open(at("cut")).expect("cut");
    fs::create_dir(at("folder")).expect("made");
    fs::write(at("folder/inside"), "x").expect("written");
    sync(&at("folder/inside"));
    sync(&at("folder"));
    assert_eq!(fs::read_to_string(at("replaced")).expect("there"), "second", "as long as the power lasts");
    layer.cut(&mut Keep::Nothing);
    for name in ["kept", "replaced", "removed", "grown", "cut"] {
        assert_eq!(fs::read_to_string(at(name)).expect(name), "first", "{name}");
    }
    for name in ["nameless", "new", "folder"] {
        assert!(!at(name).exists(), "{name}");
    }
}

/// Tier: `make test`. What was synced, contents and name, stays, whatever becomes of the rest.
#[test]
fn what_is_synced_stays() {
    for mut keep in [Keep::Nothing, Keep::Some(Box::new(StdRng::seed_from_u64(7)))] {
        let (folder, mut layer) = mounted();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder")).expect("made");
        let mut file = File::create(at("folder/new")).expect("made");
        file.write_all(b"contents").expect("written");
        file.sync_data().expect("synced");
        fs::rename(at("folder/new"), at("folder/renamed")).expect("renamed");
        fs::hard_link(at("folder/renamed"), at("folder/linked")).expect("linked");
        sync(&at("folder"));
        let mut direct = OpenOptions::new().create(true).append(true).custom_flags(libc::O_DSYNC).open(at("direct")).expect("made");
        direct.write_all(b"no fsync needed").expect("written");
        sync(folder.path());
        file.write_all(b" and what follows").expect("written");
        drop((file, direct));
        layer.cut(&mut keep);
        assert!(fs::read_to_string(at("folder/linked")).expect("there").starts_with("contents"));
        assert_eq!(fs::read(at("folder/linked")).expect("there"), fs::read(at("folder/renamed")).expect("there"));
        assert!(!at("folder/new").exists());
        assert_eq!(fs::read_to_string(at("direct")).expect("there"), "no fsync needed");
    }
}

/// Tier: `make test`. What happens to survive is torn, and out of order.
#[test]
fn what_survives_by_chance_is_torn() {
    let (folder, mut layer) = mounted();
    let path = folder.path().join("file");
    let mut file = File::create(&path).expect("made");
    file.write_all(&[b'0'; 64 << 10]).expect("written");
    file.sync_all().expect("synced");
    sync(folder.path());
    for generation in [b'1', b'2'] {
        file.seek(SeekFrom::Start(0)).expect("sought");
        file.write_all(&[generation; 64 << 10]).expect("written");
    }
    drop(file);
    layer.cut(&mut Keep::Some(Box::new(StdRng::seed_from_u64(1))));
    let found = fs::read(&path).expect("there");
    let of = |generation| found.chunks(512).filter(|sector| sector.iter().all(|byte| *byte == generation)).count();
    let (old, first, second) = (of(b'0'), of(b'1'), of(b'2'));
    assert_eq!(old + first + second, 128, "sectors are whole");
    assert!(old > 0 && first > 0 && second > 0, "{old} {first} {second}");
}

/// Tier: `make test`. Power can go between two operations: the one that it meets fails, and none after it is done.
#[test]
fn the_power_goes_before_an_operation() {
    let (folder, mut layer) = mounted();
    let path = folder.path().join("file");
    let mut file = File::create(&path).expect("made");
    file.sync_all().expect("synced");
    sync(folder.path());
    layer.arm(0, 1);
    file.write_all(b"x").expect("the last");
    assert_eq!(file.sync_all().expect_err("no power").raw_os_error(), Some(libc::EIO));
    assert!(layer.is_off() && fs::metadata(folder.path().join("other")).is_err());
    drop(file);
    layer.cut(&mut Keep::Nothing);
    assert_eq!(fs::read(&path).expect("there"), b"");
}

/// Tier: `make test`. SQLite in WAL mode, with its shared memory, runs on it: with FULL every commit lasts, with OFF none of them.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_loses_what_it_does_not_sync() {
    for (synchronous, lasts) in [(SqliteSynchronous::Full, true), (SqliteSynchronous::Off, false)] {
        let (folder, mut layer) = mounted();
        let options = SqliteConnectOptions::new().filename(folder.path().join("rows.db")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
        let mut writer = SqliteConnection::connect_with(&options).await.expect("a database");
        let mut reader = SqliteConnection::connect_with(&options).await.expect("a second connection");
        sqlx::query("CREATE TABLE rows (number INTEGER)").execute(&mut writer).await.expect("a table");
        for number in 0..100 {
            sqlx::query("INSERT INTO rows VALUES ($1)").bind(number).execute(&mut writer).await.expect("a commit");
        }
        let count = "SELECT COUNT(*) FROM rows";
        let seen: i64 = sqlx::query(count).fetch_one(&mut reader).await.expect("rows").get(0);
        assert_eq!(seen, 100, "two connections share an index in memory");
        // Without a word to the disk: a connection that is closed tidies up.
        layer.arm(0, 0);
        drop((writer.close().await, reader.close().await));
        layer.cut(&mut Keep::Nothing);
        let found = match SqliteConnection::connect_with(&options.clone().create_if_missing(false)).await {
            Ok(mut rows) => sqlx::query(count).fetch_one(&mut rows).await.map_or(0, |row| row.get::<i64, _>(0)),
            Err(_) => 0,
        };
        assert_eq!(found, if lasts { 100 } else { 0 }, "{synchronous:?}");
    }
}
