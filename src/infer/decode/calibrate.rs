//! Pixel size and georeference as stored in image files.

use std::io::{Read, Seek};

use roxmltree::{Document, Node};

use super::directory::{Directories, Directory};
use super::orientation_of;
use super::tiff::levels::{self, Level};
use super::tiff::pages;
use super::{Bounds, MAX_PIXELS, SCRATCH, Source, begin, tag, tiff};
use crate::error::Result;
use crate::infer::calibration::{Calibration, Georeference, PixelSize, PixelSizeSource, Resolution, micrometres};
use crate::io::image_formats::Decoder;
use crate::io::{Input, Reader};

/// Calibration of a page and level (both counted from 0), empty if the file has none. A `known` pixel size of level 0,
/// in micrometres, replaces the file's. `upright`: for the image with its orientation tag applied.
pub(in crate::low_level::infer) fn calibration(
    input: &Input,
    [page, level]: [usize; 2],
    known: Option<[f64; 2]>,
    upright: bool,
) -> Result<Calibration> {
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = super::zarr::folder(input) {
        return super::zarr::calibration(folder, level, known);
    }
    let (source, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    match Decoder::of_head(&head) {
        Some(Decoder::Tiff) => {
            let source = source.as_source();
            tiff::guarded(&source, || of_tiff(&source, reader, [page, level], known, upright))
        }
        Some(Decoder::Png) => oriented(input, of_png(reader).unwrap_or_default(), known, upright),
        Some(Decoder::Jpeg) => oriented(input, of_jpeg(reader).unwrap_or_default(), known, upright),
        _ => Ok(overridden(Calibration::default(), known)),
    }
}

/// For a file without a georeference, so the image size does not matter.
fn oriented(input: &Input, found: Calibration, known: Option<[f64; 2]>, upright: bool) -> Result<Calibration> {
    let tag = if upright { orientation_of(input)?.tag() } else { 1 };
    Ok(overridden(found.oriented(tag, [0; 2]), known))
}

fn overridden(calibration: Calibration, known: Option<[f64; 2]>) -> Calibration {
    match known {
        Some([x, y]) => calibration.with_pixel_size(x, y),
        None => calibration,
    }
}

fn of_tiff(
    source: &Source,
    reader: Reader,
    [page, level]: [usize; 2],
    known: Option<[f64; 2]>,
    upright: bool,
) -> Result<Calibration> {
    let mut decoder = tiff::TiffDecoder::new(source, reader)?;
    let planes = pages::planes(source, &mut decoder, page)?;
    let at = planes.first().map_or(0, |p| p.directory);
    let file = decoder.directories();
    let chain = levels::chain(source, file, at + 1)?;
    let Some(own) = chain.get(at) else { return Ok(Calibration::default()) };
    let first = chain.first().map_or(&own.directory, |f| &f.directory);
    let mut full = of_directory(source, file, first, &own.directory, page);
    if let (true, Some(value)) = (upright, file.number(&own.directory, tag::ORIENTATION)) {
        full = full.oriented(u16::try_from(value).unwrap_or(1), own.size.map(|n| n as usize));
    }
    let full = overridden(full, known);
    if level == 0 {
        return Ok(full);
    }
    let sizes = levels::of(source, file, &chain, at)?;
    Ok(match (sizes.first(), sizes.get(level)) {
        (Some(whole), Some(part)) => {
            let [x, y] = ratio(whole, part, full.georeference.is_some());
            let oriented = upright && file.number(&own.directory, tag::ORIENTATION).is_some_and(|o| o >= 5);
            full.scaled(if oriented { [y, x] } else { [x, y] })
        }
        _ => full,
    })
}

/// Pixels of the full size per pixel of a reduced copy, horizontally and vertically.
pub(super) fn ratio(full: &Level, part: &Level, same_extent: bool) -> [f64; 2] {
    let exact = [0, 1].map(|i| full.size[i] as f64 / part.size[i].max(1) as f64);
    let whole = exact[0].max(exact[1]).round();
    // Copies are reduced by integer factors and lose or gain part of a pixel at the edge. GDAL's keep the extent.
    let reduced = |i: usize| (full.size[i] as f64 - whole * part.size[i] as f64).abs() < whole;
    if !same_extent && reduced(0) && reduced(1) { [whole; 2] } else { exact }
}

/// Calibration of a full-size directory; `first` has the description.
pub(super) fn of_directory<R: Read + Seek>(
    source: &Source,
    file: &mut Directories<R>,
    first: &Directory,
    own: &Directory,
    page: usize,
) -> Calibration {
    let resolution = match (file.fraction(own, tag::X_RESOLUTION), file.fraction(own, tag::Y_RESOLUTION)) {
        (Some(x), Some(y)) => {
            let unit = file.number(own, tag::RESOLUTION_UNIT).and_then(|u| u16::try_from(u).ok());
            Some(Resolution { x, y, unit: unit.unwrap_or(2) })
        }
        _ => None,
    };
    let text = file.text(first, tag::DESCRIPTION).unwrap_or_default();
    let text = text.trim();
    let described = if text.contains("<OME") {
        of_ome(text, page).map(Some)
    } else if text.starts_with("ImageJ=") {
        of_imagej(text, resolution)
    } else if text.starts_with("Aperio") {
        of_aperio(text).map(Some)
    } else {
        None
    };
    let plain = || {
        let resolution = resolution?;
        let [x, y] = resolution.values()?;
        PixelSize::of_density(x, y, resolution.unit, PixelSizeSource::Tiff)
    };
    let georeference = georeference(file, own).or_else(|| georeference(file, first));
    if let Some(why) = georeference.as_ref().and_then(|g| g.to_world().err()) {
        log::info!(
            "{}: its georeference has {why}; its tags are copied, but there are no world coordinates",
            source.path.display()
        );
    }
    Calibration { pixel: described.unwrap_or_else(plain), georeference, resolution }
}

fn georeference<R: Read + Seek>(file: &mut Directories<R>, directory: &Directory) -> Option<Georeference> {
    let pixel_scale = file.floats(directory, tag::PIXEL_SCALE).and_then(|v| v.first_chunk().copied());
    let tie_points = file.floats(directory, tag::TIE_POINTS).unwrap_or_default().as_chunks().0.to_vec();
    let transformation = file.floats(directory, tag::TRANSFORMATION).and_then(|v| v.first_chunk().copied());
    if tie_points.is_empty() && transformation.is_none() {
        return None;
    }
    let keys = file.whole(directory, tag::GEO_KEYS).unwrap_or_default();
    Some(Georeference {
        pixel_scale,
        tie_points,
        transformation,
        keys: keys.into_iter().filter_map(|k| u16::try_from(k).ok()).collect(),
        doubles: file.floats(directory, tag::GEO_DOUBLES).unwrap_or_default(),
        ascii: file.raw_text(directory, tag::GEO_ASCII).unwrap_or_default(),
    })
}

/// ImageJ: resolution tags count pixels per `unit`. The inner option is `None` if the description denies a size, the
/// outer one if it does not mention any.
fn of_imagej(text: &str, resolution: Option<Resolution>) -> Option<Option<PixelSize>> {
    let value = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).map(str::trim);
    let unit = value("unit").filter(|u| !u.is_empty())?;
    let Some(length) = micrometres(unit) else { return Some(None) };
    let down = value("yunit").map_or(Some(length), micrometres);
    let (Some([x, y]), Some(down)) = (resolution.and_then(|r| r.values()), down) else { return Some(None) };
    let source = PixelSizeSource::ImageJ { unit: unit.to_string() };
    // ImageJ writes inch for any photograph that it has opened.
    if length == 25_400.0 {
        return Some(PixelSize::of_density(x, y, 2, source));
    }
    let spacing = value("spacing").and_then(|s| s.parse::<f64>().ok()).filter(|s| s.is_finite() && *s > 0.0);
    let depth = value("zunit").map_or(Some(length), micrometres);
    let z = spacing.zip(depth).map(|(s, d)| s * d);
    Some(PixelSize::new(length / x, down / y, source).map(|p| PixelSize { z, ..p }))
}

