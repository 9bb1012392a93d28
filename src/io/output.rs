//! Output to a file, which is written atomically, or to a writer, which gets the bytes when they are complete.

use std::fmt;
use std::io::{self, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "std-fs")]
use super::fs::{self, File};
#[cfg(feature = "std-fs")]
use super::replace::{open_temporary, remove_leftovers_once};
#[cfg(feature = "std-fs")]
use super::temporary::NamedTempFile;
use crate::error::{Error, Result};

/// Prefix of the names of temporary files.
#[cfg(feature = "std-fs")]
pub(super) const PREFIX: &str = ".unet-";
/// Size of the write buffer, bytes.
const BUFFER: usize = 1 << 18;

/// Where a result goes, with a name for errors, whose extension may choose a format. Where files are supported, paths
/// convert into it.
#[derive(Clone, Debug)]
pub struct Output {
    name: PathBuf,
    to: Destination,
}

#[derive(Clone)]
enum Destination {
    #[cfg(feature = "std-fs")]
    File,
    #[cfg(all(feature = "std-fs", feature = "image-formats"))]
    Part(Arc<Receive>),
    Writer(Arc<Mutex<dyn Write + Send>>),
}

/// What gets a part when it is complete.
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
type Receive = dyn Fn(Part) -> Result<()> + Send + Sync;

/// A complete part of a result: a temporary file, which is gone when this is dropped.
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
#[derive(Debug)]
pub(crate) struct Part(NamedTempFile);

#[cfg(all(feature = "std-fs", feature = "image-formats"))]
impl Part {
    /// Reads it from its start.
    pub(crate) fn reader(&self) -> io::Result<File> {
        let mut file = self.0.as_file().try_clone()?;
        file.rewind()?;
        Ok(file)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "std-fs")]
            Self::File => "file",
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Self::Part(_) => "part",
            Self::Writer(_) => "writer",
        })
    }
}

#[cfg(feature = "std-fs")]
impl<P: AsRef<Path> + ?Sized> From<&P> for Output {
    fn from(path: &P) -> Self {
        Self::from(path.as_ref().to_path_buf())
    }
}

#[cfg(feature = "std-fs")]
impl From<PathBuf> for Output {
    fn from(path: PathBuf) -> Self {
        Self { name: path, to: Destination::File }
    }
}

impl Output {
    /// A writer, which gets all bytes at once when they are complete. Until then they are in memory.
    pub fn writer(name: impl Into<PathBuf>, writer: impl Write + Send + 'static) -> Self {
        Self { name: name.into(), to: Destination::Writer(Arc::new(Mutex::new(writer))) }
    }

    /// Bytes in memory: the second value holds them when they are complete, and is empty before.
    pub fn memory(name: impl Into<PathBuf>) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        (Self { name: name.into(), to: Destination::Writer(bytes.clone()) }, bytes)
    }

    /// A part of the file `name`, in a temporary file beside it, which `receive` gets when it is complete.
    #[cfg(all(feature = "std-fs", feature = "image-formats"))]
    pub(crate) fn part(name: PathBuf, receive: impl Fn(Part) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { name, to: Destination::Part(Arc::new(receive)) }
    }

    /// The name.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The path, if it is a file or a folder.
    #[cfg(feature = "std-fs")]
    pub fn path(&self) -> Option<&Path> {
        matches!(self.to, Destination::File).then_some(&*self.name)
    }

    /// Writes it atomically. A file is synced to the disk, and its folder must exist.
    pub fn replace(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        match &self.to {
            #[cfg(feature = "std-fs")]
            Destination::File => super::replace_file(&self.name, |w| write(w)).map_err(|e| Error::io(&self.name, e)),
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Destination::Part(_) => write_atomically(self.clone(), |w| write(w)),
            Destination::Writer(_) => write_atomically(self.clone(), |w| write(w)),
        }
    }
}

/// Writes a file by way of a temporary one in the same folder, which is created if missing. On failure no trace is left
/// and an older file is unchanged; a writer gets nothing.
pub fn write_atomically(
    output: impl Into<Output>,
    write: impl FnOnce(&mut BufWriter<PendingHandle>) -> io::Result<()>,
) -> Result<()> {
    // Unlike a checkpoint it is not synced to the disk: a result can be computed again.
    let file = PendingFile::create(output)?;
    let mut writer = BufWriter::with_capacity(BUFFER, file.handle()?);
    write(&mut writer).and_then(|()| writer.flush()).map_err(|e| file.error(e))?;
    drop(writer);
    file.finish()
}

