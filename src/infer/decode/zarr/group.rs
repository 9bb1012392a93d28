//! Groups of OME-Zarr: images in several resolutions, and what holds such images: plates, wells, series.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::array::Array;
use super::store::{Format, Node, is_zarr};
use crate::error::{Error, Result};
use crate::infer::calibration::{Calibration, PixelSize, PixelSizeSource, micrometres};

/// Images of a plate beyond this number are refused.
const MAX_IMAGES: usize = 1 << 17;
/// Paths that an error lists.
const SHOWN: usize = 8;
/// Most resolutions of an image.
const MAX_LEVELS: usize = 64;

/// What an axis of an image counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Time,
    Channel,
    Z,
    Y,
    X,
}

/// An axis of an image, with its description as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    pub role: Role,
    pub described: Value,
}

/// A resolution of an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    pub path: String,
    /// Size of a step along each axis, in the axis' unit.
    pub scale: Vec<f64>,
    /// Position of the first pixel along each axis, in the axis' unit.
    pub translation: Option<Vec<f64>>,
}

/// An image in several resolutions.
#[derive(Clone, Debug)]
pub(crate) struct Multiscale {
    pub node: Node,
    pub axes: Vec<Axis>,
    /// Largest first.
    pub levels: Vec<Level>,
    /// Names of channels, if the metadata have them.
    pub names: Vec<String>,
    /// Number of images that the group describes; the first is used.
    pub described: usize,
}

/// The images in a group: itself, those of a plate or a well, or series as Bio-Formats writes them.
pub(crate) fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let node = Node::open(folder)?;
    if node.array.is_some() {
        return Err(Error::file(
            folder,
            "is a Zarr array without the metadata of OME-Zarr; give the group that it is part of",
        ));
    }
    let ome = node.ome();
    let paths = |value: &Value, what: &str| -> Result<Vec<String>> {
        let list =
            value.get(what).and_then(Value::as_array).ok_or_else(|| node.wrong(format!("has no list `{what}`")))?;
        if list.len() > MAX_IMAGES {
            return Err(node.wrong(format!("has {} `{what}`, at most {MAX_IMAGES} are supported", list.len())));
        }
        let path = |v: &Value| v.get("path").and_then(Value::as_str).map(String::from);
        list.iter().map(|v| path(v).ok_or_else(|| node.wrong(format!("an item of `{what}` has no path")))).collect()
    };
    if ome.get("multiscales").is_some() {
        return Ok(vec![folder.to_path_buf()]);
    }
    if let Some(plate) = ome.get("plate") {
        let mut found = Vec::new();
        for path in paths(plate, "wells")? {
            found.extend(images_of_well(&node.below(&path)?)?);
            if found.len() > MAX_IMAGES {
                return Err(node.wrong(format!("has more than {MAX_IMAGES} images")));
            }
        }
        return if found.is_empty() { Err(node.wrong("the plate has no images")) } else { Ok(found) };
    }
    if ome.get("well").is_some() {
        return images_of_well(folder);
    }
    if ome.get("bioformats2raw.layout").is_some() {
        let listed = Node::open(&folder.join("OME")).ok().and_then(|n| {
            let names = n.ome().get("series")?.as_array()?.iter().filter_map(Value::as_str).map(String::from);
            Some(names.take(MAX_IMAGES).collect::<Vec<_>>())
        });
        let found: Vec<PathBuf> = match listed {
            Some(names) => names.iter().map(|n| node.below(n)).collect::<Result<_>>()?,
            None => (0..MAX_IMAGES).map(|i| folder.join(i.to_string())).take_while(|f| is_zarr(f)).collect(),
        };
        return if found.is_empty() { Err(node.wrong("has no series")) } else { Ok(found) };
    }
    if let Some(labels) = ome.get("labels").and_then(Value::as_array) {
        let names = labels.iter().filter_map(Value::as_str).take(MAX_IMAGES);
        let found: Vec<PathBuf> = names.map(|n| node.below(n)).collect::<Result<_>>()?;
        return if found.is_empty() { Err(node.wrong("lists no labels")) } else { Ok(found) };
    }
    Err(node.wrong("has no `multiscales`, `plate` or `well`: it is no OME-Zarr image"))
}

fn images_of_well(folder: &Path) -> Result<Vec<PathBuf>> {
    let node = Node::open(folder)?;
    let images = node.ome().get("well").and_then(|w| w.get("images")).and_then(Value::as_array);
    let Some(images) = images else { return Err(node.wrong("has no `well.images`")) };
    let path = |v: &Value| match v.get("path").and_then(Value::as_str) {
        Some(path) => node.below(path),
        None => Err(node.wrong("an item of `well.images` has no path")),
    };
    images.iter().take(MAX_IMAGES).map(path).collect()
}

