//! Axes and resolutions of labels: those of the image that they belong to, or of their own.

use std::path::Path;

use serde_json::{Value, json};

use super::pyramid::Resolution;
use crate::error::{Error, Result};
use crate::infer::calibration::Calibration;
use crate::infer::decode::zarr::{Format, Multiscale, Role};
use crate::infer::origin::SOFTWARE;

/// Labels of their own have resolutions until their longer side is at most this.
const SMALLEST: usize = 512;

/// Axes, and resolutions with their coordinate transformations.
pub(super) struct Layout {
    pub format: Format,
    /// z planes of a time.
    pub planes: u64,
    axes: Vec<Value>,
    levels: Vec<Level>,
}

struct Level {
    resolution: Resolution,
    /// The axes before rows and columns.
    along: Vec<Along>,
    transformations: Vec<Value>,
}

/// An axis along which planes lie.
#[derive(Clone, Copy)]
struct Along {
    time: bool,
    /// Positions of the full size for each of this.
    factor: f64,
    side: u64,
}

impl Along {
    /// The position here of a position in the full size.
    fn at(self, position: u64) -> u64 {
        ((position as f64 / self.factor) as u64).min(self.side.saturating_sub(1))
    }
}

/// The factor between two resolutions: the metadata's if it fits their sizes, else that of the sizes.
fn factor(described: f64, full: u64, part: u64) -> f64 {
    let fits = described.is_finite() && described >= 1.0 && (full as f64 - described * part as f64).abs() < described;
    if fits { described } else { full as f64 / part.max(1) as f64 }
}

impl Layout {
    /// That of an image's resolutions from the one that has the labels' columns and rows, without channels.
    pub(super) fn of_image(image: &Path, size: [usize; 2]) -> Result<Self> {
        let multiscale = Multiscale::open(image)?;
        let wrong = |reason: String| Error::file(image, reason);
        let kept: Vec<usize> =
            (0..multiscale.axes.len()).filter(|&i| multiscale.axes[i].role != Role::Channel).collect();
        let of = |i: &usize| multiscale.axes.get(*i);
        let roles: Vec<Role> = kept.iter().filter_map(of).map(|a| a.role).collect();
        if !matches!(roles.as_slice(), [.., Role::Y, Role::X]) {
            return Err(wrong("labels are written into images whose last axes are y and x".into()));
        }
        let size = size.map(|side| side as u64);
        let count = multiscale.levels.len();
        let mut first = None;
        for level in 0..count {
            if multiscale.size(level)? == size {
                first = Some(level);
                break;
            }
        }
        let Some(first) = first else {
            let [w, h] = size;
            return Err(wrong(format!("has no level of the labels' size, {w}x{h}")));
        };
        let full = multiscale.array(first)?;
        let [_, planes] = multiscale.stack(&full);
        let mut levels = Vec::new();
        for number in first..count {
            let (array, level) = (multiscale.array(number)?, &multiscale.levels[number]);
            let (mut shape, mut along, mut factors) = (Vec::new(), Vec::new(), Vec::new());
            for (&axis, &role) in kept.iter().zip(&roles) {
                let (Some(&side), Some(&whole)) = (array.shape.get(axis), full.shape.get(axis)) else { continue };
                shape.push(side);
                let scale = |of: &[f64]| of.get(axis).copied().unwrap_or(1.0);
                let by = factor(scale(&level.scale) / scale(&multiscale.levels[first].scale), whole, side);
                match role {
                    Role::X | Role::Y => factors.push(by),
                    _ => along.push(Along { time: role == Role::Time, factor: by, side }),
                }
            }
            let only = |v: &[f64]| kept.iter().filter_map(|&i| v.get(i).copied()).collect::<Vec<f64>>();
            let mut transformations = vec![json!({ "type": "scale", "scale": only(&level.scale) })];
            if let Some(translation) = &level.translation {
                transformations.push(json!({ "type": "translation", "translation": only(translation) }));
            }
            let resolution = Resolution { shape, factors: [factors[1], factors[0]] };
            levels.push(Level { resolution, along, transformations });
        }
        let axes = kept.iter().filter_map(of).map(|a| a.described.clone()).collect();
        Ok(Self { format: multiscale.node.format, planes, axes, levels })
    }

