//! Images of a project: adding and listing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use unet_wgpu::low_level::infer::{describe_image, expand_inputs, name_for_results};
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

use super::image_tree::{self, has_known_extension, is_file_or_image_folder, is_image_folder, is_named_as_image};

use super::settings::{ImageEntry, State};
use super::{Project, label_files, masks};

/// What notes of images say that are there already.
pub(super) const KNOWN: &str = " is in the project already, as ";

/// What came of adding images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Names of the new images.
    pub names: Vec<String>,
    /// Files that were left out or got another name, in sentences.
    pub notes: Vec<String>,
}

/// Images in a folder itself; none if there is none.
pub(super) fn plain(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if is_named_as_image(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Images below a folder, by path without extension.
fn below(folder: &Path, prefix: &str, depth: usize, found: &mut BTreeMap<String, Vec<String>>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()) {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if is_named_as_image(&path) {
            let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
            found.entry(format!("{prefix}{stem}")).or_default().push(format!("{prefix}{name}"));
        } else if fs::is_dir(&path) && depth < 8 && !name.starts_with('.') {
            below(&path, &format!("{prefix}{name}/"), depth + 1, found);
        }
    }
}

impl Project {
    /// Lists images/ again: files that somebody has put there are added, with their labels.
    pub fn refresh(&mut self) -> Result<()> {
        let (mut found, mut new) = (BTreeMap::new(), Vec::new());
        below(&self.folder().join("images"), "", 0, &mut found);
        for (name, mut files) in found {
            files.sort();
            if let [file, other, ..] = files.as_slice() {
                self.notes.push(format!("images/{other} is left out: images/{file} has the same name."));
            }
            let file = files.swap_remove(0);
            if !self.settings.images.contains_key(&name) {
                new.push(name.clone());
            }
            let entry = self.settings.images.entry(name).or_default();
            // Another extension than before: the same image, converted.
            if entry.file.is_empty() || !is_file_or_image_folder(&self.shared.folder.join("images").join(&entry.file)) {
                entry.file = file;
            }
        }
        // Names of all images come first: they tell whose a label file is.
        self.share();
        for name in &new {
            let shared = &self.shared;
            let labelled = label_files::find(shared, name).is_some() || masks::find(shared, name).is_some();
            let labelled = labelled || fs::is_file(shared.journal(name));
            if let Some(entry) = self.settings.images.get_mut(name).filter(|_| labelled) {
                entry.state = State::Labelled;
            }
        }
        let classes = masks::count_classes(&self.shared, &new, &mut self.notes);
        self.settings.add_classes(classes, &[]);
        self.share();
        let there: BTreeSet<String> = self.images().into_iter().collect();
        for (name, entry) in self.settings.images.iter().filter(|(name, _)| !there.contains(*name)) {
            self.notes.push(format!("The image {name} is missing: there is no images/{}.", entry.file));
        }
        Ok(())
    }

    /// Adds files, and the images of folders and of OME-Zarr, as hard links or copies. Originals are never changed. A name that is
    /// taken gets a number; what is there already, or is no image, is left out with a note.
    pub fn add_images(&mut self, paths: &[PathBuf]) -> Result<Added> {
        let folder = self.folder().join("images");
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        let mut added = Added::default();
        let mut sizes: Sizes = BTreeMap::new();
        for name in self.settings.images.keys() {
            let length = self.image_path(name).and_then(|path| image_tree::length(&path).ok());
            length.into_iter().for_each(|n| sizes.entry(n).or_default().push(name.clone()));
        }
        for path in paths {
            let files = match fs::is_dir(path) {
                true => expand_inputs(&[path.to_string_lossy()]),
                false => Ok(vec![path.clone()]),
            };
            let outcome = files
                .and_then(|files| files.iter().try_for_each(|file| self.add(file, &folder, &mut sizes, &mut added)));
            if let Err(e) = outcome {
                // What has been added stays in the project.
                self.save_settings()?;
                if added.names.is_empty() && paths.len() == 1 {
                    return Err(e);
                }
                added.notes.push(format!("{e}."));
            }
        }
        self.save_settings()?;
        Ok(added)
    }

    fn add(&mut self, file: &Path, folder: &Path, sizes: &mut Sizes, added: &mut Added) -> Result<()> {
        match describe_image(file) {
            Ok(Some(_)) => {}
            Ok(None) => {
                added.notes.push(format!("{} is left out: it is not an image.", file.display()));
                return Ok(());
            }
            Err(e) => {
                added.notes.push(format!("{e}: it is left out."));
                return Ok(());
            }
        }
        if !is_image_folder(file) && !has_known_extension(file) {
            added.notes.push(format!("{} is left out: its name has no extension of an image.", file.display()));
            return Ok(());
        }
        // A link is followed: the project keeps the image when the link goes.
        let source = fs::canonicalize(file).map_err(|e| Error::io(file, e))?;
        // Images of a plate are called after it.
        let name = name_for_results(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (stem, extension) = name.rsplit_once('.').map_or((name.as_str(), "zarr"), |(stem, e)| (stem, e));
        let extension = if is_image_folder(file) { "zarr" } else { extension };
        // Hidden files are no part of a data set.
        let stem = match stem.trim_start_matches('.') {
            "" => "image",
            stem => stem,
        };
        let length = image_tree::length(&source)?;
        let alike = sizes.entry(length).or_default();
        if let Some(known) = self.same_image(&source, alike)? {
            added.notes.push(format!("{}{KNOWN}{known}.", file.display()));
            return Ok(());
        }
        let taken: BTreeSet<String> = self.settings.images.keys().map(|k| k.to_lowercase()).collect();
        let numbered = (2..).map(|n| format!("{stem}-{n}"));
        // Labels that were there first are those of an image of their name.
        let foreign = |name: &String| *name != stem && label_files::find(&self.shared, name).is_some();
        let free = |name: &String| !taken.contains(&name.to_lowercase()) && !foreign(name);
        let Some(new) = std::iter::once(stem.to_string()).chain(numbered).find(free) else { return Ok(()) };
        let file_name = format!("{new}.{extension}");
        image_tree::link(&source, &folder.join(&file_name))?;
        if new != stem {
            added.notes.push(format!("{} is called {new} in the project: there is another {stem}.", file.display()));
        }
        let labelled = label_files::find(&self.shared, &new).is_some();
        let state = if labelled { State::Labelled } else { State::Unlabelled };
        self.settings.images.insert(new.clone(), ImageEntry { file: file_name, state, ..ImageEntry::default() });
        alike.push(new.clone());
        self.share();
        added.names.push(new);
        Ok(())
    }

    /// The one of these images that has the same bytes as a file.
    fn same_image(&self, file: &Path, of: &[String]) -> Result<Option<String>> {
        for name in of {
            let Some(own) = self.image_path(name).filter(|own| is_file_or_image_folder(own)) else { continue };
            if image_tree::same(&own, file)? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

/// Names of images by their length in bytes.
type Sizes = BTreeMap<u64, Vec<String>>;
