//! The tree of folders and files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::{Content, stamp};
use super::entries::{DirEntry, FileType, Metadata, ReadDir};

static TREE: Mutex<Tree> =
    Mutex::new(Tree { root: Folder::new(), removed: BTreeMap::new(), told: BTreeMap::new(), taken: 0 });

/// The tree of this process.
pub(super) fn tree() -> MutexGuard<'static, Tree> {
    TREE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) type Folder = BTreeMap<OsString, Entry>;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Folder,
    /// Names that were removed since changes were last told, with their stamps.
    pub(super) removed: BTreeMap<PathBuf, u64>,
    /// All there was when changes were last told.
    pub(super) told: BTreeMap<PathBuf, FileType>,
    /// The stamp when changes were last told.
    pub(super) taken: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) node: Node,
    /// The stamp of getting this name.
    pub(super) named: u64,
}

#[derive(Debug)]
pub(super) enum Node {
    File(Arc<Content>),
    Folder(Folder),
}

impl Node {
    fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    pub(super) fn metadata(&self) -> Metadata {
        match self {
            Self::File(content) => Metadata { kind: FileType::File, len: content.len() },
            Self::Folder(_) => Metadata { kind: FileType::Folder, len: 0 },
        }
    }
}

/// What was opened.
#[derive(Clone, Debug)]
pub(super) enum Opened {
    File(Arc<Content>),
    Folder,
}

/// How a file is opened, as in [`std::fs::OpenOptions`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mode {
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) truncate: bool,
    pub(super) create: bool,
    pub(super) create_new: bool,
}

impl Mode {
    pub(super) fn writes(self) -> bool {
        self.write || self.append
    }

    fn creates(self) -> bool {
        self.create || self.create_new
    }

    fn check(self) -> io::Result<()> {
        let nothing = !self.read && !self.writes();
        let unwritten = !self.writes() && (self.truncate || self.creates());
        let both = self.append && self.truncate && !self.create_new;
        if nothing || unwritten || both { Err(ErrorKind::InvalidInput.into()) } else { Ok(()) }
    }
}

/// Where a path leads. The folders before its last name exist.
struct Place {
    /// The names from the root.
    names: Vec<OsString>,
    /// Whether it ends in a separator, and so must be a folder.
    slash: bool,
    /// Whether it ends in `.` or `..`, or is the root: it is no name in a folder.
    dots: bool,
}

impl Tree {
    fn place(&self, path: &Path) -> io::Result<Place> {
        if path.as_os_str().is_empty() {
            return Err(ErrorKind::NotFound.into());
        }
        let text = path.to_string_lossy();
        let mut names = Vec::new();
        for component in path.components() {
            self.folder(&names)?;
            match component {
                Component::Normal(name) => names.push(name.to_os_string()),
                Component::ParentDir => _ = names.pop(),
                Component::RootDir | Component::CurDir => {}
                Component::Prefix(_) => return Err(ErrorKind::InvalidInput.into()),
            }
        }
        let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let dots = ["", ".", ".."].contains(&last);
        if dots {
            self.folder(&names)?;
        }
        Ok(Place { names, slash: text.ends_with('/'), dots })
    }

    fn get(&self, names: &[OsString]) -> Option<&Entry> {
        let (last, above) = names.split_last()?;
        let folder = above.iter().try_fold(&self.root, |folder, name| match &folder.get(name)?.node {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        })?;
        folder.get(last)
    }

