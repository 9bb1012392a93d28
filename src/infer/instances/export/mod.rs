//! Files of instances: numbers as an image, outlines, and a table.

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
use crate::infer::writers::{InstanceWriter, WriteFailure, Written};
use crate::io::{Output, write_atomically};
use crate::names::{Name, Named, named};

/// What files say of the image that instances were found in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Name of its file.
    pub image: String,
    /// Class names, the background first.
    pub classes: Vec<String>,
    /// How large its pixels are and where they lie.
    pub calibration: Calibration,
    /// Which coordinates outlines and centroids have.
    pub coordinates: Coordinates,
}

/// Which coordinates outlines in GeoJSON have; tables have world coordinates beside those of pixels.
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
    /// The map to world coordinates, if those are wanted. Fails if there is none.
    fn world(&self) -> Result<Option<Affine>> {
        let wrong = |why: String| Error::file(&self.image, format!("has no world coordinates: {why}"));
        match (self.coordinates, &self.calibration.georeference) {
            (Coordinates::Pixel, _) => Ok(None),
            (Coordinates::World, None) => Err(wrong("it is not georeferenced".into())),
            (Coordinates::World, Some(geo)) => geo.to_world().map(Some).map_err(wrong),
        }
    }

    fn class(&self, id: usize) -> String {
        self.classes.get(id).cloned().unwrap_or_else(|| format!("class {id}"))
    }
}

/// Writes a file of instances. It appears whole or not at all.
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

/// Does `each` with every instance, in the order in which they are complete.
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

/// Twelve digits that count: a tenth of a millimetre on Earth, without the noise of binary fractions.
fn exact(v: f64) -> f64 {
    format!("{v:.11e}").parse().unwrap_or(v)
}

/// The colour that the class has in masks.
fn colour(class: usize) -> [u8; 3] {
    palette(class)
}

#[cfg(test)]
mod tests;
