//! The data folder: whose it is, who else can read its secrets, how much room it has, and whether its disk keeps what it promises.

use super::Check;
use crate::cli::text;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

const SECRETS: [&str; 2] = ["keyring.json", "admin.token"];
const GIB: u64 = 1 << 30;
const TOO_LITTLE_BYTES: u64 = GIB;
const LITTLE_BYTES: u64 = 20 * GIB;

/// An upload acknowledges each part after a sync: slower disks than this are felt.
const SLOW_SYNC: Duration = Duration::from_millis(200);

/// Examines `data`, or, before the first start, the folder it will be made in.
pub(super) fn examine(data: &Path) -> Vec<Check> {
    let Some(existing) = data.ancestors().find(|folder| folder.is_dir()).or(Some(Path::new(".")).filter(|_| data.is_relative())) else {
        return vec![Check::fail("data folder", format!("no part of {} exists", data.display()), "name a folder with --data")];
    };
    let mut checks = vec![if existing == data { folder(data) } else { future_folder(data, existing) }];
    if existing == data {
        checks.extend(SECRETS.iter().filter_map(|name| secret(data, name)));
    }
    checks.push(room(existing));
    checks.push(sync(existing));
    checks
}

fn folder(data: &Path) -> Check {
    let metadata = match data.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Check::fail("data folder", format!("could not look at {}: {error}", data.display()), "run as its owner"),
    };
    let (mode, me) = (metadata.permissions().mode() & 0o777, rustix::process::geteuid());
    let shown = data.display();
    if metadata.uid() != me.as_raw() {
        let found = format!("{shown} belongs to user {}, not to you (user {})", metadata.uid(), me.as_raw());
        return Check::warn("data folder", found, "run doctor and serve as the same user, who owns the folder");
    }
    if mode & 0o022 != 0 {
        return Check::fail("data folder", format!("others can write to {shown} (mode {mode:o})"), format!("chmod 700 {shown}"));
    }
    if mode & 0o055 != 0 {
        return Check::warn("data folder", format!("others can list {shown} (mode {mode:o})"), format!("chmod 700 {shown}"));
    }
    Check::ok("data folder", format!("{shown}, for its owner only"))
}

fn future_folder(data: &Path, existing: &Path) -> Check {
    let shown = data.display();
    match tempfile::tempfile_in(existing) {
        Ok(_) => Check::ok("data folder", format!("{shown} will be made at the first start")),
        Err(error) => {
            let found = format!("{shown} cannot be made: {} does not let you write ({error})", existing.display());
            Check::fail("data folder", found, "name another folder with --data, or make it and give it to yourself with chown")
        }
    }
}

/// Whether others may read a secret; nothing while the secret does not exist yet.
fn secret(data: &Path, name: &str) -> Option<Check> {
    let path = data.join(name);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Check::fail("secrets", format!("could not look at {}: {error}", path.display()), "run as its owner")),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Some(Check::ok("secrets", format!("{name} is for its owner only")));
    }
    let found = format!("others can read {name} (mode {mode:o}), and with it every video");
    let mend = format!("chmod 600 {}\nand take it for known: others may have read it", path.display());
    Some(Check::fail("secrets", found, mend))
}

fn room(folder: &Path) -> Check {
    let free_bytes = match rustix::fs::statvfs(folder) {
        Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize),
        Err(error) => return Check::warn("disk", format!("could not measure {}: {error}", folder.display()), "see what df says"),
    };
    let found = format!("{} free", text::size(free_bytes));
    let mend = "make room or name a folder on a larger disk with --data; a video needs about three times its file";
    if free_bytes < TOO_LITTLE_BYTES {
        Check::fail("disk", found, mend)
    } else if free_bytes < LITTLE_BYTES {
        Check::warn("disk", found, mend)
    } else {
        Check::ok("disk", found)
    }
}

fn sync(folder: &Path) -> Check {
    let began = Instant::now();
    if let Err(error) = write_and_sync(folder) {
        return Check::fail(
            "fsync",
            format!("could not write and sync in {}: {error}", folder.display()),
            "use a local disk, not full, that you may write to",
        );
    }
    let took = began.elapsed();
    let found = format!("a synced write takes {} ms", took.as_millis());
    if took > SLOW_SYNC { Check::warn("fsync", found, "uploads will be slow: use a faster disk") } else { Check::ok("fsync", found) }
}

fn write_and_sync(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".doctor-").tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn permit(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
    }

    #[test]
    fn a_readable_keyring_fails_and_is_mended_by_chmod() {
        let data = tempfile::tempdir().expect("folder");
        let keyring = data.path().join("keyring.json");
        assert!(secret(data.path(), "keyring.json").is_none());
        std::fs::write(&keyring, "{}").expect("written");
        permit(&keyring, 0o640);
        let check = secret(data.path(), "keyring.json").expect("there");
        assert_eq!(check.status, Status::Fail);
        assert!(check.mend.expect("advice").starts_with("chmod 600 "));
        permit(&keyring, 0o600);
        assert_eq!(secret(data.path(), "keyring.json").expect("there").status, Status::Ok);
    }

    #[test]
    fn a_folder_open_to_others_is_noticed() {
        let data = tempfile::tempdir().expect("folder");
        for (mode, status) in [(0o700, Status::Ok), (0o755, Status::Warn), (0o770, Status::Fail)] {
            permit(data.path(), mode);
            assert_eq!(folder(data.path()).status, status, "{mode:o}");
        }
    }

    #[test]
    fn a_folder_not_yet_made_is_no_fault() {
        let parent = tempfile::tempdir().expect("folder");
        let checks = examine(&parent.path().join("a/b"));
        assert_eq!(checks[0].status, Status::Ok, "{checks:?}");
        assert!(std::fs::read_dir(parent.path()).expect("folder").next().is_none(), "doctor leaves nothing behind");
    }
}