    /// The folder of these names.
    fn folder(&self, names: &[OsString]) -> io::Result<&Folder> {
        if names.is_empty() {
            return Ok(&self.root);
        }
        match &self.get(names).ok_or(ErrorKind::NotFound)?.node {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// The folder that a name is in, and the name.
    fn above<'a>(&mut self, names: &'a [OsString]) -> io::Result<(&mut Folder, &'a OsString)> {
        let (last, above) = names.split_last().ok_or(ErrorKind::InvalidInput)?;
        let mut folder = &mut self.root;
        for name in above {
            folder = match folder.get_mut(name).map(|entry| &mut entry.node) {
                Some(Node::Folder(folder)) => folder,
                Some(Node::File(_)) => return Err(ErrorKind::NotADirectory.into()),
                None => return Err(ErrorKind::NotFound.into()),
            };
        }
        Ok((folder, last))
    }

    fn insert(&mut self, names: &[OsString], node: Node) -> io::Result<()> {
        let (folder, name) = self.above(names)?;
        folder.insert(name.clone(), Entry { node, named: stamp() });
        Ok(())
    }

    fn remove(&mut self, names: &[OsString]) -> io::Result<Node> {
        let (folder, name) = self.above(names)?;
        let entry = folder.remove(name).ok_or(ErrorKind::NotFound)?;
        self.removed.insert(absolute(names), stamp());
        Ok(entry.node)
    }

    pub(super) fn open(&mut self, path: &Path, mode: Mode) -> io::Result<Opened> {
        mode.check()?;
        let Place { names, slash, dots } = self.place(path)?;
        // Nobody creates a file by the name of a folder.
        if slash && mode.creates() && !dots {
            return Err(ErrorKind::IsADirectory.into());
        }
        let folder = if names.is_empty() { None } else { Some(self.get(&names).map(|entry| &entry.node)) };
        match folder {
            None | Some(Some(_)) if mode.create_new => Err(ErrorKind::AlreadyExists.into()),
            None | Some(Some(Node::Folder(_))) if mode.writes() => Err(ErrorKind::IsADirectory.into()),
            None | Some(Some(Node::Folder(_))) => Ok(Opened::Folder),
            Some(Some(Node::File(_))) if slash => Err(ErrorKind::NotADirectory.into()),
            Some(Some(Node::File(content))) => {
                if mode.truncate {
                    content.set_len(0)?;
                }
                Ok(Opened::File(content.clone()))
            }
            Some(None) if mode.creates() => {
                let content = Content::new();
                self.insert(&names, Node::File(content.clone()))?;
                Ok(Opened::File(content))
            }
            Some(None) => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let place = self.place(path)?;
        if place.dots || self.get(&place.names).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.insert(&place.names, Node::Folder(Folder::new()))
    }

    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let Place { names, slash, .. } = self.place(path)?;
        if names.is_empty() {
            return Ok(Metadata { kind: FileType::Folder, len: 0 });
        }
        let node = &self.get(&names).ok_or(ErrorKind::NotFound)?.node;
        if slash && node.is_file() { Err(ErrorKind::NotADirectory.into()) } else { Ok(node.metadata()) }
    }

    pub(super) fn read_dir(&self, path: &Path) -> io::Result<ReadDir> {
        let of = |(name, entry): (&OsString, &Entry)| DirEntry {
            folder: path.into(),
            name: name.clone(),
            metadata: entry.node.metadata(),
        };
        let entries: Vec<_> = self.folder(&self.place(path)?.names)?.iter().map(of).collect();
        Ok(ReadDir(entries.into_iter()))
    }

    pub(super) fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.metadata(path)?;
        Ok(absolute(&self.place(path)?.names))
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let Place { names, slash, dots } = self.place(path)?;
        if dots {
            return Err(ErrorKind::IsADirectory.into());
        }
        match &self.get(&names).ok_or(ErrorKind::NotFound)?.node {
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
            Node::File(_) if slash => Err(ErrorKind::NotADirectory.into()),
            Node::File(_) => self.remove(&names).map(drop),
        }
    }

    /// Removes a folder; with `all`, also one that is not empty.
    pub(super) fn remove_dir(&mut self, path: &Path, all: bool) -> io::Result<()> {
        let Place { names, dots, .. } = self.place(path)?;
        if dots {
            return Err(ErrorKind::InvalidInput.into());
        }
        if !self.folder(&names)?.is_empty() && !all {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.remove(&names).map(drop)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        if from.dots || to.dots {
            return Err(ErrorKind::ResourceBusy.into());
        }
        let source = &self.get(&from.names).ok_or(ErrorKind::NotFound)?.node;
        if source.is_file() && (from.slash || to.slash) {
            return Err(ErrorKind::NotADirectory.into());
        }
        let (from, to) = (from.names, to.names);
        if from == to {
            return Ok(());
        }
        if to.starts_with(&from) {
            return Err(ErrorKind::InvalidInput.into());
        }
        if from.starts_with(&to) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        match (source, self.get(&to).map(|entry| &entry.node)) {
            (Node::File(_), Some(Node::Folder(_))) => return Err(ErrorKind::IsADirectory.into()),
            (Node::Folder(_), Some(Node::File(_))) => return Err(ErrorKind::NotADirectory.into()),
            (_, Some(Node::Folder(inner))) if !inner.is_empty() => return Err(ErrorKind::DirectoryNotEmpty.into()),
            // Two names of one file: both stay.
            (Node::File(a), Some(Node::File(b))) if Arc::ptr_eq(a, b) => return Ok(()),
            _ => {}
        }
        let (folder, name) = self.above(&from)?;
        let node = folder.remove(name).ok_or(ErrorKind::NotFound)?.node;
        self.insert(&to, node)?;
        // The new name is told first, so that there is always one.
        self.removed.insert(absolute(&from), stamp());
        Ok(())
    }

    pub(super) fn hard_link(&mut self, original: &Path, link: &Path) -> io::Result<()> {
        let from = self.place(original)?;
        let is_file = self.metadata(original)?.is_file();
        let to = self.place(link)?;
        if to.dots || self.get(&to.names).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if to.slash {
            return Err(ErrorKind::NotFound.into());
        }
        match self.get(&from.names).map(|entry| &entry.node) {
            Some(Node::File(content)) if is_file => {
                let node = Node::File(content.clone());
                self.insert(&to.names, node)
            }
            _ => Err(ErrorKind::PermissionDenied.into()),
        }
    }
}

fn absolute(names: &[OsString]) -> PathBuf {
    let mut path = PathBuf::from("/");
    path.extend(names);
    path
}
