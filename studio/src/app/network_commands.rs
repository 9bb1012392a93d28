//! Networks at work: segmentation, the visible region, training, scores.

use super::document::Prediction;
use super::{LiveOf, Shown, Studio};
use crate::canvas::CanvasImage;
use crate::engine::live::{Live, LiveOutput};
use crate::engine::{Request, SegmentJob, Segmented, TrainJob};
use crate::platform::{self, start};
use crate::project::State;
use eframe::egui::Color32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};
use unet_wgpu::low_level::io::fs;

impl Studio {
    pub(super) fn choose_model(&mut self, index: usize) {
        self.current = index;
        self.settings = Default::default();
        self.live = None;
    }

    fn job(&self, path: &Path) -> Option<SegmentJob> {
        let model = self.model()?;
        let channels = self.channels_for(model.channels);
        let model = model.name.as_str().into();
        Some(SegmentJob { path: path.into(), model, settings: self.settings.clone(), channels })
    }

    /// Segments the image at hand.
    pub(super) fn segment(&mut self) {
        let Some(job) = self.document.as_ref().and_then(|doc| self.job(&doc.path)) else { return };
        self.shown = Shown::Prediction;
        self.work(Request::Segment(job));
    }

    /// Asks for work on images.
    pub(super) fn work(&mut self, request: Request) {
        (self.jobs, self.progress) = (self.jobs + 1, 0.0);
        self.engine.send(request);
    }

    /// A request for images has come to its end.
    pub(super) fn worked(&mut self) {
        self.jobs = self.jobs.saturating_sub(1);
        if self.jobs == 0 && std::mem::take(&mut self.outdated) {
            self.decode();
        }
        self.segment_next();
    }

    /// Segments every image of the project, one after another.
    pub(super) fn segment_all(&mut self) {
        self.queue = self.images().iter().filter_map(|image| self.job(&image.path)).collect();
        self.segment_next();
    }

    pub(super) fn segment_next(&mut self) {
        if self.jobs == 0
            && let Some(job) = self.queue.pop_front()
        {
            self.work(Request::Segment(job));
        }
    }

    /// Finds the instances of the image at hand again, after a change of settings. While there is other work only the last
    /// change counts: a slider that is drawn changes them with every frame.
    pub(super) fn decode(&mut self) {
        if self.jobs > 0 {
            self.outdated = true;
            return;
        }
        let Some(result) = self.document.as_ref().and_then(|d| d.prediction.as_ref()).map(|p| p.result.clone()) else {
            return;
        };
        let job = self.job(&result.path).filter(|job| job.model.name == result.model);
        match job {
            Some(job) => self.work(Request::Decode(result.id, job)),
            None => self.segment(),
        }
    }

    pub(super) fn export(&mut self, folder: PathBuf) {
        if let Some(job) = self.document.as_ref().and_then(|doc| self.job(&doc.path)) {
            self.work(Request::Export(job, self.export.clone(), folder));
        }
    }

    /// Moves the view to a place.
    pub(super) fn go_to(&mut self, at: [f64; 2]) {
        let zoom = self.canvas.view.map_or(2.0, |view| view.zoom.max(1.0));
        self.canvas.view = Some(crate::canvas::View { centre: at, zoom });
    }

    /// Prepares the network for the visible region, if it is not yet.
    pub(super) fn prepare_live(&mut self, image: &CanvasImage, path: &Path) {
        let Some(model) = self.model() else { return };
        let shown = self.live_output();
        let wanted = LiveOf { model: model.name.clone(), image: path.into(), shown };
        let channels = self.channels_for(model.channels);
        if self.live.as_ref().is_some_and(|(of, _)| *of == wanted) {
            return;
        }
        match &self.preparing {
            Some((of, receiver)) if *of == wanted => {
                let outcome = match receiver.try_recv() {
                    Ok(outcome) => outcome,
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => Err("preparing the network failed".into()),
                };
                self.preparing = None;
                match outcome {
                    Ok(live) => self.live = Some((wanted, live)),
                    Err(e) => {
                        self.live_on = false;
                        self.complain(format!("Live view: {e}"));
                    }
                }
            }
            _ => {
                let (sender, receiver) = channel();
                let (render, pixels, ctx) = (self.render.clone(), image.pixels().clone(), self.ctx.clone());
                let name = wanted.model.clone();
                self.preparing = Some((wanted, receiver));
                let started = start("live view", async move || {
                    let live = async {
                        let model = platform::open_model(&name).await?;
                        Live::prepare(&render, model, &pixels, channels, shown).await
                    };
                    let live = live.await.map_err(|e| e.to_string());
                    // Without a receiver another image is open by now.
                    let _ = sender.send(live);
                    ctx.request_repaint();
                });
                if let Err(e) = started {
                    self.complain(format!("Live view: {e}"));
                }
            }
        }
    }

