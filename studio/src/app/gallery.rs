//! The images of the project, with small copies and states.

use super::Studio;
use crate::engine::{Request, Thumbnail};
use crate::project::State;
use eframe::egui::{self, Color32, RichText, TextureHandle, Ui, vec2};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// Points of a thumbnail.
const SIDE: f32 = 56.0;

#[derive(Default)]
pub(super) struct Gallery {
    thumbnails: HashMap<PathBuf, TextureHandle>,
    asked: HashSet<PathBuf>,
}

impl Gallery {
    pub(super) fn add(&mut self, ctx: &egui::Context, small: Thumbnail) {
        let image = egui::ColorImage::from_rgb(small.size, &small.rgb);
        let name = small.path.display().to_string();
        self.thumbnails.insert(small.path, ctx.load_texture(name, image, egui::TextureOptions::LINEAR));
    }
}

/// A state in a word, and its colour.
fn word(state: State) -> (&'static str, Color32) {
    match state {
        State::Unlabelled => ("unlabelled", Color32::GRAY),
        State::Labelled => ("labelled", Color32::from_rgb(0, 158, 115)),
        State::Predicted => ("predicted", Color32::from_rgb(86, 180, 233)),
        State::Reviewed => ("reviewed", Color32::from_rgb(230, 159, 0)),
    }
}

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    ui.add_space(4.0);
    let Some(project) = &studio.project else {
        ui.label("Drop images or a folder here.");
        ui.add_space(6.0);
        if ui.button("Open a folder ..").clicked() {
            studio.dialogs.open_project(ui.ctx());
        }
        if ui.button("Demo images").on_hover_text("Nuclei under a fluorescence microscope").clicked() {
            studio.open_demo();
        }
        return;
    };
    let entries = studio.images();
    let name = project.folder().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    ui.label(RichText::new(name).strong()).on_hover_text(project.folder().display().to_string());
    ui.weak(if entries.len() == 1 { "1 image".into() } else { format!("{} images", entries.len()) });
    ui.separator();
    let open = studio.document.as_ref().map(|d| d.name.clone());
    let mut chosen = None;
    let mut holds = None;
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(ui, SIDE + 6.0, entries.len(), |ui, rows| {
        for entry in &entries[rows] {
            let path = entry.path.clone();
            if !studio.gallery.thumbnails.contains_key(&path) && studio.gallery.asked.insert(path.clone()) {
                studio.engine.send(Request::Thumbnail(path.clone()));
            }
            let selected = open.as_deref() == Some(&entry.name);
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), SIDE), egui::Sense::click());
            let (state, colour) = word(entry.state);
            response.widget_info(|| {
                egui::WidgetInfo::selected(egui::Role::ListItem, true, selected, format!("{}, {state}", entry.name))
            });
            if selected || response.hovered() {
                let fill = if selected { ui.visuals().selection.bg_fill } else { ui.visuals().faint_bg_color };
                ui.painter().rect_filled(rect.expand(2.0), 3.0, fill);
            }
            let picture = egui::Rect::from_min_size(rect.min, vec2(SIDE, SIDE));
            match studio.gallery.thumbnails.get(&path) {
                Some(texture) => {
                    let size = texture.size_vec2();
                    let fitted = egui::Rect::from_center_size(picture.center(), size * (SIDE / size.max_elem()));
                    let all = egui::Rect::from_min_max(egui::pos2(0.0, 0.0), egui::pos2(1.0, 1.0));
                    ui.painter().image(texture.id(), fitted, all, Color32::WHITE);
                }
                None => drop(ui.painter().rect_filled(picture, 2.0, ui.visuals().extreme_bg_color)),
            }
            let text = picture.right_top() + vec2(6.0, 4.0);
            let part = ui.painter().with_clip_rect(rect);
            let font = egui::TextStyle::Body.resolve(ui.style());
            let visuals = ui.visuals();
            let (strong, weak) = match selected {
                true => (visuals.selection.stroke.color, visuals.selection.stroke.color),
                false => (visuals.text_color(), visuals.weak_text_color()),
            };
            part.text(text, egui::Align2::LEFT_TOP, &entry.name, font, strong);
            let small = egui::TextStyle::Small.resolve(ui.style());
            let held = if entry.held_out { ", held out" } else { "" };
            part.circle_filled(text + vec2(4.0, 26.0), 4.0, colour);
            let at = text + vec2(12.0, 20.0);
            part.text(at, egui::Align2::LEFT_TOP, format!("{state}{held}"), small, weak);
            if response.clicked() {
                chosen = Some(entry.name.clone());
            }
            response.context_menu(|ui| {
                let text = if entry.held_out { "Use for training" } else { "Hold out for scores" };
                if ui.button(text).clicked() {
                    holds = Some((entry.name.clone(), !entry.held_out));
                    ui.close();
                }
            });
        }
    });
    if let Some(name) = chosen {
        studio.open_named(&name);
    }
    if let Some((name, held_out)) = holds {
        studio.hold_out(&name, held_out);
    }
}
