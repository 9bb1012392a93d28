//! Measurements of instances as comma-separated values.

use std::collections::BTreeMap;
use std::io::Write;

use super::{exact, for_each};
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::infer::instances::InstanceSource as Source;
use crate::infer::instances::Instances;
use crate::infer::writer::{InstanceWriter, ResultSink, WriteFailure, WriteSeek, Writer, Written};
use crate::io::Output;

/// Columns of every table. `mean_0` and so on follow, one per image channel, then [`LENGTHS`] and [`WORLD`] if known.
const COLUMNS: [&str; 11] =
    ["label", "class", "area", "centroid_x", "centroid_y", "x", "y", "width", "height", "perimeter", "eccentricity"];

/// Columns in micrometres if the pixel size is known; the centre of pixel (0, 0) is at (0, 0).
const LENGTHS: [&str; 6] = ["area_um2", "centroid_x_um", "centroid_y_um", "width_um", "height_um", "perimeter_um"];

/// Columns if world coordinates are requested.
const WORLD: [&str; 2] = ["centroid_world_x", "centroid_world_y"];

/// Comma-separated values, one line per instance.
#[derive(Clone, Copy, Debug)]
pub struct Table;

impl Writer for Table {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "A table of instances: class, area, centroid, bounding box, perimeter, eccentricity, mean of every channel"
    }

    fn suffix(&self) -> &'static str {
        "objects"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv"]
    }

    fn finds_instances(&self) -> bool {
        true
    }

    fn has_coordinates(&self) -> bool {
        true
    }

    fn sink(&self, _output: Output, _calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Instances(&Self))
    }
}

impl InstanceWriter for Table {
    fn needs_samples(&self) -> bool {
        true
    }

    fn write(&self, out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
        write(out, instances, source)
    }
}

fn write(out: &mut dyn WriteSeek, instances: &mut Instances, source: &Source) -> Written {
    let channels = instances.sample_channels();
    let means = (0..channels).map(|c| format!("mean_{c}"));
    let pixel = source.calibration.pixel.as_ref().map(|p| [p.x, p.y]);
    let world = source.world().map_err(WriteFailure::Other)?;
    let mut columns: Vec<String> = COLUMNS.iter().map(|c| c.to_string()).chain(means).collect();
    columns.extend(LENGTHS.iter().filter(|_| pixel.is_some()).map(|c| c.to_string()));
    columns.extend(WORLD.iter().filter(|_| world.is_some()).map(|c| c.to_string()));
    write_line(out, &columns)?;
    // Instances are completed in a different order from their numbers.
    let mut pending: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut next = 1;
    for_each(instances, |instance| {
        let [x, y] = instance.centroid();
        let mut line = vec![instance.number().to_string(), source.class(instance.class()), instance.area().to_string()];
        line.extend([x, y].map(|v| format!("{v:.3}")));
        line.extend(instance.bounds().map(|v| v.to_string()));
        line.extend([format!("{:.3}", instance.perimeter()), format!("{:.4}", instance.eccentricity())]);
        line.extend(instance.means().iter().map(|v| format!("{}", significant(*v))));
        if let Some([sx, sy]) = pixel {
            let [.., w, h] = instance.bounds().map(f64::from);
            let lengths =
                [instance.area() as f64 * sx * sy, x * sx, y * sy, w * sx, h * sy, instance.perimeter_of([sx, sy])];
            line.extend(lengths.map(|v| format!("{}", significant(v))));
        }
        if let Some(map) = &world {
            // Maps are relative to pixel corners, centroids to pixel centres.
            line.extend(map.at([x + 0.5, y + 0.5]).map(|v| format!("{}", exact(v))));
        }
        pending.insert(instance.number(), line);
        while let Some(line) = pending.remove(&next) {
            write_line(out, &line)?;
            next += 1;
        }
        Ok(())
    })?;
    Ok(())
}

/// Whether a file that begins like this is such a table.
#[cfg(all(feature = "std-fs", feature = "image-formats"))]
pub(in crate::low_level::infer) fn is_table(head: &[u8]) -> bool {
    head.starts_with(COLUMNS.join(",").as_bytes())
}

/// Writes comma-separated fields, quoted where necessary.
fn write_line(out: &mut (impl Write + ?Sized), fields: &[String]) -> std::io::Result<()> {
    let field = |f: &String| match f.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", f.replace('"', "\"\"")),
        false => f.clone(),
    };
    writeln!(out, "{}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

/// Rounds to seven significant digits, the precision of 32-bit samples.
fn significant(v: f64) -> f64 {
    format!("{v:.6e}").parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_necessary() {
        let fields = ["1", "", "a, b", "the \"core\"", "two\nlines", "plain; text"].map(String::from);
        let mut actual = Vec::new();
        write_line(&mut actual, &fields).unwrap();
        let mut expected = csv::Writer::from_writer(Vec::new());
        expected.write_record(&fields).unwrap();
        assert_eq!(actual, expected.into_inner().unwrap());
    }
}
