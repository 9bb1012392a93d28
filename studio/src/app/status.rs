//! The state of the application in numbers, and its commands, for tests and for programs that drive it.

use super::Studio;
use crate::canvas::{Area, View};
use crate::engine::{Scores, Segmented};
use eframe::egui::{Pos2, Rect};
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
    /// Classes of the project.
    pub classes: usize,
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
            classes: self.project_classes().len(),
            undo: doc.map_or(0, |d| d.editor.editor().undo_steps()),
            predicted: self.prediction().map(|p| p.rows.len()),
            training: self.training.running,
            steps: self.training.step,
            regions: self.live.as_ref().map_or(0, |live| live.1.state().regions),
            idle: self.jobs == 0,
            failures: self.failures,
            messages: self.messages.iter().map(|m| m.1.clone()).collect(),
        }
    }

    /// What the model has found in the image at hand.
    pub fn prediction(&self) -> Option<&Segmented> {
        Some(&*self.document.as_ref()?.prediction.as_ref()?.result)
    }

    /// Scores of models on the labels.
    pub fn scores(&self) -> &[Scores] {
        &self.scores
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
        let region = self.live.as_ref()?.1.state().shown.clone()?;
        region.read(&self.render)
    }

    /// The classes that are shown live, row by row. Waits for the device.
    pub fn live_classes(&self) -> Option<Vec<u8>> {
        let region = self.live.as_ref()?.1.state().shown.clone()?;
        region.read_classes(&self.render)
    }

    /// Shows one class live; none for all classes of a model with several.
    pub fn set_live_class(&mut self, class: Option<usize>) {
        self.live_class = class;
    }

    /// The classes of the project: names and colours.
    pub fn class_list(&self) -> Vec<(String, [u8; 3])> {
        self.project_classes().iter().map(|class| (class.name.clone(), class.colour)).collect()
    }

    /// The channel that is shown alone; none for all in their colours.
    pub fn channel_alone(&self) -> Option<usize> {
        self.channel_view.alone
    }

    /// The channels that the chosen model gets of the project's images; none for the program's rules.
    pub fn network_channels(&self) -> Option<Vec<usize>> {
        self.channels_for(self.model()?.channels)
    }

    /// Where a point of the image is in the window, in points.
    pub fn place_of(&self, at: [f64; 2]) -> Option<Pos2> {
        let area = Area { rect: self.area?, pixels_per_point: self.ctx.pixels_per_point() };
        let fitted = || Some(View::fit(&area, self.document.as_ref()?.image.size()));
        Some(self.canvas.view.or_else(fitted)?.to_screen(&area, at))
    }

    /// How far the network is with the region at hand, from 0 to 1; none if it is not at work.
    pub fn live_progress(&self) -> Option<f64> {
        let (_, live) = self.live.as_ref().filter(|(_, live)| live.waits())?;
        live.state().progress.map(|progress| progress.done as f64 / progress.of.max(1) as f64)
    }

    /// Waits until the device has done everything that was asked of it.
    pub fn wait_for_device(&self) {
        // A lost device ends the wait as well.
        let _ = self.render.device.poll(eframe::wgpu::PollType::wait_indefinitely());
    }

    /// The label of a pixel of the image at hand.
    pub fn label_at(&self, x: u32, y: u32) -> Option<u32> {
        self.document.as_ref()?.editor.labels().get(x, y)
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
