//! What files of instances say besides the instances.

use crate::error::{Error, Result};
use crate::infer::calibration::{Affine, Calibration};
use crate::names::{Name, Named, named};

/// The image of the instances, as described in files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceSource {
    /// Name of its file.
    pub image: String,
    /// Class names, the background first.
    pub classes: Vec<String>,
    /// Pixel size and georeference.
    pub calibration: Calibration,
    /// Coordinates of outlines and centroids.
    pub coordinates: Coordinates,
    /// The page of the file, counted from 0.
    pub page: usize,
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

impl InstanceSource {
    /// The map to world coordinates if they are requested. Fails if there is none.
    pub(crate) fn world(&self) -> Result<Option<Affine>> {
        let missing = |why: String| Error::file(&self.image, format!("has no world coordinates: {why}"));
        match (self.coordinates, &self.calibration.georeference) {
            (Coordinates::Pixel, _) => Ok(None),
            (Coordinates::World, None) => Err(missing("it is not georeferenced".into())),
            (Coordinates::World, Some(geo)) => geo.to_world().map(Some).map_err(missing),
        }
    }

    /// Name of a class.
    pub(crate) fn class(&self, id: usize) -> String {
        self.classes.get(id).cloned().unwrap_or_else(|| format!("class {id}"))
    }
}
