//! The canvas, what lies over it, and the line below it.

use super::document::Prediction;
use super::segment_panel::short;
use super::tools::Tool;
use super::{Shown, Studio, channels, theme};
use crate::canvas::{
    Background, CanvasResponse, Colouring, LabelLayer, LabelStyle, Live as LiveLayer, LiveLook, Scene,
};
use crate::engine::live::LiveOutput;
use crate::labels::{BACKGROUND, UNLABELLED};
use eframe::egui::{self, Color32, Ui};
use eframe::egui_wgpu;

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    let Some(mut doc) = studio.document.take() else {
        empty(studio, ui);
        return;
    };
    studio.canvas.primary_pans = studio.tools.tool == Tool::Select;
    let live = live(studio, &doc.image, &doc.path);
    let colours = studio.class_colours();
    let by_class = |on: bool| on.then_some(&colours).filter(|_| studio.by_class);
    let own = by_class(studio.project_classes().len() > 1).map(|colours| doc.colouring(colours));
    let [of_first, of_second] = [&mut doc.prediction, &mut doc.compare]
        .map(|p| p.as_mut().and_then(|p| by_class(true).map(|colours| p.colouring(colours))));
    let style = |unlabelled: bool, selected: Option<u32>, colouring: Option<Colouring>| LabelStyle {
        unlabelled,
        selected,
        colouring: colouring.unwrap_or_default(),
        ..studio.style.clone()
    };
    let tiles = doc.tiles();
    let selected = style(studio.style.unlabelled, doc.selected.last().copied(), own);
    let labels = LabelLayer { key: doc.key(), tiles: &tiles, style: selected };
    let [first, second] = [&doc.prediction, &doc.compare].map(|p| p.as_ref().map(|p| (p.key(), p.tiles())));
    let chosen = style(false, studio.shown_instance, of_first);
    let predicted = first.as_ref().map(|(key, tiles)| LabelLayer { key: *key, tiles, style: chosen });
    let plain = style(false, None, of_second);
    let compared = second.as_ref().map(|(key, tiles)| LabelLayer { key: *key, tiles, style: plain });
    let (labels, compare) = match studio.shown {
        Shown::Labels => (Some(labels), None),
        Shown::Prediction => (predicted, compared),
        Shown::Both => (Some(labels), predicted),
        Shown::Nothing => (None, None),
    };
    let contrast = channels::contrast_of(&studio.channel_view, &doc);
    let scene = Scene {
        name: &doc.name,
        image: Some(&doc.image),
        contrast: Some(&contrast),
        labels,
        compare,
        live: live.as_ref(),
        pixel_size: doc.pixel_size,
        grid: studio.grid,
        background: Some(Background::Plain(theme::around_image(ui.visuals()))),
    };
    let canvas = studio.canvas.show(ui, &scene);
    studio.area = Some(canvas.area.rect);
    if scene.compare.is_some() {
        let of = |p: &Option<Prediction>| p.as_ref().map_or("prediction".into(), |p| short(&p.result.model));
        let names = match studio.shown {
            Shown::Both => ["labels".into(), of(&doc.prediction)],
            _ => [of(&doc.prediction), of(&doc.compare)],
        };
        sides(&canvas, studio.canvas.split, names);
    }
    studio.repaints |= studio.canvas.is_loading(&scene);
    if let Some((_, network)) = studio.live.as_mut().filter(|_| studio.live_on) {
        let [x, y] = canvas.view.centre;
        network.look(0, doc.image.pixels(), [x as f32, y as f32]);
        if network.waits() {
            // Before the canvas is drawn, in the same submission.
            let part = network.part(studio.budget);
            ui.painter().add(egui_wgpu::Callback::new_paint_callback(canvas.area.rect, part));
            ui.ctx().request_repaint();
        }
    }
    studio.hovered = describe(&doc, &canvas.pixel, &canvas.values, canvas.labels);
    if studio.shown == Shown::Prediction && studio.tools.tool == Tool::Select && canvas.response.clicked() {
        studio.shown_instance = canvas.labels[0].filter(|&id| id != BACKGROUND && id != UNLABELLED);
    } else if matches!(studio.shown, Shown::Labels | Shown::Both) {
        let outcome = studio.tools.follow(&mut doc, &canvas);
        studio.tools.draw(&canvas);
        doc.refresh();
        studio.document = Some(doc);
        studio.take_outcome(outcome);
        return;
    }
    doc.refresh();
    studio.document = Some(doc);
}

/// What is on both sides of the split.
fn sides(canvas: &CanvasResponse, split: f32, [left, right]: [String; 2]) {
    let rect = canvas.area.rect;
    let at = egui::pos2(rect.left() + split * rect.width(), rect.top() + 8.0);
    for (text, side, align) in [(left, -8.0, egui::Align2::RIGHT_TOP), (right, 8.0, egui::Align2::LEFT_TOP)] {
        let font = egui::FontId::proportional(13.0);
        let at = at + egui::vec2(side, 0.0);
        let size = canvas.painter.layout_no_wrap(text.clone(), font.clone(), Color32::WHITE).size();
        let back = align.anchor_size(at, size).expand(3.0);
        canvas.painter.rect_filled(back, 3.0, Color32::from_black_alpha(170));
        canvas.painter.text(at, align, text, font, Color32::WHITE);
    }
}

