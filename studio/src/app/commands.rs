//! What menus, keys and panels do.

use super::document::{Document, Prediction};
use super::tools::{self, ToolOutcome};
use super::{AUTOSAVE, Panel, Shown, Studio};
use crate::canvas::CanvasImage;
use crate::engine::live::Live;
use crate::engine::{Labelled, Request, SegmentJob, TrainJob, is_image};
use crate::labels::{BACKGROUND, Edit, PasteMode, Rle, UNLABELLED};
use crate::project::{ImageState, Project};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{TryRecvError, channel};

/// A small image of the demonstration: its file name and bytes.
const DEMO: [(&str, &[u8]); 2] = [
    ("nuclei_u2os.png", include_bytes!("../../../assets/images/nuclei_u2os.png")),
    ("nuclei_hff.png", include_bytes!("../../../assets/images/nuclei_hff.png")),
];

impl Studio {
    /// Opens a project, or a folder of images as a new one.
    pub(super) fn open_folder(&mut self, folder: &Path) {
        self.save_all();
        match Project::open_or_create(folder) {
            Ok((project, notes)) => {
                notes.into_iter().for_each(|note| self.say(note));
                self.document = None;
                let first = project.images().first().map(|image| image.name.clone());
                self.project = Some(project);
                if let Some(name) = first {
                    self.open_named(&name);
                }
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// Opens the demo images as a project in the user's folder.
    pub(super) fn open_demo(&mut self) {
        let folder = std::env::home_dir().unwrap_or_else(std::env::temp_dir).join("unet-studio-demo");
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            DEMO.iter().filter(|(name, _)| !folder.join(name).exists()).try_for_each(|(name, bytes)| {
                std::fs::write(folder.join(name), bytes)
            })
        });
        match written {
            Ok(()) => self.open_folder(&folder),
            Err(e) => self.complain(format!("{}: {e}", folder.display())),
        }
    }

    /// Files that were dropped or chosen: images, models, a folder.
    pub(super) fn take_files(&mut self, files: &[PathBuf]) {
        let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(|path| path.is_dir());
        if let Some(folder) = folders.first() {
            self.open_folder(folder);
        }
        let (images, others): (Vec<&PathBuf>, Vec<&PathBuf>) = files.into_iter().partition(|path| is_image(path));
        for path in others {
            self.engine.send(Request::Open(path.to_string_lossy().into_owned()));
        }
        let images: Vec<PathBuf> = images.into_iter().cloned().collect();
        let Some(folder) = images.first().and_then(|image| image.parent()).map(Path::to_path_buf) else { return };
        if self.project.is_none() {
            match Project::create(&folder.join("unet-studio")) {
                Ok(project) => {
                    self.say(format!("The project is in {}", project.folder().display()));
                    self.project = Some(project);
                }
                Err(e) => return self.complain(e.to_string()),
            }
        }
        let Some(project) = &mut self.project else { return };
        match project.add_images(&images) {
            Ok(names) => {
                if let Some(name) = names.first().cloned() {
                    self.open_named(&name);
                }
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// Opens an image of the project.
    pub(super) fn open_named(&mut self, name: &str) {
        self.save_all();
        let Some(image) = self.project.as_ref().and_then(|p| p.image(name)) else { return };
        self.opening = Some(image.path.clone());
        self.engine.send(Request::Load(image.path.clone()));
    }

    /// The next or previous image.
    pub(super) fn step(&mut self, by: isize) {
        let (Some(project), Some(doc)) = (&self.project, &self.document) else { return };
        let at = project.images().iter().position(|image| image.name == doc.name);
        let next = at.and_then(|at| at.checked_add_signed(by)).and_then(|at| project.images().get(at));
        if let Some(name) = next.map(|image| image.name.clone()) {
            self.open_named(&name);
        }
    }

    pub(super) fn choose_model(&mut self, index: usize) {
        self.current = index;
        self.settings = Default::default();
        self.live = None;
    }

    fn job(&self, path: &Path) -> Option<SegmentJob> {
        let model = self.model()?.model.clone();
        Some(SegmentJob { path: path.into(), model, settings: self.settings.clone() })
    }

    /// Segments the image at hand.
    pub(super) fn segment(&mut self) {
        let Some(job) = self.document.as_ref().and_then(|doc| self.job(&doc.path)) else { return };
        self.shown = Shown::Prediction;
        self.progress = Some(0.0);
        self.engine.send(Request::Segment(job));
    }

    /// Segments every image of the project, one after another.
    pub(super) fn segment_all(&mut self) {
        let paths: Vec<PathBuf> =
            self.project.iter().flat_map(Project::images).map(|image| image.path.clone()).collect();
        self.queue = paths.iter().filter_map(|path| self.job(path)).collect();
        self.segment_next();
    }

    pub(super) fn segment_next(&mut self) {
        self.progress = None;
        if let Some(job) = self.queue.pop_front() {
            self.progress = Some(0.0);
            self.engine.send(Request::Segment(job));
        }
    }

    /// Finds the instances of the image at hand again, after a change of settings.
    pub(super) fn decode(&mut self) {
        let Some(result) = self.document.as_ref().and_then(|d| d.prediction.as_ref()).map(|p| p.result.clone()) else {
            return;
        };
        match (&result.replay, self.model().is_some_and(|m| m.name == result.model)) {
            (Some(_), true) => self.engine.send(Request::Decode(result, self.settings.clone())),
            _ => self.segment(),
        }
    }

    pub(super) fn export(&mut self, folder: PathBuf) {
        if let Some(job) = self.document.as_ref().and_then(|doc| self.job(&doc.path)) {
            self.progress = Some(0.0);
            self.engine.send(Request::Export(job, self.export.clone(), folder));
        }
    }

    /// Moves the view to a place.
    pub(super) fn go_to(&mut self, at: [f64; 2]) {
        let zoom = self.canvas.view.map_or(2.0, |view| view.zoom.max(1.0));
        self.canvas.view = Some(crate::canvas::View { centre: at, zoom });
    }

    /// Prepares the network for the visible region, if it is not yet.
    pub(super) fn prepare_live(&mut self, image: &CanvasImage, path: &Path) {
        let Some(model) = self.model().map(|m| m.model.clone()) else { return };
        let ready = |name: &str, of: &Path| name == model.name && of == path;
        if self.live.as_ref().is_some_and(|(name, of, _)| ready(name, of)) {
            return;
        }
        match &self.preparing {
            Some((name, of, receiver)) if ready(name, of) => {
                let outcome = match receiver.try_recv() {
                    Ok(outcome) => outcome,
                    Err(TryRecvError::Empty) => return,
                    Err(TryRecvError::Disconnected) => Err("preparing the network failed".into()),
                };
                self.preparing = None;
                match outcome {
                    Ok(live) => self.live = Some((model.name.clone(), path.into(), live)),
                    Err(e) => {
                        self.live_on = false;
                        self.complain(format!("Live view: {e}"));
                    }
                }
            }
            _ => {
                let (sender, receiver) = channel();
                let (render, pixels, ctx) = (self.render.clone(), image.pixels().clone(), self.ctx.clone());
                self.preparing = Some((model.name.clone(), path.into(), receiver));
                std::thread::spawn(move || {
                    let live = Live::prepare(&render, model, &pixels).map_err(|e| e.to_string());
                    // Without a receiver another image is open by now.
                    let _ = sender.send(live);
                    ctx.request_repaint();
                });
            }
        }
    }

    // Labels.

    /// Carries out an edit of the labels.
    pub(super) fn edit(&mut self, edit: Edit) {
        let Some(doc) = &mut self.document else { return };
        let outcome = tools::apply(doc, edit);
        doc.refresh();
        self.take_outcome(outcome);
    }

    /// Notes what a tool has done.
    pub(super) fn take_outcome(&mut self, outcome: ToolOutcome) {
        if let Some(reason) = outcome.refused {
            self.complain(reason);
        }
        let (Some(edit), Some(doc)) = (outcome.done, &mut self.document) else { return };
        // Instances that are gone are chosen no more.
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let Some(project) = &mut self.project else { return };
        if let Err(e) = project.record(&doc.name, &edit) {
            self.complain(e.to_string());
        }
    }

    pub(super) fn choose_none(&mut self) {
        if let Some(doc) = &mut self.document {
            doc.selected.clear();
        }
    }

    pub(super) fn delete_chosen(&mut self, to: u32) {
        let chosen = self.document.as_mut().map(|doc| std::mem::take(&mut doc.selected)).unwrap_or_default();
        for id in chosen {
            self.edit(Edit::Delete { id, to });
        }
    }

    /// Takes the prediction over into the labels.
    pub(super) fn accept(&mut self, mode: PasteMode) {
        let Some(edit) = self.document.as_ref().and_then(|doc| doc.accepted(mode)) else { return };
        self.edit(edit);
        self.panel = Panel::Label;
        self.shown = Shown::Labels;
    }

    /// Every unlabelled pixel becomes background.
    pub(super) fn rest_is_background(&mut self) {
        let Some(doc) = &self.document else { return };
        let size = doc.image.size();
        let pixels = size[0] as usize * size[1] as usize;
        let ids = Rle::from_iter(std::iter::repeat_n(BACKGROUND, pixels));
        self.edit(Edit::Paste { at: [0, 0], size, ids, classes: Vec::new(), mode: PasteMode::OnlyUnlabelled });
    }

    pub(super) fn undo_name(&self) -> Option<&'static str> {
        self.document.as_ref()?.editor.can_undo()
    }

    pub(super) fn redo_name(&self) -> Option<&'static str> {
        self.document.as_ref()?.editor.can_redo()
    }

    pub(super) fn undo(&mut self) {
        self.turn_back(false);
    }

    pub(super) fn redo(&mut self) {
        self.turn_back(true);
    }

    fn turn_back(&mut self, forward: bool) {
        let (Some(doc), Some(project)) = (&mut self.document, &mut self.project) else { return };
        let change = if forward { doc.editor.redo() } else { doc.editor.undo() };
        if change.is_none() {
            return;
        }
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let noted = if forward { project.record_redo(&doc.name, &doc.editor) } else { project.record_undo(&doc.name, &doc.editor) };
        doc.refresh();
        if let Err(e) = noted {
            self.complain(e.to_string());
        }
    }

    /// The image is checked: go on with the next one.
    pub(super) fn reviewed(&mut self) {
        let (Some(project), Some(doc)) = (&mut self.project, &self.document) else { return };
        let name = doc.name.clone();
        match project.set_state(&name, ImageState::Reviewed) {
            Ok(()) => self.step(1),
            Err(e) => self.complain(e.to_string()),
        }
    }

    pub(super) fn hold_out(&mut self, name: &str, held_out: bool) {
        let Some(project) = &mut self.project else { return };
        if let Err(e) = project.set_held_out(name, held_out) {
            self.complain(e.to_string());
        }
    }

    /// Saves the labels of the image at hand.
    pub(super) fn save_all(&mut self) {
        let (Some(project), Some(doc)) = (&mut self.project, &self.document) else { return };
        if let Err(e) = project.save_labels(&doc.name, doc.editor.labels()) {
            self.complain(e.to_string());
        }
    }

    pub(super) fn autosave(&mut self, now: f64) {
        if now - self.saved_at > AUTOSAVE && self.document.as_ref().is_some_and(|d| !d.editor.stroke_under_way()) {
            self.saved_at = now;
            self.save_all();
        }
    }

    // Training.

    /// Images with labels: to train on, held out.
    fn pairs(&self) -> [Vec<Labelled>; 2] {
        let mut pairs = [Vec::new(), Vec::new()];
        for image in self.project.iter().flat_map(Project::images).filter(|image| image.has_labels()) {
            pairs[usize::from(image.held_out)].push([image.path.clone(), image.labels.clone()]);
        }
        pairs
    }

    /// How many images are labelled: to train on, held out.
    pub(super) fn labelled(&self) -> [usize; 2] {
        self.pairs().map(|pairs| pairs.len())
    }

    pub(super) fn train(&mut self) {
        self.save_all();
        let Some(project) = &self.project else { return };
        let [images, held_out] = self.pairs();
        let out = project.new_run();
        let classes = self.classes();
        let base = self.base().map(|m| m.model.clone());
        let options = &self.train_options;
        let partial = self.document.as_ref().is_none_or(|d| d.editor.labels().fractions().unlabelled > 0.0);
        let job = TrainJob {
            held_out,
            classes,
            partial,
            steps: options.steps,
            batch: options.batch,
            lr: options.lr,
            ..TrainJob::new(images, base, out)
        };
        self.training = super::Training::begin();
        self.engine.send(super::train_panel::request(job));
    }

    pub(super) fn score(&mut self) {
        self.save_all();
        let [images, held_out] = self.pairs();
        let pairs = if held_out.is_empty() { images } else { held_out };
        let Some(model) = self.model().map(|m| m.model.clone()) else { return };
        self.progress = Some(0.0);
        self.engine.send(Request::Score(model, self.settings.clone(), pairs));
    }

    /// Shows a result for the image at hand.
    pub(super) fn show_result(&mut self, result: std::sync::Arc<crate::engine::Segmented>) {
        let Some(doc) = self.document.as_mut().filter(|doc| doc.path == result.path) else { return };
        let another = doc.prediction.as_ref().is_some_and(|p| p.result.model != result.model);
        if another {
            // Two models side by side.
            doc.compare = doc.prediction.take();
        }
        doc.prediction = Prediction::new(result);
        self.shown_instance = None;
    }

    /// The image at hand, once it is decoded.
    pub(super) fn show_image(&mut self, file: crate::engine::ImageFile) {
        if self.opening.as_ref() != Some(&file.path) {
            return;
        }
        self.opening = None;
        let Some(project) = &mut self.project else { return };
        let Some(name) = project.images().iter().find(|i| i.path == file.path).map(|i| i.name.clone()) else { return };
        let size = [file.image.width() as u32, file.image.height() as u32];
        match project.load_labels(&name, size) {
            Ok((editor, notes)) => {
                self.canvas.fit();
                let notes: Vec<String> = file.notes.iter().cloned().chain(notes).collect();
                notes.into_iter().for_each(|note| self.say(note));
                let doc = Document::new(name, file, editor);
                if doc.editor.labels().fractions().unlabelled < 1.0 {
                    self.shown = Shown::Labels;
                }
                self.document = Some(doc);
                debug_assert_ne!(UNLABELLED, BACKGROUND);
            }
            Err(e) => self.complain(e.to_string()),
        }
    }
}
