//! The folders of a data set: which holds images, which holds ground truth, and what its numbers mean.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Pair;
use super::names::{cases, files, matched};
use crate::error::{Error, Result};
use crate::infer::paths::{all_images, name_for_results};
use crate::io::fs;
use crate::io::image_formats::readable_extensions;

/// Names of image folders, in any case.
const IMAGES: &[&str] = &["images", "image", "imgs", "img", NNUNET];
const NNUNET: &str = "imagestr";
/// Names of folders of class ids.
const CLASSES: &[&str] = &[
    "masks",
    "mask",
    "label",
    "labelstr",
    "annotations",
    "annotation",
    "gt",
    "groundtruth",
    "ground_truth",
    "ground-truth",
    "segmentations",
    "segmentation",
    "seg",
];
/// Names of folders of instance numbers.
const INSTANCES: &[&str] = &["labels", "instances", "instance"];

/// The meaning of numbers in ground truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GroundTruthKind {
    /// The class of every pixel, 0 for the background.
    Classes,
    /// The instance of every pixel, 0 for the background.
    Instances,
}

/// How a ground truth folder is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The folder.
    pub folder: PathBuf,
    /// The meaning of its numbers.
    pub numbers: GroundTruthKind,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let numbers = match self.numbers {
            GroundTruthKind::Classes => "class ids",
            GroundTruthKind::Instances => "instances",
        };
        write!(f, "{}/ as {numbers}", file_name(&self.folder))
    }
}

/// The ground truth folders of a data set.
struct GroundTruthFiles {
    masks: Option<PathBuf>,
    labels: Option<PathBuf>,
}

/// Subfolders, sorted by name.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect())
        .map_err(|e| Error::io(folder, e))?;
    found.retain(|path| fs::is_dir(path));
    found.sort();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn named<'a>(folders: &'a [PathBuf], names: &[&str]) -> Vec<&'a PathBuf> {
    let known = |p: &&PathBuf| names.contains(&file_name(p).to_lowercase().as_str());
    folders.iter().filter(known).collect()
}

/// The only folder of those, or none; several are an error.
fn only(found: Vec<&PathBuf>, folder: &Path, what: &str) -> Result<Option<PathBuf>> {
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).clone())),
        [one, two, ..] => {
            let reason = format!(
                "holds {}/ and {}/, which could both be its {what}; move or rename one",
                file_name(one),
                file_name(two)
            );
            Err(Error::file(folder, reason))
        }
    }
}

/// The image folder in a folder.
pub(super) fn images_in(folder: &Path) -> Result<Option<PathBuf>> {
    only(named(&folders(folder)?, IMAGES), folder, "images")
}

/// Error for a folder that is not a data set; lists its contents.
pub(super) fn no_images(folder: &Path) -> Error {
    let there = files(folder, folder, 0);
    let mut tops: Vec<String> = there.iter().filter_map(|f| Some(f.split_once('/')?.0.to_string() + "/")).collect();
    tops.dedup();
    tops.extend(there.iter().find(|f| !f.contains('/')).cloned());
    let more = if tops.len() > 6 { ", .." } else { "" };
    tops.truncate(6);
    let there = if tops.is_empty() { "it is empty".into() } else { format!("it holds {}{more}", tops.join(", ")) };
    let reason = "holds no folder `images` (or image, imgs, imagesTr); a data set is images/ with masks/ or labels/";
    Error::file(folder, format!("{reason}; {there}"))
}

