//! Training: what on, from where, how it goes, what came of it.

use super::Studio;
use super::segment_panel::short;
use crate::engine::SelectedChannels;
use eframe::egui::{self, RichText, Ui};
use eframe::wgpu;
use egui_plot::{Legend, Line, Plot, PlotPoints};
use web_time::Instant;

/// A training that runs or has run.
#[derive(Default)]
pub(super) struct Training {
    pub(super) running: bool,
    pub(super) about: Vec<String>,
    pub(super) losses: Vec<[f64; 2]>,
    /// Of the held-out images: step and value, by name.
    pub(super) scores: Vec<(String, Vec<[f64; 2]>)>,
    pub(super) step: u64,
    pub(super) of: u64,
    pub(super) started: Option<Instant>,
    /// What the network gets of the images.
    pub(super) channels: SelectedChannels,
}

impl Training {
    pub(super) fn begin(channels: SelectedChannels) -> Self {
        Self { running: true, started: Some(Instant::now()), channels, ..Self::default() }
    }

    pub(super) fn score(&mut self, step: u64, scores: &[(String, f64)]) {
        for (name, value) in scores {
            let point = [step as f64, *value];
            match self.scores.iter_mut().find(|s| s.0 == *name) {
                Some((_, points)) => points.push(point),
                None => self.scores.push((name.clone(), vec![point])),
            }
        }
    }

    /// A running mean of the losses, since single ones are noisy.
    fn smooth(&self) -> Vec<[f64; 2]> {
        let mut mean = None;
        let step = |&[x, y]: &[f64; 2]| {
            let m = mean.map_or(y, |m: f64| m + 0.1 * (y - m));
            mean = Some(m);
            [x, m]
        };
        self.losses.iter().map(step).collect()
    }
}

/// What the next training takes.
pub(super) struct TrainOptions {
    pub(super) steps: u64,
    pub(super) lr: f64,
    pub(super) batch: usize,
}

impl TrainOptions {
    /// Without a GPU few crops, so that minutes bring more than a handful of steps.
    pub(super) fn of(device: wgpu::DeviceType) -> Self {
        Self { steps: 200, lr: 5e-4, batch: if device == wgpu::DeviceType::Cpu { 2 } else { 8 } }
    }
}

pub(super) fn show(studio: &mut Studio, ui: &mut Ui) {
    ui.heading("Train");
    let [labelled, held_out] = studio.labelled();
    match labelled {
        0 => ui.label("Label some instances first, on one image or more. A part of an image is enough: what is not labelled is ignored."),
        1 => ui.label(format!("1 labelled image to train on, {held_out} held out for scores")),
        n => ui.label(format!("{n} labelled images to train on, {held_out} held out for scores")),
    };
    if labelled > 0 && held_out == 0 {
        ui.weak("Without held-out images the scores are those of the images trained on. Hold one out in the gallery (right click).");
    }
    egui::ComboBox::from_label("base model")
        .selected_text(studio.base().map_or("none: from scratch".into(), |m| short(&m.name)))
        .show_ui(ui, |ui| {
            if ui.selectable_label(studio.base.is_none(), "none: from scratch").clicked() {
                studio.base = None;
            }
            for (i, card) in studio.models.iter().enumerate() {
                if ui.selectable_label(studio.base == Some(i), short(&card.name)).clicked() {
                    studio.base = Some(i);
                }
            }
        });
    ui.weak("Every training begins at this model again, not at the last attempt.");
    ui.collapsing("Parameters", |ui| {
        egui::Grid::new("training parameters").num_columns(2).show(ui, |ui| {
            let options = &mut studio.train_options;
            let label = ui.label("Steps");
            ui.add(egui::DragValue::new(&mut options.steps).range(10..=100_000)).labelled_by(label.id);
            ui.end_row();
            let label = ui.label("Crops per step");
            ui.add(egui::DragValue::new(&mut options.batch).range(1..=64)).labelled_by(label.id);
            ui.end_row();
            let label = ui.label("Learning rate");
            ui.add(egui::DragValue::new(&mut options.lr).range(1e-6..=0.1).speed(1e-5).max_decimals(6))
                .labelled_by(label.id);
            ui.end_row();
        });
    });
    ui.horizontal(|ui| {
        let running = studio.training.running;
        let train = egui::Button::new(RichText::new("Train").strong());
        if ui.add_enabled(studio.can_train(), train).on_hover_text("T").clicked() {
            studio.train();
        }
        if running && ui.button("Stop and keep").on_hover_text("Ends after the step at hand (Shift+T)").clicked() {
            studio.engine.stop_training();
        }
    });
    progress(studio, ui);
    versions(studio, ui);
}

