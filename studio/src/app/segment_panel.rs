//! Models, and what they find in the image at hand.

use super::{Studio, channels};
use crate::engine::{ModelCard, Row, Segmented};
use crate::labels::PasteMode;
use crate::platform::{BROWSER, BUILT_IN};
use eframe::egui::{self, RichText, Ui};
use egui_extras::{Column, TableBuilder};
use egui_plot::{Bar, BarChart, Plot};
use unet_wgpu::low_level::infer::{InstanceMethod, WRITERS};
use unet_wgpu::low_level::weights::InstanceTarget;

/// How the table of instances is sorted.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sorting {
    column: usize,
    descending: bool,
}

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    models(studio, ui);
    channels::of_network(studio, ui);
    ui.separator();
    instances(studio, ui);
    ui.separator();
    live(studio, ui);
    ui.separator();
    results(studio, ui);
}

fn models(studio: &mut Studio, ui: &mut Ui) {
    let heading = ui.heading("Model");
    let current = studio.model().map_or("none yet".to_string(), |m| short(&m.name));
    let mut chosen = None;
    let list = egui::ComboBox::from_id_salt("model").selected_text(current).width(ui.available_width() - 8.0).show_ui(
        ui,
        |ui| {
            for (i, card) in studio.models.iter().enumerate() {
                if ui.selectable_label(i == studio.current, short(&card.name)).clicked() {
                    chosen = Some(i);
                }
            }
            for (name, about) in BUILT_IN {
                let open = studio.models.iter().any(|card| card.name == name);
                if !open && ui.selectable_label(false, name).on_hover_text(about).clicked() {
                    studio.open_model(name);
                }
            }
            for file in studio.trained_models() {
                let name = file.to_string_lossy();
                let open = studio.models.iter().any(|card| card.name == name);
                if !open && ui.selectable_label(false, short(&name)).on_hover_text("trained in this project").clicked()
                {
                    studio.open_model(name);
                }
            }
        },
    );
    list.response.labelled_by(heading.id);
    if let Some(i) = chosen {
        studio.choose_model(i);
    }
    if ui.button("Open a model file ..").on_hover_text("native, PyTorch, ONNX, bioimage.io; or drop it here").clicked()
    {
        studio.dialogs.open_model(ui.ctx());
    }
    if BROWSER
        && studio.model_file().is_some()
        && ui
            .button("Download the model")
            .on_hover_text("For the program, Python or another machine (Shift+D)")
            .clicked()
    {
        studio.download_model();
    }
    if let Some(card) = studio.model() {
        about(card, ui);
    }
}

/// The last part of a path, or a built-in name.
pub(super) fn short(name: &str) -> String {
    let path = std::path::Path::new(name);
    let file = path.file_name().map_or(name.into(), |f| f.to_string_lossy().into_owned());
    match path.parent().and_then(|p| p.file_name()) {
        Some(folder) if file == "best.safetensors" || file == "last.safetensors" => {
            folder.to_string_lossy().into_owned()
        }
        _ => file,
    }
}

fn about(card: &ModelCard, ui: &mut Ui) {
    let channels = if card.channels == 1 { "1 channel".to_string() } else { format!("{} channels", card.channels) };
    ui.label(format!("{}, {} parameters, {channels}", card.architecture, grouped(card.parameters)));
    let field = card.receptive_field.map_or("sees the whole image".into(), |f| format!("receptive field {f} px"));
    ui.weak(format!("{field}; classes: {}", card.classes.join(", ")));
    if !card.instances.is_empty() {
        ui.weak(card.instances.join("; "));
    }
    if !card.import.is_empty() {
        ui.collapsing("How the file was understood", |ui| {
            card.import.iter().for_each(|line| drop(ui.monospace(line)));
        });
    }
}

fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// Settings of instances; they take effect at once.
fn instances(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Instances");
    let target = studio.model().and_then(|m| m.target);
    let own = studio.model().map(|m| m.settings.clone()).unwrap_or_default();
    let before = studio.settings.clone();
    let settings = &mut studio.settings;
    let methods = [
        (InstanceMethod::Components, "connected", true),
        (InstanceMethod::Watershed, "watershed", true),
        (InstanceMethod::Elevation, "elevation", target.is_some_and(InstanceTarget::is_geometry)),
        (InstanceMethod::Offsets, "offsets", target == Some(InstanceTarget::Multi)),
    ];
    let used = settings.method.or(own.method);
    ui.horizontal_wrapped(|ui| {
        for (method, name, possible) in methods {
            let label = ui.add_enabled(possible, egui::Button::selectable(used == Some(method), name));
            if label.on_disabled_hover_text("this model does not predict what that takes").clicked() {
                settings.method = Some(method);
                settings.seed_depth = None;
            }
        }
    });
    let geometry = target.is_some_and(InstanceTarget::is_geometry);
    egui::Grid::new("instance settings").num_columns(2).show(ui, |ui| {
        let mut threshold = settings.threshold.or(own.threshold).unwrap_or(0.5);
        let label = ui.label("Threshold");
        let slider = ui.add(egui::Slider::new(&mut threshold, 0.05..=0.95).fixed_decimals(2)).labelled_by(label.id);
        if slider.changed() {
            settings.threshold = Some(threshold);
        }
        ui.end_row();
        let mut area = settings.min_area.or(own.min_area).unwrap_or(if geometry { 20 } else { 0 });
        let label = ui.label("Least area");
        if ui.add(egui::DragValue::new(&mut area).suffix(" px").range(0..=100_000)).labelled_by(label.id).changed() {
            settings.min_area = Some(area);
        }
        ui.end_row();
        let mut confidence = settings.min_confidence.or(own.min_confidence).unwrap_or(if geometry { 0.8 } else { 0.0 });
        let label = ui.label("Least confidence");
        let slider = ui.add(egui::Slider::new(&mut confidence, 0.0..=1.0).fixed_decimals(2)).labelled_by(label.id);
        if slider.changed() {
            settings.min_confidence = Some(confidence);
        }
        ui.end_row();
        if used == Some(InstanceMethod::Watershed) {
            let mut depth = settings.seed_depth.or(own.seed_depth).unwrap_or(1.0);
            let label = ui.label("Seed depth");
            if ui.add(egui::Slider::new(&mut depth, 0.1..=10.0).suffix(" px")).labelled_by(label.id).changed() {
                settings.seed_depth = Some(depth);
            }
            ui.end_row();
        }
        let mut fill = settings.fill_holes.or(own.fill_holes).unwrap_or(true);
        let label = ui.label("Fill holes");
        if ui.checkbox(&mut fill, "").labelled_by(label.id).changed() {
            settings.fill_holes = Some(fill);
        }
        ui.end_row();
    });
    if studio.settings != Default::default() && ui.button("As the model's file says").clicked() {
        studio.settings = Default::default();
    }
    if studio.settings != before {
        studio.decode();
    }
}

fn live(studio: &mut Studio, ui: &mut Ui) {
    ui.horizontal(|ui| {
        let text = "Live on what you see";
        let hover = "The network runs inside the window's frames on 512 x 512 pixels around the middle of the view (L)";
        ui.checkbox(&mut studio.live_on, text).on_hover_text(hover);
    });
    if studio.live_on {
        live_class(studio, ui);
        ui.add(egui::Slider::new(&mut studio.budget, 1.0..=30.0).suffix(" ms").text("of each frame"));
        let [half, most] = [50, 95].map(|percent| studio.frame_times.percentile(percent).unwrap_or(0.0));
        ui.weak(format!("frames: 50 % under {half:.0} ms, 95 % under {most:.0} ms"));
    }
}

/// Which class the live view shows.
fn live_class(studio: &mut Studio, ui: &mut Ui) {
    let Some(classes) = studio.model().map(|m| m.classes.clone()).filter(|classes| classes.len() > 2) else { return };
    let all = "all, by colour".to_string();
    let name = |class: Option<usize>| class.and_then(|c| classes.get(c)).unwrap_or(&all).clone();
    let mut shown = studio.live_class.filter(|class| (1..classes.len()).contains(class));
    egui::ComboBox::from_label("class that is shown").selected_text(name(shown)).show_ui(ui, |ui| {
        for class in std::iter::once(None).chain((1..classes.len()).map(Some)) {
            ui.selectable_value(&mut shown, class, name(class));
        }
    });
    studio.live_class = shown;
}

