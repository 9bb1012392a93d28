//! Labels and masks as TIFF files.

use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};
use unet_wgpu::low_level::infer::{LabelMap, LabelOptions};
use unet_wgpu::low_level::io::Input;
use unet_wgpu::low_level::io::fs;
use unet_wgpu::low_level::io::image_formats::readable_extensions;
use unet_wgpu::{Error, Result};

use super::Shared;
use crate::labels::{BACKGROUND, Labels, MAX_ID, UNLABELLED};

/// What may follow the name of an image in the name of its label file; Cellpose and Omnipose add some of them.
const SUFFIXES: [&str; 7] = ["", "_cp_masks", "_masks", "_mask", "_labels", "_label", "_instances"];
/// Rows that are compressed at once.
const STRIP: u32 = 64;

/// Tells label files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    size: u64,
    crc: u32,
}

impl Mark {
    /// The mark of a file with these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, crc: crc32fast::hash(bytes) }
    }
}

/// The label file of an image: the studio's own, else one of another program.
pub(super) fn find(shared: &Shared, name: &str) -> Option<PathBuf> {
    let own = shared.labels(name);
    fs::is_file(&own).then_some(own).or_else(|| others(shared, "labels", name).into_iter().next())
}

/// Files of another name that hold the ground truth of an image in a folder of the project.
pub(super) fn others(shared: &Shared, folder: &str, name: &str) -> Vec<PathBuf> {
    let folder = shared.folder.join(folder);
    if !fs::is_dir(&folder) {
        return Vec::new();
    }
    let own = folder.join(format!("{name}.tif"));
    let mut found = Vec::new();
    for stem in SUFFIXES.map(|suffix| format!("{name}{suffix}")) {
        // An exact name counts more: with images `a` and `a_mask`, a file `a_mask` is of the latter.
        if stem != name && shared.image_names().contains(&stem) {
            continue;
        }
        let files = readable_extensions().map(|e| folder.join(format!("{stem}.{e}")));
        found.extend(files.filter(|path| *path != own && fs::is_file(path)));
    }
    found
}

/// A label file with its mark.
pub(super) struct Read {
    pub labels: Labels,
    pub mark: Mark,
}

/// Reads a label file of an image of this size.
pub(super) fn read(path: &Path, size: [u32; 2]) -> Result<Read> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
    let mark = Mark::of(&bytes);
    let map = decode(path, bytes, size)?;
    let mut ids = map.into_labels();
    if ids.iter().any(|&id| id > MAX_ID && id != UNLABELLED) {
        renumber(&mut ids);
    }
    let labels = Labels::from_ids(size[0], size[1], &ids).map_err(|e| Error::file(path, e.to_string()))?;
    Ok(Read { labels, mark })
}

/// How label files are read.
pub(super) fn options() -> LabelOptions {
    LabelOptions { ignore: Some(-1), ..LabelOptions::default() }
}

/// Decodes a label file of an image of this size.
pub(super) fn decode(path: &Path, bytes: Vec<u8>, [width, height]: [u32; 2]) -> Result<LabelMap> {
    let map = LabelMap::open_with(Input::bytes(path, bytes), &options())?;
    if [map.width(), map.height()] != [width as usize, height as usize] {
        let reason = format!("has {} x {} pixels, but its image has {width} x {height}", map.width(), map.height());
        return Err(Error::file(path, reason));
    }
    Ok(map)
}

/// Numbers instances from 1, in the order of their ids.
fn renumber(ids: &mut [u32]) {
    let mut names: BTreeMap<u32, u32> = ids.iter().map(|&id| (id, id)).collect();
    names.retain(|&id, _| id != BACKGROUND && id != UNLABELLED);
    names.values_mut().zip(1..).for_each(|(name, number)| *name = number);
    ids.iter_mut().for_each(|id| *id = names.get(id).copied().unwrap_or(*id));
}

/// The bytes of a label file: instance ids, -1 for unlabelled.
pub(super) fn labels_tiff(labels: &Labels) -> std::result::Result<Vec<u8>, String> {
    encode(labels, |id| id as i32)
}

/// The bytes of a mask: class ids, -1 for unlabelled.
pub(super) fn mask_tiff(labels: &Labels) -> std::result::Result<Vec<u8>, String> {
    encode(labels, |id| match id {
        BACKGROUND | UNLABELLED => id as i32,
        id => labels.class_of(id).into(),
    })
}

fn encode(labels: &Labels, value: impl Fn(u32) -> i32) -> std::result::Result<Vec<u8>, String> {
    let map = labels.map();
    let mut out = Cursor::new(Vec::new());
    let written = (|| {
        let mut file = TiffEncoder::new(&mut out)?.with_compression(Compression::Deflate(DeflateLevel::Fast));
        let mut image = file.new_image::<colortype::GrayI32>(map.width(), map.height())?;
        image.rows_per_strip(STRIP)?;
        // Strip by strip, the tiff crate would not compress.
        let mut values = Vec::with_capacity(map.width() as usize * map.height() as usize);
        let mut last = (BACKGROUND, value(BACKGROUND));
        for y in (0..map.height()).step_by(STRIP as usize) {
            values.extend(map.to_rows(y..y + STRIP).into_iter().map(|id| {
                if last.0 != id {
                    last = (id, value(id));
                }
                last.1
            }));
        }
        image.write_data(&values)
    })();
    written.map_err(|e: tiff::TiffError| e.to_string())?;
    Ok(out.into_inner())
}

/// Moves a file of another program out of the way, into `imported/`. Returns where it is.
pub(super) fn set_aside(shared: &Shared, path: &Path, keep: bool) -> Result<PathBuf> {
    let inside = path.strip_prefix(&shared.folder).unwrap_or(path);
    let target = free_path(&shared.folder.join("imported").join(inside));
    let folder = target.parent().unwrap_or(&shared.folder);
    let moved = fs::create_dir_all(folder).and_then(|()| match keep {
        // Its name is about to be given to another file.
        true => fs::hard_link(path, &target).or_else(|_| fs::copy(path, &target).map(drop)),
        false => fs::rename(path, &target),
    });
    moved.map_err(|e| Error::io(path, e))?;
    Ok(target)
}

/// The path, or one with a number if something is there.
pub(super) fn free_path(path: &Path) -> PathBuf {
    let is_free = |p: &PathBuf| matches!(fs::symlink_metadata(p), Err(e) if e.kind() == ErrorKind::NotFound);
    let numbered = (2_u32..).map(|n| {
        let mut name = path.as_os_str().to_os_string();
        name.push(format!(".{n}"));
        PathBuf::from(name)
    });
    std::iter::once(path.to_path_buf()).chain(numbered).find(is_free).unwrap_or_else(|| path.to_path_buf())
}
