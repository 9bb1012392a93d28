//! Labels of an image under edit, with their journal.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use unet_wgpu::low_level::io::fs::{self, OpenOptions};
use unet_wgpu::{Error, Result};

use super::Shared;
use super::journal::{Base, End, Entry};
use super::journal_file::{JournalFile, OpenName, Position};
use super::label_files::{self, free_path};
use super::masks;
use super::replay::{Replay, Useless, replay};
use super::save::{SaveJob, lock, replace};
use crate::labels::{Change, Edit, EditError, Editor, Labels, Patch};

/// Where the labels of an image are.
enum Found {
    Nothing,
    /// In a file of labels.
    Labels(PathBuf),
    /// In a mask alone.
    Mask(PathBuf),
}

impl Found {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Nothing => None,
            Self::Labels(path) | Self::Mask(path) => Some(path),
        }
    }
}

/// The labels of an image under edit. Every finished edit is in the journal on the disk when the call returns, or
/// [`Self::trouble`] says why it is not.
#[derive(Debug)]
pub struct OpenLabels {
    shared: Arc<Shared>,
    name: String,
    editor: Editor,
    journal: Arc<Mutex<JournalFile>>,
    /// Steps that the journal can undo and redo.
    replayable: [usize; 2],
    notes: Vec<String>,
    from_mask: bool,
}

impl OpenLabels {
    pub(super) fn open(shared: &Arc<Shared>, name: &str, size: [u32; 2]) -> Result<Self> {
        let open = OpenName::take(shared, name)?;
        let mut notes = Vec::new();
        let mask = masks::find(shared, name);
        let found = match (label_files::find(shared, name), &mask) {
            (Some(path), _) => Found::Labels(path),
            (None, Some(path)) => Found::Mask(path.clone()),
            (None, None) => Found::Nothing,
        };
        let (labels, file) = match &found {
            Found::Labels(path) => {
                let read = label_files::read(path, size)?;
                (read.labels, Some(read.mark))
            }
            Found::Mask(path) => {
                let read = masks::regions(path, size)?;
                (read.labels, Some(read.mark))
            }
            Found::Nothing => (Labels::new(size[0], size[1]).map_err(|e| Error::file(name, e.to_string()))?, None),
        };
        let path = shared.journal(name);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|e| Error::io(&path, e))?,
        };
        let (replayed, foreign) = match replay(&bytes, &labels, file) {
            Ok(replayed) => {
                cut(&path, &bytes, &replayed, &mut notes)?;
                let known = replayed.entries > 0;
                (known.then_some(replayed), !known)
            }
            Err(Useless::Newer(version)) => {
                return Err(Error::file(&path, format!("is of version {version}: open it with a newer unet studio")));
            }
            Err(Useless::Foreign(edits)) => {
                set_journal_aside(&path, edits, found.path(), &mut notes)?;
                (None, true)
            }
        };
        let (editor, at) = match replayed {
            Some(Replay { editor, entries, unsaved, length, .. }) => {
                (editor, Position { written: length as u64, entries, unsaved })
            }
            None => (import(labels, &found, mask.as_deref(), &mut notes), Position::default()),
        };
        let from_mask = matches!(found, Found::Mask(_));
        let base = Base::of(editor.labels(), file);
        let replayable = [editor.undo_steps(), editor.redo_steps()];
        let journal = Arc::new(Mutex::new(JournalFile::new(open, size, base, at, foreign)));
        Ok(Self { shared: shared.clone(), name: name.into(), editor, journal, replayable, notes, from_mask })
    }

    /// Name of the image.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the user should know about how they were opened, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether they are regions of a mask, and no label file has them yet. A data set that is only looked at stays as it is.
    pub fn is_from_mask(&self) -> bool {
        self.from_mask
    }

    /// Whether its files are still those of another program.
    pub(super) fn is_foreign(&self) -> bool {
        lock(&self.journal).is_foreign()
    }

    /// The labels as they are.
    pub fn labels(&self) -> &Labels {
        self.editor.labels()
    }

    /// The labels with their history, to ask what can be undone. Edits go through this type, not through a copy of it.
    pub fn editor(&self) -> &Editor {
        &self.editor
    }

    /// [`Editor::take_changed`].
    pub fn take_changed(&mut self) -> Vec<[u32; 2]> {
        self.editor.take_changed()
    }

    /// [`Editor::set_memory_budget`].
    pub fn set_memory_budget(&mut self, bytes: u64) {
        self.editor.set_memory_budget(bytes);
    }

    /// [`Editor::apply`].
    pub fn apply(&mut self, edit: &Edit) -> std::result::Result<Change, EditError> {
        let change = self.editor.apply(edit)?;
        if !change.is_empty() {
            self.note(&Entry::Edit(edit.clone()));
        }
        Ok(change)
    }

    /// [`Editor::begin`].
    pub fn begin(&mut self, edit: Edit) -> std::result::Result<Change, EditError> {
        self.editor.begin(edit)
    }

    /// [`Editor::extend`].
    pub fn extend(&mut self, point: [f32; 2]) -> Change {
        self.editor.extend(point)
    }

    /// [`Editor::finish`].
    pub fn finish(&mut self) -> Option<Edit> {
        let edit = self.editor.finish()?;
        self.note(&Entry::Edit(edit.clone()));
        Some(edit)
    }

    /// [`Editor::cancel`].
    pub fn cancel(&mut self) {
        self.editor.cancel();
    }

    /// [`Editor::undo`].
    pub fn undo(&mut self) -> Option<Change> {
        let change = self.editor.undo()?;
        let patch = if self.replayable[0] > 0 { None } else { self.editor.undone_patch() };
        self.note(&patch.map_or(Entry::Undo, Entry::Patch));
        Some(change)
    }

    /// [`Editor::redo`].
    pub fn redo(&mut self) -> Option<Change> {
        let change = self.editor.redo()?;
        let patch = if self.replayable[1] > 0 { None } else { self.editor.redone_patch() };
        self.note(&patch.map_or(Entry::Redo, Entry::Patch));
        Some(change)
    }

    /// Puts the labels into a state, before which there is no history, and returns them with the history that they had.
    pub(super) fn restore(&mut self, patch: &Patch) -> std::result::Result<Editor, EditError> {
        if self.editor.stroke_under_way() {
            return Err(EditError::StrokeUnderWay);
        }
        let before = self.editor.clone();
        self.editor.restore(patch)?;
        self.note(&Entry::Patch(patch.clone()));
        Ok(before)
    }

    /// Gives the labels the history that they had when they were as they are.
    pub(super) fn recall(&mut self, editor: Editor) {
        if editor.labels() == self.editor.labels() {
            self.editor = editor;
        }
    }

    /// Adds an entry to the journal, and follows what its replay could undo then.
    fn note(&mut self, entry: &Entry) {
        let [undo, redo] = self.replayable;
        self.replayable = match entry {
            Entry::Edit(_) => [undo + 1, 0],
            Entry::Undo => [undo.saturating_sub(1), redo + 1],
            Entry::Redo => [undo + 1, redo.saturating_sub(1)],
            _ => [0, 0],
        };
        lock(&self.journal).append(entry);
    }

    /// Why the last edits are not on the disk, in a sentence. They are tried again with the next edit, and at a save.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.journal).trouble().map(String::from)
    }

    /// Edits, undos and redos that the label file does not hold.
    pub fn unsaved(&self) -> u64 {
        lock(&self.journal).unsaved()
    }

    /// Waits until the journal is on the disk: then a power cut loses no edit, either.
    pub fn sync(&self) -> Result<()> {
        lock(&self.journal).sync()
    }

    /// Saves the labels and restarts the journal.
    pub fn save(&mut self) -> Result<()> {
        match self.begin_save() {
            Some(job) => job.run(),
            None => {
                let what = if self.editor.stroke_under_way() { "edited" } else { "saved" };
                Err(Error::invalid("labels", format!("those of {} are being {what}", self.name)))
            }
        }
    }

    /// A snapshot to save on another thread, while editing goes on; none while a save or a stroke is
    /// under way.
    pub fn begin_save(&mut self) -> Option<SaveJob> {
        if self.editor.stroke_under_way() {
            return None;
        }
        let save = lock(&self.journal).begin_save()?;
        self.from_mask = false;
        // The journal will start from the snapshot: steps before it cannot be repeated there.
        self.replayable = [0, 0];
        let (shared, journal) = (self.shared.clone(), self.journal.clone());
        Some(SaveJob { shared, journal, name: self.name.clone(), labels: self.labels().clone(), save })
    }
}

