//! The state of the application in numbers, and its commands, for tests and for programs that drive it.

use super::Studio;
use crate::engine::Segmented;
use eframe::egui::Rect;
use serde::Serialize;
use std::path::PathBuf;
use unet_wgpu::low_level::infer::InstanceSettings;

/// The state of the application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Name of the image at hand.
    pub image: Option<String>,
    /// Name of the chosen model.
    pub model: Option<String>,
    /// Labelled instances.
    pub labelled: usize,
    /// Steps that can be undone.
    pub undo: usize,
    /// Instances that the model has found; none before it has run.
    pub predicted: Option<usize>,
    /// Whether a training runs.
    pub training: bool,
    /// Steps of the latest training.
    pub steps: u64,
    /// Regions that the network has seen live.
    pub regions: usize,
    /// Whether no image is worked on.
    pub idle: bool,
    /// What went wrong so far.
    pub failures: usize,
    /// Messages that are shown.
    pub messages: Vec<String>,
}

impl Studio {
    /// The state.
    pub fn status(&self) -> Status {
        let doc = self.document.as_ref();
        Status {
            image: doc.map(|d| d.name.clone()),
            model: self.model().map(|m| m.name.clone()),
            labelled: doc.map_or(0, |d| d.editor.labels().instances().len()),
            undo: doc.map_or(0, |d| d.editor.editor().undo_steps()),
            predicted: self.prediction().map(|p| p.rows.len()),
            training: self.training.running,
            steps: self.training.step,
            regions: self.live.as_ref().map_or(0, |live| live.2.state().regions),
            idle: self.jobs == 0,
            failures: self.failures,
            messages: self.messages.iter().map(|m| m.1.clone()).collect(),
        }
    }

    /// What the model has found in the image at hand.
    pub fn prediction(&self) -> Option<&Segmented> {
        Some(&*self.document.as_ref()?.prediction.as_ref()?.result)
    }

    /// Where the image is in the window.
    pub fn canvas_rect(&self) -> Option<Rect> {
        self.area
    }

    /// Finds instances by these settings from now on.
    pub fn set_instances(&mut self, settings: InstanceSettings) {
        self.settings = settings;
        self.decode();
    }

    /// Steps of the next training, and crops in each.
    pub fn set_training(&mut self, steps: u64, batch: usize) {
        (self.train_options.steps, self.train_options.batch) = (steps, batch);
    }

    /// Runs the network live, with so many milliseconds of each frame.
    pub fn set_live(&mut self, on: bool, milliseconds: f64) {
        (self.live_on, self.budget) = (on, milliseconds);
    }

    /// The probabilities that are shown live, row by row. Waits for the device.
    pub fn live_probabilities(&self) -> Option<Vec<f32>> {
        let region = self.live.as_ref()?.2.state().shown.clone()?;
        region.read(&self.render)
    }

    /// The time that so many percent of the frames stay under, milliseconds.
    pub fn frame_time(&self, percent: usize) -> Option<f64> {
        self.frame_times.percentile(percent)
    }

    /// Writes kinds of results of the image at hand into a folder.
    pub fn export_to(&mut self, kinds: &[&'static str], folder: PathBuf) {
        self.export = kinds.iter().map(ToString::to_string).collect();
        self.export(folder);
    }
}