    /// What the live view shows of the chosen model.
    pub(super) fn live_output(&self) -> LiveOutput {
        let classes = self.model().map_or(2, |m| m.classes.len());
        match self.live_class.filter(|class| (1..classes).contains(class)) {
            Some(class) => LiveOutput::Probability(class),
            None if classes > 2 => LiveOutput::Classes,
            None => LiveOutput::Probability(1),
        }
    }

    /// The colours of all classes in the live view, made anew when one changes.
    pub(super) fn live_table(&mut self) -> Arc<[Color32]> {
        let colours = self.class_colours();
        if *self.live_colours != *colours {
            self.live_colours = colours.into();
        }
        self.live_colours.clone()
    }

    /// How many images are labelled: to train on, held out.
    pub(super) fn labelled(&self) -> [usize; 2] {
        let mut counts = [0; 2];
        for image in self.project.iter().flat_map(|p| p.settings().images.values()) {
            counts[usize::from(image.held_out)] +=
                usize::from(matches!(image.state, State::Labelled | State::Reviewed));
        }
        counts
    }

    pub(super) fn can_train(&self) -> bool {
        !self.training.running && self.labelled()[0] > 0
    }

    pub(super) fn can_score(&self) -> bool {
        // The data set is made anew for scores, and training reads it.
        self.jobs == 0 && !self.training.running && self.labelled() != [0; 2] && self.model().is_some()
    }

    pub(super) fn train(&mut self) {
        self.keep_classes();
        self.save_for_training();
        let Some(project) = &self.project else { return };
        let set = match project.training_set() {
            Ok(set) if set.train_names.is_empty() => return self.complain("No image to train on is labelled yet."),
            Ok(set) => set,
            Err(e) => return self.complain(e.to_string()),
        };
        let models = project.folder().join("models");
        let Some(out) = (1..).map(|n| models.join(format!("model-{n}"))).find(|path| !fs::exists(path)) else { return };
        let images = &project.settings().images;
        let states = || set.train_names.iter().chain(&set.validation_names).filter_map(|name| images.get(name));
        let partial = states().any(|image| image.state != State::Reviewed);
        let classes = self.classes();
        let base = self.base().map(|m| m.name.as_str().into());
        // A network of its own takes one channel.
        let channels = self.channels_for(self.base().map_or(1, |m| m.channels));
        let options = &self.train_options;
        let job = TrainJob {
            held_out: set.validation,
            partial,
            steps: options.steps,
            batch: options.batch,
            lr: options.lr,
            channels: channels.clone(),
            ..TrainJob::new(set.train, classes, base, out)
        };
        self.training = super::Training::begin(channels);
        self.engine.send(Request::Train(Box::new(job)));
    }

    /// The file of the chosen model, if it is not built in.
    pub(super) fn model_file(&self) -> Option<PathBuf> {
        self.model().map(|m| PathBuf::from(&m.name)).filter(|file| fs::is_file(file))
    }

    pub(super) fn download_model(&mut self) {
        if let Some(file) = self.model_file() {
            self.hand_out(file.parent(), std::slice::from_ref(&file));
        }
    }

    /// Models that were trained in this project.
    pub(super) fn trained_models(&self) -> Vec<PathBuf> {
        let Some(project) = &self.project else { return Vec::new() };
        let runs = fs::read_dir(project.folder().join("models")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> =
            runs.map(|run| run.path().join("best.safetensors")).filter(|f| fs::is_file(f)).collect();
        files.sort();
        files
    }

    pub(super) fn score(&mut self) {
        self.save_for_training();
        let (Some(project), Some(card)) = (&self.project, self.model()) else { return };
        let (model, channels) = (card.name.as_str().into(), self.channels_for(card.channels));
        let set = match project.training_set() {
            Ok(set) => set,
            Err(e) => return self.complain(e.to_string()),
        };
        let data = set.validation.unwrap_or(set.train);
        self.work(Request::Score(model, self.settings.clone(), data, channels));
    }

    /// Shows a result for the image at hand.
    pub(super) fn show_result(&mut self, result: Arc<Segmented>) {
        let Some(doc) = self.document.as_mut().filter(|doc| doc.path == result.path) else { return };
        let another = doc.prediction.as_ref().is_some_and(|p| p.result.model != result.model);
        if another {
            // Two models side by side.
            doc.compare = doc.prediction.take();
        }
        doc.prediction = Prediction::new(result);
        self.shown_instance = None;
    }
}
