//! Temporary files, as of the crate `tempfile`.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::file::{File, OpenOptions};
use super::tree::tree;

/// A file that is removed when it is dropped, unless it was given a name before.
#[derive(Debug)]
pub(crate) struct NamedTempFile {
    file: File,
    path: PathBuf,
}

/// Why a file was not given its name.
#[derive(Debug)]
pub(crate) struct PersistError {
    pub(crate) error: io::Error,
}

impl NamedTempFile {
    /// A new file in `folder`, whose name begins and ends so.
    pub(crate) fn create(folder: &Path, prefix: &str, suffix: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let path = folder.join(format!("{prefix}{}{suffix}", NEXT.fetch_add(1, Ordering::Relaxed)));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                // One that was stored while it was written, and came back.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                file => return Ok(Self { file: file?, path }),
            }
        }
    }

    pub(crate) fn as_file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it a name, in place of an older file.
    pub(crate) fn persist(self, path: impl AsRef<Path>) -> Result<File, PersistError> {
        tree().rename(&self.path, path.as_ref()).map_err(|error| PersistError { error })?;
        self.file.try_clone().map_err(|error| PersistError { error })
    }
}

impl Drop for NamedTempFile {
    fn drop(&mut self) {
        // Its name is gone if it has another.
        let _ = tree().remove_file(&self.path);
    }
}

impl Write for NamedTempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
