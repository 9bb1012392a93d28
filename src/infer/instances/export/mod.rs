//! Instance files: label images, outlines, and a table.

mod coco;
mod geojson;
mod labels;
#[cfg(feature = "bioimage")]
mod roi;
mod table;

pub use coco::Coco;
pub use geojson::GeoJson;
pub use labels::Labels;
#[cfg(feature = "bioimage")]
pub use roi::Rois;
pub use table::Table;

use super::Instances;
use crate::error::{Error, Result};
use crate::infer::calibration::{Affine, Calibration};
use crate::infer::palette;
use crate::infer::writer::{InstanceWriter, WriteFailure, Written};
use crate::io::{Output, write_atomically};
use crate::names::{Name, Named, named};

/// The image of the instances, as described in files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Name of its file.
    pub image: String,
    /// Class names, the background first.
    pub classes: Vec<String>,
    /// Pixel size and georeference.
    pub calibration: Calibration,
    /// Coordinates of outlines and centroids.
    pub coordinates: Coordinates,
}

/// Coordinates of outlines in GeoJSON; tables have world coordinates in addition to pixel coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Coordinates {
    /// Columns and rows, as QuPath reads them.
    #[default]
    Pixel,
    /// Coordinates of the image's reference system, for programs such as QGIS.
    World,
}

impl Named for Coordinates {
    const WHAT: &'static str = "coordinates";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(Self::Pixel, "pixel", "Columns and rows"),
        Name::new(Self::World, "world", "The image's reference system"),
    ];
}

named!(Coordinates);

impl Source {
    /// The map to world coordinates if they are requested. Fails if there is none.
    fn world(&self) -> Result<Option<Affine>> {
        let missing = |why: String| Error::file(&self.image, format!("has no world coordinates: {why}"));
        match (self.coordinates, &self.calibration.georeference) {
            (Coordinates::Pixel, _) => Ok(None),
            (Coordinates::World, None) => Err(missing("it is not georeferenced".into())),
            (Coordinates::World, Some(geo)) => geo.to_world().map(Some).map_err(missing),
        }
    }

    fn class(&self, id: usize) -> String {
        self.classes.get(id).cloned().unwrap_or_else(|| format!("class {id}"))
    }
}

/// Writes an instance file, completely or not at all.
pub fn write_instances(
    output: impl Into<Output>,
    writer: &dyn InstanceWriter,
    instances: &mut Instances,
    source: &Source,
) -> Result<()> {
    let mut failure = None;
    let written = write_atomically(output, |file| {
        let done = writer.write(file, instances, source);
        done.map_err(|e| match e {
            WriteFailure::Io(e) => e,
            WriteFailure::Other(e) => {
                failure = Some(e);
                std::io::Error::other("stopped")
            }
        })
    });
    match failure {
        Some(e) => Err(e),
        None => written,
    }
}

#[cfg(feature = "bioimage")]
impl From<zip::result::ZipError> for WriteFailure {
    fn from(e: zip::result::ZipError) -> Self {
        Self::Io(e.into())
    }
}

/// Calls `each` for every instance, in the order in which they are complete.
fn for_each(instances: &mut Instances, mut each: impl FnMut(super::Instance) -> Written) -> Written {
    let mut failure = None;
    let done = instances.instances(|instance| {
        each(instance).map_err(|e| match e {
            WriteFailure::Other(e) => e,
            WriteFailure::Io(e) => {
                failure = Some(e);
                Error::Cancelled
            }
        })
    });
    match failure {
        Some(e) => Err(WriteFailure::Io(e)),
        None => done.map_err(WriteFailure::Other),
    }
}

/// Rounds to twelve significant digits: a tenth of a millimetre on Earth, without the noise of binary fractions.
fn exact(v: f64) -> f64 {
    format!("{v:.11e}").parse().unwrap_or(v)
}

/// The colour of the class in masks.
fn colour(class: usize) -> [u8; 3] {
    palette(class)
}

#[cfg(test)]
mod tests;
