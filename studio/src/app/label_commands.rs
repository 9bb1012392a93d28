//! Labels: what menus, keys and panels do with them.

use super::tools::{self, ToolOutcome};
use super::{AUTOSAVE, Panel, Shown, Studio};
use crate::labels::{BACKGROUND, Edit, PasteMode, Rle};
use crate::platform::start;
use crate::project::State;

impl Studio {
    /// Carries out an edit of the labels.
    pub(super) fn edit(&mut self, edit: Edit) {
        let Some(doc) = &mut self.document else { return };
        let outcome = tools::apply(doc, edit);
        doc.refresh();
        self.take_outcome(outcome);
    }

    /// Notes what a tool has done.
    pub(super) fn take_outcome(&mut self, outcome: ToolOutcome) {
        if let Some(reason) = outcome.refused {
            self.complain(reason);
        }
        let (true, Some(doc)) = (outcome.done, &mut self.document) else { return };
        // Instances that are gone are chosen no more.
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let (name, trouble) = (doc.name.clone(), doc.editor.trouble());
        trouble.into_iter().for_each(|trouble| self.complain(trouble));
        self.take_classes();
        self.forget_redo_of_class();
        if self.state(&name).is_some_and(|state| matches!(state, State::Unlabelled | State::Predicted)) {
            self.set_state(&name, State::Labelled);
        }
    }

    fn state(&self, name: &str) -> Option<State> {
        self.project.as_ref()?.settings().images.get(name).map(|image| image.state)
    }

    pub(super) fn set_state(&mut self, name: &str, state: State) {
        let changed = self.project.as_mut().map(|p| p.change_image(name, |image| image.state = state));
        if let Some(Err(e)) = changed {
            self.complain(e.to_string());
        }
    }

    pub(super) fn choose_none(&mut self) {
        if let Some(doc) = &mut self.document {
            doc.selected.clear();
        }
    }

    /// Smooths the outline of every chosen instance.
    pub(super) fn smooth_chosen(&mut self) {
        let chosen = self.document.as_ref().map(|doc| doc.selected.clone()).unwrap_or_default();
        chosen.into_iter().for_each(|id| self.edit(Edit::Smooth { id }));
    }

    pub(super) fn delete_chosen(&mut self, to: u32) {
        let chosen = self.document.as_mut().map(|doc| std::mem::take(&mut doc.selected)).unwrap_or_default();
        for id in chosen {
            self.edit(Edit::Delete { id, to });
        }
    }

    /// Takes the prediction over into the labels.
    pub(super) fn accept(&mut self, mode: PasteMode) {
        let Some(edit) = self.document.as_ref().and_then(|doc| doc.accepted(mode)) else { return };
        self.edit(edit);
        self.panel = Panel::Label;
        self.shown = Shown::Labels;
    }

    /// Takes one predicted instance over into the labels.
    pub(super) fn accept_one(&mut self, id: Option<u32>) {
        let doc = self.document.as_ref();
        if let Some(edit) = id.and_then(|id| doc.and_then(|doc| doc.accepted_one(id))) {
            self.edit(edit);
        }
    }

    /// Every unlabelled pixel becomes background.
    pub(super) fn rest_is_background(&mut self) {
        let Some(doc) = &self.document else { return };
        let size = doc.image.size();
        let pixels = size[0] as usize * size[1] as usize;
        let ids = Rle::from_iter(std::iter::repeat_n(BACKGROUND, pixels));
        self.edit(Edit::Paste { at: [0, 0], size, ids, classes: Vec::new(), mode: PasteMode::OnlyUnlabelled });
    }

    pub(super) fn undo_name(&self) -> Option<&'static str> {
        let of_image = self.document.as_ref().and_then(|doc| doc.editor.editor().can_undo());
        of_image.or_else(|| self.undo_of_class())
    }

    pub(super) fn redo_name(&self) -> Option<&'static str> {
        self.redo_of_class().or_else(|| self.document.as_ref()?.editor.editor().can_redo())
    }

    pub(super) fn undo(&mut self) {
        match self.document.as_ref().and_then(|doc| doc.editor.editor().can_undo()) {
            Some(_) => self.turn_back(false),
            None => self.recall_class(),
        }
    }

    pub(super) fn redo(&mut self) {
        match self.redo_of_class() {
            Some(_) => self.remove_class_again(),
            None => self.turn_back(true),
        }
    }

    fn turn_back(&mut self, forward: bool) {
        let Some(doc) = &mut self.document else { return };
        let change = if forward { doc.editor.redo() } else { doc.editor.undo() };
        if change.is_none() {
            return;
        }
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let trouble = doc.editor.trouble();
        doc.refresh();
        trouble.into_iter().for_each(|trouble| self.complain(trouble));
        self.take_classes();
    }

    /// The image is checked: go on with the next one.
    pub(super) fn reviewed(&mut self) {
        let Some(name) = self.document.as_ref().map(|doc| doc.name.clone()) else { return };
        self.set_state(&name, State::Reviewed);
        self.step(1);
    }

    pub(super) fn hold_out(&mut self, name: &str, held_out: bool) {
        let changed = self.project.as_mut().map(|p| p.change_image(name, |image| image.held_out = held_out));
        if let Some(Err(e)) = changed {
            self.complain(e.to_string());
        }
    }

    /// Saves the labels of the image at hand.
    pub(super) fn save_all(&mut self) {
        let Some(doc) = self.document.as_mut().filter(|doc| doc.editor.unsaved() > 0) else { return };
        if let Err(e) = doc.editor.save() {
            self.complain(e.to_string());
        }
    }

    /// Saves what training reads: also labels that are only looked at so far, of a mask.
    pub(super) fn save_for_training(&mut self) {
        let wanted = |doc: &&mut super::Document| doc.editor.unsaved() > 0 || doc.editor.is_from_mask();
        let Some(doc) = self.document.as_mut().filter(wanted) else { return };
        if let Err(e) = doc.editor.save() {
            self.complain(e.to_string());
        }
    }

    /// Saves on another thread, now and then.
    pub(super) fn autosave(&mut self, now: f64) {
        if now - self.saved_at < AUTOSAVE {
            return;
        }
        self.saved_at = now;
        let unsaved = self.document.as_mut().filter(|doc| doc.editor.unsaved() > 0);
        let Some(job) = unsaved.and_then(|doc| doc.editor.begin_save()) else { return };
        let failed = self.failed_saves.0.clone();
        let started = start("autosave", async move || {
            // The journal has every edit still, and the next save tries again.
            if let Err(e) = job.run() {
                // Without a receiver the window is closed.
                let _ = failed.send(e.to_string());
            }
        });
        if let Err(e) = started {
            self.complain(format!("Saving: {e}"));
        }
    }
}
