//! Matches ground truth files with images by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::fs;

/// Prefixes and suffixes of ground truth names.
const GROUND_TRUTH: &[&str] = &[
    "mask",
    "masks",
    "label",
    "labels",
    "seg",
    "segmentation",
    "segmentations",
    "gt",
    "groundtruth",
    "ground_truth",
    "annotation",
    "annotations",
    "instance",
    "instances",
    "cp_masks",
    "truth",
    "target",
];
/// Prefixes and suffixes of image names.
const IMAGE: &[&str] = &["image", "images", "img", "imgs", "raw", "0000"];
/// Separators before a suffix or after a prefix.
const SEPARATORS: &[char] = &['_', '-', '.', ' '];

/// All shorter forms of a name, without prefixes, suffixes and `.ome`.
fn shortened(name: &str, words: &[&str]) -> BTreeSet<String> {
    let (folder, stem) = name.rsplit_once('/').map_or(("", name), |(folder, stem)| (folder, stem));
    let mut found = BTreeSet::new();
    let without_ome = stem.strip_suffix(".ome").unwrap_or(stem);
    let lower = without_ome.to_ascii_lowercase();
    for word in words {
        let after = lower.strip_suffix(word).and_then(|left| left.strip_suffix(SEPARATORS)).map(str::len);
        found.extend(after.and_then(|n| without_ome.get(..n)));
        let before = lower.strip_prefix(word).and_then(|left| left.strip_prefix(SEPARATORS)).map(str::len);
        found.extend(before.and_then(|n| without_ome.get(without_ome.len() - n..)));
    }
    found.insert(without_ome);
    let whole = |stem: &str| if folder.is_empty() { stem.to_string() } else { format!("{folder}/{stem}") };
    found.into_iter().filter(|s| !s.is_empty()).map(whole).filter(|s| s != name).collect()
}

/// The ground truth of every image, and the names of files without an image. `kind` names the ground truth in messages.
pub(super) fn matched(
    images: &BTreeMap<String, PathBuf>,
    ground_truth_files: &BTreeMap<String, PathBuf>,
    at: &Path,
    kind: &str,
) -> Result<(BTreeMap<String, PathBuf>, Vec<String>)> {
    // A file with the exact name of an image belongs to that image only.
    let mut by_short: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in ground_truth_files.keys().filter(|name| !images.contains_key(*name)) {
        for short in shortened(name, GROUND_TRUTH).into_iter().chain([name.clone()]) {
            by_short.entry(short).or_default().push(name);
        }
    }
    let (mut out, mut taken): (BTreeMap<_, _>, BTreeMap<&String, &PathBuf>) = Default::default();
    for (name, image) in images {
        let exact = ground_truth_files.get_key_value(name).map(|t| t.0);
        let mut found: BTreeSet<&String> = exact.into_iter().collect();
        found.extend(by_short.get(name).into_iter().flatten().copied());
        if found.is_empty() {
            let short = shortened(name, IMAGE).into_iter().filter(|s| !images.contains_key(s));
            found.extend(short.filter_map(|s| by_short.get(&s)).flatten().copied());
        }
        let mut found = found.into_iter();
        let path_of =
            |ground_truth: &String| ground_truth_files.get(ground_truth).map(PathBuf::as_path).unwrap_or(at).display();
        match (found.next(), found.next()) {
            (None, _) => return Err(Error::file(image, missing(name, at, kind))),
            (Some(one), Some(two)) => {
                let reason = format!("has two files of {kind}: {} and {}; which is meant?", path_of(one), path_of(two));
                return Err(Error::file(image, reason));
            }
            (Some(one), None) => {
                if let Some(other) = taken.insert(one, image) {
                    let reason = format!("could be of {} and of {}; which is meant?", other.display(), image.display());
                    return Err(Error::file(ground_truth_files.get(one).map(PathBuf::as_path).unwrap_or(at), reason));
                }
                out.extend(ground_truth_files.get(one).map(|path| (name.clone(), path.clone())));
            }
        }
    }
    let left = ground_truth_files.keys().filter(|name| !taken.contains_key(name)).cloned().collect();
    Ok((out, left))
}

/// Message that a file is missing, with the nearest name.
fn missing(name: &str, at: &Path, kind: &str) -> String {
    let there = files(at, at, 0);
    let plain = |n: &str| n.to_lowercase();
    let distance = |file: &String| {
        let stem = Path::new(file).with_extension("");
        let stem = plain(&stem.to_string_lossy());
        // Compare shortened names too, so that `a_mask` is nearer to `a` than `b` is.
        let short = shortened(&stem, GROUND_TRUTH).into_iter().chain([stem]);
        short.map(|s| strsim::levenshtein(&plain(name), &s)).min().unwrap_or(usize::MAX)
    };
    let nearest = there.iter().min_by_key(|file| (distance(file), file.len()));
    let nearest = match nearest {
        Some(file) => format!("; the nearest file there is {file}"),
        None => "; the folder is empty".into(),
    };
    format!("has no {kind}: there is no {}{nearest}", at.join(name).display())
}

/// All files under a folder, with `/` on every system; hidden files are skipped.
pub(super) fn files(folder: &Path, root: &Path, depth: usize) -> Vec<String> {
    const MAX_DEPTH: usize = 8;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if fs::is_dir(&path) && depth < MAX_DEPTH {
            found.extend(files(&path, root, depth + 1));
        } else if fs::is_file(&path) {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            found.push(inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"));
        }
    }
    found.sort();
    found
}

/// Images by case, of nnU-Net's names `CASE_0000`, a file per channel. Errors if a case has several channels.
pub(super) fn cases(images: BTreeMap<String, PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, path) in images {
        let channel = |digits: &str| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
        let Some((case, _)) = name.rsplit_once('_').filter(|(case, digits)| !case.is_empty() && channel(digits)) else {
            let reason =
                "is not named as nnU-Net's images are: CASE_0000, with the number of the channel behind the case";
            return Err(Error::file(path, reason));
        };
        if let Some(other) = found.get(case) {
            let reason = format!(
                "and {} are channels of one case in files of their own, which is not supported; join them into one image of \
                 several channels",
                other.display()
            );
            return Err(Error::file(path, reason));
        }
        found.insert(case.into(), path);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_suffixes_are_removed() {
        let of = |name: &str| shortened(name, GROUND_TRUTH).into_iter().collect::<Vec<_>>();
        for name in
            ["a_mask", "a-mask", "a.mask", "a_seg", "a_Labels", "mask_a", "gt-a", "a_cp_masks", "a.ome", "a_gt.ome"]
        {
            assert!(of(name).contains(&"a".to_string()), "{name}: {:?}", of(name));
        }
        assert_eq!(of("day1/a_label"), ["day1/a"]);
        assert!(of("amask").is_empty() && of("_mask").is_empty() && of("é_x").is_empty());
        assert!(shortened("img_07", IMAGE).contains("07") && shortened("a_0000", IMAGE).contains("a"));
    }
}
