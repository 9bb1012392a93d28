//! The folder of a project, which is a data set that `unet train` reads.
//!
//! ```text
//! PROJECT/
//!   images/NAME.ext      the images, of OME-Zarr folders: hard links where possible, else copies; never written again
//!   labels/NAME.tif      an instance number per pixel: signed integers of 32 bits, 0 background, -1 unlabelled
//!   masks/NAME.tif       a class id per pixel, -1 unlabelled; only with several classes of instances
//!   studio.json          classes, the state of every image, the base model
//!   journal/NAME.jsonl   edits since labels/NAME.tif was written
//!   classes.json         classes that are being renumbered, until all images have them
//!   imported/            ground truth of other programs that the studio has replaced by its own files
//!   training/            hard links for a training: the labelled images, those held out in a data set of their own
//! ```
//!
//! | file | responsibility |
//! |---|---|
//! | `lock` | one studio per project |
//! | `settings` | studio.json |
//! | `images` | images: adding, listing |
//! | `image_tree` | an image on the disk, a file or a folder: finding, linking, comparing |
//! | `label_files` | labels and masks as TIFF files |
//! | `masks` | masks of other programs: classes, and instances where there are no labels |
//! | `journal` | entries and lines of a journal, as bytes |
//! | `replay` | labels from a file and a journal |
//! | `journal_file` | a journal on the disk |
//! | `open_labels` | labels of an image under edit, with their journal |
//! | `save` | writes labels and restarts the journal, on any thread |
//! | `training` | the labelled images as data sets |
//! | `classes` | removes a class, in all images or in none |
//!
//! Edits reach the journal as soon as they are finished, by a plain write: the death of the process loses nothing but the
//! stroke under way. Labels, masks and settings are written atomically and synced.

mod classes;
mod image_tree;
mod images;
mod journal;
mod journal_file;
mod label_files;
mod lock;
mod masks;
mod open_labels;
mod replay;
mod save;
mod settings;
mod training;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

pub use classes::Recall;
pub use images::Added;
pub use open_labels::OpenLabels;
pub use save::SaveJob;
pub use settings::{Class, ImageEntry, Settings, State, class_colour};
pub use training::TrainingSet;

use lock::Lock;

/// Subfolder for the project of a folder of images.
const INSIDE: &str = "unet-studio";

/// What a project shares with the labels that are open.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Whether instances have several classes, so that masks are written.
    masks: AtomicBool,
    /// Images whose labels are open.
    open: Mutex<BTreeSet<String>>,
    /// All images.
    images: Mutex<BTreeSet<String>>,
    _lock: Option<Lock>,
}

impl Shared {
    fn open_names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn image_names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn labels(&self, name: &str) -> PathBuf {
        self.folder.join("labels").join(format!("{name}.tif"))
    }

    fn mask(&self, name: &str) -> PathBuf {
        self.folder.join("masks").join(format!("{name}.tif"))
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.folder.join("journal").join(format!("{name}.jsonl"))
    }
}

/// A project, locked against a second studio while it or any of its labels is open.
#[derive(Debug)]
pub struct Project {
    shared: Arc<Shared>,
    settings: Settings,
    notes: Vec<String>,
}

