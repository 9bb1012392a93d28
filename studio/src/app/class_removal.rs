//! Removing a class of the project, and taking that back.

use super::Studio;
use crate::project::Recall;
use eframe::egui::Ui;

/// Name of the step in the menu Edit.
const STEP: &str = "Remove Class";

/// The class that was removed last.
pub(super) struct RemovedClass {
    /// Its number, and that of the class that its instances have got.
    numbers: [u8; 2],
    state: RemovalState,
}

enum RemovalState {
    /// It is gone; this brings it back.
    Done(Box<Recall>),
    /// It is back, and can be removed again after so many steps of the image.
    Undone(usize),
}

impl Studio {
    /// Removes a class of the project, counted from 1; its instances, in all images, get the class `to`.
    pub fn remove_class(&mut self, class: u8, to: u8) {
        self.keep_classes();
        let Some(project) = &mut self.project else { return };
        let open = self.document.as_mut().map(|doc| &mut doc.editor);
        match project.remove_class(class, to, open) {
            Ok(recall) => {
                let state = RemovalState::Done(Box::new(recall));
                self.removed_class = Some(RemovedClass { numbers: [class, to], state });
                let kept = |old: u8| old - u8::from(old > class);
                self.tools.class = if self.tools.class == class { kept(to) } else { kept(self.tools.class) };
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// What undo does when no step of the image is left.
    pub(super) fn undo_of_class(&self) -> Option<&'static str> {
        if self.document.as_ref().is_some_and(|doc| doc.editor.editor().stroke_under_way()) {
            return None;
        }
        match &self.removed_class.as_ref()?.state {
            RemovalState::Done(recall) => self.project.as_ref()?.recalls(recall).then_some(STEP),
            RemovalState::Undone(_) => None,
        }
    }

    /// What redo does before steps of the image.
    pub(super) fn redo_of_class(&self) -> Option<&'static str> {
        match self.removed_class.as_ref()?.state {
            RemovalState::Undone(steps) => (steps == self.steps()).then_some(STEP),
            RemovalState::Done(_) => None,
        }
    }

    /// Steps of the image that can be undone.
    fn steps(&self) -> usize {
        self.document.as_ref().map_or(0, |doc| doc.editor.editor().undo_steps())
    }

    /// Brings the class back.
    pub(super) fn recall_class(&mut self) {
        if self.undo_of_class().is_none() {
            return;
        }
        let (Some(removed), Some(project)) = (self.removed_class.take(), &mut self.project) else { return };
        let RemovalState::Done(recall) = removed.state else { return };
        match project.recall_class(*recall, self.document.as_mut().map(|doc| &mut doc.editor)) {
            Ok(()) => {
                let state = RemovalState::Undone(self.steps());
                self.removed_class = Some(RemovedClass { numbers: removed.numbers, state });
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// Removes the class that was brought back.
    pub(super) fn remove_class_again(&mut self) {
        if let Some(RemovedClass { numbers: [class, to], .. }) = self.removed_class.take() {
            self.remove_class(class, to);
        }
    }

    /// After another edit nothing can be redone.
    pub(super) fn forget_redo_of_class(&mut self) {
        self.removed_class.take_if(|removed| matches!(removed.state, RemovalState::Undone(_)));
    }
}

/// The class, then what its instances become.
pub(super) fn menu(studio: &mut Studio, ui: &mut Ui) {
    let names: Vec<String> = studio.project_classes().iter().map(|class| class.name.clone()).collect();
    let mut chosen = None;
    let about = "Its instances, in all images, get another class";
    ui.menu_button("Remove a class", |ui| {
        for (class, name) in (1..=u8::MAX).zip(&names) {
            ui.menu_button(format!("Remove {name}"), |ui| {
                for (to, other) in (1..=u8::MAX).zip(&names).filter(|(to, _)| *to != class) {
                    if ui.button(format!("its instances become {other}")).clicked() {
                        chosen = Some([class, to]);
                        ui.close();
                    }
                }
            });
        }
    })
    .response
    .on_hover_text(about);
    if let Some([class, to]) = chosen {
        studio.remove_class(class, to);
    }
}
