//! Power cuts: a disk in memory, mounted by FUSE, that loses what nobody synced, and the moment at which it does.

pub mod disk;
mod fuse;

use disk::{Disk, Keep};
use fuse::Fuse;
use fuser::{BackgroundSession, Config, MountOption};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The disk and what it depends on: each operation that changes or syncs something counts, and the power may be cut before any of them.
pub struct Power {
    disk: Mutex<Disk>,
    is_off: AtomicBool,
    operations: AtomicI64,
    cut_before: AtomicI64,
    victim: AtomicI32,
}

impl Power {
    fn of(disk: Disk) -> Self {
        Self {
            disk: Mutex::new(disk),
            is_off: AtomicBool::new(false),
            operations: AtomicI64::new(0),
            cut_before: AtomicI64::new(i64::MAX),
            victim: AtomicI32::new(0),
        }
    }

    fn read<T>(&self, ask: impl FnOnce(&Disk) -> Result<T>) -> Result<T> {
        let disk = self.disk.lock().expect("no panic before");
        if self.is_off.load(SeqCst) { Err(dead()) } else { ask(&disk) }
    }

    fn write<T>(&self, change: impl FnOnce(&mut Disk) -> Result<T>) -> Result<T> {
        let mut disk = self.disk.lock().expect("no panic before");
        if !self.is_off.load(SeqCst) && self.operations.fetch_add(1, SeqCst) >= self.cut_before.load(SeqCst) {
            self.is_off.store(true, SeqCst);
            if let Some(victim) = Pid::from_raw(self.victim.load(SeqCst)) {
                // Before it can learn that its disk has gone: without power it would not run either.
                let _ = kill_process(victim, Signal::KILL);
            }
        }
        if self.is_off.load(SeqCst) { Err(dead()) } else { change(&mut disk) }
    }
}

fn dead() -> Error {
    rustix::io::Errno::IO.into()
}

/// The mounted disk.
pub struct Layer {
    place: PathBuf,
    power: Arc<Power>,
    session: Option<BackgroundSession>,
}

impl Layer {
    /// Mounts `disk` on the folder `place`. Panics where FUSE cannot be used: `scripts/test` then says that it leaves these tests out.
    pub fn mount(place: &Path, disk: Disk) -> Self {
        std::fs::create_dir_all(place).expect("a folder");
        let power = fuse::boot(disk);
        let mut layer = Self { place: place.to_owned(), power, session: None };
        layer.session = Some(layer.start());
        layer
    }

    fn start(&self) -> BackgroundSession {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("theatrum-powercut".into()), MountOption::DefaultPermissions];
        fuser::spawn_mount(Fuse::new(self.power.clone()), &self.place, &config).expect("FUSE: /dev/fuse, and root or fusermount3")
    }

    /// Cuts the power before the operation after `operations` more, and kills the process `victim` with it.
    pub fn arm(&self, victim: u32, operations: i64) {
        self.power.victim.store(victim.cast_signed(), SeqCst);
        self.power.cut_before.store(self.power.operations.load(SeqCst).saturating_add(operations), SeqCst);
    }

    /// The operations that changed or synced something so far.
    pub fn operations(&self) -> i64 {
        self.power.operations.load(SeqCst)
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.power.is_off.load(SeqCst)
    }

    /// Takes the power away, if it has not gone yet, and brings it back: what is mounted now is what survived. Nobody may use the disk.
    pub fn cut(&mut self, keep: &mut Keep) {
        self.power.is_off.store(true, SeqCst);
        self.unmount();
        let found = self.power.disk.lock().expect("no panic before").after_power_cut(keep);
        self.power = fuse::boot(found);
        self.session = Some(self.start());
    }

    /// The disk as it would be found after a power cut now, for other layers to begin with.
    pub fn image(&self) -> Disk {
        self.power.disk.lock().expect("no panic before").after_power_cut(&mut Keep::Nothing)
    }

    /// Lazily: a helper of ffmpeg that dies with its server may hold on to it for a moment longer.
    fn unmount(&mut self) {
        let Some(session) = self.session.take() else { return };
        let (program, options) =
            if rustix::process::getuid().is_root() { ("umount", ["--lazy"].as_slice()) } else { ("fusermount3", ["-u", "-z"].as_slice()) };
        let ended = Command::new(program).args(options).arg(&self.place).status();
        assert!(ended.is_ok_and(|status| status.success()), "could not unmount {}", self.place.display());
        drop(session);
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.power.is_off.store(true, SeqCst);
        self.unmount();
    }
}