fn ground_truth_in(folder: &Path, as_: Option<GroundTruthKind>) -> Result<GroundTruthFiles> {
    let all = folders(folder)?;
    // Excludes folders without images, such as annotations/ of XML files.
    let with_images = |found: Vec<&'_ PathBuf>| -> Result<Vec<PathBuf>> {
        let mut found_images = Vec::new();
        for at in found {
            if !all_images(at)?.is_empty() {
                found_images.push(at.clone());
            }
        }
        Ok(found_images)
    };
    let (masks, labels) = (with_images(named(&all, CLASSES))?, with_images(named(&all, INSTANCES))?);
    let masks = only(masks.iter().collect(), folder, "class ids")?;
    let labels = only(labels.iter().collect(), folder, "instances")?;
    Ok(match (as_, masks, labels) {
        (None, masks, labels) => GroundTruthFiles { masks, labels },
        (Some(_), Some(masks), Some(labels)) => {
            let (masks, labels) = (file_name(&masks), file_name(&labels));
            let reason =
                format!("holds {masks}/ and {labels}/, classes and instances: `ground_truth` is for one folder alone");
            return Err(Error::file(folder, reason));
        }
        (Some(GroundTruthKind::Classes), masks, labels) => GroundTruthFiles { masks: masks.or(labels), labels: None },
        (Some(GroundTruthKind::Instances), masks, labels) => GroundTruthFiles { masks: None, labels: labels.or(masks) },
    })
}

/// The pairs of a folder whose images are in `images_at`, and how its ground truth is read.
pub(super) fn pairs(
    folder: &Path,
    images_at: &Path,
    prefix: &str,
    as_: Option<GroundTruthKind>,
) -> Result<(Vec<Pair>, Vec<Reading>)> {
    let mut images = by_name(images_at)?;
    if images.is_empty() {
        let there = files(images_at, images_at, 0);
        let example =
            there.first().map(|f| format!("; there are {} files such as {f}", there.len())).unwrap_or_default();
        let known = readable_extensions().collect::<Vec<_>>().join(", ");
        return Err(Error::file(images_at, format!("holds no image ({known}){example}")));
    }
    if file_name(images_at).eq_ignore_ascii_case(NNUNET) {
        images = cases(images)?;
    }
    let GroundTruthFiles { masks, labels } = ground_truth_in(folder, as_)?;
    if masks.is_none() && labels.is_none() {
        let own = file_name(images_at);
        let others: Vec<String> =
            folders(folder)?.iter().filter(|f| *f != images_at).map(|f| file_name(f) + "/").take(6).collect();
        let others = if others.is_empty() { String::new() } else { format!("; there are {}", others.join(", ")) };
        let reason = format!("holds {own}/ but neither masks/ nor labels/ with images in them{others}");
        return Err(Error::file(folder, reason));
    }
    let mut readings = Vec::new();
    let mut take =
        |at: &Option<PathBuf>, numbers: GroundTruthKind, kind: &str| -> Result<Option<BTreeMap<String, PathBuf>>> {
            let Some(at) = at else { return Ok(None) };
            let (found, left) = matched(&images, &by_name(at)?, at, kind)?;
            if let Some(example) = left.first() {
                log::warn!("{}: {} files belong to no image, such as {example}", at.display(), left.len());
            }
            readings.push(Reading { folder: at.clone(), numbers });
            Ok(Some(found))
        };
    let masks = take(&masks, GroundTruthKind::Classes, "mask")?;
    let labels = take(&labels, GroundTruthKind::Instances, "labels")?;
    let of = |found: &Option<BTreeMap<String, PathBuf>>, name: &str| found.as_ref().and_then(|f| f.get(name).cloned());
    let pair = |(name, image): (&String, &PathBuf)| Pair {
        name: format!("{prefix}{name}"),
        image: image.clone(),
        mask: of(&masks, name),
        labels: of(&labels, name),
    };
    Ok((images.iter().map(pair).collect(), readings))
}

/// The images under a folder by relative path without extension, with `/` on every system. Those of a plate are called as their
/// results are, `plate_A_1_0`.
fn by_name(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for path in all_images(folder)? {
        let named = name_for_results(&path);
        let inside = named.strip_prefix(folder).unwrap_or(&named).with_extension("");
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        if let Some(other) = found.insert(parts.join("/"), path.clone()) {
            let reason = format!("has the same name as {}; which of the two is meant?", other.display());
            return Err(Error::file(path, reason));
        }
    }
    Ok(found)
}