/// Aperio: `MPP = 0.2520`, micrometres.
fn of_aperio(text: &str) -> Option<PixelSize> {
    let entry = |part: &str| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "MPP").then(|| value.trim().parse::<f64>().ok())?
    };
    let mpp = text.split('|').find_map(entry)?;
    PixelSize::new(mpp, mpp, PixelSizeSource::Aperio)
}

/// OME-XML: the size of the image that contains the page.
fn of_ome(xml: &str, page: usize) -> Option<PixelSize> {
    let document = Document::parse(xml).ok()?;
    let pixels = ome_pixels(&document, page)?;
    let length = |axis: &str| {
        let value: f64 = pixels.attribute(format!("PhysicalSize{axis}").as_str())?.trim().parse().ok()?;
        let unit = pixels.attribute(format!("PhysicalSize{axis}Unit").as_str()).unwrap_or("µm");
        Some(value * micrometres(unit)?).filter(|v| v.is_finite() && *v > 0.0)
    };
    let (x, y) = (length("X"), length("Y"));
    let size = PixelSize::new(x.or(y)?, y.or(x)?, PixelSizeSource::Ome)?;
    Some(PixelSize { z: length("Z"), ..size })
}

/// The `Pixels` element of a page: images follow each other, each with one page per z plane and time.
fn ome_pixels<'a>(document: &'a Document, page: usize) -> Option<Node<'a, 'a>> {
    let named = |n: &Node, name: &str| n.is_element() && n.tag_name().name() == name;
    let images = document.root_element().children().filter(|n| named(n, "Image"));
    let mut first = 0usize;
    for pixels in images.flat_map(|i| i.children()).filter(|n| named(n, "Pixels")) {
        let size = |name: &str| pixels.attribute(name).and_then(|v| v.trim().parse::<usize>().ok()).unwrap_or(1);
        first = first.saturating_add(size("SizeZ").saturating_mul(size("SizeT")));
        if page < first {
            return Some(pixels);
        }
    }
    None
}