impl Project {
    /// Creates a project in a folder, which is created if missing; or opens the one that is there.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        Self::at(folder.into(), Vec::new())
    }

    /// Opens a project or a data set with a folder `images`. Of a folder of plain images the project is the subfolder
    /// `unet-studio`, which is made if missing; [`Self::notes`] say so.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !fs::is_dir(folder) {
            return Err(Error::file(folder, if fs::exists(folder) { "is not a folder" } else { "no such folder" }));
        }
        let has = |name: &str| fs::exists(folder.join(name));
        let inside = folder.join(INSIDE);
        if has(settings::FILE) || has("images") {
            return Self::at(folder.into(), Vec::new());
        }
        if let Some(name) = ["image", "imgs", "img", "imagesTr"].into_iter().find(|name| fs::is_dir(folder.join(name)))
        {
            let reason =
                format!("is a data set whose images are in {name}/; rename it to images/ to open it as a project");
            return Err(Error::file(folder, reason));
        }
        let images = images::plain(folder)?;
        if images.is_empty() && !fs::exists(&inside) {
            return Self::at(folder.into(), Vec::new());
        }
        fs::create_dir_all(&inside).map_err(|e| Error::io(&inside, e))?;
        let note = format!("The project of the images in {} is {}.", folder.display(), inside.display());
        let mut project = Self::at(inside, vec![note])?;
        let added = project.add_images(&images)?;
        project.notes.extend(added.notes.into_iter().filter(|note| !note.contains(images::KNOWN)));
        Ok(project)
    }

    fn at(folder: PathBuf, mut notes: Vec<String>) -> Result<Self> {
        let lock = Lock::of(&folder)?;
        notes.extend(
            lock.is_none()
                .then(|| format!("{} cannot be locked: do not open it in two programs at once.", folder.display())),
        );
        let images = folder.join("images");
        fs::create_dir_all(&images).map_err(|e| Error::io(&images, e))?;
        let new = !fs::exists(folder.join(settings::FILE));
        let (settings, masks) = (Settings::read(&folder)?, AtomicBool::new(false));
        let shared = Arc::new(Shared { folder, masks, open: Mutex::default(), images: Mutex::default(), _lock: lock });
        let mut project = Self { shared, settings, notes };
        project.share();
        project.refresh()?;
        if new && project.settings.classes.len() > 1 {
            // What the classes of the masks are called is not known.
            project.settings.classes[0].name = "class 1".into();
        }
        project.save_settings()?;
        project.finish_classes()?;
        Ok(project)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// What the user should know about how it was opened, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Classes, base model and images. Images whose file is missing are not in [`Self::images`].
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes settings and writes them. On an error the file is as before, and the change stays in memory.
    pub fn change(&mut self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let several = self.settings.classes.len() > 1;
        change(&mut self.settings);
        self.share();
        let masks = self.folder().join("masks");
        if several && !self.shared.masks.load(Ordering::Relaxed) && fs::is_dir(&masks) {
            // Training would read them, and they are not written any more.
            label_files::set_aside(&self.shared, &masks, false)?;
        }
        self.save_settings()
    }

    /// Changes the entry of an image and writes it. Errors if there is no such image.
    pub fn change_image(&mut self, name: &str, change: impl FnOnce(&mut ImageEntry)) -> Result<()> {
        let entry = self.settings.images.get_mut(name);
        change(entry.ok_or_else(|| Error::invalid("image", format!("the project has none called {name}")))?);
        self.save_settings()
    }

    /// Adds classes until there are so many, with names from `names` (background first) where it has them, and writes the settings.
    /// Labels that are saved from then on tell the classes of their instances.
    pub fn add_classes(&mut self, count: usize, names: &[String]) -> Result<()> {
        self.change(|settings| settings.add_classes(count, names))
    }

    /// Tells open labels what they need of the settings.
    fn share(&self) {
        *self.shared.image_names() = self.settings.images.keys().cloned().collect();
        self.shared.masks.store(self.settings.classes.len() > 1, Ordering::Relaxed);
    }

    fn save_settings(&self) -> Result<()> {
        self.settings.write(self.folder())
    }

    /// File of an image, or its folder.
    pub fn image_path(&self, name: &str) -> Option<PathBuf> {
        self.settings.images.get(name).map(|entry| self.folder().join("images").join(&entry.file))
    }

    /// Names of the images whose file is there, sorted.
    pub fn images(&self) -> Vec<String> {
        let there =
            |name: &&String| self.image_path(name).is_some_and(|path| image_tree::is_file_or_image_folder(&path));
        self.settings.images.keys().filter(there).cloned().collect()
    }

    /// Opens the labels of an image of this size: its label file with the edits of its journal; unlabelled if there is neither.
    /// Labels of another program are imported.
    pub fn open_labels(&self, name: &str, size: [u32; 2]) -> Result<OpenLabels> {
        if !self.settings.images.contains_key(name) {
            return Err(Error::invalid("image", format!("the project has none called {name}")));
        }
        OpenLabels::open(&self.shared, name, size)
    }
}

#[cfg(test)]
mod tests;
