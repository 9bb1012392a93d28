//! Instance files: label images, outlines, and a table.

mod coco;
mod geojson;
mod labels;
#[cfg(feature = "ome-zarr")]
mod ome_zarr;
#[cfg(feature = "bioimage")]
mod roi;
mod shown;
mod sink;
mod table;

pub use coco::Coco;
pub use geojson::GeoJson;
pub use labels::Labels;
#[cfg(feature = "ome-zarr")]
pub(super) use ome_zarr::{LabelPlanes, is_own_zarr};
#[cfg(feature = "ome-zarr")]
pub use ome_zarr::{OmeZarr, has_labels, labels_folder};
#[cfg(feature = "bioimage")]
pub use roi::Rois;
pub use sink::{InstanceReport, InstanceSink};
pub use table::Table;
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(super) use table::is_table;

use super::instances::{Instance, InstanceSource as Source, Instances};
use crate::error::{Error, Result};
use crate::infer::palette;
use crate::infer::writer::{InstanceWriter, WriteFailure, Written};
use crate::io::{Output, write_atomically};

/// Writes an instance file, completely or not at all.
pub fn write_instances(
    output: impl Into<Output>,
    writer: &dyn InstanceWriter,
    instances: &mut Instances,
    source: &Source,
) -> Result<()> {
    #[cfg(feature = "std-fs")]
    let output = match output.into() {
        output if writer.is_folder() => {
            let needs = || Error::file(output.name(), "is a folder, which cannot be written to memory");
            return writer.write_folder(output.path().ok_or_else(needs)?, instances, source);
        }
        output => output,
    };
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
fn for_each(instances: &mut Instances, mut each: impl FnMut(Instance) -> Written) -> Written {
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
