//! The target tensor of a network for instances, from the labels of a crop.
//!
//! A window of labels has [`MARGIN`] more pixels on every side than its target, so that distances and centres are those of
//! whole instances. 0 is background, [`LabelMap::IGNORED`] unknown: unknown pixels count in no loss, and geometry takes
//! them for background.

mod border;
mod boxes;
mod centre;
mod distance;
mod gap;

use crate::error::{Error, Result};
use crate::infer::LabelMap;
use crate::weights::{InstanceTarget, OFFSET_UNIT};

use border::touching_border;
use boxes::Window;
use centre::centre_offset;
use distance::normalised_distance;
use gap::separated;

pub use gap::gap_weights;

/// Pixels that a window of labels has around the target, on every side.
pub const MARGIN: usize = 24;

/// The class id of unknown pixels.
pub const IGNORED_CLASS: u32 = 255;

/// Planes of a target tensor for `classes` classes of instances, without the background.
pub const fn target_planes(target: InstanceTarget, classes: usize) -> usize {
    let of_classes = if classes > 1 { 1 } else { 0 };
    match target {
        InstanceTarget::Multi => 6 + of_classes,
        InstanceTarget::Distance => 3 + of_classes,
        InstanceTarget::Gap | InstanceTarget::Border => 1,
    }
}

/// The planes `[P, H, W]` of a target tensor, for a window of labels with `margin` more pixels on every side.
///
/// For `multi` and `distance`: whether the pixel is known, foreground, the normalised distance; for `multi` further the
/// touching border and the offset to the centre (y, x) in units of [`OFFSET_UNIT`]; with `classes`, the class of every
/// instance number, last the class id. For `gap` and `border`: class ids, [`IGNORED_CLASS`] where unknown.
///
/// Errors if `margin` leaves no pixel, or if an instance has no class.
pub fn planes(target: InstanceTarget, labels: &LabelMap, margin: usize, classes: Option<&[u32]>) -> Result<Vec<f32>> {
    let window = Window::new(labels, margin)?;
    let flag = |set: bool| f32::from(u8::from(set));
    let known = |label: u32| label != LabelMap::IGNORED;
    let class = |label: u32, class: f32| if known(label) { class } else { IGNORED_CLASS as f32 };
    if target == InstanceTarget::Gap {
        let apart = separated(labels);
        return Ok(Window::new(&apart, margin)?.target().map(|l| class(l, flag(l > 0))).collect());
    }
    if target == InstanceTarget::Border {
        let classes = window.target().zip(touching_border(&window));
        return Ok(classes.map(|(l, b)| class(l, if b { 2.0 } else { flag(l > 0) })).collect());
    }
    let mut out: Vec<f32> = window.target().map(|l| flag(known(l))).collect();
    out.extend(window.target().map(|l| flag(known(l) && l > 0)));
    out.extend(normalised_distance(&window));
    if target == InstanceTarget::Multi {
        out.extend(touching_border(&window).map(flag));
        out.extend(centre_offset(&window).into_iter().flatten().map(|pixels| pixels / OFFSET_UNIT));
    }
    if let Some(classes) = classes {
        for label in window.target() {
            let class = match label {
                0 | LabelMap::IGNORED => Some(&0),
                label => classes.get(label as usize).filter(|&&class| class > 0),
            };
            let class = class.ok_or_else(|| Error::invalid("labels", format!("instance {label} has no class")))?;
            out.push(*class as f32);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
