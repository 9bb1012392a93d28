//! Measured times on disk: a JSON file per set of drivers and processor.

use super::width::Times;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;
/// Maximum file size, bytes.
const MAX_FILE_BYTES: u64 = 1 << 16;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    /// What was measured: [`identity`].
    machine: String,
    /// Milliseconds at 256 and at 512 bits; `None` if the measurement failed.
    ms: Option<[f64; 2]>,
}

/// What times depend on: the drivers' files, the processor, and this program's kernels.
pub(super) fn identity(drivers: &[String], processor: &str) -> String {
    format!("{}; {processor}; unet-wgpu {}", drivers.join("; "), env!("CARGO_PKG_VERSION"))
}

/// A remembered measurement: `None` inside is one that failed.
pub(super) type Remembered = Option<Times>;

pub(super) fn load(folder: &Path, machine: &str) -> Option<Remembered> {
    let path = path(folder, machine);
    if fs::metadata(&path).ok()?.len() > MAX_FILE_BYTES {
        return None;
    }
    parse(&fs::read_to_string(path).ok()?, machine)
}

/// Writes a measurement whole or not at all.
pub(super) fn store(folder: &Path, machine: &str, remembered: Remembered) -> io::Result<()> {
    let ms = remembered.map(|t| [t.narrow, t.wide]);
    let document = Document { format: FORMAT, machine: machine.into(), ms };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(&document)?)?;
    file.persist(path(folder, machine)).map_err(|e| e.error)?;
    Ok(())
}

/// Held while one process measures: two at once would disturb each other. `None` if another one does, or if the folder
/// cannot be written.
pub(super) fn lock(folder: &Path) -> Option<File> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("vectors.lock")).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
    }
}

fn path(folder: &Path, machine: &str) -> PathBuf {
    let hash: String = Sha256::digest(machine.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    folder.join(format!("vectors-{hash}.json"))
}

fn parse(text: &str, machine: &str) -> Option<Remembered> {
    let document: Document = serde_json::from_str(text).ok()?;
    if document.format != FORMAT || document.machine != machine {
        return None;
    }
    match document.ms {
        None => Some(None),
        Some([narrow, wide]) if narrow > 0.0 && wide > 0.0 => Some(Some(Times { narrow, wide })),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { narrow: 40.5, wide: 31.25 };

    #[test]
    fn only_an_intact_file_of_the_same_machine_is_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path(), "a"), None);
        store(dir.path(), "a", Some(TIMES)).unwrap();
        assert_eq!(load(dir.path(), "a"), Some(Some(TIMES)));
        assert_eq!(load(dir.path(), "b"), None);
        let text = fs::read_to_string(path(dir.path(), "a")).unwrap();
        assert_eq!(parse(&text, "b"), None, "of another machine");
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end], "a"), None, "cut off at {end}");
        }
        for (from, to) in [("40.5", "-1.0"), ("\"format\": 1", "\"format\": 2"), ("31.25", "\"x\"")] {
            assert!(text.contains(from), "{text}");
            assert_eq!(parse(&text.replace(from, to), "a"), None, "{from} -> {to}");
        }
        store(dir.path(), "a", None).unwrap();
        assert_eq!(load(dir.path(), "a"), Some(None), "a failure is remembered");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn any_change_of_driver_processor_or_order_is_another_machine() {
        let all = [
            identity(&["/a 1".into()], "p"),
            identity(&["/a 2".into()], "p"),
            identity(&["/a 1".into(), "/b 1".into()], "p"),
            identity(&["/a 1".into()], "q"),
        ];
        let files: std::collections::BTreeSet<_> = all.iter().map(|m| path(Path::new("/"), m)).collect();
        assert_eq!(files.len(), all.len());
        assert!(identity(&[], "").contains(env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn a_folder_that_cannot_be_written_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        // As root even a folder without permissions can be written, so a file stands in for it.
        assert!(lock(&file).is_none());
        assert!(store(&file, "a", Some(TIMES)).is_err());
        assert_eq!(load(&file, "a"), None);
    }

    #[test]
    fn one_process_measures_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(lock(dir.path()).is_none());
        drop(held);
        assert!(lock(dir.path()).is_some());
    }

    #[test]
    fn writers_at_once_leave_a_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|s| {
            for i in 1..=8u32 {
                let folder = dir.path();
                s.spawn(move || {
                    for _ in 0..50 {
                        store(folder, "a", Some(Times { narrow: f64::from(i), wide: f64::from(i) })).unwrap();
                        let read = load(folder, "a").unwrap().unwrap();
                        assert_eq!(read.narrow, read.wide);
                    }
                });
            }
        });
    }
}
