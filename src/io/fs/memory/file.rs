//! Open files.

use std::fs::TryLockError;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entries::{FileType, Metadata};
use super::tree::{Mode, Opened, tree};

/// [`std::fs::OpenOptions`].
#[derive(Clone, Debug, Default)]
pub struct OpenOptions(Mode);

macro_rules! modes {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("[`std::fs::OpenOptions::", stringify!($name), "`].")]
            pub fn $name(&mut self, $name: bool) -> &mut Self {
                self.0.$name = $name;
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Nothing is set.
    pub fn new() -> Self {
        Self::default()
    }

    modes!(read write append truncate create create_new);

    /// [`std::fs::OpenOptions::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let opened = tree().open(path.as_ref(), self.0)?;
        Ok(File { opened, mode: self.0, at: Arc::default() })
    }
}

/// [`std::fs::File`]: it keeps its bytes, whatever becomes of its name.
#[derive(Debug)]
pub struct File {
    opened: Opened,
    mode: Mode,
    /// The position, which copies of this handle share.
    at: Arc<Mutex<u64>>,
}

impl File {
    /// [`std::fs::File::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).open(path)
    }

    /// [`std::fs::File::create`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// [`std::fs::File::create_new`].
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// [`std::fs::File::options`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// [`std::fs::File::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        Ok(match &self.opened {
            Opened::File(content) => Metadata { kind: FileType::File, len: content.len() },
            Opened::Folder => Metadata { kind: FileType::Folder, len: 0 },
        })
    }

    /// [`std::fs::File::try_clone`].
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { opened: self.opened.clone(), mode: self.mode, at: self.at.clone() })
    }

    /// [`std::fs::File::set_len`].
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        match &self.opened {
            Opened::File(content) if self.mode.writes() && i64::try_from(len).is_ok() => content.set_len(len),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Does nothing: there is no disk.
    pub fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: there is no disk.
    pub fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    /// Succeeds: nobody else is there.
    pub fn lock(&self) -> io::Result<()> {
        Ok(())
    }

    /// Succeeds: nobody else is there.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        Ok(())
    }

    /// Does nothing.
    pub fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    fn at(&self) -> MutexGuard<'_, u64> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.opened {
            _ if !self.mode.read => Err(io::Error::other("not open for reading")),
            Opened::Folder => Err(ErrorKind::IsADirectory.into()),
            Opened::File(content) => {
                let mut at = self.at();
                let n = content.read_at(*at, buffer);
                *at += n as u64;
                Ok(n)
            }
        }
    }
}

impl Write for &File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.opened {
            // No bytes neither fill a gap nor move the position.
            Opened::File(_) if self.mode.writes() && bytes.is_empty() => Ok(0),
            Opened::File(content) if self.mode.writes() => {
                let mut at = self.at();
                *at = content.write_at((!self.mode.append).then_some(*at), bytes)?;
                Ok(bytes.len())
            }
            _ => Err(io::Error::other("not open for writing")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let mut at = self.at();
        let new = match to {
            SeekFrom::Start(to) => Some(to),
            SeekFrom::Current(by) => at.checked_add_signed(by),
            SeekFrom::End(by) => self.metadata()?.len().checked_add_signed(by),
        };
        *at = new.filter(|&to| i64::try_from(to).is_ok()).ok_or(ErrorKind::InvalidInput)?;
        Ok(*at)
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}
