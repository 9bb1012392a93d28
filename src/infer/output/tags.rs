//! TIFF tags for the calibration of results: pixel size and georeference.

use crate::infer::calibration::{Calibration, PixelSizeSource, Resolution, fraction_of};
use crate::infer::origin::SOFTWARE;

/// A tag of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TiffTag {
    /// Tag number.
    pub tag: u16,
    /// TIFF's number of the value type.
    pub kind: u16,
    /// Number of values.
    pub count: u64,
    /// The values, in native byte order.
    pub bytes: Vec<u8>,
}

fn text(tag: u16, mut bytes: Vec<u8>) -> TiffTag {
    if bytes.last() != Some(&0) {
        bytes.push(0);
    }
    TiffTag { tag, kind: 2, count: bytes.len() as u64, bytes }
}

fn shorts(tag: u16, values: &[u16]) -> TiffTag {
    let bytes = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    TiffTag { tag, kind: 3, count: values.len() as u64, bytes }
}

fn fraction(tag: u16, value: [u32; 2]) -> TiffTag {
    TiffTag { tag, kind: 5, count: 1, bytes: value.iter().flat_map(|v| v.to_ne_bytes()).collect() }
}

fn doubles(tag: u16, values: &[f64]) -> TiffTag {
    let bytes = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    TiffTag { tag, kind: 12, count: values.len() as u64, bytes }
}

/// Tags of a result with `pages` pages: the program's name and the calibration.
pub(in crate::low_level::infer) fn tags(calibration: &Calibration, pages: usize) -> Vec<TiffTag> {
    let mut tags = vec![text(305, SOFTWARE.into())];
    let mut resolution = calibration.resolution;
    match &calibration.pixel {
        // In the file's own form: its tags, or ImageJ's unit.
        Some(p) if p.source == PixelSizeSource::Tiff && resolution.is_some() => {}
        Some(p) => match &p.source {
            PixelSizeSource::ImageJ { unit } if resolution.is_some() => {
                let mut lines = format!("ImageJ=1.54f\nunit={unit}\n");
                // Pages of results are classes, not z planes.
                let unit = crate::infer::calibration::micrometres(unit).unwrap_or(1.0);
                if let Some(z) = p.z.filter(|_| pages == 1) {
                    lines.push_str(&format!("spacing={}\n", z / unit));
                }
                // Non-ASCII characters would be invalid here: use ImageJ's escapes.
                let lines: String = lines.chars().map(escaped).collect();
                tags.push(text(270, lines.into_bytes()));
            }
            // Pixels per centimetre, which every TIFF reader supports.
            _ => resolution = Some(Resolution { x: fraction_of(1e4 / p.x), y: fraction_of(1e4 / p.y), unit: 3 }),
        },
        None => {}
    }
    place(&mut tags, resolution, calibration);
    tags
}

/// Tags of a stack of so many channels, z planes and times: the program's name, the calibration, and the axes as ImageJ describes
/// them, which tifffile and napari read too.
pub(in crate::low_level::infer) fn stack_tags(
    calibration: &Calibration,
    [channels, planes, times]: [usize; 3],
) -> Vec<TiffTag> {
    let axes = [("channels", channels), ("slices", planes), ("frames", times)];
    let mut lines = format!("ImageJ=1.54f\nimages={}\n", channels * planes * times);
    let several = axes.iter().filter(|(_, n)| *n > 1);
    several.clone().for_each(|(name, n)| lines.push_str(&format!("{name}={n}\n")));
    if several.count() > 1 {
        lines.push_str("hyperstack=true\nmode=grayscale\n");
    }
    lines.push_str("loop=false\n");
    // ImageJ takes the unit from the description alone.
    let resolution = calibration.pixel.as_ref().map(|p| {
        let (unit, resolution) = match (&p.source, calibration.resolution) {
            (PixelSizeSource::ImageJ { unit }, Some(own)) => (unit.as_str(), own),
            _ => ("um", Resolution { x: fraction_of(1.0 / p.x), y: fraction_of(1.0 / p.y), unit: 1 }),
        };
        lines.push_str(&format!("unit={unit}\n"));
        if let Some(z) = p.z {
            lines.push_str(&format!("spacing={}\n", z / crate::infer::calibration::micrometres(unit).unwrap_or(1.0)));
        }
        resolution
    });
    let lines: String = lines.chars().map(escaped).collect();
    let mut tags = vec![text(305, SOFTWARE.into()), text(270, lines.into_bytes())];
    place(&mut tags, resolution, calibration);
    tags
}

/// Adds the tags of a resolution and of the georeference.
fn place(tags: &mut Vec<TiffTag>, resolution: Option<Resolution>, calibration: &Calibration) {
    if let Some(r) = resolution {
        tags.extend([fraction(282, r.x), fraction(283, r.y), shorts(296, &[r.unit])]);
    }
    if let Some(geo) = &calibration.georeference {
        tags.extend(geo.pixel_scale.map(|v| doubles(33550, &v)));
        if !geo.tie_points.is_empty() {
            tags.push(doubles(33922, geo.tie_points.as_flattened()));
        }
        tags.extend(geo.transformation.map(|v| doubles(34264, &v)));
        if !geo.keys.is_empty() {
            tags.push(shorts(34735, &geo.keys));
        }
        if !geo.doubles.is_empty() {
            tags.push(doubles(34736, &geo.doubles));
        }
        if !geo.ascii.is_empty() {
            tags.push(text(34737, geo.ascii.clone()));
        }
    }
}

fn escaped(c: char) -> String {
    if c.is_ascii() { c.to_string() } else { format!("\\u{:04X}", u32::from(c)) }
}
