//! The disk that forgets, mounted: FUSE's questions to it. After the power cut there is no answer but EIO.

use super::Power;
use super::disk::{Body, Change, Disk, Node};
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::Result;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Nobody else changes the disk, so the kernel may remember what it was told.
const TTL: Duration = Duration::from_secs(1);
const BLOCK_BYTES: u32 = 4096;
/// 64 GiB, so that nobody believes the disk to be full.
const BLOCKS: u64 = 16 << 20;
const SYNCED: i32 = libc::O_SYNC | libc::O_DSYNC;

type Listing = Vec<(u64, FileType, OsString)>;

/// The file system.
pub struct Fuse {
    power: Arc<Power>,
    /// What is being listed: a listing neither skips nor repeats a name when others come and go.
    listings: Mutex<HashMap<u64, Listing>>,
}

impl Fuse {
    /// A file system over what `power` feeds.
    pub fn new(power: Arc<Power>) -> Self {
        Self { power, listings: Mutex::default() }
    }

    fn entry(&self, made: Result<u64>) -> Result<FileAttr> {
        made.and_then(|number| self.power.read(|disk| Ok(attributes(number, disk.node(number)?))))
    }

    fn list(&self, folder: u64) -> Result<u64> {
        let entries = self.power.read(|disk| {
            let names = disk.names(folder)?.iter();
            names.map(|(name, number)| Ok((*number, kind(disk.node(*number)?), name.clone()))).collect::<Result<Vec<_>>>()
        })?;
        let mut listings = self.listings.lock().expect("no panic before");
        let handle = (0..).find(|handle| !listings.contains_key(handle)).expect("a free handle");
        listings.insert(handle, entries);
        Ok(handle)
    }
}

fn kind(node: &Node) -> FileType {
    match node.body {
        Body::File(_) => FileType::RegularFile,
        Body::Folder(_) => FileType::Directory,
    }
}

fn attributes(number: u64, node: &Node) -> FileAttr {
    let size = match &node.body {
        Body::File(bytes) => bytes.now.len() as u64,
        Body::Folder(_) => 0,
    };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: node.modified,
        mtime: node.modified,
        ctime: node.modified,
        crtime: node.modified,
        kind: kind(node),
        perm: node.mode,
        nlink: node.links,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

fn permissions(mode: u32, umask: u32) -> u16 {
    u16::try_from(mode & !umask & 0o7777).expect("twelve bits")
}

/// Answers with what was done, or with why not.
macro_rules! answer {
    ($reply:expr, $done:expr, $value:pat => $answer:expr) => {
        match $done {
            Ok($value) => $answer,
            Err(error) => $reply.error(Errno::from(error)),
        }
    };
}

impl Filesystem for Fuse {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.power.read(|disk| disk.find(parent.0, &name.to_owned()));
        answer!(reply, self.entry(found), found => reply.entry(&TTL, &found, Generation(0)))
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer!(reply, self.entry(Ok(ino.0)), found => reply.attr(&TTL, &found))
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.power.write(|disk| {
            if let Some(mode) = mode {
                disk.node_mut(ino.0)?.mode = permissions(mode, 0);
            }
            size.map_or(Ok(()), |size| disk.change(ino.0, Change::Resize(size as usize), false))
        });
        answer!(reply, changed.and_then(|()| self.entry(Ok(ino.0))), found => reply.attr(&TTL, &found))
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let made = self.power.write(|disk| disk.make(parent.0, name.to_owned(), permissions(mode, umask), true));
        answer!(reply, self.entry(made), found => reply.entry(&TTL, &found, Generation(0)))
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let made = self.power.write(|disk| disk.make(parent.0, name.to_owned(), permissions(mode, umask), false));
        answer!(reply, self.entry(made), found => reply.created(&TTL, &found, Generation(0), FileHandle(0), FopenFlags::empty()))
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.power.write(|disk| disk.unlink(parent.0, name.to_owned(), false)), () => reply.ok())
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(reply, self.power.write(|disk| disk.unlink(parent.0, name.to_owned(), true)), () => reply.ok())
    }

    fn rename(&self, _: &Request, from: INodeNo, name: &OsStr, to: INodeNo, new_name: &OsStr, flags: RenameFlags, reply: ReplyEmpty) {
        if from != to {
            return reply.error(Errno::EXDEV);
        }
        let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let renamed = self.power.write(|disk| disk.rename(from.0, name.to_owned(), new_name.to_owned(), may_replace));
        answer!(reply, renamed, () => reply.ok())
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.power.write(|disk| disk.link(ino.0, parent.0, name.to_owned()));
        answer!(reply, self.entry(linked.map(|()| ino.0)), found => reply.entry(&TTL, &found, Generation(0)))
    }

    fn read(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, size: u32, _: OpenFlags, _: Option<LockOwner>, reply: ReplyData) {
        let piece = self.power.read(|disk| {
            let bytes = disk.bytes(ino.0)?;
            let start = bytes.len().min(offset as usize);
            Ok(bytes[start..bytes.len().min(start + size as usize)].to_vec())
        });
        answer!(reply, piece, piece => reply.data(&piece))
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let is_synced = flags.0 & SYNCED != 0;
        let written = self.power.write(|disk| disk.change(ino.0, Change::Write(offset as usize, data.to_vec()), is_synced));
        answer!(reply, written, () => reply.written(data.len() as u32))
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        answer!(reply, self.power.read(|_| Ok(())), () => reply.ok())
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.power.write(|disk| disk.sync(ino.0)), () => reply.ok())
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(reply, self.power.write(|disk| disk.sync(ino.0)), () => reply.ok())
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        answer!(reply, self.list(ino.0), handle => reply.opened(FileHandle(handle), FopenFlags::empty()))
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listings = self.listings.lock().expect("no panic before");
        for (at, (number, kind, name)) in listings[&fh.0].iter().enumerate().skip(offset as usize) {
            if reply.add(INodeNo(*number), at as u64 + 1, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().expect("no panic before").remove(&fh.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_BYTES, 255, BLOCK_BYTES);
    }
}

/// The disk as a cut leaves it, for [`Power`].
pub fn boot(disk: Disk) -> Arc<Power> {
    Arc::new(Power::of(disk))
}