fn progress(studio: &Studio, ui: &mut Ui) {
    let training = &studio.training;
    training.about.iter().for_each(|line| drop(ui.weak(line)));
    if training.running && training.step == 0 {
        // Nothing that moves: every frame takes its time from the network.
        ui.label("reading labels, preparing the network ..");
    }
    if training.of > 0 {
        let left = training.started.filter(|_| training.running && training.step > 0).map_or(String::new(), |start| {
            let each = start.elapsed().as_secs_f64() / training.step as f64;
            format!(", about {:.0} s left", each * (training.of - training.step) as f64)
        });
        let text = format!("step {} of {}{left}", training.step, training.of);
        ui.add(egui::ProgressBar::new(training.step as f32 / training.of as f32).text(text));
    }
    if training.losses.len() > 1 {
        let plot = Plot::new("losses").height(130.0).legend(Legend::default()).x_axis_label("step").allow_scroll(false);
        plot.show(ui, |plot| {
            plot.line(Line::new("loss", PlotPoints::from(training.smooth())));
            for (name, points) in training.scores.iter().filter(|s| s.0 == "loss") {
                plot.line(Line::new(format!("{name}, held out"), PlotPoints::from(points.clone())));
            }
        });
    }
    let scores: Vec<_> = training.scores.iter().filter(|s| s.0 != "loss" && ["f1", "dice"].contains(&&*s.0)).collect();
    if !scores.is_empty() {
        let plot = Plot::new("scores")
            .height(110.0)
            .legend(Legend::default())
            .include_y(0.0)
            .include_y(1.0)
            .allow_scroll(false);
        plot.show(ui, |plot| {
            for (name, points) in scores {
                plot.line(Line::new(name, PlotPoints::from(points.clone())));
            }
        });
    }
}

/// Models of this project, side by side.
fn versions(studio: &mut Studio, ui: &mut Ui) {
    ui.separator();
    ui.heading("Scores");
    let names: Vec<String> = studio.models.iter().map(|card| card.name.clone()).collect();
    ui.horizontal(|ui| {
        let hover =
            "The instances of the chosen model against the labels of held-out images, or of all labelled ones (C)";
        let score = egui::Button::new("Score the model");
        if ui.add_enabled(studio.can_score(), score).on_hover_text(hover).clicked() {
            studio.score();
        }
    });
    egui::Grid::new("versions").striped(true).num_columns(4).show(ui, |ui| {
        ["model", "F1", "mean AP", "Dice"].iter().for_each(|head| drop(ui.strong(*head)));
        ui.end_row();
        for scores in &studio.scores {
            if ui.selectable_label(names.get(studio.current) == Some(&scores.model), short(&scores.model)).clicked() {
                studio.shown_scores = Some(scores.model.clone());
            }
            ui.label(format!("{:.3}", scores.f1));
            ui.label(format!("{:.3}", scores.mean_ap));
            ui.label(scores.dice.map_or("-".into(), |d| format!("{d:.3}")));
            ui.end_row();
        }
    });
    let shown = studio.shown_scores.clone();
    let Some(scores) = studio.scores.iter().find(|s| Some(&s.model) == shown.as_ref()).or(studio.scores.last()) else {
        return;
    };
    ui.label("Images, the worst first:");
    let mut go = None;
    egui::Grid::new("mistakes").striped(true).num_columns(3).show(ui, |ui| {
        ["image", "F1", "found / missed / wrong"].iter().for_each(|head| drop(ui.strong(*head)));
        ui.end_row();
        for image in &scores.images {
            if ui.link(&image.name).clicked() {
                go = Some(image.name.clone());
            }
            ui.label(image.f1.map_or("-".into(), |f1| format!("{f1:.3}")));
            let [found, missed, wrong] = image.counts;
            ui.label(format!("{found} / {missed} / {wrong}"));
            ui.end_row();
        }
    });
    if let Some(name) = go {
        studio.open_named(&name);
    }
}
