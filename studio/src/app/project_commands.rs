//! Projects and files: opening, adding, handing out.

use super::Shown;
use super::Studio;
use super::document::Document;
use crate::engine::{ImageFile, Request, is_image};
use crate::platform;
use crate::project::{Project, State};
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::io::fs;

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
    /// Opens a project, or a folder of images as a new one. An OME-Zarr becomes an image of the project at hand.
    pub(super) fn open_folder(&mut self, folder: &Path) {
        if is_image(folder) {
            return self.take_files(&[folder.into()]);
        }
        self.save_all();
        self.keep_classes();
        // A project is open once only, and this may be the same one.
        (self.document, self.project, self.removed_class) = (None, None, None);
        match Project::open(folder) {
            Ok(project) => {
                project.notes().iter().for_each(|note| self.say(note.clone()));
                platform::opened(project.folder());
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
    pub fn open_demo(&mut self) {
        let folder = platform::home().join("unet-studio-demo");
        let written = fs::create_dir_all(&folder).and_then(|()| {
            DEMO.iter()
                .filter(|(name, _)| !fs::exists(folder.join(name)))
                .try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
        });
        match written {
            Ok(()) => self.open_folder(&folder),
            Err(e) => self.complain(format!("{}: {e}", folder.display())),
        }
    }

    /// Files that were dropped or chosen: images, models, a folder.
    pub(super) fn take_files(&mut self, files: &[PathBuf]) {
        let is_folder = |path: &&PathBuf| fs::is_dir(path) && !is_image(path);
        let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(is_folder);
        if let Some(folder) = folders.first() {
            self.open_folder(folder);
        }
        let (images, others): (Vec<&PathBuf>, Vec<&PathBuf>) = files.into_iter().partition(|path| is_image(path));
        for path in others {
            self.open_model(path.to_string_lossy());
        }
        let images: Vec<PathBuf> = images.into_iter().cloned().collect();
        let Some(folder) = images.first().and_then(|image| platform::project_of(image)) else { return };
        if self.project.is_none() {
            match Project::create(folder) {
                Ok(project) => {
                    self.say(format!("The project is in {}", project.folder().display()));
                    platform::opened(project.folder());
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

    /// All files of the project but those that a training makes anew.
    fn project_files(&self) -> Result<Vec<PathBuf>, std::io::Error> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        let root = self.project.as_ref().map(|project| project.folder().to_path_buf());
        folders.extend(root.clone());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                match fs::is_dir(&path) {
                    true if root.as_ref().is_some_and(|root| path == root.join("training")) => {}
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        Ok(files)
    }

    /// Hands out the project as it is.
    pub(super) fn download_project(&mut self) {
        self.save_all();
        let Some(folder) = self.project.as_ref().map(|project| project.folder().to_path_buf()) else { return };
        match self.project_files() {
            Ok(files) => self.hand_out(Some(&folder), &files),
            Err(e) => self.complain(format!("{}: {e}", folder.display())),
        }
    }

    /// Removes the project with all that is in it.
    pub(super) fn remove_project(&mut self) {
        self.document = None;
        let Some(folder) = self.project.take().map(|project| project.folder().to_path_buf()) else { return };
        if let Err(e) = fs::remove_dir_all(&folder) {
            self.complain(format!("{}: {e}", folder.display()));
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

    /// The image at hand, once it is decoded.
    pub(super) fn show_image(&mut self, file: ImageFile) {
        if self.opening.as_ref() != Some(&file.path) {
            return;
        }
        self.opening = None;
        let Some(name) = self.images().into_iter().find(|i| i.path == file.path).map(|i| i.name) else { return };
        self.save_all();
        // The same image may be open already.
        (self.document, self.removed_class) = (None, None);
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
                self.take_classes();
            }
            Err(e) => self.complain(e.to_string()),
        }
    }
}