#[cfg(feature = "std-fs")]
fn folder_of(path: &Path) -> Result<&Path> {
    if fs::is_dir(path) {
        return Err(Error::file(path, "cannot be written, a folder of this name exists"));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    Ok(folder)
}

#[cfg(feature = "std-fs")]
fn temporary_beside(name: &Path) -> Result<NamedTempFile> {
    let folder = folder_of(name)?;
    remove_leftovers_once(folder, PREFIX);
    open_temporary(folder, PREFIX).map_err(|e| Error::io(name, e))
}

/// A file being written under a temporary name beside its own, or bytes on their way to a writer. Dropping it leaves no
/// trace.
#[derive(Debug)]
pub struct PendingFile {
    name: PathBuf,
    kind: Pending,
}

enum Pending {
    #[cfg(feature = "std-fs")]
    File(NamedTempFile),
    #[cfg(all(feature = "std-fs", feature = "image-formats"))]
    Part(NamedTempFile, Arc<Receive>),
    Memory(Arc<Mutex<Cursor<Vec<u8>>>>, Arc<Mutex<dyn Write + Send>>),
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "std-fs")]
            Self::File(file) => file.fmt(f),
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Self::Part(file, _) => file.fmt(f),
            Self::Memory(..) => f.write_str("memory"),
        }
    }
}

impl PendingFile {
    /// Begins a file; its folder is created if missing. The first one in a folder removes what killed processes left there.
    pub fn create(output: impl Into<Output>) -> Result<Self> {
        let Output { name, to } = output.into();
        let kind = match to {
            #[cfg(feature = "std-fs")]
            Destination::File => Pending::File(temporary_beside(&name)?),
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Destination::Part(receive) => Pending::Part(temporary_beside(&name)?, receive),
            Destination::Writer(writer) => Pending::Memory(Arc::default(), writer),
        };
        Ok(Self { name, kind })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.name
    }

    /// A handle to write with. All handles share one position.
    pub fn handle(&self) -> Result<PendingHandle> {
        Ok(PendingHandle(match &self.kind {
            #[cfg(feature = "std-fs")]
            Pending::File(file) => Kind::File(file.as_file().try_clone().map_err(|e| self.error(e))?),
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Pending::Part(file, _) => Kind::File(file.as_file().try_clone().map_err(|e| self.error(e))?),
            Pending::Memory(bytes, _) => Kind::Memory(bytes.clone()),
        }))
    }

    /// An error about this file.
    pub fn error(&self, e: io::Error) -> Error {
        Error::io(&self.name, e)
    }

    /// Gives the file its name, replacing an older file; or gives the bytes to the writer.
    pub fn finish(self) -> Result<()> {
        let Self { name, kind } = self;
        match kind {
            #[cfg(feature = "std-fs")]
            Pending::File(temporary) => temporary.persist(&name).map(drop).map_err(|e| Error::io(&name, e.error)),
            #[cfg(all(feature = "std-fs", feature = "image-formats"))]
            Pending::Part(temporary, receive) => receive(Part(temporary)),
            Pending::Memory(bytes, writer) => {
                let mut writer = lock(&*writer);
                writer.write_all(lock(&bytes).get_ref()).and_then(|()| writer.flush()).map_err(|e| Error::io(&name, e))
            }
        }
    }
}

/// A handle to write a [`PendingFile`] with.
#[derive(Debug)]
pub struct PendingHandle(Kind);

#[derive(Debug)]
enum Kind {
    #[cfg(feature = "std-fs")]
    File(File),
    Memory(Arc<Mutex<Cursor<Vec<u8>>>>),
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Write for PendingHandle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.write(bytes),
            Kind::Memory(memory) => lock(memory).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.flush(),
            Kind::Memory(_) => Ok(()),
        }
    }
}

/// Reads back what was written.
impl Read for PendingHandle {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.read(bytes),
            Kind::Memory(memory) => lock(memory).read(bytes),
        }
    }
}

impl Seek for PendingHandle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.seek(to),
            Kind::Memory(memory) => lock(memory).seek(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_gets_all_bytes_or_none() {
        let (output, bytes) = Output::memory("a.bin");
        let failed = write_atomically(output.clone(), |w| {
            w.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.unwrap_err().to_string().starts_with("a.bin: "));
        assert!(bytes.lock().unwrap().is_empty());
        write_atomically(output, |w| {
            w.write_all(b"xxxx whole")?;
            w.seek(SeekFrom::Start(0))?;
            w.write_all(b"the ")
        })
        .unwrap();
        assert_eq!(*bytes.lock().unwrap(), b"the  whole"[..]);
    }
}
