//! Folders of images with their masks.

mod find;
mod names;

use std::path::{Path, PathBuf};

use super::rng::{Rng, SPLIT};
use crate::error::{Error, Result};
use crate::io::fs;

pub use find::{GroundTruthKind, Reading};

/// An image with its ground truth: `mask`, `labels` or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name in the data set: the path below `images/` without extension.
    pub name: String,
    /// The image.
    pub image: PathBuf,
    /// Class ids.
    pub mask: Option<PathBuf>,
    /// Instance numbers.
    pub labels: Option<PathBuf>,
}

/// A data set: pairs sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    folder: PathBuf,
    pairs: Vec<Pair>,
    readings: Vec<Reading>,
}

/// How to select the validation pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// This fraction, drawn at random; at least one.
    Fraction(f64),
    /// This many, drawn at random.
    Count(usize),
    /// The first and every n-th after it, sorted by name.
    Every(usize),
}

impl Dataset {
    /// Finds the pairs of a folder. Images are in `images/` (or `image`, `imgs`, `img`, nnU-Net's `imagesTr`); class
    /// ids in `masks/` (or `label`, `labelsTr`, `annotations`, `gt` and the like), instance numbers in `labels/` (or
    /// `instances`).
    ///
    /// Files pair by name without extension. A prefix or suffix may mark ground truth, as in `<name>_mask`,
    /// `<name>.seg`, `gt-<name>`. Subfolders of `images/` are searched; ground truth must have the same ones. A folder
    /// of such folders is their union.
    ///
    /// Errors if there is no image, if an image has no ground truth, or if a name is ambiguous. No file is opened.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(folder, None)
    }

    /// [`Self::open`], reading ground truth as `numbers` instead of inferring it from the folder's name.
    pub fn open_as(folder: impl AsRef<Path>, numbers: Option<GroundTruthKind>) -> Result<Self> {
        let folder = folder.as_ref();
        if !fs::is_dir(folder) {
            let reason = if fs::exists(folder) { "is not a folder" } else { "no such folder" };
            return Err(Error::file(folder, reason));
        }
        if let Some(images) = find::images_in(folder)? {
            let (pairs, readings) = find::pairs(folder, &images, "", numbers)?;
            return Ok(Self { folder: folder.into(), pairs, readings });
        }
        let (mut all, mut readings) = (Vec::new(), Vec::new());
        for part in find::folders(folder)? {
            let Some(images) = find::images_in(&part)? else { continue };
            let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (pairs, read) = find::pairs(&part, &images, &format!("{name}/"), numbers)?;
            all.extend(pairs);
            readings.extend(read);
        }
        if all.is_empty() {
            return Err(find::no_images(folder));
        }
        Ok(Self { folder: folder.into(), pairs: all, readings })
    }

    /// How each ground truth folder is read.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pairs.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Splits into training and validation data; depends on names, seed and rule alone. Errors if either part would be
    /// empty.
    pub fn split(self, split: Split, seed: u64) -> Result<(Self, Self)> {
        let n = self.pairs.len();
        let drawn = |count: usize| {
            let mut order: Vec<usize> = (0..n).collect();
            Rng::new(seed, SPLIT).shuffle(&mut order);
            let mut chosen = vec![false; n];
            order.iter().take(count).for_each(|&i| chosen[i] = true);
            chosen
        };
        let chosen = match split {
            Split::Fraction(share) if !(share > 0.0 && share < 1.0) => {
                return Err(Error::invalid("validation share", format!("{share} is not between 0 and 1")));
            }
            Split::Fraction(share) => drawn(((n as f64 * share).round() as usize).max(1)),
            Split::Count(count) => drawn(count),
            Split::Every(step) => (0..n).map(|i| step > 0 && i % step == 0).collect(),
        };
        let held_out = chosen.iter().filter(|&&c| c).count();
        if held_out == 0 || held_out == n {
            let reason = format!(
                "{held_out} of {n} images for validation leaves none for {}",
                if held_out == 0 { "it" } else { "training" }
            );
            return Err(Error::file(&self.folder, reason));
        }
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (pair, chosen) in self.pairs.into_iter().zip(chosen) {
            if chosen { &mut validation } else { &mut train }.push(pair);
        }
        let Self { folder, readings, .. } = self;
        let part = |pairs| Self { folder: folder.clone(), pairs, readings: readings.clone() };
        Ok((part(train), part(validation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }

    fn names(data: &Dataset) -> Vec<&str> {
        data.pairs().iter().map(|p| p.name.as_str()).collect()
    }

    fn error(files: &[&str]) -> String {
        let dir = folder(files);
        let text = Dataset::open(dir.path()).unwrap_err().to_string();
        text.replace(dir.path().to_str().unwrap(), "D").replace('\\', "/")
    }

    #[test]
    fn pairs_have_equal_names() {
        let dir = folder(&[
            "images/b.png",
            "images/a.jpg",
            "images/day1/a.tif",
            "images/notes.txt",
            "masks/a.png",
            "masks/b_mask.png",
            "masks/day1/a.png",
            "labels/a.tif",
            "labels/b.png",
            "labels/day1/a.png",
        ]);
        let data = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&data), ["a", "b", "day1/a"]);
        let pair = &data.pairs()[1];
        assert_eq!(pair.image, dir.path().join("images/b.png"));
        assert_eq!(pair.mask.as_deref(), Some(&*dir.path().join("masks/b_mask.png")));
        assert_eq!(pair.labels.as_deref(), Some(&*dir.path().join("labels/b.png")));
    }

    #[test]
    fn a_folder_of_data_sets_is_one() {
        let dir =
            folder(&["one/images/a.png", "one/masks/a.png", "two/images/a.png", "two/labels/a.png", "readme.txt"]);
        let data = Dataset::open(dir.path()).unwrap();
        assert_eq!(names(&data), ["one/a", "two/a"]);
        assert!(data.pairs()[0].labels.is_none() && data.pairs()[1].mask.is_none());
    }

    #[test]
    fn bad_folders_are_named() {
        let nearest = "D/images/a.png: has no mask: there is no D/masks/a; the nearest file there is b.png";
        assert_eq!(error(&["images/a.png", "masks/b.png"]), nearest);
        let near = ["images/cell_007.png", "masks/cell_07.nii.gz", "masks/plate.png", "masks/x/cel.png"];
        assert!(error(&near).ends_with("no D/masks/cell_007; the nearest file there is cell_07.nii.gz"));
        let incomplete = ["images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "labels/a.png"];
        assert_eq!(
            error(&incomplete),
            "D/images/b.png: has no labels: there is no D/labels/b; the nearest file there is a.png"
        );
        let neither = "D: holds images/ but neither masks/ nor labels/ with images in them";
        assert_eq!(error(&["images/a.png"]), neither);
        let others = ["images/a.png", "lables/a.png", "annotations/a.xml"];
        assert_eq!(error(&others), format!("{neither}; there are annotations/, lables/"));
        let none = error(&["images/a.txt", "masks/a.png"]);
        assert!(none.starts_with("D/images: holds no image (png, jpg, "), "{none}");
        assert!(none.ends_with("); there are 1 files such as a.txt"), "{none}");
        assert!(error(&["a.png"]).starts_with("D: holds no folder `images`"));
        assert!(error(&["pics/a.png", "truth/a.png"]).ends_with("; it holds pics/, truth/"));
        assert!(
            error(&["images/a.png", "images/a.tif", "masks/a.png"])
                .contains("a.tif: has the same name as D/images/a.png")
        );
        assert!(Dataset::open("no/such").unwrap_err().to_string().contains("no such folder"));
    }

    /// The ground truth of the only image: its file, and whether it holds classes.
    fn ground_truth(files: &[&str], numbers: Option<GroundTruthKind>) -> (String, bool) {
        let dir = folder(files);
        let data = Dataset::open_as(dir.path(), numbers).unwrap_or_else(|e| panic!("{files:?}: {e}"));
        assert_eq!((data.pairs().len(), data.readings().len()), (1, 1), "{files:?}");
        let pair = &data.pairs()[0];
        let path = pair.mask.as_ref().or(pair.labels.as_ref()).unwrap().strip_prefix(dir.path()).unwrap();
        let classes = pair.mask.is_some();
        assert_eq!(data.readings()[0].numbers == GroundTruthKind::Classes, classes);
        (path.to_str().unwrap().replace('\\', "/"), classes)
    }

    #[test]
    fn common_names_of_folders_and_files_are_known() {
        for name in [
            "a",
            "a_mask",
            "a_masks",
            "a_seg",
            "a_label",
            "a_labels",
            "a_gt",
            "a-mask",
            "a.mask",
            "a_segmentation",
            "mask_a",
            "label_a",
            "gt_a",
            "a_cp_masks",
            "A_mask.x",
        ] {
            let file = format!("masks/{name}.tif");
            if name.starts_with('A') {
                assert!(error(&["images/a.png", &file]).contains("the nearest file there is A_mask.x.tif"));
            } else {
                assert_eq!(ground_truth(&["images/a.png", &file], None), (file.clone(), true));
            }
        }
        for (image, file, classes) in [
            ("imgs/a.jpg", "masks/a.gif.png", true),
            ("imgs/a.jpg", "masks/a.png", true),
            ("image/0.png", "label/0.png", true),
            ("imagesTr/case_1_0000.png", "labelsTr/case_1.png", true),
            ("images/a.png", "annotations/a.png", true),
            ("Images/a.png", "GT/a.png", true),
            ("images/a.png", "labels/a.png", false),
            ("images/img_7.png", "masks/mask_7.png", true),
            ("images/a_0000.png", "masks/a.png", true),
            ("images/a.ome.tif", "masks/a.png", true),
            ("images/d/a_img.png", "labels/d/a_masks.png", false),
        ] {
            if file.ends_with(".gif.png") {
                assert!(error(&[image, file]).contains("a.gif.png"));
                continue;
            }
            assert_eq!(ground_truth(&[image, file], None), (file.to_string(), classes), "{image}");
        }
        assert_eq!(
            ground_truth(&["images/a.png", "labels/a.png"], Some(GroundTruthKind::Classes)),
            ("labels/a.png".into(), true)
        );
        assert_eq!(
            ground_truth(&["image/a.png", "label/a.png"], Some(GroundTruthKind::Instances)),
            ("label/a.png".into(), false)
        );
    }

    #[test]
    fn ambiguous_names_are_errors() {
        assert!(error(&["images/a.png", "masks/a.png", "gt/a.png"]).contains("gt/ and masks/, which could both be"));
        assert!(error(&["images/a.png", "imgs/a.png", "masks/a.png"]).contains("images/ and imgs/, which could both"));
        let two = error(&["images/a.png", "masks/a.png", "masks/a_mask.png"]);
        assert_eq!(two, "D/images/a.png: has two files of mask: D/masks/a.png and D/masks/a_mask.png; which is meant?");
        assert!(error(&["images/a.png", "masks/a_seg.png", "masks/a_gt.png"]).contains("has two files of mask"));
        let shared = error(&["images/a_img.png", "images/img_a.png", "masks/a_seg.png"]);
        assert!(shared.contains("a_seg.png: could be of D/images/a_img.png and of D/images/img_a.png"), "{shared}");
        let channels = error(&["imagesTr/c_0000.png", "imagesTr/c_0001.png", "labelsTr/c.png"]);
        assert!(channels.contains("c_0001.png: and D/imagesTr/c_0000.png are channels of one case"), "{channels}");
        assert!(error(&["imagesTr/c.png", "labelsTr/c.png"]).contains("CASE_0000"));
        let dir = folder(&["images/a.png", "masks/a.png", "labels/a.png"]);
        let e = Dataset::open_as(dir.path(), Some(GroundTruthKind::Classes)).unwrap_err().to_string();
        assert!(e.contains("`ground_truth` is for one folder alone"), "{e}");
        // An exact name is preferred over another image's name with a suffix.
        let dir = folder(&["images/a.png", "images/a_seg.png", "masks/a.png", "masks/a_seg.png"]);
        assert_eq!(Dataset::open(dir.path()).unwrap().pairs()[0].mask, Some(dir.path().join("masks/a.png")));
    }

    #[test]
    fn splits_are_repeatable_partitions() {
        let files: Vec<String> = (0..10).flat_map(|i| [format!("images/{i}.png"), format!("masks/{i}.png")]).collect();
        let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let data = Dataset::open(dir.path()).unwrap();
        let split = |rule, seed| data.clone().split(rule, seed);
        let (train, validation) = split(Split::Fraction(0.3), 1).unwrap();
        assert_eq!((train.pairs().len(), validation.pairs().len()), (7, 3));
        assert!(validation.pairs().iter().all(|p| !train.pairs().contains(p)));
        assert_eq!(split(Split::Count(3), 1).unwrap(), (train.clone(), validation));
        assert!((2..9).any(|seed| split(Split::Count(3), seed).unwrap().0 != train));
        assert_eq!(names(&split(Split::Every(6), 0).unwrap().1), ["0", "6"]);
        for bad in [Split::Fraction(0.0), Split::Fraction(f64::NAN), Split::Count(0), Split::Count(10), Split::Every(1)]
        {
            assert!(split(bad, 0).is_err(), "{bad:?}");
        }
    }
}
