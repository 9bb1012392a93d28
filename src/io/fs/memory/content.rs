//! The bytes of a file, which its names and its open handles share.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The number of the next change.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number for a change, greater than those of all before it.
pub(super) fn stamp() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Content {
    bytes: RwLock<Vec<u8>>,
    /// The stamp of the last change.
    written: AtomicU64,
}

impl Content {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn bytes(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes, about to be changed.
    fn changing(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        let bytes = self.bytes.write().unwrap_or_else(PoisonError::into_inner);
        self.written.store(stamp(), Ordering::Relaxed);
        bytes
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// Fills `buffer` from a position on as far as there are bytes; how many.
    pub(super) fn read_at(&self, at: u64, buffer: &mut [u8]) -> usize {
        let bytes = self.bytes();
        let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        n
    }

    /// Writes bytes at a position, or at the end; where they end.
    pub(super) fn write_at(&self, at: Option<u64>, new: &[u8]) -> io::Result<u64> {
        let mut bytes = self.changing();
        let at = at.map_or(Some(bytes.len()), |at| usize::try_from(at).ok());
        let (at, end) = at.and_then(|at| Some((at, at.checked_add(new.len())?))).ok_or(io::ErrorKind::FileTooLarge)?;
        // A gap before it is zeros, and what follows is copied once.
        if at >= bytes.len() {
            grow(&mut bytes, end)?;
            bytes.resize(at, 0);
            bytes.extend_from_slice(new);
        } else {
            if end > bytes.len() {
                grow(&mut bytes, end)?;
                bytes.resize(end, 0);
            }
            bytes[at..end].copy_from_slice(new);
        }
        Ok(end as u64)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut bytes = self.changing();
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        grow(&mut bytes, len)?;
        bytes.resize(len, 0);
        Ok(())
    }
}

/// Makes room for `len` bytes; a lack of memory is a full disk.
fn grow(bytes: &mut Vec<u8>, len: usize) -> io::Result<()> {
    let more = len.saturating_sub(bytes.len());
    // Room for what may follow, unless there is not so much.
    let made = bytes.try_reserve(more).or_else(|_| bytes.try_reserve_exact(more));
    made.map_err(|_| io::ErrorKind::StorageFull.into())
}
