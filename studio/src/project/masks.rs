//! Masks of other programs: the classes of instances, and instances where there are no labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unet_wgpu::low_level::infer::LabelMap;
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Result};

use super::Shared;
use super::label_files::{Mark, Read, decode, options, others};
use crate::labels::{BACKGROUND, Labels, UNLABELLED};

/// Masks that are looked into when a data set is opened. Classes that only others have are added with the image that has them.
const MOST: usize = 200;

/// White in black-and-white masks, which is class 1.
const WHITE: [u32; 2] = [255, 65535];

/// The mask of an image: the studio's own, else one of another program.
pub(super) fn find(shared: &Shared, name: &str) -> Option<PathBuf> {
    let own = shared.mask(name);
    fs::is_file(&own).then_some(own).or_else(|| others(shared, "masks", name).into_iter().next())
}

/// The largest class in the masks of these images, evenly chosen if they are many. A mask that cannot be read says nothing here:
/// the error comes when its image is opened.
pub(super) fn count_classes(shared: &Shared, names: &[String], notes: &mut Vec<String>) -> usize {
    let masks: Vec<PathBuf> = names.iter().filter_map(|name| find(shared, name)).collect();
    let step = masks.len().div_ceil(MOST).max(1);
    let mut most = 0;
    for path in masks.iter().step_by(step) {
        match LabelMap::open_with(path, &options()).and_then(|map| classes(path, map)) {
            Ok(map) => most = map.labels().iter().copied().filter(|&c| c != UNLABELLED).fold(most, u32::max),
            Err(e) => notes.push(format!("{e}.")),
        }
    }
    most as usize
}

/// A mask with white as class 1; an error if it has more classes than instances can have.
fn classes(path: &Path, mask: LabelMap) -> Result<LabelMap> {
    let largest = mask.labels().iter().copied().filter(|&c| c != UNLABELLED).max().unwrap_or(BACKGROUND);
    let white =
        WHITE.contains(&largest) && mask.labels().iter().all(|&c| [BACKGROUND, largest, UNLABELLED].contains(&c));
    if white {
        return Ok(mask.map(|c| if c == largest { 1 } else { c }));
    }
    if largest > u8::MAX.into() {
        return Err(Error::file(
            path,
            format!("has class {largest}, and instances can have classes up to {}", u8::MAX),
        ));
    }
    Ok(mask)
}

/// Reads the mask of an image of this size.
fn read(path: &Path, size: [u32; 2]) -> Result<(LabelMap, Mark)> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
    let mark = Mark::of(&bytes);
    Ok((classes(path, decode(path, bytes, size)?)?, mark))
}

/// Gives every instance the class that most of its pixels have in a mask. Class 0 and unlabelled pixels say nothing.
pub(super) fn classes_of(labels: &Labels, path: &Path) -> Result<Vec<(u32, u8)>> {
    let [width, height] = [labels.map().width(), labels.map().height()];
    let (mask, _) = read(path, [width, height])?;
    let mut votes: BTreeMap<u32, BTreeMap<u8, u64>> = BTreeMap::new();
    for (y, classes) in (0..height).zip(mask.labels().chunks_exact(width as usize)) {
        for (id, &class) in labels.map().to_rows(y..y + 1).into_iter().zip(classes) {
            if let Some(class) = u8::try_from(class).ok().filter(|&c| c > 0 && id != BACKGROUND && id != UNLABELLED) {
                *votes.entry(id).or_default().entry(class).or_default() += 1;
            }
        }
    }
    let most = |votes: BTreeMap<u8, u64>| votes.into_iter().max_by_key(|&(class, n)| (n, u8::MAX - class));
    Ok(votes.into_iter().filter_map(|(id, votes)| Some((id, most(votes)?.0))).collect())
}

/// Labels from a mask alone: every 8-connected region of a class is an instance.
pub(super) fn regions(path: &Path, size: [u32; 2]) -> Result<Read> {
    let (mask, mark) = read(path, size)?;
    let [width, height] = size.map(|n| n as usize);
    let classes = mask.labels();
    let (mut ids, mut class_of) = (classes.to_vec(), Vec::new());
    let mut seen = vec![false; ids.len()];
    for start in 0..ids.len() {
        if seen[start] || classes[start] == BACKGROUND || classes[start] == UNLABELLED {
            continue;
        }
        let id = class_of.len() as u32 + 1;
        class_of.push((id, classes[start] as u8));
        seen[start] = true;
        let mut stack = vec![start];
        while let Some(i) = stack.pop() {
            ids[i] = id;
            let (x, y) = (i % width, i / width);
            for y in y.saturating_sub(1)..(y + 2).min(height) {
                for j in (x.saturating_sub(1)..(x + 2).min(width)).map(|x| y * width + x) {
                    if !seen[j] && classes[j] == classes[start] {
                        seen[j] = true;
                        stack.push(j);
                    }
                }
            }
        }
    }
    let labels = Labels::from_ids(size[0], size[1], &ids).map_err(|e| Error::file(path, e.to_string()))?;
    Ok(Read { labels: labels.with_classes(class_of, 0), mark })
}
