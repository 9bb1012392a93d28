//! Removes a class: those behind it get other numbers, in the settings and in the labels of all images.
//!
//! What is to be is written first, as a whole, into `classes.json`. A program that ends meanwhile goes on with it when the project is
//! opened again.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

use super::save::replace;
use super::settings::Class;
use super::{OpenLabels, Project, label_files};
use crate::labels::{Editor, Patch};

/// Name of the file.
const FILE: &str = "classes.json";

/// The classes of a project, and those of the instances of images.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Numbering {
    classes: Vec<Class>,
    images: BTreeMap<String, Patch>,
}

/// What brings a removed class back, as long as nothing else has changed.
#[derive(Debug)]
pub struct Recall {
    before: Numbering,
    /// The classes without it.
    after: Vec<Class>,
    /// The open image with its history.
    open: Option<(String, Editor)>,
}

impl Project {
    /// Removes a class, counted from 1; its instances, in all images, get the class `to`. `open` are labels of an image that are open:
    /// there is no history before it. Returns what takes it back.
    pub fn remove_class(&mut self, class: u8, to: u8, mut open: Option<&mut OpenLabels>) -> Result<Recall> {
        let classes = &self.settings.classes;
        let known = 1..=u8::try_from(classes.len()).unwrap_or(u8::MAX);
        if class == to || !known.contains(&class) || !known.contains(&to) {
            let reason = format!("{class} cannot become {to}: the project has classes 1 to {}", classes.len());
            return Err(Error::invalid("class", reason));
        }
        let mut after = classes.clone();
        after.remove(usize::from(class) - 1);
        let kept = |old: u8| old - u8::from(old > class);
        let new = |old: u8| if old == class { kept(to) } else { kept(old) };
        let (mut before, mut then) = (BTreeMap::new(), BTreeMap::new());
        let mut take = |labels: &OpenLabels, always: bool| {
            let (old, new) = (Patch::of_classes(labels.labels(), |c| c), Patch::of_classes(labels.labels(), new));
            if always || old != new {
                before.insert(labels.name().to_string(), old);
                then.insert(labels.name().to_string(), new);
            }
        };
        if let Some(open) = open.as_deref_mut() {
            // Masks of other programs may be set aside.
            if open.is_from_mask() {
                open.save()?;
            }
            // Its steps know the classes by their old numbers, also where no instance changes.
            take(open, true);
        }
        for name in self.images() {
            if open.as_deref().is_none_or(|open| open.name() != name) {
                self.save_regions(&name)?;
                self.closed(&name)?.iter().for_each(|labels| take(labels, false));
            }
        }
        let before = Numbering { classes: classes.clone(), images: before };
        let open = self.renumber(Numbering { classes: after.clone(), images: then }, &mut open)?;
        Ok(Recall { before, after, open })
    }

    /// Whether a removed class can be brought back: nothing else has changed the classes.
    pub fn recalls(&self, recall: &Recall) -> bool {
        self.settings.classes == recall.after
    }

    /// Brings a removed class back, with the history of the open labels.
    pub fn recall_class(&mut self, recall: Recall, mut open: Option<&mut OpenLabels>) -> Result<()> {
        self.renumber(recall.before, &mut open)?;
        if let (Some(open), Some((name, editor))) = (open, recall.open)
            && open.name() == name
        {
            open.recall(editor);
        }
        Ok(())
    }

    /// The labels of an image that is not open; none if it has none.
    fn closed(&self, name: &str) -> Result<Option<OpenLabels>> {
        self.save_journal(name)?;
        let file = label_files::find(&self.shared, name);
        file.map(|file| self.reopen(name, &file)).transpose()
    }

    /// Gives the project and images these classes. Returns the open labels as they were.
    fn renumber(&mut self, to: Numbering, open: &mut Option<&mut OpenLabels>) -> Result<Option<(String, Editor)>> {
        if open.as_deref().is_some_and(|open| open.editor().stroke_under_way()) {
            return Err(Error::invalid("labels", crate::labels::EditError::StrokeUnderWay.to_string()));
        }
        let file = self.numbering_file();
        let text = serde_json::to_vec(&to).map_err(|e| Error::file(&file, e.to_string()))?;
        replace(&file, &text)?;
        let before = self.apply(&to, open)?;
        fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
        Ok(before)
    }

    fn apply(&mut self, to: &Numbering, open: &mut Option<&mut OpenLabels>) -> Result<Option<(String, Editor)>> {
        self.change(|settings| settings.classes.clone_from(&to.classes))?;
        let mut before = None;
        for (name, patch) in &to.images {
            let refused = |e: crate::labels::EditError| Error::invalid("labels", format!("{name}: {e}"));
            if let Some(open) = open.as_deref_mut().filter(|open| open.name() == name) {
                before = Some((name.clone(), open.restore(patch).map_err(refused)?));
                // While another save is under way the journal has it.
                open.begin_save().map_or(Ok(()), super::SaveJob::run)?;
            } else if let Some(mut labels) = self.closed(name)? {
                labels.restore(patch).map_err(refused)?;
                labels.save()?;
            }
        }
        Ok(before)
    }

    fn numbering_file(&self) -> PathBuf {
        self.folder().join(FILE)
    }

    /// Finishes what a program has begun that has ended meanwhile.
    pub(super) fn finish_classes(&mut self) -> Result<()> {
        let file = self.numbering_file();
        let text = match fs::read(&file) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|e| Error::io(&file, e))?,
        };
        let to = serde_json::from_slice(&text).map_err(|e| Error::file(&file, format!("is damaged: {e}")))?;
        self.renumber(to, &mut None)?;
        self.notes.push("The classes were being renumbered when the program ended: this is done now.".into());
        Ok(())
    }
}

#[cfg(test)]
#[path = "classes_tests.rs"]
mod tests;
