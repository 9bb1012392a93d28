//! What menus, keys and panels do.

use super::document::{Document, Prediction};
use super::tools::{self, ToolOutcome};
use super::{AUTOSAVE, Panel, Shown, Studio};
use crate::canvas::CanvasImage;
use crate::engine::live::Live;
use crate::engine::{Request, SegmentJob, TrainJob, is_image};
use crate::labels::{BACKGROUND, Edit, PasteMode, Rle};
use crate::project::{Project, State};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{TryRecvError, channel};

/// A small image of the demonstration: its file name and bytes.
const DEMO: [(&str, &[u8]); 2] = [
    ("nuclei_u2os.png", include_bytes!("../../../assets/images/nuclei_u2os.png")),
    ("nuclei_hff.png", include_bytes!("../../../assets/images/nuclei_hff.png")),
];

/// An image in the gallery.
#[derive(Clone)]
pub(super) struct GalleryImage {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) state: State,
    pub(super) held_out: bool,
}

impl Studio {
    /// Opens a project, or a folder of images as a new one.
    pub(super) fn open_folder(&mut self, folder: &Path) {
        self.save_all();
        // A project is open once only, and this may be the same one.
        (self.document, self.project) = (None, None);
        match Project::open(folder) {
            Ok(project) => {
                project.notes().iter().for_each(|note| self.say(note.clone()));
                let first = project.images().first().cloned();
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
            DEMO.iter()
                .filter(|(name, _)| !folder.join(name).exists())
                .try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
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
            match Project::create(folder.join("unet-studio")) {
                Ok(project) => {
                    self.say(format!("The project is in {}", project.folder().display()));
                    self.project = Some(project);
                }
                Err(e) => return self.complain(e.to_string()),
            }
        }
        let Some(project) = &mut self.project else { return };
        match project.add_images(&images) {
            Ok(added) => {
                added.notes.into_iter().for_each(|note| self.say(note));
                if let Some(name) = added.names.first() {
                    self.open_named(name);
                }
            }
            Err(e) => self.complain(e.to_string()),
        }
    }

    /// Opens an image of the project.
    pub(super) fn open_named(&mut self, name: &str) {
        self.save_all();
        let Some(path) = self.project.as_ref().and_then(|p| p.image_path(name)) else { return };
        self.opening = Some(path.clone());
        self.engine.send(Request::Load(path));
    }

    /// The next or previous image.
    pub(super) fn step(&mut self, by: isize) {
        let (Some(project), Some(doc)) = (&self.project, &self.document) else { return };
        let names = project.images();
        let at = names.iter().position(|name| *name == doc.name);
        if let Some(name) = at.and_then(|at| at.checked_add_signed(by)).and_then(|at| names.get(at)) {
            self.open_named(name);
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
        match (&result.replay, self.model().is_some_and(|m| m.name == result.model)) {
            (Some(_), true) => self.work(Request::Decode(result, self.settings.clone())),
            _ => self.segment(),
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
        let (true, Some(doc)) = (outcome.done, &mut self.document) else { return };
        // Instances that are gone are chosen no more.
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let (name, trouble) = (doc.name.clone(), doc.editor.trouble());
        trouble.into_iter().for_each(|trouble| self.complain(trouble));
        if self.state(&name).is_some_and(|state| matches!(state, State::Unlabelled | State::Predicted)) {
            self.set_state(&name, State::Labelled);
        }
    }

    fn state(&self, name: &str) -> Option<State> {
        self.project.as_ref()?.settings().images.get(name).map(|image| image.state)
    }

    pub(super) fn set_state(&mut self, name: &str, state: State) {
        let changed = self.project.as_mut().map(|p| p.change_image(name, |image| image.state = state));
        if let Some(Err(e)) = changed {
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

    /// Takes one predicted instance over into the labels.
    pub(super) fn accept_one(&mut self, id: Option<u32>) {
        let doc = self.document.as_ref();
        if let Some(edit) = id.and_then(|id| doc.and_then(|doc| doc.accepted_one(id))) {
            self.edit(edit);
        }
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
        self.document.as_ref()?.editor.editor().can_undo()
    }

    pub(super) fn redo_name(&self) -> Option<&'static str> {
        self.document.as_ref()?.editor.editor().can_redo()
    }

    pub(super) fn undo(&mut self) {
        self.turn_back(false);
    }

    pub(super) fn redo(&mut self) {
        self.turn_back(true);
    }

    fn turn_back(&mut self, forward: bool) {
        let Some(doc) = &mut self.document else { return };
        let change = if forward { doc.editor.redo() } else { doc.editor.undo() };
        if change.is_none() {
            return;
        }
        let labels = doc.editor.labels();
        doc.selected.retain(|&id| labels.contains(id));
        let trouble = doc.editor.trouble();
        doc.refresh();
        trouble.into_iter().for_each(|trouble| self.complain(trouble));
    }

    /// The image is checked: go on with the next one.
    pub(super) fn reviewed(&mut self) {
        let Some(name) = self.document.as_ref().map(|doc| doc.name.clone()) else { return };
        self.set_state(&name, State::Reviewed);
        self.step(1);
    }

    pub(super) fn hold_out(&mut self, name: &str, held_out: bool) {
        let changed = self.project.as_mut().map(|p| p.change_image(name, |image| image.held_out = held_out));
        if let Some(Err(e)) = changed {
            self.complain(e.to_string());
        }
    }

    /// Saves the labels of the image at hand.
    pub(super) fn save_all(&mut self) {
        let Some(doc) = self.document.as_mut().filter(|doc| doc.editor.unsaved() > 0) else { return };
        if let Err(e) = doc.editor.save() {
            self.complain(e.to_string());
        }
    }

    /// Saves on another thread, now and then.
    pub(super) fn autosave(&mut self, now: f64) {
        if now - self.saved_at < AUTOSAVE {
            return;
        }
        self.saved_at = now;
        let unsaved = self.document.as_mut().filter(|doc| doc.editor.unsaved() > 0);
        let Some(job) = unsaved.and_then(|doc| doc.editor.begin_save()) else { return };
        let failed = self.failed_saves.0.clone();
        std::thread::spawn(move || {
            // The journal has every edit still, and the next save tries again.
            if let Err(e) = job.run() {
                // Without a receiver the window is closed.
                let _ = failed.send(e.to_string());
            }
        });
    }

    // Training.

    /// The images of the project.
    pub(super) fn images(&self) -> Vec<GalleryImage> {
        let Some(project) = &self.project else { return Vec::new() };
        let image = |name: String| {
            let entry = project.settings().images.get(&name)?;
            let path = project.image_path(&name)?;
            Some(GalleryImage { name, path, state: entry.state, held_out: entry.held_out })
        };
        project.images().into_iter().filter_map(image).collect()
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

    pub(super) fn train(&mut self) {
        self.save_all();
        let Some(project) = &self.project else { return };
        let set = match project.training_set() {
            Ok(set) if set.train_names.is_empty() => return self.complain("No image to train on is labelled yet."),
            Ok(set) => set,
            Err(e) => return self.complain(e.to_string()),
        };
        let models = project.folder().join("models");
        let Some(out) = (1..).map(|n| models.join(format!("model-{n}"))).find(|path| !path.exists()) else { return };
        let images = &project.settings().images;
        let states = || set.train_names.iter().chain(&set.validation_names).filter_map(|name| images.get(name));
        let partial = states().any(|image| image.state != State::Reviewed);
        let classes = self.classes();
        let base = self.base().map(|m| m.model.clone());
        let options = &self.train_options;
        let job = TrainJob {
            held_out: set.validation,
            classes,
            partial,
            steps: options.steps,
            batch: options.batch,
            lr: options.lr,
            ..TrainJob::new(set.train, base, out)
        };
        self.training = super::Training::begin();
        self.engine.send(Request::Train(Box::new(job)));
    }

    pub(super) fn score(&mut self) {
        self.save_all();
        let (Some(project), Some(model)) = (&self.project, self.model().map(|m| m.model.clone())) else { return };
        let set = match project.training_set() {
            Ok(set) => set,
            Err(e) => return self.complain(e.to_string()),
        };
        let data = set.validation.unwrap_or(set.train);
        self.work(Request::Score(model, self.settings.clone(), data));
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
        let Some(name) = self.images().into_iter().find(|i| i.path == file.path).map(|i| i.name) else { return };
        self.save_all();
        // The same image may be open already.
        self.document = None;
        let Some(project) = &self.project else { return };
        let size = [file.image.width() as u32, file.image.height() as u32];
        match project.open_labels(&name, size) {
            Ok(editor) => {
                self.canvas.fit();
                let notes: Vec<String> = file.notes.iter().chain(editor.notes()).cloned().collect();
                notes.into_iter().for_each(|note| self.say(note));
                let doc = Document::new(name, file, editor);
                if doc.editor.labels().fractions().unlabelled < 1.0 {
                    self.shown = Shown::Labels;
                }
                self.document = Some(doc);
            }
            Err(e) => self.complain(e.to_string()),
        }
    }
}
