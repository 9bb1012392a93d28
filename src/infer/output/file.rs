//! A file that is written piece by piece and appears when it is whole.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::weights::{open_temporary, temporary_file};

/// What temporary files of results are called.
const PREFIX: &str = ".unet-";

/// Writes a file by way of a temporary one in the same folder, which is made if it does not exist. When anything fails
/// no trace is left and an older file stays as it was.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let folder = folder_of(path)?;
    // Not waited for until it is on the disk, as checkpoints are: a result can be made again.
    let temporary = temporary_file(folder, PREFIX, write).map_err(|e| Error::io(path, e))?;
    temporary.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

fn folder_of(path: &Path) -> Result<&Path> {
    if path.is_dir() {
        return Err(Error::file(path, "cannot be written, a folder of this name exists"));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    Ok(folder)
}

/// A file being written under a temporary name beside its own. Dropped, it leaves no trace.
#[derive(Debug)]
pub struct PendingFile {
    path: PathBuf,
    temporary: tempfile::NamedTempFile,
}

impl PendingFile {
    /// Begins a file; its folder is made if it does not exist.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let temporary = open_temporary(folder_of(&path)?, PREFIX).map_err(|e| Error::io(&path, e))?;
        Ok(Self { path, temporary })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to write with. All handles share one position.
    pub fn handle(&self) -> Result<File> {
        self.temporary.as_file().try_clone().map_err(|e| self.error(e))
    }

    /// An error about this file.
    pub fn error(&self, e: std::io::Error) -> Error {
        Error::io(&self.path, e)
    }

    /// Gives the file its name, in place of an older file.
    pub fn finish(self) -> Result<()> {
        let Self { path, temporary } = self;
        temporary.persist(&path).map_err(|e| Error::io(&path, e.error))?;
        Ok(())
    }
}