/// The region that the network has seen, over the image.
fn live(studio: &mut Studio, image: &crate::canvas::CanvasImage, path: &std::path::Path) -> Option<LiveLayer> {
    if !studio.live_on {
        return None;
    }
    studio.prepare_live(image, path);
    let (of, network) = studio.live.as_ref()?;
    if of.image != path {
        return None;
    }
    let state = network.state();
    if let Some(error) = &state.error {
        let text = format!("Live view: {error}");
        drop(state);
        studio.live_on = false;
        studio.complain(text);
        return None;
    }
    let region = state.shown.clone()?;
    drop(state);
    let own = studio.model().and_then(|m| m.settings.threshold);
    let several = studio.model().is_some_and(|m| m.classes.len() > 2);
    let look = match region.output {
        LiveOutput::Probability(class) => LiveLook::Threshold {
            least: studio.settings.threshold.or(own).unwrap_or(0.5) as f32,
            colour: if several { studio.class_colour(class) } else { Color32::from_rgb(240, 228, 66) },
        },
        LiveOutput::Classes => LiveLook::Classes(studio.live_table()),
    };
    let (at, size, opacity) = (region.at, region.size, studio.style.opacity);
    Some(LiveLayer { texture: region.texture, at, size, look, opacity })
}

/// What is under the pointer, in words.
fn describe(
    doc: &super::document::Document,
    pixel: &Option<[u32; 2]>,
    values: &[f32],
    labels: [Option<u32>; 2],
) -> String {
    let [width, height] = doc.image.size();
    let Some([x, y]) = pixel else { return format!("{width} x {height}") };
    let values: Vec<String> = values.iter().map(|v| format!("{v}")).collect();
    let label = |label: Option<u32>| match label {
        None => String::new(),
        Some(UNLABELLED) => ", unlabelled".into(),
        Some(BACKGROUND) => ", background".into(),
        Some(id) => format!(", instance {id}"),
    };
    let second = if labels[1].is_some() { format!(" |{}", label(labels[1])) } else { String::new() };
    format!("x {x}, y {y}: {}{}{second}", values.join(" "), label(labels[0]))
}

fn empty(studio: &mut Studio, ui: &mut Ui) {
    ui.centered_and_justified(|ui| match &studio.opening {
        Some(path) => ui.label(format!("opening {}", path.display())),
        None => ui.label("Drop images, a folder or a model here; or begin with the demo images on the left."),
    });
}

/// The line at the lower edge.
pub(super) fn status(studio: &mut Studio, ui: &mut Ui) {
    let now = ui.input(|i| i.time);
    for message in &mut studio.messages {
        if message.0.is_infinite() {
            // Failures stay longer.
            message.0 = now + if message.2 { 30.0 } else { 8.0 };
        }
    }
    studio.messages.retain(|message| message.0 > now);
    let mut closed = None;
    for (i, (_, text, failed)) in studio.messages.iter().enumerate() {
        ui.horizontal(|ui| {
            if ui.small_button("x").on_hover_text("Close").clicked() {
                closed = Some(i);
            }
            match failed {
                true => ui.colored_label(ui.visuals().error_fg_color, text),
                false => ui.label(text),
            }
        });
    }
    if let Some(i) = closed {
        studio.messages.remove(i);
    }
    if let Some((until, ..)) = studio.messages.first() {
        ui.ctx().request_repaint_after(std::time::Duration::from_secs_f64((until - now).max(0.1)));
    }
    ui.horizontal(|ui| {
        ui.monospace(&studio.hovered);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let zoom = studio.canvas.view.map_or("fit".into(), |v| format!("{:.0} %", 100.0 * v.zoom));
            ui.label(zoom);
            ui.separator();
            ui.weak(studio.engine.device());
        });
    });
}

/// Contrast, opacity, outlines: the menu View.
pub(super) fn options(studio: &mut Studio, ui: &mut Ui) {
    let shown = [
        (Shown::Labels, "Labels", "1"),
        (Shown::Prediction, "Prediction", "2"),
        (Shown::Both, "Labels | prediction, side by side", "3"),
        (Shown::Nothing, "The image alone", "4"),
    ];
    for (value, name, key) in shown {
        if ui.add(egui::Button::selectable(studio.shown == value, name).shortcut_text(key)).clicked() {
            studio.shown = value;
        }
    }
    ui.separator();
    ui.checkbox(&mut studio.style.fills, "Fill instances");
    ui.checkbox(&mut studio.style.outlines, "Outlines (O)");
    ui.checkbox(&mut studio.style.unlabelled, "Hatch what is unlabelled");
    ui.checkbox(&mut studio.by_class, "Colour by class (K)").on_hover_text("Where there are several classes");
    ui.checkbox(&mut studio.grid, "Pixel grid");
    ui.add(egui::Slider::new(&mut studio.style.opacity, 0.0..=1.0).text("opacity").fixed_decimals(2));
    ui.separator();
    channels::contrast(studio, ui);
    ui.separator();
    theme::choose(studio, ui);
    ui.separator();
    if ui.add(egui::Button::new("Fit").shortcut_text("0")).clicked() {
        studio.canvas.fit();
        ui.close();
    }
}
