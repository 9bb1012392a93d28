//! Labels: tools, the chosen instances, how labels are shown.

use super::tools::{TOOLS, Tool};
use super::{Studio, class_panel};
use crate::canvas::instance_colour;
use crate::labels::{BACKGROUND, Edit, UNLABELLED};
use eframe::egui::{self, Ui};

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Tools");
    ui.horizontal_wrapped(|ui| {
        for (tool, name, key, about) in TOOLS {
            let button = egui::Button::selectable(studio.tools.tool == tool, name);
            if ui.add(button).on_hover_text(format!("{about} ({})", key.name())).clicked() {
                studio.tools.choose(tool);
            }
        }
    });
    if matches!(studio.tools.tool, Tool::Brush | Tool::Background | Tool::Eraser) {
        let slider =
            egui::Slider::new(&mut studio.tools.radius, 0.5..=100.0).logarithmic(true).suffix(" px").text("radius");
        ui.add(slider).on_hover_text("[ and ]");
    }
    ui.checkbox(&mut studio.tools.protect, "Leave other instances alone");
    ui.separator();
    chosen(studio, ui);
    ui.separator();
    class_panel::show(studio, ui);
    ui.separator();
    state(studio, ui);
}

fn chosen(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Chosen instances");
    let classes = studio.classes();
    let by_class = studio.by_class && studio.project_classes().len() > 1;
    let Some(doc) = &studio.document else {
        ui.weak("Open an image first.");
        return;
    };
    let selected = doc.selected.clone();
    if selected.is_empty() {
        ui.weak("None: the brush paints a new one. Choose one with the tool Select.");
    }
    for &id in selected.iter().take(8) {
        let Some(instance) = doc.editor.labels().instance(id) else { continue };
        ui.horizontal(|ui| {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(12.0, 12.0), egui::Sense::hover());
            let class = usize::from(instance.class);
            let colour = if by_class { studio.class_colour(class) } else { instance_colour(id) };
            ui.painter().rect_filled(rect, 2.0, colour);
            let name =
                classes.get(class).filter(|_| classes.len() > 2).map_or(String::new(), |name| format!(", {name}"));
            ui.label(format!("No. {id}: {} px{name}", instance.area));
        });
    }
    let (mut edit, mut chosen_class) = (None, None);
    ui.horizontal_wrapped(|ui| {
        if ui.button("New").on_hover_text("The next stroke is a new instance (N)").clicked() {
            studio.choose_none();
        }
        if ui.add_enabled(selected.len() > 1, egui::Button::new("Merge")).on_hover_text("Make them one (M)").clicked() {
            edit = Some(Edit::Merge { ids: selected.clone() });
        }
        let one = selected.last().copied();
        let on = one.is_some();
        if ui.add_enabled(on, egui::Button::new("Fill holes")).on_hover_text("(I)").clicked() {
            edit = one.map(|id| Edit::FillHoles { id });
        }
        let smooth = "Its outline follows the majority of the pixels around (Shift+S)";
        if ui.add_enabled(on, egui::Button::new("Smooth")).on_hover_text(smooth).clicked() {
            studio.smooth_chosen();
        }
        if ui.add_enabled(on, egui::Button::new("Delete")).on_hover_text("It becomes background (Delete)").clicked() {
            studio.delete_chosen(BACKGROUND);
        }
        if ui
            .add_enabled(on, egui::Button::new("Forget"))
            .on_hover_text("It becomes unlabelled (Shift+Delete)")
            .clicked()
        {
            studio.delete_chosen(UNLABELLED);
        }
        if on && classes.len() > 2 {
            ui.menu_button("Class", |ui| {
                for (class, name) in classes.iter().enumerate().skip(1).take(255) {
                    if ui.button(name).clicked() {
                        chosen_class = Some(class as u8);
                        ui.close();
                    }
                }
            });
        }
    });
    if let Some(edit) = edit {
        studio.edit(edit);
    }
    if let Some(class) = chosen_class {
        selected.into_iter().for_each(|id| studio.edit(Edit::SetClass { id, class }));
    }
}

fn state(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Labels");
    let Some(doc) = &studio.document else { return };
    let fractions = doc.editor.labels().fractions();
    let count = doc.editor.labels().instances().len();
    ui.label(format!("{count} instances"));
    ui.weak(format!(
        "{:.1} % instances, {:.1} % background, {:.1} % unlabelled",
        100.0 * fractions.labelled,
        100.0 * fractions.background,
        100.0 * fractions.unlabelled
    ));
    ui.horizontal_wrapped(|ui| {
        if ui
            .button("The rest is background")
            .on_hover_text("Every unlabelled pixel becomes background: the image is labelled completely")
            .clicked()
        {
            studio.rest_is_background();
        }
    });
    let undo = studio.document.as_ref().map_or(0, |d| d.editor.editor().undo_steps());
    ui.weak(format!("{undo} steps can be undone"));
}
