//! Files of instances: numbers as an image, outlines, and a table.

mod coco;
mod geojson;
mod labels;
mod roi;
mod table;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use super::Instances;
use crate::error::{Error, Result};
use crate::infer::calibration::{Affine, Calibration};
use crate::infer::{palette, write_atomically};

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InstanceFile {
    /// The number of every pixel's instance, 0 for none: TIFF of 16 bits, or of 32 for more than 65,535 instances, in
    /// deflate-compressed strips.
    Labels,
    /// Outlines along pixel edges as GeoJSON, as QuPath reads it: a FeatureCollection of Polygons (MultiPolygons of instances
    /// whose pixels meet at corners only).
    GeoJson,
    /// COCO annotations of one image: polygons along pixel edges, or run lengths of instances with holes, which COCO's
    /// polygons cannot have.
    Coco,
    /// ImageJ's ROI archive: traced outlines, composite ones of instances with holes.
    Rois,
    /// Comma-separated values, a line an instance.
    Table,
}

impl InstanceFile {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Labels, Self::GeoJson, Self::Coco, Self::Rois, Self::Table];

    /// The last part of the names of its files, and their extension.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Labels => ("labels", "tif"),
            Self::GeoJson => ("contours", "geojson"),
            Self::Coco => ("coco", "json"),
            Self::Rois => ("rois", "zip"),
            Self::Table => ("objects", "csv"),
        }
    }
}

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
    path: impl AsRef<Path>,
    kind: InstanceFile,
    instances: &mut Instances,
    source: &Source,
) -> Result<()> {
    let path = path.as_ref();
    let mut failure = None;
    let written = write_atomically(path, |file| {
        let done = match kind {
            InstanceFile::Labels => labels::write(file, instances, source),
            InstanceFile::GeoJson => geojson::write(file, instances, source),
            InstanceFile::Coco => coco::write(file, instances, source),
            InstanceFile::Rois => roi::write(file, instances),
            InstanceFile::Table => table::write(file, instances, source),
        };
        done.map_err(|e| match e {
            Failure::Io(e) => e,
            Failure::Other(e) => {
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

/// What stopped a file: writing it, or reading what it is made of.
enum Failure {
    Io(std::io::Error),
    Other(Error),
}

impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::Io(e)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(e: serde_json::Error) -> Self {
        Self::Io(e.into())
    }
}

impl From<zip::result::ZipError> for Failure {
    fn from(e: zip::result::ZipError) -> Self {
        Self::Io(e.into())
    }
}

impl From<csv::Error> for Failure {
    fn from(e: csv::Error) -> Self {
        Self::Io(e.into())
    }
}

type Written = std::result::Result<(), Failure>;
type Out<'a, 'b> = &'a mut BufWriter<&'b File>;

/// Does `each` with every instance, in the order in which they are complete.
fn for_each(instances: &mut Instances, mut each: impl FnMut(super::Instance) -> Written) -> Written {
    let mut failure = None;
    let done = instances.instances(|instance| {
        each(instance).map_err(|e| match e {
            Failure::Other(e) => e,
            Failure::Io(e) => {
                failure = Some(e);
                Error::Cancelled
            }
        })
    });
    match failure {
        Some(e) => Err(Failure::Io(e)),
        None => done.map_err(Failure::Other),
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