    /// That of an image of its own, with axes for z planes and times if there are several. Rows and columns of each resolution are
    /// half those of the one before.
    pub(super) fn alone([width, height]: [usize; 2], [planes, times]: [usize; 2], calibration: &Calibration) -> Self {
        let pixel = calibration.pixel.as_ref().map(|p| [p.y, p.x]);
        let depth = calibration.pixel.as_ref().and_then(|p| p.z);
        let space = |name: &str, known: bool| match known {
            true => json!({ "name": name, "type": "space", "unit": "micrometer" }),
            false => json!({ "name": name, "type": "space" }),
        };
        let (mut axes, mut sides, mut along, mut steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (time, count) in [(true, times), (false, planes)].into_iter().filter(|&(_, count)| count > 1) {
            along.push(Along { time, factor: 1.0, side: count as u64 });
            sides.push(count as u64);
            steps.push(if time { 1.0 } else { depth.unwrap_or(1.0) });
            axes.push(if time { json!({ "name": "t", "type": "time" }) } else { space("z", depth.is_some()) });
        }
        axes.extend([space("y", pixel.is_some()), space("x", pixel.is_some())]);
        let mut levels = Vec::new();
        for step in 0..usize::BITS {
            let by = 1usize << step;
            let rows_and_columns = [height, width].map(|side| side.div_ceil(by) as u64);
            let shape = [&sides[..], &rows_and_columns].concat();
            let mut scale = steps.clone();
            scale.extend(pixel.unwrap_or([1.0; 2]).map(|p| p * by as f64));
            let resolution = Resolution { shape, factors: [by as f64; 2] };
            let transformations = vec![json!({ "type": "scale", "scale": scale })];
            levels.push(Level { resolution, along: along.clone(), transformations });
            if rows_and_columns.iter().all(|&side| side <= SMALLEST as u64) {
                break;
            }
        }
        Self { format: Format::V2, planes: planes as u64, axes, levels }
    }

    /// The metadata of the group, in its file.
    pub(super) fn attributes(&self, name: &str, image: Option<&str>) -> Value {
        let Self { format, axes, levels, .. } = self;
        let dataset = |(i, level): (usize, &Level)| json!({ "path": i.to_string(), "coordinateTransformations": level.transformations });
        let datasets: Vec<Value> = levels.iter().enumerate().map(dataset).collect();
        let mut multiscale = json!({ "name": name, "axes": axes, "datasets": datasets, "type": "nearest" });
        let mut label = json!({});
        if let Some(image) = image {
            label["source"] = json!({ "image": image });
        }
        let own = json!({ "version": env!("CARGO_PKG_VERSION") });
        match format {
            Format::V2 => {
                multiscale["version"] = format.version().into();
                label["version"] = format.version().into();
                json!({ "multiscales": [multiscale], "image-label": label, SOFTWARE: own })
            }
            Format::V3 => {
                let ome = json!({ "version": format.version(), "multiscales": [multiscale], "image-label": label });
                json!({ "ome": ome, SOFTWARE: own })
            }
        }
    }

    /// Names of the axes.
    pub(super) fn names(&self) -> Vec<Value> {
        self.axes.iter().map(|axis| axis["name"].clone()).collect()
    }

    /// Every resolution, the largest first.
    pub(super) fn resolutions(&self) -> Vec<Resolution> {
        self.levels.iter().map(|level| level.resolution.clone()).collect()
    }

    /// Where a page lies in every resolution. If all pages are written, a smaller resolution takes the first of those
    /// that fall on one of its planes, and is `None` for the others.
    pub(super) fn planes_of(&self, page: u64, all: bool) -> Vec<Option<Vec<u64>>> {
        let planes = self.planes.max(1);
        let position = |a: &Along| if a.time { page / planes } else { page % planes };
        let repeated = |a: &Along| position(a) > 0 && a.at(position(a) - 1) == a.at(position(a));
        let of_level = |level: &Level| match all && level.along.iter().any(repeated) {
            true => None,
            false => Some(level.along.iter().map(|a| a.at(position(a))).collect()),
        };
        self.levels.iter().map(of_level).collect()
    }
}
