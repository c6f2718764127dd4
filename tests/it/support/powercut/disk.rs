//! A disk that forgets: files and folders as programs see them, and as they would be found if the power went now.
//!
//! What POSIX promises is all that lasts. Contents and size of a file last once fsync or fdatasync on it, or a write under O_SYNC or
//! O_DSYNC, has returned; a name (made, linked, renamed over, removed) once fsync on its folder has. Neither brings the other about: a synced file without a synced name is
//! gone, a synced name without synced contents is an empty file. A rename within one folder happens wholly or not at all, as on every file
//! system there is; one between folders is refused, as between two disks.

use rand::RngExt;
use rand::rngs::StdRng;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Result;
use std::time::SystemTime;

/// The number of the topmost folder, as FUSE wants it.
pub const ROOT: u64 = 1;
/// What a disk writes wholly or not at all.
const SECTOR_BYTES: usize = 512;

/// The disk.
#[derive(Clone)]
pub struct Disk {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

/// A file or folder.
#[derive(Clone)]
pub struct Node {
    /// Permission bits.
    pub mode: u16,
    /// When its contents last changed.
    pub modified: SystemTime,
    /// How many names it has.
    pub links: u32,
    /// What it holds.
    pub body: Body,
}

/// What a node holds: now, on the platter, and the way from there to here.
#[derive(Clone)]
pub enum Body {
    /// Bytes.
    File(Lasting<Vec<u8>, Change>),
    /// Names.
    Folder(Lasting<Names, Naming>),
}

/// Something as it is, as it was last synced, and what has happened since.
#[derive(Clone)]
pub struct Lasting<T, C> {
    /// As programs see it.
    pub now: T,
    synced: T,
    since: Vec<C>,
}

/// The names of a folder.
pub type Names = BTreeMap<OsString, u64>;

/// What one operation did to names of one folder: what each leads to now, if anywhere.
pub type Naming = Vec<(OsString, Option<u64>)>;

/// What one operation did to a file.
#[derive(Clone)]
pub enum Change {
    /// Bytes from an offset on.
    Write(usize, Vec<u8>),
    /// A new size.
    Resize(usize),
}

/// How much of what was not synced survives.
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Whatever happened to be written back: any sectors of any writes, any names; the drive and the kernel choose.
    Some(Box<StdRng>),
}

impl<T: Clone, C> Lasting<T, C> {
    fn change(&mut self, change: C, apply: impl Fn(&mut T, &C)) {
        apply(&mut self.now, &change);
        self.since.push(change);
    }

    fn sync(&mut self, apply: impl Fn(&mut T, &C)) {
        self.since.drain(..).for_each(|change| apply(&mut self.synced, &change));
    }

    fn settled(value: T) -> Self {
        Self { now: value.clone(), synced: value, since: Vec::new() }
    }
}

fn alter(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(at, new) => {
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        Change::Resize(size) => bytes.resize(*size, 0),
    }
}

