//! Folders of pictures with their masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::rng::{Rng, SPLIT};
use crate::error::{Error, Result};
use crate::infer::paths::all_pictures;

/// A picture with its truth. At least one of `mask` and `labels` is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name in the data set: the path below `images/` without extension.
    pub name: String,
    /// The picture.
    pub image: PathBuf,
    /// Class ids.
    pub mask: Option<PathBuf>,
    /// Numbers of single objects.
    pub labels: Option<PathBuf>,
}

/// Pairs in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    folder: PathBuf,
    pairs: Vec<Pair>,
}

/// Which pairs are for validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Split {
    /// This share of them, drawn at random, at least one.
    Fraction(f64),
    /// This many, drawn at random.
    Count(usize),
    /// The first and every n-th after it, in the order of their names.
    Every(usize),
}

impl Dataset {
    /// Finds the pairs of a folder: `images/` and `masks/` (class ids) or `labels/` (numbers of single objects) or both,
    /// with the same names whatever their extensions; a mask may also be called `<name>_mask`. Folders inside `images/`
    /// are looked through, and must be the same in the others. A folder of such folders is their union.
    ///
    /// Fails if there is no picture, if one has no mask, or if a name is ambiguous. No file is opened.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            let reason = if folder.exists() { "is not a folder" } else { "no such folder" };
            return Err(Error::file(folder, reason));
        }
        if folder.join("images").is_dir() {
            return Ok(Self { folder: folder.into(), pairs: pairs(folder, "")? });
        }
        let mut below: Vec<PathBuf> = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect())
            .map_err(|e| Error::io(folder, e))?;
        below.retain(|path| path.join("images").is_dir());
        below.sort();
        if below.is_empty() {
            return Err(Error::file(folder, "holds no folder `images`; a data set is images/ with masks/ or labels/"));
        }
        let mut all = Vec::new();
        for part in below {
            let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.extend(pairs(&part, &format!("{name}/"))?);
        }
        Ok(Self { folder: folder.into(), pairs: all })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pairs.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Divides it into training and validation data, the same way for the same names, seed and rule. Fails if either
    /// would be empty.
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
        let held = chosen.iter().filter(|&&c| c).count();
        if held == 0 || held == n {
            let reason = format!(
                "{held} of {n} pictures for validation leaves none for {}",
                if held == 0 { "it" } else { "training" }
            );
            return Err(Error::file(&self.folder, reason));
        }
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for (pair, chosen) in self.pairs.into_iter().zip(chosen) {
            if chosen { &mut validation } else { &mut train }.push(pair);
        }
        Ok((Self { folder: self.folder.clone(), pairs: train }, Self { folder: self.folder, pairs: validation }))
    }
}

/// The pairs of one folder that holds `images/`.
fn pairs(folder: &Path, prefix: &str) -> Result<Vec<Pair>> {
    let (images_at, masks_at, labels_at) = (folder.join("images"), folder.join("masks"), folder.join("labels"));
    let images = by_name(&images_at)?;
    if images.is_empty() {
        return Err(Error::file(
            images_at,
            "holds no picture (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)",
        ));
    }
    let truths = |at: &Path| if at.is_dir() { by_name(at).map(Some) } else { Ok(None) };
    let (mut masks, mut labels) = (truths(&masks_at)?, truths(&labels_at)?);
    if masks.is_none() && labels.is_none() {
        return Err(Error::file(folder, "holds images/ but neither masks/ nor labels/"));
    }
    let mut out = Vec::new();
    for (name, image) in images {
        let take = |found: &mut Option<BTreeMap<String, PathBuf>>, at: &Path, kind: &str| match found {
            None => Ok(None),
            Some(found) => {
                let path = found.remove(&name).or_else(|| found.remove(&format!("{name}_{kind}")));
                let missing =
                    || Error::file(&image, format!("has no {kind}: there is no {}", at.join(&name).display()));
                path.map(Some).ok_or_else(missing)
            }
        };
        let mask = take(&mut masks, &masks_at, "mask")?;
        let labels = take(&mut labels, &labels_at, "labels")?;
        out.push(Pair { name: format!("{prefix}{name}"), image, mask, labels });
    }
    for (found, at) in [(masks, masks_at), (labels, labels_at)] {
        if let Some(left) = found.filter(|f| !f.is_empty()) {
            let example = left.keys().next().map_or("", String::as_str);
            log::warn!("{}: {} files belong to no picture, such as {example}", at.display(), left.len());
        }
    }
    Ok(out)
}

/// The pictures under a folder by their paths in it without extension, with `/` on every system.
fn by_name(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for path in all_pictures(folder)? {
        let inside = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        if let Some(other) = found.insert(parts.join("/"), path.clone()) {
            let reason = format!("has the same name as {}; which of the two is meant?", other.display());
            return Err(Error::file(path, reason));
        }
    }
    Ok(found)
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
        assert_eq!(error(&["images/a.png", "masks/b.png"]), "D/images/a.png: has no mask: there is no D/masks/a");
        let incomplete = ["images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "labels/a.png"];
        assert_eq!(error(&incomplete), "D/images/b.png: has no labels: there is no D/labels/b");
        assert_eq!(error(&["images/a.png"]), "D: holds images/ but neither masks/ nor labels/");
        assert_eq!(
            error(&["images/a.txt", "masks/a.png"]),
            "D/images: holds no picture (PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF or NPY)"
        );
        assert!(error(&["a.png"]).starts_with("D: holds no folder `images`"));
        assert!(
            error(&["images/a.png", "images/a.tif", "masks/a.png"])
                .contains("a.tif: has the same name as D/images/a.png")
        );
        assert!(Dataset::open("no/such").unwrap_err().to_string().contains("no such folder"));
    }

    #[test]
    fn splits_are_repeatable_and_whole() {
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