impl Multiscale {
    /// The image in a folder; also of a group that holds only one.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let found = images(folder)?;
        match found.as_slice() {
            [one] if one == folder => Self::read(Node::open(folder)?),
            [one] => Self::read(Node::open(one)?),
            several => {
                let inside = |p: &PathBuf| p.strip_prefix(folder).unwrap_or(p).display().to_string();
                let listed: Vec<String> = several.iter().take(SHOWN).map(inside).collect();
                let more = if several.len() > SHOWN { ", ..." } else { "" };
                let (count, listed) = (several.len(), listed.join(", "));
                Err(Error::file(folder, format!("holds {count} images; open one of them: {listed}{more}")))
            }
        }
    }

    fn read(node: Node) -> Result<Self> {
        let ome = node.ome();
        let list = ome.get("multiscales").and_then(Value::as_array).filter(|l| !l.is_empty());
        let Some((first, described)) = list.and_then(|l| Some((l.first()?, l.len()))) else {
            return Err(node.wrong("has no list `multiscales`"));
        };
        let version = ome.get("version").or(first.get("version")).and_then(Value::as_str).unwrap_or_default();
        let axes = axes(&node, first, version)?;
        let whole = transformations(&node, first, "multiscales[0]", axes.len())?;
        let Some(datasets) = first.get("datasets").and_then(Value::as_array).filter(|d| !d.is_empty()) else {
            return Err(node.wrong("has no list `multiscales[0].datasets`"));
        };
        let mut levels = Vec::new();
        for (i, dataset) in datasets.iter().take(MAX_LEVELS).enumerate() {
            let place = format!("multiscales[0].datasets[{i}]");
            let Some(path) = dataset.get("path").and_then(Value::as_str) else {
                return Err(node.wrong(format!("`{place}` has no path")));
            };
            let (scale, translation) = transformations(&node, dataset, &place, axes.len())?;
            let times = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f64>>();
            let moved = match (translation, &whole.1) {
                (None, None) => None,
                (own, then) => {
                    let own = own.map_or(vec![0.0; axes.len()], |t| times(&t, &whole.0));
                    let then = then.clone().unwrap_or_else(|| vec![0.0; axes.len()]);
                    Some(own.iter().zip(then).map(|(a, b)| a + b).collect())
                }
            };
            levels.push(Level { path: path.to_string(), scale: times(&scale, &whole.0), translation: moved });
        }
        let channels = ome.get("omero").and_then(|o| o.get("channels")).and_then(Value::as_array);
        let label = |c: &Value| c.get("label").and_then(Value::as_str).unwrap_or_default().trim().to_string();
        let names: Vec<String> = channels.into_iter().flatten().map(label).collect();
        Ok(Self { axes, levels, names, described, node })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.node.folder
    }

    /// The position of an axis.
    pub(crate) fn axis(&self, role: Role) -> Option<usize> {
        self.axes.iter().position(|a| a.role == role)
    }

    /// The array of a resolution.
    pub(crate) fn array(&self, level: usize) -> Result<Array> {
        let Some(Level { path, .. }) = self.levels.get(level) else {
            let sizes: Vec<String> =
                (0..self.levels.len()).map(|i| self.size(i).map_or("?".into(), |[w, h]| format!("{w}x{h}"))).collect();
            let reason = match sizes.len() {
                1 => format!(
                    "holds the image in its full size only, there is no level {level} (level 0 is the full size)"
                ),
                n => format!("has levels 0 to {} ({}), there is no level {level}", n - 1, sizes.join(", ")),
            };
            return Err(Error::file(self.folder(), reason));
        };
        let array = Array::open(&self.node.below(path)?)?;
        if array.shape.len() != self.axes.len() {
            let (rank, axes) = (array.shape.len(), self.axes.len());
            return Err(Error::file(
                &array.folder,
                format!("the array has {rank} dimensions for {axes} axes of the image"),
            ));
        }
        Ok(array)
    }

    /// Columns and rows of a resolution.
    pub(crate) fn size(&self, level: usize) -> Result<[u64; 2]> {
        let array = self.array(level)?;
        let side = |role| self.axis(role).and_then(|i| array.shape.get(i)).copied().unwrap_or(1);
        Ok([side(Role::X), side(Role::Y)])
    }

    /// Times and z planes, of which every pair is a page.
    pub(crate) fn stack(&self, array: &Array) -> [u64; 2] {
        [Role::Time, Role::Z].map(|role| self.axis(role).and_then(|i| array.shape.get(i)).copied().unwrap_or(1))
    }

    /// The pixel size of a resolution. A `known` one of the full size replaces that of the metadata.
    pub(crate) fn calibration(&self, level: usize, known: Option<[f64; 2]>) -> Calibration {
        let of = |level: usize, role| self.axis(role).and_then(|i| self.levels.get(level)?.scale.get(i).copied());
        let unit = |role| {
            let unit = self.axis(role).and_then(|i| self.axes.get(i)?.described.get("unit")?.as_str());
            unit.and_then(micrometres)
        };
        let length = |role| Some(of(0, role)? * unit(role)?).filter(|v| v.is_finite() && *v > 0.0);
        let pixel =
            length(Role::X).zip(length(Role::Y)).and_then(|(x, y)| PixelSize::new(x, y, PixelSizeSource::OmeZarr));
        let pixel = pixel.map(|p| PixelSize { z: length(Role::Z), ..p });
        let full = Calibration { pixel, ..Calibration::default() };
        let full = match known {
            Some([x, y]) => full.with_pixel_size(x, y),
            None => full,
        };
        if level == 0 {
            return full;
        }
        let factor = |role| of(level, role).zip(of(0, role)).map(|(a, b)| a / b).filter(|f| f.is_finite() && *f > 0.0);
        let by_scale = [factor(Role::X), factor(Role::Y)];
        let by_size = |i: usize| match (self.size(0), self.size(level)) {
            (Ok(whole), Ok(part)) => whole[i] as f64 / part[i].max(1) as f64,
            _ => 1.0,
        };
        // Levels without a scale of their own have that of the full size.
        let plain = by_scale == [Some(1.0); 2];
        full.scaled([0, 1].map(|i| by_scale[i].filter(|_| !plain).unwrap_or_else(|| by_size(i))))
    }
}

