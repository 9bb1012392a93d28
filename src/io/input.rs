//! Input from a file, bytes in memory, or a reader.

use std::fmt;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

#[cfg(feature = "std-fs")]
use super::fs::{self, File};
use crate::error::{Error, Result};

/// A reader with random access.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Bytes to be read, with a name for errors and notes. Where files are supported, paths convert into it.
#[derive(Clone, Debug)]
pub struct Input {
    name: PathBuf,
    from: Origin,
}

#[derive(Clone)]
enum Origin {
    #[cfg(feature = "std-fs")]
    File,
    Bytes(Arc<[u8]>),
    Reader(Arc<Mutex<Box<dyn ReadSeek>>>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(feature = "std-fs")]
            Self::File => "file",
            Self::Bytes(_) => "bytes",
            Self::Reader(_) => "reader",
        })
    }
}

#[cfg(feature = "std-fs")]
impl<P: AsRef<Path> + ?Sized> From<&P> for Input {
    fn from(path: &P) -> Self {
        Self { name: path.as_ref().to_path_buf(), from: Origin::File }
    }
}

#[cfg(feature = "std-fs")]
impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        Self { name: path, from: Origin::File }
    }
}

/// A buffered handle with its own position.
pub(crate) type Reader = BufReader<Handle>;

/// One of several readers of an [`Input`].
#[derive(Debug)]
pub(crate) struct Handle(Kind);

enum Kind {
    #[cfg(feature = "std-fs")]
    File(File),
    Bytes(Cursor<Arc<[u8]>>),
    Shared(Arc<Mutex<Box<dyn ReadSeek>>>, u64),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

impl Input {
    /// Bytes in memory.
    pub fn bytes(name: impl Into<PathBuf>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { name: name.into(), from: Origin::Bytes(bytes.into()) }
    }

    /// The bytes of a reader, from its start.
    pub fn reader(name: impl Into<PathBuf>, reader: impl Read + Seek + Send + 'static) -> Self {
        Self { name: name.into(), from: Origin::Reader(Arc::new(Mutex::new(Box::new(reader)))) }
    }

    /// The name.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The path, if it is a file.
    #[cfg(feature = "std-fs")]
    pub fn path(&self) -> Option<&Path> {
        matches!(self.from, Origin::File).then_some(&*self.name)
    }

    /// All bytes. More than `max` bytes are an error, and so is a lack of memory, instead of an abort.
    pub(crate) fn read_all(&self, max: u64) -> Result<Vec<u8>> {
        let (reader, length) = self.open()?;
        let large = || Error::file(&self.name, format!("larger than the {max} bytes allowed"));
        if length > max {
            return Err(large());
        }
        let mut bytes = Vec::new();
        let full = |e| Error::file(&self.name, format!("does not fit into memory: {e}"));
        bytes.try_reserve(length as usize).map_err(full)?;
        reader.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io(&self.name, e))?;
        if bytes.len() as u64 > max { Err(large()) } else { Ok(bytes) }
    }

    /// A handle at the start, and the number of bytes.
    pub(crate) fn open(&self) -> Result<(Reader, u64)> {
        let (kind, length) = match &self.from {
            #[cfg(feature = "std-fs")]
            Origin::File => {
                let file = File::open(&self.name).map_err(|e| Error::io(&self.name, e))?;
                let length = file.metadata().map_err(|e| Error::io(&self.name, e))?.len();
                (Kind::File(file), length)
            }
            Origin::Bytes(bytes) => (Kind::Bytes(Cursor::new(bytes.clone())), bytes.len() as u64),
            Origin::Reader(reader) => {
                let end = lock(reader).seek(SeekFrom::End(0)).map_err(|e| Error::io(&self.name, e))?;
                (Kind::Shared(reader.clone(), 0), end)
            }
        };
        Ok((BufReader::new(Handle(kind)), length))
    }
}

fn lock(reader: &Mutex<Box<dyn ReadSeek>>) -> std::sync::MutexGuard<'_, Box<dyn ReadSeek>> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a handle reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A regular file.
    File,
    /// A folder, which cannot be read.
    Folder,
    /// A pipe or a device: read once, of no known length.
    Stream,
    /// Bytes in memory, or a reader.
    Memory,
}

impl Nature {
    #[cfg(feature = "std-fs")]
    fn of(metadata: &fs::Metadata) -> Self {
        match (metadata.is_file(), metadata.is_dir()) {
            (true, _) => Self::File,
            (_, true) => Self::Folder,
            _ => Self::Stream,
        }
    }
}

impl Handle {
    /// What it reads from.
    pub(crate) fn nature(&self) -> io::Result<Nature> {
        match &self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => Ok(Nature::of(&file.metadata()?)),
            _ => Ok(Nature::Memory),
        }
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.read(buffer),
            Kind::Bytes(bytes) => bytes.read(buffer),
            Kind::Shared(reader, at) => {
                let mut reader = lock(reader);
                reader.seek(SeekFrom::Start(*at))?;
                let n = reader.read(buffer)?;
                *at += n as u64;
                Ok(n)
            }
        }
    }
}

impl Seek for Handle {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.0 {
            #[cfg(feature = "std-fs")]
            Kind::File(file) => file.seek(to),
            Kind::Bytes(bytes) => bytes.seek(to),
            Kind::Shared(reader, at) => {
                let before = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the start");
                *at = match to {
                    SeekFrom::Start(to) => to,
                    SeekFrom::Current(by) => at.checked_add_signed(by).ok_or_else(before)?,
                    SeekFrom::End(_) => lock(reader).seek(to)?,
                };
                Ok(*at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_have_separate_positions() {
        let bytes: Vec<u8> = (0..=255).collect();
        for input in [Input::bytes("a", &bytes[..]), Input::reader("a", Cursor::new(bytes.clone()))] {
            let (mut one, length) = input.open().unwrap();
            let (mut other, _) = input.open().unwrap();
            assert_eq!((length, input.name()), (256, Path::new("a")));
            let mut buffer = [0; 4];
            one.seek(SeekFrom::Start(100)).unwrap();
            other.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [0, 1, 2, 3]);
            one.read_exact(&mut buffer).unwrap();
            assert_eq!(buffer, [100, 101, 102, 103]);
            one.seek(SeekFrom::End(-2)).unwrap();
            let mut rest = Vec::new();
            one.read_to_end(&mut rest).unwrap();
            other.seek(SeekFrom::Current(-4)).unwrap();
            other.read_exact(&mut buffer).unwrap();
            assert_eq!((rest, buffer), (vec![254, 255], [0, 1, 2, 3]));
            assert!(other.seek(SeekFrom::Current(-9)).is_err());
        }
    }
}
