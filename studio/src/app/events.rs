//! What the engine and the dialogs report.

use super::Studio;
use crate::engine::{Event, ModelCard, ModelFile, Request, SegmentJob, Work};
use crate::platform::{self, Chosen};
use crate::project::State;
use eframe::egui;
use std::path::{Path, PathBuf};

impl Studio {
    pub(super) fn take_events(&mut self) {
        for chosen in self.dialogs.take() {
            match chosen {
                Chosen::Files(files) => self.take_files(&files),
                Chosen::Project(folder) => self.open_folder(&folder),
                Chosen::Model(file) => self.open_model(file.to_string_lossy()),
                Chosen::Export(folder) => self.export(folder),
                Chosen::Failed(reason) => self.complain(reason),
            }
        }
        let failed: Vec<String> = self.failed_saves.1.try_iter().collect();
        failed.into_iter().for_each(|reason| self.complain(reason));
        platform::trouble().into_iter().for_each(|reason| self.complain(reason));
        self.engine.events().into_iter().for_each(|event| self.take(event));
    }

    pub(super) fn take_dropped(&mut self, ctx: &egui::Context) {
        let files = ctx.input(|i| i.raw.dropped_files.clone());
        if !files.is_empty() {
            self.dialogs.drop(ctx, &files);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Loaded(file) => self.show_image(*file),
            Event::Thumbnail(small) => self.gallery.add(&self.ctx, small),
            Event::Opened(card) => self.add_model(*card),
            Event::Progress(fraction) => self.progress = fraction,
            Event::Segmented(result) => {
                self.note_predicted(&result.path);
                self.show_result(result);
                self.worked();
            }
            Event::Exported(files) => {
                self.worked();
                self.hand_out(files.first().and_then(|f| f.parent()), &files);
            }
            Event::Scored(scores) => {
                self.worked();
                self.scores.retain(|s| s.model != scores.model);
                self.shown_scores = Some(scores.model.clone());
                self.scores.push(*scores);
            }
            Event::Training(about) => self.training.about = about,
            Event::Step { step, of, loss } => {
                (self.training.step, self.training.of) = (step, of);
                self.training.losses.push([step as f64, f64::from(loss)]);
            }
            Event::Evaluated { step, scores, file } => {
                self.training.score(step, &scores);
                self.preview(&file);
            }
            Event::Trained(trained) => {
                self.training.running = false;
                let how = if trained.stopped { "stopped" } else { "done" };
                self.say(format!("Training is {how} after {} steps: {}", trained.steps, trained.model.display()));
                self.open_model(trained.model.to_string_lossy());
                self.trained = Some(trained.model);
            }
            Event::Failed(failure) => self.failed(failure),
        }
    }

    fn failed(&mut self, failure: crate::engine::Failure) {
        match failure.of {
            Work::Training => self.training.running = false,
            Work::Images => self.worked(),
            Work::Files => {}
        }
        if self.opening.as_ref().is_some_and(|path| path.display().to_string() == failure.what) {
            self.opening = None;
        }
        if failure.cancelled {
            self.say("stopped");
        } else {
            let named = failure.error.contains(&failure.what);
            self.complain(if named { failure.error } else { format!("{}: {}", failure.what, failure.error) });
        }
    }

    /// Opens a model: a built-in name or a file.
    pub fn open_model(&self, name: impl Into<String>) {
        self.engine.send(Request::Open(name.into()));
    }

    /// Tells where files are that the user wants, or in a browser downloads them.
    pub(super) fn hand_out(&mut self, folder: Option<&Path>, files: &[PathBuf]) {
        match platform::hand_out(folder.unwrap_or(Path::new("")), files) {
            Ok(said) => self.say(said),
            Err(e) => self.complain(e),
        }
    }

    fn add_model(&mut self, card: ModelCard) {
        let known = self.models.iter().position(|other| other.name == card.name);
        let index = match known {
            Some(i) => {
                self.models[i] = card;
                i
            }
            None => {
                self.models.push(card);
                self.models.len() - 1
            }
        };
        if self.base.is_none() && self.models.len() == 1 {
            self.base = Some(0);
        }
        self.choose_model(index);
        // What was trained shows at once what it has learned.
        let own = self.trained.take().is_some_and(|path| self.models[index].name == path.to_string_lossy());
        if own && self.document.is_some() {
            self.segment();
        }
    }

    fn note_predicted(&mut self, path: &std::path::Path) {
        let image = self.images().into_iter().find(|image| image.path == path && image.state == State::Unlabelled);
        if let Some(image) = image {
            self.set_state(&image.name, State::Predicted);
        }
    }

    /// What the network in training sees in the image at hand.
    fn preview(&mut self, file: &std::path::Path) {
        let Some(doc) = &self.document else { return };
        if self.jobs > 0 {
            return;
        }
        let model = ModelFile { name: super::PREVIEW.into(), file: file.to_string_lossy().into_owned() };
        let (path, channels) = (doc.path.clone(), self.training.channels.clone());
        self.work(Request::Segment(SegmentJob { path, model, settings: Default::default(), channels }));
    }
}