fn axes(node: &Node, multiscale: &Value, version: &str) -> Result<Vec<Axis>> {
    let place = "multiscales[0].axes";
    let listed = match multiscale.get("axes") {
        Some(axes) => axes.as_array().cloned().ok_or_else(|| node.wrong(format!("`{place}` is no list")))?,
        // The order was fixed then.
        None if matches!(version, "0.1" | "0.2") => ["t", "c", "z", "y", "x"].map(Value::from).to_vec(),
        None => return Err(node.wrong(format!("has no `{place}`"))),
    };
    let axis = |value: Value| {
        let name = value.get("name").and_then(Value::as_str).or(value.as_str()).unwrap_or_default();
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
        let role = match (name.to_ascii_lowercase().as_str(), kind) {
            ("x", _) => Role::X,
            ("y", _) => Role::Y,
            ("z", _) => Role::Z,
            ("c", _) | (_, "channel") => Role::Channel,
            ("t", _) | (_, "time") => Role::Time,
            _ => return Err(node.wrong(format!("`{place}`: the axis `{name}` is none of t, c, z, y and x"))),
        };
        let described = if value.is_object() { value } else { serde_json::json!({ "name": name }) };
        Ok(Axis { role, described })
    };
    if listed.len() > 5 {
        return Err(node.wrong(format!("`{place}` lists {} axes, at most 5 are supported", listed.len())));
    }
    let axes: Vec<Axis> = listed.into_iter().map(axis).collect::<Result<_>>()?;
    for role in [Role::Time, Role::Channel, Role::Z, Role::Y, Role::X] {
        let count = axes.iter().filter(|a| a.role == role).count();
        if count > 1 || (count == 0 && matches!(role, Role::X | Role::Y)) {
            return Err(node.wrong(format!("`{place}` has {count} axes of the kind {role:?}")));
        }
    }
    Ok(axes)
}

/// The scale and the translation of `coordinateTransformations`, which may be missing.
fn transformations(node: &Node, value: &Value, place: &str, rank: usize) -> Result<(Vec<f64>, Option<Vec<f64>>)> {
    let (mut scale, mut translation) = (vec![1.0; rank], None);
    let list = value.get("coordinateTransformations").and_then(Value::as_array);
    for (i, item) in list.into_iter().flatten().enumerate() {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default();
        if !matches!(kind, "scale" | "translation") {
            continue;
        }
        let numbers = item.get(kind).and_then(Value::as_array);
        let numbers: Option<Vec<f64>> = numbers.and_then(|n| n.iter().map(Value::as_f64).collect());
        match numbers.filter(|n| n.len() == rank) {
            Some(numbers) if kind == "scale" => scale = numbers,
            Some(numbers) => translation = Some(numbers),
            None => {
                let key = format!("{place}.coordinateTransformations[{i}].{kind}");
                return Err(node.wrong(format!("`{key}` is no list of {rank} numbers, one for each axis")));
            }
        }
    }
    Ok((scale, translation))
}

impl Format {
    /// The version of OME-Zarr that is written.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V2 => "0.4",
            Self::V3 => "0.5",
        }
    }
}