/// Cuts off lines of a journal that do not hold. Damaged ones are kept aside.
fn cut(path: &Path, bytes: &[u8], replayed: &Replay, notes: &mut Vec<String>) -> Result<()> {
    match replayed.end {
        End::Whole => return Ok(()),
        End::Torn(_) => notes.push(format!(
            "The last line of {} is not complete and is dropped: the program ended while it wrote.",
            path.display()
        )),
        End::Damaged(at) => {
            let mut name = path.as_os_str().to_os_string();
            name.push(".damaged");
            let aside = free_path(Path::new(&name));
            let rest = &bytes[at.min(bytes.len())..];
            replace(&aside, rest)?;
            let lines = rest.split_inclusive(|&b| b == b'\n').count();
            notes.push(format!(
                "{} is damaged: its last {lines} lines are not used, and kept in {}.",
                path.display(),
                aside.display()
            ));
        }
    }
    let file = OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(replayed.length as u64));
    file.map_err(|e| Error::io(path, e))
}

/// Moves a journal that belongs to another label file out of the way.
fn set_journal_aside(path: &Path, edits: usize, labels: Option<&Path>, notes: &mut Vec<String>) -> Result<()> {
    if edits == 0 {
        return fs::remove_file(path).map_err(|e| Error::io(path, e));
    }
    let mut name = path.as_os_str().to_os_string();
    name.push(".old");
    let aside = free_path(Path::new(&name));
    fs::rename(path, &aside).map_err(|e| Error::io(path, e))?;
    let file = labels.map_or_else(|| "The label file is gone".into(), |l| format!("{} has changed", l.display()));
    notes.push(format!(
        "{file} since the edits in {} were made: these are not used, and kept in {}.",
        path.display(),
        aside.display()
    ));
    Ok(())
}

/// Labels of another program, with the classes of its mask.
fn import(labels: Labels, from: &Found, mask: Option<&Path>, notes: &mut Vec<String>) -> Editor {
    match (from, mask) {
        (Found::Nothing, _) => Editor::new(labels),
        (Found::Mask(path), _) => {
            notes.push(format!("Instances are the connected regions of each class in {}.", path.display()));
            Editor::new(labels)
        }
        (Found::Labels(path), None) => {
            notes.push(format!("Labels are imported from {}.", path.display()));
            Editor::new(labels)
        }
        (Found::Labels(path), Some(mask)) => {
            notes.push(format!("Labels are imported from {}.", path.display()));
            match masks::classes_of(&labels, mask) {
                Ok(classes) => Editor::new(labels.with_classes(classes, 0)),
                Err(e) => {
                    notes.push(format!("All instances of {} are of class 1: {e}.", path.display()));
                    Editor::new(labels)
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "open_labels_tests.rs"]
mod tests;
