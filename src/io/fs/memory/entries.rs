//! What a path leads to, and what is in a folder.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// [`std::fs::FileType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A file.
    File,
    /// A folder.
    Folder,
}

impl FileType {
    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        *self == Self::File
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        *self == Self::Folder
    }

    /// Whether it is a symbolic link: there are none.
    pub fn is_symlink(&self) -> bool {
        false
    }
}

/// [`std::fs::Metadata`], without permissions and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(super) kind: FileType,
    pub(super) len: u64,
}

#[expect(clippy::len_without_is_empty, reason = "neither has std's")]
impl Metadata {
    /// File or folder.
    pub fn file_type(&self) -> FileType {
        self.kind
    }

    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.kind.is_file()
    }

    /// Whether it is a folder.
    pub fn is_dir(&self) -> bool {
        self.kind.is_dir()
    }

    /// Whether it is a symbolic link: there are none.
    pub fn is_symlink(&self) -> bool {
        false
    }

    /// Bytes of a file; 0 for a folder.
    pub fn len(&self) -> u64 {
        self.len
    }
}

/// [`std::fs::DirEntry`].
#[derive(Clone, Debug)]
pub struct DirEntry {
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
    pub(super) metadata: Metadata,
}

impl DirEntry {
    /// The path of the folder that was read, with the name.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.name.clone()
    }

    /// File or folder.
    pub fn file_type(&self) -> io::Result<FileType> {
        Ok(self.metadata.kind)
    }

    /// As it was when the folder was read.
    pub fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.metadata)
    }
}

/// [`std::fs::ReadDir`]: what was in the folder when it was read.
#[derive(Debug)]
pub struct ReadDir(pub(super) std::vec::IntoIter<DirEntry>);

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        self.0.next().map(Ok)
    }
}
