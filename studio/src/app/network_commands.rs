//! Networks at work: segmentation, the visible region, training, scores.

use super::Shown;
use super::Studio;
use super::document::Prediction;
use crate::canvas::CanvasImage;
use crate::engine::live::Live;
use crate::engine::{Request, SegmentJob, Segmented, TrainJob};
use crate::platform::{self, start};
use crate::project::State;
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
        let model = self.model()?.name.as_str().into();
        Some(SegmentJob { path: path.into(), model, settings: self.settings.clone() })
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
        let Some(name) = self.model().map(|m| m.name.clone()) else { return };
        let ready = |known: &str, of: &Path| known == name && of == path;
        if self.live.as_ref().is_some_and(|(name, of, _)| ready(name, of)) {
            return;
        }
        match &self.preparing {
            Some((known, of, receiver)) if ready(known, of) => {
                let outcome = match receiver.try_recv() {
                    Ok(outcome) => outcome,
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => Err("preparing the network failed".into()),
                };
                self.preparing = None;
                match outcome {
                    Ok(live) => self.live = Some((name.clone(), path.into(), live)),
                    Err(e) => {
                        self.live_on = false;
                        self.complain(format!("Live view: {e}"));
                    }
                }
            }
            _ => {
                let (sender, receiver) = channel();
                let (render, pixels, ctx) = (self.render.clone(), image.pixels().clone(), self.ctx.clone());
                self.preparing = Some((name.clone(), path.into(), receiver));
                let started = start("live view", async move || {
                    let live = async { Live::prepare(&render, platform::open_model(&name).await?, &pixels).await };
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
        self.save_all();
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
        let options = &self.train_options;
        let job = TrainJob {
            held_out: set.validation,
            partial,
            steps: options.steps,
            batch: options.batch,
            lr: options.lr,
            ..TrainJob::new(set.train, classes, base, out)
        };
        self.training = super::Training::begin();
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
        self.save_all();
        let (Some(project), Some(model)) = (&self.project, self.model().map(|m| m.name.as_str().into())) else {
            return;
        };
        let set = match project.training_set() {
            Ok(set) => set,
            Err(e) => return self.complain(e.to_string()),
        };
        let data = set.validation.unwrap_or(set.train);
        self.work(Request::Score(model, self.settings.clone(), data));
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