fn results(studio: &mut Studio, ui: &mut Ui) {
    let busy = studio.jobs > 0;
    ui.horizontal(|ui| {
        let ready = studio.document.is_some() && studio.model().is_some();
        if ui.add_enabled(ready && !busy, egui::Button::new("Segment")).on_hover_text("Ctrl+Enter").clicked() {
            studio.segment();
        }
        if ui.add_enabled(ready && !busy, egui::Button::new("Segment all")).clicked() {
            studio.segment_all();
        }
        if busy && ui.button("Stop").clicked() {
            studio.queue.clear();
            studio.engine.cancel();
        }
    });
    if busy {
        ui.add(egui::ProgressBar::new(studio.progress as f32).show_percentage());
    }
    let Some(prediction) = studio.document.as_ref().and_then(|d| d.prediction.as_ref()) else { return };
    let result = prediction.result.clone();
    ui.label(RichText::new(format!("{} instances", result.rows.len())).strong());
    ui.weak(&result.method);
    ui.horizontal(|ui| {
        let labelled = "Labels become what the model says, its background too, where nothing is labelled yet (A)";
        if ui.button("Accept").on_hover_text(labelled).clicked() {
            studio.accept(PasteMode::OnlyUnlabelled);
        }
        if ui.button("Accept all").on_hover_text("Replaces all labels, by the model's background too").clicked() {
            studio.accept(PasteMode::Replace);
        }
        let one = studio.shown_instance;
        if ui.add_enabled(one.is_some(), egui::Button::new("Accept one")).on_hover_text("The chosen instance").clicked()
        {
            studio.accept_one(one);
        }
        ui.menu_button("Export ..", |ui| {
            for writer in WRITERS {
                let mut on = studio.export.iter().any(|name| name == writer.name());
                if ui.checkbox(&mut on, writer.name()).on_hover_text(writer.about()).changed() {
                    studio.export.retain(|name| name != writer.name());
                    studio.export.extend(on.then(|| writer.name().to_string()));
                }
            }
            if ui
                .add_enabled(
                    !studio.export.is_empty(),
                    egui::Button::new(if BROWSER { "Download" } else { "To a folder .." }),
                )
                .clicked()
            {
                studio.dialogs.export_folder(ui.ctx());
                ui.close();
            }
        });
    });
    histogram(&result, ui);
    table(studio, &result, ui);
}

/// The areas of the instances.
fn histogram(result: &Segmented, ui: &mut Ui) {
    const BINS: usize = 24;
    let most = result.rows.iter().map(|row| row.area).max().unwrap_or(0).max(1);
    let width = most as f64 / BINS as f64;
    let mut counts = [0u32; BINS];
    for row in &result.rows {
        counts[((row.area as f64 / width) as usize).min(BINS - 1)] += 1;
    }
    let bar = |(i, &n): (usize, &u32)| Bar::new((i as f64 + 0.5) * width, f64::from(n)).width(width * 0.95);
    let chart = BarChart::new("instances", counts.iter().enumerate().map(bar).collect());
    Plot::new("areas")
        .height(90.0)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .x_axis_label("area, px")
        .show_grid(false)
        .show(ui, |plot| plot.bar_chart(chart));
}

/// The value of a column.
fn value(row: &Row, column: usize) -> f64 {
    match column {
        0 => f64::from(row.id),
        1 => row.area as f64,
        2 => row.means.first().copied().unwrap_or(0.0),
        _ => row.eccentricity,
    }
}

fn table(studio: &mut Studio, result: &Segmented, ui: &mut Ui) {
    let mut order: Vec<usize> = (0..result.rows.len()).collect();
    let Sorting { column, descending } = studio.sorting;
    order.sort_by(|&a, &b| value(&result.rows[a], column).total_cmp(&value(&result.rows[b], column)));
    if descending {
        order.reverse();
    }
    let heads = ["No.", "Area", "Mean", "Eccentr."];
    let mut go = None;
    TableBuilder::new(ui)
        .striped(true)
        .sense(egui::Sense::click())
        .columns(Column::remainder(), heads.len())
        .header(20.0, |mut header| {
            for (i, head) in heads.iter().enumerate() {
                header.col(|ui| {
                    let mark = if i == column { if descending { " v" } else { " ^" } } else { "" };
                    if ui.button(format!("{head}{mark}")).clicked() {
                        studio.sorting = Sorting { column: i, descending: i == column && !descending };
                    }
                });
            }
        })
        .body(|body| {
            body.rows(18.0, order.len(), |mut line| {
                let row = &result.rows[order[line.index()]];
                line.set_selected(studio.shown_instance == Some(row.id));
                let texts = [
                    row.id.to_string(),
                    row.area.to_string(),
                    format!("{:.0}", value(row, 2)),
                    format!("{:.2}", row.eccentricity),
                ];
                for text in texts {
                    line.col(|ui| drop(ui.label(text)));
                }
                if line.response().clicked() {
                    go = Some((row.id, row.centroid));
                }
            });
        });
    if let Some((id, centroid)) = go {
        studio.shown_instance = Some(id);
        studio.go_to(centroid);
    }
}
