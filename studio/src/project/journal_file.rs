//! A journal on the disk.

use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use unet_wgpu::low_level::io::Output;
use unet_wgpu::low_level::io::fs::{self, File, OpenOptions};
use unet_wgpu::{Error, Result};

use super::Shared;
use super::journal::{Base, Entry, VERSION, line};

/// The journal of an image's labels. It is created with its first entry.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    file: Option<File>,
    /// Bytes on the disk that hold.
    written: u64,
    /// Lines that could not be written yet.
    pending: Vec<u8>,
    /// Entries, those that wait among them.
    entries: u64,
    /// Edits, undos and redos that the label file does not hold.
    unsaved: u64,
    size: [u32; 2],
    base: Base,
    saving: Option<SavePoint>,
    saves: u64,
    /// Whether another program wrote the label file that is there.
    foreign: bool,
    trouble: Option<String>,
    _open: OpenName,
}

/// The place in the journal of the labels that are being saved.
#[derive(Clone, Copy, Debug)]
struct SavePoint {
    /// Number of the save.
    save: u64,
    entries: u64,
    bytes: u64,
    unsaved: u64,
}

/// The name of an image whose labels are open; given back at the end.
#[derive(Debug)]
pub(super) struct OpenName {
    shared: Arc<Shared>,
    name: String,
}

impl OpenName {
    /// Takes a name. Errors if it is taken.
    pub fn take(shared: &Arc<Shared>, name: &str) -> Result<Self> {
        if !shared.open_names().insert(name.into()) {
            return Err(Error::invalid("labels", format!("those of {name} are open already")));
        }
        Ok(Self { shared: shared.clone(), name: name.into() })
    }
}

impl Drop for OpenName {
    fn drop(&mut self) {
        self.shared.open_names().remove(&self.name);
    }
}

/// Where a journal stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    pub written: u64,
    pub entries: u64,
    pub unsaved: u64,
}

impl JournalFile {
    /// The journal at a position; lines behind it are cut off at the next write.
    pub fn new(open: OpenName, size: [u32; 2], base: Base, at: Position, foreign: bool) -> Self {
        let path = open.shared.journal(&open.name);
        let Position { written, entries, unsaved } = at;
        Self {
            path,
            file: None,
            written,
            pending: Vec::new(),
            entries,
            unsaved,
            size,
            base,
            saving: None,
            saves: 0,
            foreign,
            trouble: None,
            _open: open,
        }
    }

    /// Adds an entry. If it cannot be written, it waits, and [`Self::trouble`] says why.
    pub fn append(&mut self, entry: &Entry) {
        let start = (self.entries == 0).then(|| self.start());
        for entry in start.iter().chain([entry]) {
            match line(entry) {
                Ok(line) => self.pending.extend_from_slice(&line),
                Err(e) => return self.trouble = Some(e),
            }
            self.entries += 1;
            self.unsaved += u64::from(!matches!(entry, Entry::Start { .. } | Entry::Saving { .. }));
        }
        self.flush();
    }

    fn start(&self) -> Entry {
        Entry::Start { version: VERSION, size: self.size, base: self.base.clone() }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) => self.trouble = None,
            Err(e) => {
                // Half a line would be taken for damage.
                if let Some(file) = &self.file {
                    let _ = file.set_len(self.written);
                }
                self.trouble = Some(format!("The last edits are not on the disk: {}: {e}.", self.path.display()));
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
            file.set_len(self.written)?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.seek(SeekFrom::Start(self.written))?;
        file.write_all(&self.pending)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Writes what waits and waits until everything is on the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.flush();
        if let Some(reason) = &self.trouble {
            return Err(Error::invalid("journal", reason.clone()));
        }
        match &self.file {
            Some(file) => file.sync_data().map_err(|e| Error::io(&self.path, e)),
            None => Ok(()),
        }
    }

    /// Why edits are not on the disk.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Edits, undos and redos that the label file does not hold.
    pub fn unsaved(&self) -> u64 {
        self.unsaved
    }

    /// Whether another program wrote the label file that is there.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// Begins to save the labels as they are after the last entry, and returns the number of the save. None if one is under
    /// way.
    pub fn begin_save(&mut self) -> Option<u64> {
        if self.saving.is_some() {
            return None;
        }
        // A journal without entries would have none to start from.
        let entries = self.entries.max(1);
        let start = if self.entries == 0 { line(&self.start()).map_or(0, |l| l.len()) } else { 0 };
        let bytes = self.written + (self.pending.len() + start) as u64;
        self.saves += 1;
        self.saving = Some(SavePoint { save: self.saves, entries, bytes, unsaved: self.unsaved });
        Some(self.saves)
    }

    /// Notes on the disk what the label file will be.
    pub fn announce(&mut self, base: &Base) -> Result<()> {
        let after = self.saving.map_or(self.entries, |s| s.entries);
        self.append(&Entry::Saving { after, base: base.clone() });
        self.sync()
    }

    /// Gives up a save, unless it is done.
    pub fn abandon(&mut self, save: u64) {
        self.saving = self.saving.filter(|point| point.save != save);
    }

    /// The label file is written: the journal starts again from it, with the entries that have come since.
    pub fn restart(&mut self, base: Base) -> Result<()> {
        let Some(point) = self.saving.take() else { return Ok(()) };
        let mut all = match self.written {
            0 => Vec::new(),
            _ => fs::read(&self.path).map_err(|e| Error::io(&self.path, e))?,
        };
        all.truncate(self.written as usize);
        all.extend_from_slice(&self.pending);
        let since = all.get(point.bytes as usize..).unwrap_or_default();
        let (kept, _) = super::journal::parse(since);
        let kept: Vec<&[u8]> = kept
            .iter()
            .filter(|(entry, _)| !matches!(entry, Entry::Saving { .. }))
            .filter_map(|(_, place)| since.get(place.clone()))
            .collect();
        let start = Entry::Start { version: VERSION, size: self.size, base: base.clone() };
        let start = line(&start).map_err(|e| Error::file(&self.path, e))?;
        let bytes = [&[start.as_slice()], kept.as_slice()].concat().concat();
        // The new file has another inode, and some systems do not replace an open one.
        self.file = None;
        Output::from(&self.path).replace(|w| w.write_all(&bytes))?;
        self.written = bytes.len() as u64;
        self.pending.clear();
        self.entries = 1 + kept.len() as u64;
        self.unsaved -= point.unsaved.min(self.unsaved);
        (self.base, self.trouble, self.foreign) = (base, None, false);
        Ok(())
    }
}
