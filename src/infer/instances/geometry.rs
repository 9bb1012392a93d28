//! Rows of the planes by which a network tells touching instances apart.

use super::elevation::Elevation;
use super::offsets::Offsets;
use super::samples::Samples;
use super::{ConnectedComponents, InstanceOptions, Separation};
use crate::error::{Error, Result};

/// What is kept of the geometry planes.
#[derive(Debug)]
pub(super) enum Geometry {
    Elevation(Box<Elevation>),
    /// And which pixels of the last row are foreground.
    Offsets(Box<Offsets>, Vec<bool>),
}

impl Geometry {
    /// What the options need; nothing where instances are found in the mask alone.
    pub(super) fn new(width: usize, height: usize, options: &InstanceOptions) -> Result<Option<Self>> {
        Ok(match options.separation {
            Separation::Elevation(rule) => {
                let heights = Samples::new(&options.scratch, width, 1);
                Some(Self::Elevation(Box::new(Elevation::new(width, height, rule, heights))))
            }
            Separation::Offsets(rule) => {
                Some(Self::Offsets(Box::new(Offsets::new(width, height, rule, options)?), Vec::new()))
            }
            _ => None,
        })
    }
}

impl ConnectedComponents {
    /// Appends the geometry planes of the last row, which networks of such a target predict: planar (plane, column). They are
    /// the distance, the probability of a touching border, the offsets of rows and of columns in units of
    /// [`OFFSET_UNIT`](crate::weights::OFFSET_UNIT); for an elevation the first is enough. Needed where [`Separation`] is by geometry.
    pub fn push_geometry(&mut self, planes: &[f32]) -> Result<()> {
        let width = self.width;
        let Some(geometry) = &mut self.geometry else { return Ok(()) };
        let planes: Vec<&[f32]> = planes.chunks(width).filter(|plane| plane.len() == width).collect();
        match (geometry, &planes[..]) {
            (Geometry::Elevation(elevation), [distance, rest @ ..]) => elevation.push(distance, rest.first().copied()),
            (Geometry::Offsets(offsets, inside), [_, _, down, right]) if inside.len() == width => {
                offsets.push(inside.drain(..), down, right)
            }
            _ => Err(Error::invalid(
                "instances",
                format!("{} planes of geometry do not suffice for a row", planes.len()),
            )),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
