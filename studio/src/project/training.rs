//! The labelled images as data sets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use unet_wgpu::low_level::infer::LabelMap;
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

use super::image_tree::link;
use super::journal::{Entry, parse};
use super::{OpenLabels, Project, label_files, masks, save};

/// Data sets of a project for training: folders with images/, labels/, and masks/ if there are several classes. `ignore` is -1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSet {
    /// Images to train on.
    pub train: PathBuf,
    /// Their names.
    pub train_names: Vec<String>,
    /// Images held out for validation; none if none of the labelled images is.
    pub validation: Option<PathBuf>,
    /// Their names.
    pub validation_names: Vec<String>,
}

impl Project {
    /// Makes the data sets `training/train` and `training/validation` anew, of all images with labels, as hard links where
    /// possible. Edits that only a journal holds are saved first. Labels that are open must be saved before.
    pub fn training_set(&self) -> Result<TrainingSet> {
        let root = self.folder().join("training");
        let mut set = TrainingSet {
            train: root.join("train"),
            train_names: Vec::new(),
            validation: None,
            validation_names: Vec::new(),
        };
        match fs::remove_dir_all(&root) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&root, e)),
            _ => {}
        }
        for name in self.images() {
            self.save_journal(&name)?;
            self.save_regions(&name)?;
            let Some(labels) = label_files::find(&self.shared, &name) else { continue };
            let Some(entry) = self.settings.images.get(&name) else { continue };
            let names = if entry.held_out { &mut set.validation_names } else { &mut set.train_names };
            names.push(name.clone());
            let folder = root.join(if entry.held_out { "validation" } else { "train" });
            let image = self.folder().join("images").join(&entry.file);
            link(&image, &folder.join("images").join(&entry.file))?;
            let extension = labels.extension().unwrap_or_default().to_string_lossy().into_owned();
            link(&labels, &folder.join("labels").join(format!("{name}.{extension}")))?;
            if self.shared.masks.load(Ordering::Relaxed) {
                // Masks of earlier classes may be older than the labels.
                if !self.shared.open_names().contains(&name) {
                    let open = self.reopen(&name, &labels)?;
                    save::write_mask(&self.shared, &name, open.labels(), open.is_foreign())?;
                }
                link(&self.shared.mask(&name), &folder.join("masks").join(format!("{name}.tif")))?;
            }
        }
        set.validation = (!set.validation_names.is_empty()).then(|| root.join("validation"));
        Ok(set)
    }

    /// Saves edits that only the journal holds.
    pub(super) fn save_journal(&self, name: &str) -> Result<()> {
        let path = self.shared.journal(name);
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        let (entries, _) = parse(&bytes);
        let Some((Entry::Start { size, .. }, _)) = entries.first() else { return Ok(()) };
        let unsaved = entries.iter().any(|(e, _)| !matches!(e, Entry::Start { .. } | Entry::Saving { .. }));
        if !unsaved {
            return Ok(());
        }
        if self.shared.open_names().contains(name) {
            return Err(Error::invalid("labels", format!("those of {name} have changes that are not saved")));
        }
        OpenLabels::open(&self.shared, name, *size)?.save()
    }

    /// Saves the instances of an image that has only a mask.
    pub(super) fn save_regions(&self, name: &str) -> Result<()> {
        let Some(mask) = masks::find(&self.shared, name).filter(|_| label_files::find(&self.shared, name).is_none())
        else {
            return Ok(());
        };
        if self.shared.open_names().contains(name) {
            return Err(Error::invalid("labels", format!("those of {name} are not saved")));
        }
        self.reopen(name, &mask)?.save()
    }

    /// Opens labels whose size their file tells.
    pub(super) fn reopen(&self, name: &str, labels: &Path) -> Result<OpenLabels> {
        let map = LabelMap::open_with(labels, &label_files::options())?;
        let size = [map.width(), map.height()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        OpenLabels::open(&Arc::clone(&self.shared), name, size)
    }
}
