//! The classes of the project: names and colours, and the class of new instances.

use super::{Studio, class_removal};
use crate::project::{Class, Settings};
use eframe::egui::{self, Ui};

impl Studio {
    /// The classes of the project, as they are being edited.
    pub(super) fn project_classes(&self) -> &[Class] {
        let own = || self.project.as_ref().map_or(&[][..], |project| &project.settings().classes);
        self.class_draft.as_deref().unwrap_or_else(own)
    }

    /// Adds the classes that instances at hand have and the project does not: labels tell no class otherwise. Names are those of
    /// the model.
    pub(super) fn take_classes(&mut self) {
        let used = self.document.as_ref().map_or(1, |doc| doc.editor.labels().largest_class());
        let names = self.classes();
        let missing = |project: &&mut crate::project::Project| project.settings().classes.len() < used.into();
        let Some(project) = self.project.as_mut().filter(missing) else { return };
        if let Err(e) = project.add_classes(used.into(), &names) {
            self.complain(e.to_string());
        }
        self.class_draft = None;
    }

    /// Adds a class to the project.
    pub(super) fn add_class(&mut self) {
        self.keep_classes();
        let Some(project) = &mut self.project else { return };
        let count = project.settings().classes.len() + 1;
        if let Err(e) = project.add_classes(count, &[]) {
            self.complain(e.to_string());
        }
    }

    /// Writes classes that were edited.
    pub(super) fn keep_classes(&mut self) {
        let (Some(mut draft), Some(project)) = (self.class_draft.take(), &mut self.project) else { return };
        for (number, class) in (1..).zip(&mut draft) {
            class.name = match class.name.trim() {
                "" => format!("class {number}"),
                name => name.into(),
            };
        }
        if let Err(e) = project.change(|settings: &mut Settings| settings.classes = draft) {
            self.complain(e.to_string());
        }
    }
}

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Classes");
    if studio.project.is_none() {
        return;
    }
    let mut classes = studio.project_classes().to_vec();
    let mut writing = false;
    egui::Grid::new("classes").num_columns(2).show(ui, |ui| {
        for (number, class) in (1..).zip(&mut classes) {
            ui.color_edit_button_srgb(&mut class.colour).on_hover_text(format!("The colour of class {number}"));
            let name = egui::TextEdit::singleline(&mut class.name).desired_width(150.0);
            writing |= ui.add(name).on_hover_text(format!("The name of class {number}")).has_focus();
            ui.end_row();
        }
    });
    if classes != studio.project_classes() {
        studio.class_draft = Some(classes);
    }
    // Not with every letter, and not while a colour is drawn.
    let at_rest = !writing && !ui.input(|i| i.pointer.any_down());
    if studio.class_draft.is_some() && at_rest {
        studio.keep_classes();
    }
    ui.horizontal_wrapped(|ui| {
        let room = studio.project_classes().len() < usize::from(u8::MAX);
        let add = ui.add_enabled(room, egui::Button::new("Add a class"));
        if add.on_hover_text("Instances of several classes: training learns to tell them apart").clicked() {
            studio.add_class();
        }
        let several = studio.project_classes().len() > 1;
        ui.add_enabled_ui(several, |ui| class_removal::menu(studio, ui));
        ui.add_enabled(several, egui::Checkbox::new(&mut studio.by_class, "Colour by class")).on_hover_text("(K)");
    });
    of_new_instances(studio, ui);
}

fn of_new_instances(studio: &mut Studio, ui: &mut Ui) {
    let classes = studio.classes();
    if classes.len() < 3 {
        return;
    }
    let name = |class: u8| classes.get(usize::from(class)).cloned().unwrap_or_else(|| format!("class {class}"));
    let list = egui::ComboBox::from_label("class of new instances").selected_text(name(studio.tools.class));
    list.show_ui(ui, |ui| {
        for class in 1..classes.len().min(256) {
            ui.selectable_value(&mut studio.tools.class, class as u8, name(class as u8));
        }
    });
}
