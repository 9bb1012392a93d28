//! Folders that appear under their name when they are whole.

use std::path::{Path, PathBuf};

use super::fs;
use super::output::PREFIX;
use super::replace::{open_temporary, remove_leftovers_once};
use super::temporary::NamedTempFile;
use crate::error::{Error, Result};

/// Ending of temporary folders, behind the name of the file whose lock says that they are in use.
const ENDING: &str = ".d";
/// Ending of folders that are being replaced.
const OLD: &str = ".old";

/// A folder being written under a temporary name beside its own. Dropping it leaves no trace.
#[derive(Debug)]
pub(crate) struct PendingFolder {
    name: PathBuf,
    temporary: PathBuf,
    /// Locked as long as the folder is written.
    lock: NamedTempFile,
    /// The folder around it, if it was missing.
    made: Option<PathBuf>,
}

impl PendingFolder {
    /// Begins a folder; those above it are created if missing.
    pub(crate) fn create(name: &Path) -> Result<Self> {
        let above = name.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let made = (!fs::is_dir(above)).then(|| above.to_path_buf());
        fs::create_dir_all(above).map_err(|e| Error::io(above, e))?;
        remove_leftovers_once(above, PREFIX);
        remove_folders(above);
        let lock = open_temporary(above, PREFIX).map_err(|e| Error::io(name, e))?;
        let temporary = with_ending(lock.path(), ENDING);
        fs::create_dir(&temporary).map_err(|e| Error::io(name, e))?;
        Ok(Self { name: name.to_path_buf(), temporary, lock, made })
    }

    /// Where its content goes.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the folder its name, in place of an older one.
    pub(crate) fn finish(mut self) -> Result<()> {
        let wrong = |e| Error::io(&self.name, e);
        let old = with_ending(&self.temporary, OLD);
        let replaces = fs::symlink_metadata(&self.name).is_ok();
        if replaces {
            fs::rename(&self.name, &old).map_err(wrong)?;
        }
        if let Err(e) = fs::rename(&self.temporary, &self.name) {
            if replaces {
                let _ = fs::rename(&old, &self.name);
            }
            return Err(wrong(e));
        }
        if replaces {
            let _ = fs::remove_dir_all(&old);
        }
        self.made = None;
        Ok(())
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary);
        if let Some(above) = &self.made {
            let _ = fs::remove_file(self.lock.path());
            // Only if nothing else is in it.
            let _ = fs::remove_dir(above);
        }
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

/// Removes the folders of killed processes: those whose lock file is gone. Failures here must not fail a result.
fn remove_folders(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(lock) = name
            .to_str()
            .filter(|n| n.starts_with(PREFIX))
            .and_then(|n| n.strip_suffix(OLD).unwrap_or(n).strip_suffix(ENDING))
        else {
            continue;
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !fs::exists(above.join(lock)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let name = dir.path().join("labels").join("x");
        let pending = PendingFolder::create(&name).unwrap();
        fs::write(pending.path().join("a"), "old").unwrap();
        assert!(!name.exists());
        drop(pending);
        assert_eq!(names(dir.path()), [""; 0]);
        for text in ["old", "new"] {
            let pending = PendingFolder::create(&name).unwrap();
            fs::write(pending.path().join(text), text).unwrap();
            pending.finish().unwrap();
            assert_eq!(
                (names(&dir.path().join("labels")), names(&name)),
                (vec!["x".to_string()], vec![text.to_string()])
            );
        }
    }

    #[test]
    fn leftovers_go_and_folders_being_written_stay() {
        let dir = tempfile::tempdir().unwrap();
        let busy = PendingFolder::create(&dir.path().join("a")).unwrap();
        for left in [".unet-dead.tmp.d", ".unet-dead.tmp.d.old", "mine.tmp.d"] {
            fs::create_dir(dir.path().join(left)).unwrap();
        }
        drop(PendingFolder::create(&dir.path().join("b")).unwrap());
        assert!(busy.path().is_dir());
        busy.finish().unwrap();
        assert_eq!(names(dir.path()), ["a", "mine.tmp.d"]);
    }
}
