//! Files in memory: one tree for the whole process, with the names and the rules of `std::fs` as Linux has them.
//!
//! A relative path begins at `/`. There are no links but hard ones, no permissions, no times. Locks always succeed, since
//! nobody else is there. The application makes the tree last: it writes what was stored into it at the start, and stores what
//! [`take_changes`] tells.

mod changes;
mod content;
mod entries;
mod file;
mod temporary;
mod tree;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub use changes::Change;
pub use entries::{DirEntry, FileType, Metadata, ReadDir};
pub use file::{File, OpenOptions};
#[cfg(feature = "std-fs")]
pub(crate) use temporary::NamedTempFile;
use tree::tree;

/// What changed in the tree since the last call, in an order that leads from the tree then to the tree now. Each path comes
/// once, as it is now: what a file held in between does not show, nor does a file that came and went.
pub fn take_changes() -> Vec<Change> {
    tree().take_changes()
}

/// All folders and files but the root, each folder before what is in it.
pub fn list() -> Vec<(PathBuf, Metadata)> {
    tree().list()
}

/// [`std::fs::read`].
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    let length = file.metadata()?.len() as usize;
    bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// [`std::fs::read_to_string`].
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

/// [`std::fs::write`].
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    File::create(path)?.write_all(bytes.as_ref())
}

/// [`std::fs::create_dir`].
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    tree().create_dir(path.as_ref())
}

/// [`std::fs::create_dir_all`].
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let is_dir = || metadata(path).is_ok_and(|metadata| metadata.is_dir());
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    match create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create_dir_all(path.parent().ok_or(e)?)?;
            create_dir(path).or_else(|e| if is_dir() { Ok(()) } else { Err(e) })
        }
        Err(_) if is_dir() => Ok(()),
        made => made,
    }
}

/// [`std::fs::read_dir`], sorted by name.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    tree().read_dir(path.as_ref())
}

/// [`std::fs::metadata`].
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    tree().metadata(path.as_ref())
}

/// [`std::fs::exists`].
pub fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match metadata(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        found => Ok(found.is_ok()),
    }
}

/// [`std::fs::symlink_metadata`].
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    metadata(path)
}

/// [`std::fs::remove_file`].
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    tree().remove_file(path.as_ref())
}

/// [`std::fs::remove_dir`].
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    tree().remove_dir(path.as_ref(), false)
}

/// [`std::fs::remove_dir_all`].
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    tree().remove_dir(path.as_ref(), true)
}

/// [`std::fs::rename`].
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    tree().rename(from.as_ref(), to.as_ref())
}

/// [`std::fs::hard_link`].
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    tree().hard_link(original.as_ref(), link.as_ref())
}

/// [`std::fs::copy`].
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let mut from = File::open(from)?;
    if !from.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the source is no file"));
    }
    io::copy(&mut from, &mut File::create(to)?)
}

/// [`std::fs::canonicalize`].
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    tree().canonicalize(path.as_ref())
}

#[cfg(test)]
mod tests;
