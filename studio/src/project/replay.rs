//! Labels from a file and a journal.

use super::journal::{Base, End, Entry, VERSION, parse};
use super::label_files::Mark;
use crate::labels::{Editor, Labels};

/// What a journal gives.
pub(super) struct Replay {
    /// The labels, with what can be undone.
    pub editor: Editor,
    /// Entries that hold, `Start` among them.
    pub entries: u64,
    /// Edits, undos and redos that are not in the label file.
    pub unsaved: u64,
    /// Bytes of the entries that hold.
    pub length: usize,
    /// How the journal ends.
    pub end: End,
}

/// Why a journal is of no use here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// A newer program wrote it.
    Newer(u32),
    /// It starts from another label file or size, and holds so many edits.
    Foreign(usize),
}

/// Carries out the entries of a journal that `labels`, read from the file with this mark, do not hold.
pub(super) fn replay(bytes: &[u8], labels: &Labels, file: Option<Mark>) -> Result<Replay, Useless> {
    let (entries, mut end) = parse(bytes);
    let unused = |end| {
        let editor = Editor::new(labels.clone());
        Replay { editor, entries: 0, unsaved: 0, length: 0, end }
    };
    let size = [labels.map().width(), labels.map().height()];
    match entries.first().map(|e| &e.0) {
        Some(Entry::Start { version, .. }) if *version > VERSION => return Err(Useless::Newer(*version)),
        Some(Entry::Start { size: own, .. }) if *own == size => {}
        Some(Entry::Start { .. }) => return Err(Useless::Foreign(entries.len() - 1)),
        Some(_) => return Ok(unused(End::Damaged(0))),
        None => return Ok(unused(end)),
    }
    // The last label file that the journal knows and that is there.
    let base = |(i, entry): (usize, &Entry)| -> Option<(usize, Base)> {
        let (first, base) = match entry {
            Entry::Start { base, .. } => (i + 1, base),
            Entry::Saving { after, base } => (usize::try_from(*after).ok().filter(|&n| n <= i)?, base),
            _ => return None,
        };
        (base.file == file).then(|| (first, base.clone()))
    };
    let Some((first, base)) = entries.iter().map(|e| &e.0).enumerate().rev().find_map(base) else {
        return Err(Useless::Foreign(entries.len() - 1));
    };
    let mut editor = Editor::new(labels.clone().with_classes(base.classes, base.next));
    let budget = editor.memory_budget();
    editor.set_memory_budget(u64::MAX);
    let (mut count, mut unsaved) = (first, 0);
    for (entry, place) in &entries[first..] {
        let done = match entry {
            Entry::Start { .. } => false,
            Entry::Edit(edit) => editor.apply(edit).is_ok_and(|change| !change.is_empty()),
            Entry::Undo => editor.undo().is_some(),
            Entry::Redo => editor.redo().is_some(),
            Entry::Patch(patch) => editor.restore(patch).is_ok(),
            Entry::Saving { .. } => true,
        };
        if !done {
            end = End::Damaged(place.start);
            break;
        }
        count += 1;
        unsaved += u64::from(!matches!(entry, Entry::Saving { .. }));
    }
    let length = entries[count - 1].1.end;
    editor.set_memory_budget(budget);
    Ok(Replay { editor, entries: count as u64, unsaved, length, end })
}
