//! Atomic replacement of files: a killed process or a full disk never loses the earlier file.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::fs::{self, File, TryLockError};
use super::temporary::{self, NamedTempFile};

/// Ending of temporary files.
const SUFFIX: &str = ".tmp";

/// Writes a temporary file beside `path`, waits until it is on the disk, and gives it the name. On any failure the
/// earlier file is unchanged. Leftovers of killed processes for `path` are removed.
pub(crate) fn replace_file(path: &Path, write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> io::Result<()> {
    // A link stays a link: its target is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::other("is not the name of a file"))?.to_string_lossy();
    // Shortened, since a file system bounds the length of names.
    let prefix = format!(".{}.", name.chars().take(50).collect::<String>());
    remove_leftovers(folder, &prefix);
    let file = open_temporary(folder, &prefix)?;
    let mut writer = BufWriter::with_capacity(1 << 18, file.as_file());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|e| e.error)?;
    // The new name is durable once the folder is synced. Systems that cannot open folders do it themselves.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// An empty temporary file, to be written and given its name. It is locked, so that nobody takes it for a leftover.
pub(super) fn open_temporary(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    loop {
        let file = temporary::public(folder, prefix, SUFFIX)?;
        match file.as_file().try_lock() {
            // Between creating and locking, another process took it for a leftover and may have removed it: a new one.
            Err(TryLockError::WouldBlock) => {}
            Ok(()) if !fs::exists(file.path()) => {}
            // The lock ends with the process. Not every file system has locks.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Folders that [`remove_leftovers_once`] has seen.
static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// The first time that this process writes into a folder, removes the leftovers of killed processes there: a scan per file would
/// take long in a folder of many.
pub(super) fn remove_leftovers_once(folder: &Path, prefix: &str) {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.insert(fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf())) {
        // Other threads wait: where locks belong to a process, ours would not keep us from our own files.
        remove_leftovers(folder, prefix);
    }
}

/// Removes temporary files that no process is writing. Failures here must not fail a save.
fn remove_leftovers(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|n| n.starts_with(prefix) && n.ends_with(SUFFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(file) = File::options().write(true).open(entry.path())
            && file.try_lock().is_ok()
        {
            // The lock is held meanwhile, so that who has just created it notices.
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_disk_leaves_the_earlier_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.bin");
        replace_file(&path, |w| w.write_all(b"old")).unwrap();
        let full = |w: &mut BufWriter<&File>| {
            w.write_all(&[7; 1 << 20])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert_eq!(replace_file(&path, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((fs::read(&path).unwrap(), names(dir.path())), (b"old".to_vec(), vec!["state.bin".to_string()]));
    }

    #[test]
    fn leftovers_go_and_files_being_written_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (left, busy, other) = (".m.dead.tmp", ".m.busy.tmp", ".n.dead.tmp");
        for name in [left, busy, other] {
            fs::write(dir.path().join(name), b"half").unwrap();
        }
        let held = File::open(dir.path().join(busy)).unwrap();
        held.lock().unwrap();
        replace_file(&dir.path().join("m"), |w| w.write_all(b"new")).unwrap();
        assert_eq!(names(dir.path()), [busy, other, "m"]);
        drop(held);
        replace_file(&dir.path().join("m"), |w| w.write_all(b"newer")).unwrap();
        assert_eq!(names(dir.path()), [other, "m"]);
        assert_eq!(fs::read(dir.path().join("m")).unwrap(), b"newer");
    }
    #[test]
    fn leftovers_of_results_go_with_the_first_result() {
        let dir = tempfile::tempdir().unwrap();
        let (left, busy, foreign) = (".unet-dead.tmp", ".unet-busy.tmp", "unet-mine.tmp");
        for name in [left, busy, foreign] {
            fs::write(dir.path().join(name), b"half").unwrap();
        }
        let held = File::open(dir.path().join(busy)).unwrap();
        held.lock().unwrap();
        let write = |name| crate::io::write_atomically(dir.path().join(name), |w| w.write_all(b"new"));
        write("a").unwrap();
        assert_eq!(names(dir.path()), [busy, "a", foreign]);
        drop(held);
        write("b").unwrap();
        assert_eq!(names(dir.path()), [busy, "a", "b", foreign]);
    }

    /// One writes files while others look for leftovers all the time.
    #[test]
    fn no_file_is_lost_to_a_search_for_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let written = (0..500u32).try_for_each(|i| {
                    let file = open_temporary(dir.path(), ".unet-")?;
                    file.as_file().write_all(&i.to_le_bytes())?;
                    file.persist(dir.path().join(i.to_string())).map(drop).map_err(|e| e.error)
                });
                done.store(true, Ordering::SeqCst);
                written.unwrap();
            });
            for _ in 0..2 {
                s.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        remove_leftovers(dir.path(), ".unet-");
                    }
                });
            }
        });
        for i in 0..500u32 {
            assert_eq!(fs::read(dir.path().join(i.to_string())).unwrap(), i.to_le_bytes());
        }
        assert_eq!(names(dir.path()).len(), 500);
    }
}