/// Channel names of a page from OME-XML, empty if there are none.
pub(super) fn ome_channels(xml: &str, page: usize) -> Vec<String> {
    let Ok(document) = Document::parse(xml) else { return Vec::new() };
    let Some(pixels) = ome_pixels(&document, page) else { return Vec::new() };
    let channels = pixels.children().filter(|n| n.is_element() && n.tag_name().name() == "Channel");
    channels.filter_map(|c| c.attribute("Name")).map(String::from).collect()
}

/// PNG's `pHYs`, in metres.
fn of_png(reader: Reader) -> Option<Calibration> {
    let limits = png::Limits { bytes: SCRATCH as usize };
    let reader = png::Decoder::new_with_limits(reader, limits).read_info().ok()?;
    let dims = reader.info().pixel_dims.filter(|d| d.unit == png::Unit::Meter)?;
    let [x, y] = [dims.xppu, dims.yppu].map(|n| f64::from(n) / 100.0);
    let pixel = PixelSize::of_density(x, y, 3, PixelSizeSource::Density);
    Some(Calibration { pixel, ..Calibration::default() })
}

/// The density in JFIF's first segment.
fn of_jpeg(reader: Reader) -> Option<Calibration> {
    let mut head = Vec::new();
    reader.take(18).read_to_end(&mut head).ok()?;
    let (&[0xff, 0xd8, 0xff, 0xe0, _, _, b'J', b'F', b'I', b'F', 0, _, _, unit, a, b, c, d], []) =
        head.split_first_chunk::<18>()?
    else {
        return None;
    };
    let [x, y] = [[a, b], [c, d]].map(|v| f64::from(u16::from_be_bytes(v)));
    // JFIF's units are TIFF's minus 1.
    let pixel = PixelSize::of_density(x, y, u16::from(unit) + 1, PixelSizeSource::Density);
    Some(Calibration { pixel, ..Calibration::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagej_units() {
        let resolution = Some(Resolution { x: [200, 65], y: [100, 65], unit: 1 });
        let of = |text: &str| of_imagej(text, resolution);
        let p = of("ImageJ=1.54f\nunit=\\u00B5m\nspacing=2.0\n").unwrap().unwrap();
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        assert!(near(p.x, 0.325) && near(p.y, 0.65) && p.z == Some(2.0), "{p:?}");
        let p = of("ImageJ=1.54f\nunit=nm\nyunit=micron\n").unwrap().unwrap();
        assert!(near(p.x, 0.325e-3) && near(p.y, 0.65) && p.z.is_none(), "{p:?}");
        // Explicitly none; not mentioned; a photograph.
        assert_eq!((of("ImageJ=1.54f\nunit=pixel\n"), of("ImageJ=1.54f\n")), (Some(None), None));
        assert_eq!(of("ImageJ=1.54f\nunit=inch\n"), Some(None));
        assert_eq!(of_imagej("ImageJ=1.54f\nunit=micron\n", None), Some(None));
    }

    #[test]
    fn ome_sizes_are_those_of_the_pages_image() {
        let pixels = |inner: &str| format!("<Image><Pixels {inner}/></Image>");
        let xml = format!(
            "<OME>{}{}{}</OME>",
            pixels(r#"SizeZ="2" SizeT="3" PhysicalSizeX="0.25" PhysicalSizeY="0.5" PhysicalSizeZ="1.5""#),
            pixels(r#"PhysicalSizeX="40" PhysicalSizeXUnit="nm""#),
            pixels(r#"PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="0""#),
        );
        let of = |page| of_ome(&xml, page).map(|p| (p.x, p.y, p.z));
        assert_eq!((of(0), of(5)), (Some((0.25, 0.5, Some(1.5))), Some((0.25, 0.5, Some(1.5)))));
        assert_eq!((of(6), of(7), of(8)), (Some((0.04, 0.04, None)), None, None));
    }

    #[test]
    fn aperio_descriptions() {
        let text =
            "Aperio Image Library v11.2.1 \r\n46000x32914 [0,100 46000x32814] JPEG/RGB Q=30|AppMag = 20|MPP = 0.4990";
        assert_eq!(of_aperio(text).map(|p| p.x), Some(0.499));
        assert_eq!(of_aperio("Aperio Image Library\n10x10|AppMag = 20").map(|p| p.x), None);
        assert_eq!(of_aperio("Aperio|MPP = nan"), None);
    }

    #[test]
    fn levels_are_made_by_whole_numbers() {
        let level = |w, h| Level { offset: 0, size: [w, h] };
        let of = |a, b| ratio(&a, &b, false);
        assert_eq!(of(level(1001, 701), level(500, 350)), [2.0, 2.0]);
        assert_eq!(of(level(1001, 701), level(501, 351)), [2.0, 2.0]);
        assert_eq!(of(level(46_000, 32_914), level(11_500, 8_228)), [4.0, 4.0]);
        assert_eq!(of(level(1000, 700), level(400, 280)), [2.5, 2.5]);
        assert_eq!(ratio(&level(1001, 701), &level(501, 351), true), [1001.0 / 501.0, 701.0 / 351.0]);
    }
}