fn rename(names: &mut Names, naming: &Naming) {
    for (name, node) in naming {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}

impl Node {
    fn new(mode: u16, body: Body) -> Self {
        Self { mode, modified: SystemTime::now(), links: 0, body }
    }
}

impl Disk {
    /// An empty disk, whose topmost folder has `mode`.
    pub fn new(mode: u16) -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::new(mode, Body::Folder(Lasting::settled(Names::new()))))]), next: ROOT + 1 }
    }

    /// A node.
    pub fn node(&self, number: u64) -> Result<&Node> {
        self.nodes.get(&number).ok_or_else(|| Errno::NOENT.into())
    }

    /// A node, to be changed in what a power cut leaves alone.
    pub fn node_mut(&mut self, number: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&number).ok_or_else(|| Errno::NOENT.into())
    }

    /// The names of a folder.
    pub fn names(&self, folder: u64) -> Result<&Names> {
        match &self.node(folder)?.body {
            Body::Folder(names) => Ok(&names.now),
            Body::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    /// What `name` leads to.
    pub fn find(&self, folder: u64, name: &OsString) -> Result<u64> {
        self.names(folder)?.get(name).copied().ok_or_else(|| Errno::NOENT.into())
    }

    /// The bytes of a file.
    pub fn bytes(&self, file: u64) -> Result<&[u8]> {
        match &self.node(file)?.body {
            Body::File(bytes) => Ok(&bytes.now),
            Body::Folder(_) => Err(Errno::ISDIR.into()),
        }
    }

    /// Makes an empty file or folder.
    pub fn make(&mut self, folder: u64, name: OsString, mode: u16, is_folder: bool) -> Result<u64> {
        self.vacant(folder, &name)?;
        let number = self.next;
        self.next += 1;
        let body = if is_folder { Body::Folder(Lasting::settled(Names::new())) } else { Body::File(Lasting::settled(Vec::new())) };
        self.nodes.insert(number, Node::new(mode, body));
        self.name(folder, vec![(name, Some(number))])?;
        Ok(number)
    }

    /// Gives `node` a second name.
    pub fn link(&mut self, node: u64, folder: u64, name: OsString) -> Result<()> {
        self.vacant(folder, &name)?;
        self.name(folder, vec![(name, Some(node))])
    }

    /// Takes a name away; a folder must be empty. Whoever has the file open keeps it.
    pub fn unlink(&mut self, folder: u64, name: OsString, is_folder: bool) -> Result<()> {
        match (&self.node(self.find(folder, &name)?)?.body, is_folder) {
            (Body::Folder(names), true) if !names.now.is_empty() => Err(Errno::NOTEMPTY.into()),
            (Body::Folder(_), false) => Err(Errno::ISDIR.into()),
            (Body::File(_), true) => Err(Errno::NOTDIR.into()),
            _ => self.name(folder, vec![(name, None)]),
        }
    }

    /// Renames within one folder, over a file that bears the new name already unless that is forbidden.
    pub fn rename(&mut self, folder: u64, from: OsString, to: OsString, may_replace: bool) -> Result<()> {
        let node = self.find(folder, &from)?;
        if !may_replace {
            self.vacant(folder, &to)?;
        }
        self.name(folder, vec![(from, None), (to, Some(node))])
    }

    /// Writes into a file, or changes its size; `synced` as under O_SYNC.
    pub fn change(&mut self, file: u64, change: Change, synced: bool) -> Result<()> {
        let node = self.node_mut(file)?;
        node.modified = SystemTime::now();
        match &mut node.body {
            Body::File(bytes) => bytes.change(change, alter),
            Body::Folder(_) => return Err(Errno::ISDIR.into()),
        }
        if synced { self.sync(file) } else { Ok(()) }
    }

    /// What fsync and fdatasync do, on a file or a folder.
    pub fn sync(&mut self, number: u64) -> Result<()> {
        match &mut self.node_mut(number)?.body {
            Body::File(bytes) => bytes.sync(alter),
            Body::Folder(names) => names.sync(rename),
        }
        Ok(())
    }

    /// The disk as it is found when the power is back.
    pub fn after_power_cut(&self, keep: &mut Keep) -> Self {
        let mut found = Self { nodes: BTreeMap::new(), next: self.next };
        let mut pending = vec![ROOT];
        while let Some(number) = pending.pop() {
            if found.nodes.contains_key(&number) {
                continue;
            }
            let node = &self.nodes[&number];
            let body = match &node.body {
                Body::File(bytes) => Body::File(Lasting::settled(surviving_bytes(bytes, keep))),
                Body::Folder(names) => {
                    let names = surviving_names(names, keep);
                    pending.extend(names.values());
                    Body::Folder(Lasting::settled(names))
                }
            };
            found.nodes.insert(number, Node { body, links: 0, ..node.clone() });
        }
        let named: Vec<u64> = found.nodes.values().filter_map(Node::names).flat_map(BTreeMap::values).copied().collect();
        for number in named {
            found.nodes.entry(number).and_modify(|node| node.links += 1);
        }
        found
    }

    fn vacant(&self, folder: u64, name: &OsString) -> Result<()> {
        if self.names(folder)?.contains_key(name) { Err(Errno::EXIST.into()) } else { Ok(()) }
    }

    fn name(&mut self, folder: u64, naming: Naming) -> Result<()> {
        for (name, node) in &naming {
            if let Ok(before) = self.find(folder, name) {
                self.node_mut(before)?.links -= 1;
            }
            if let Some(node) = node {
                self.node_mut(*node)?.links += 1;
            }
        }
        let node = self.node_mut(folder)?;
        node.modified = SystemTime::now();
        match &mut node.body {
            Body::Folder(names) => names.change(naming, rename),
            Body::File(_) => return Err(Errno::NOTDIR.into()),
        }
        Ok(())
    }
}

impl Node {
    fn names(&self) -> Option<&Names> {
        match &self.body {
            Body::Folder(names) => Some(&names.now),
            Body::File(_) => None,
        }
    }
}

/// Later writes may survive earlier ones, and parts of each; of two that overlap, the later one wins where it survives.
fn surviving_bytes(bytes: &Lasting<Vec<u8>, Change>, keep: &mut Keep) -> Vec<u8> {
    let mut found = bytes.synced.clone();
    let Keep::Some(random) = keep else { return found };
    for change in &bytes.since {
        match change {
            Change::Resize(_) if random.random_bool(0.5) => alter(&mut found, change),
            Change::Resize(_) => {}
            Change::Write(at, new) => {
                let mut begun = 0;
                while begun < new.len() {
                    let end = (at + begun) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES - at;
                    let piece = begun..end.min(new.len());
                    if random.random_bool(0.5) {
                        alter(&mut found, &Change::Write(at + begun, new[piece.clone()].to_vec()));
                    }
                    begun = piece.end;
                }
            }
        }
    }
    found
}

fn surviving_names(names: &Lasting<Names, Naming>, keep: &mut Keep) -> Names {
    let mut found = names.synced.clone();
    if let Keep::Some(random) = keep {
        names.since.iter().filter(|_| random.random_bool(0.5)).for_each(|naming| rename(&mut found, naming));
    }
    found
}
