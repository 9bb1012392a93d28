//! The options of `unet segment` about single instances.

use super::values;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::infer::{
    Calibration, Connectivity, Coordinates, InstanceOptions, InstanceSink, InstanceWriter, Separation,
};
use unet_wgpu::{Error, Result};

/// How single instances are found.
#[derive(Args)]
#[command(next_help_heading = "Single instances (for --save labels, geojson, coco, rois, csv)")]
pub struct InstanceArgs {
    /// How touching instances are separated
    #[arg(long, value_enum, default_value = "components", value_name = "HOW")]
    instances: Separate,
    /// For the watershed: how many pixels an instance must be wider than its neck to become two; smaller splits more
    #[arg(long, default_value = "1", value_name = "PIXELS", value_parser = depth)]
    seed_depth: f64,
    /// Which pixels are of one instance: those that share an edge (4), or a corner too (8)
    #[arg(long, default_value = "4", value_name = "4|8", value_parser = connectivity)]
    connectivity: Connectivity,
    /// Leave out instances of fewer pixels
    #[arg(long, default_value = "0", value_name = "PIXELS")]
    min_area: u64,
    /// Fill background that lies inside one instance
    #[arg(long)]
    fill_holes: bool,
    /// Coordinates of outlines in GeoJSON: pixels, as QuPath reads them, or those of a GeoTIFF's reference system; the table
    /// has the latter as two more columns
    #[arg(long, value_parser = values::named::<Coordinates>(), default_value = "pixel", value_name = "pixel|world")]
    coordinates: Coordinates,
}

/// How touching instances are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Separate {
    /// Not at all: an instance is what is connected in the mask
    Components,
    /// At necks: the watershed of the distance to the edge
    Watershed,
}

fn depth(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|d: &f64| d.is_finite() && *d > 0.0).ok_or_else(|| "not a number above 0".into())
}

pub(super) fn connectivity(text: &str) -> std::result::Result<Connectivity, String> {
    match text {
        "4" => Ok(Connectivity::Four),
        "8" => Ok(Connectivity::Eight),
        _ => Err("expected 4 or 8".into()),
    }
}

impl InstanceArgs {
    /// The sink that finds the instances of `input` and writes `files`, in at most `memory` bytes. Temporary files are placed
    /// beside the results.
    pub fn sink(
        &self,
        input: &Path,
        files: Vec<(&'static dyn InstanceWriter, PathBuf)>,
        memory: u64,
        calibration: Calibration,
    ) -> Result<InstanceSink> {
        if self.coordinates == Coordinates::World {
            // Before any work, not after it.
            let map = calibration.georeference.as_ref().map(|g| g.to_world());
            if let Some(why) = match map {
                None => Some("it is not georeferenced".to_string()),
                Some(map) => map.err(),
            } {
                return Err(Error::file(input, format!("has no world coordinates ({why}); see `unet inspect`")));
            }
        }
        let separation = match self.instances {
            Separate::Components => Separation::Components,
            Separate::Watershed => Separation::Watershed { depth: self.seed_depth },
        };
        let folder = files.first().and_then(|f| f.1.parent()).filter(|p| !p.as_os_str().is_empty());
        let options = InstanceOptions {
            separation,
            connectivity: self.connectivity,
            min_area: self.min_area,
            fill_holes: self.fill_holes,
            memory,
            scratch: folder.unwrap_or(Path::new(".")).to_path_buf(),
        };
        let sink = InstanceSink::new(options, input.file_name().unwrap_or_default().to_string_lossy(), files);
        Ok(sink.with_calibration(calibration, self.coordinates))
    }
}
