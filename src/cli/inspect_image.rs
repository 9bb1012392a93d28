//! `unet inspect IMAGE`: what an image file contains, and how the program reads it.

use super::segment_group::short;
use super::{hints, output};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use unet_wgpu::Result;
use unet_wgpu::low_level::infer::{
    Calibration, ImageFacts, OpenOptions, PageFacts, PixelSize, PixelSizeSource, Sample, SourceInfo, describe_image,
    expand_inputs, image_format, is_zarr, open_image,
};

/// Groups of pages that are listed; further pages are only counted.
const SHOWN: usize = 8;

/// Whether a file starts as an image does.
pub(super) fn is_image(path: &Path) -> bool {
    if is_zarr(path) {
        return true;
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|f| f.take(12).read_to_end(&mut head));
    path.is_file() && read.is_ok() && image_format(&head).is_some()
}

/// Describes an image on stdout.
pub(super) fn run(path: &Path, as_json: bool) -> Result<()> {
    let images = match path.to_str() {
        Some(name) if is_zarr(path) => expand_inputs(&[name])?,
        _ => Vec::new(),
    };
    if let [first, _, ..] = images.as_slice() {
        return several(path, &images, first, as_json);
    }
    let Some(facts) = describe_image(path)? else { return Ok(()) };
    let read = open_image(path, &OpenOptions::default()).map(|s| s.info());
    if as_json { output::json(&document(path, &facts, &read)) } else { output::line(&text(path, &facts, &read)) }
}

/// Describes what holds several images, such as a plate: lists them, and describes the first.
fn several(path: &Path, images: &[PathBuf], first: &Path, as_json: bool) -> Result<()> {
    let facts = describe_image(first)?.unwrap_or_default();
    let read = open_image(first, &OpenOptions::default()).map(|s| s.info());
    if as_json {
        let paths: Vec<_> = images.iter().map(|p| p.to_string_lossy()).collect();
        return output::json(&json!({
            "image": path.to_string_lossy(),
            "format": facts.format,
            "image_count": images.len(),
            "images": paths,
            "first": document(first, &facts, &read),
        }));
    }
    let inside = |p: &PathBuf| p.strip_prefix(path).unwrap_or(p).display().to_string();
    let listed: Vec<String> = images.iter().take(SHOWN).map(inside).collect();
    let more = if images.len() > SHOWN { ", ..." } else { "" };
    let (name, count, listed) = (path.display(), images.len(), listed.join(", "));
    let about = format!(
        "plate         {name}\nimages        {count}: {listed}{more}\n              `unet segment` takes all of them; the first is\n\n"
    );
    output::line(&(about + &text(first, &facts, &read)))
}

fn source(size: &PixelSize) -> String {
    match &size.source {
        PixelSizeSource::Ome => "OME-XML".into(),
        PixelSizeSource::OmeZarr => "OME-Zarr's scale".into(),
        PixelSizeSource::ImageJ { unit } => format!("ImageJ's description, unit {unit}"),
        PixelSizeSource::Aperio => "Aperio's description".into(),
        PixelSizeSource::Tiff => "its resolution tags".into(),
        PixelSizeSource::Density => "the file's density".into(),
        PixelSizeSource::User => "you".into(),
    }
}

fn sample(info: SourceInfo) -> &'static str {
    match info.sample {
        Sample::U8 => "8 bits",
        Sample::U16 => "16 bits",
        Sample::F32 => "32-bit float",
    }
}

fn text(path: &Path, facts: &ImageFacts, read: &Result<SourceInfo>) -> String {
    let mut t = String::new();
    let _ = writeln!(t, "image         {}", path.display());
    let _ = writeln!(t, "format        {}", facts.format);
    let pages = facts.pages.len() + facts.more_pages;
    // Successive pages that are alike are listed once.
    let mut groups: Vec<(usize, usize, &PageFacts)> = Vec::new();
    for (i, page) in facts.pages.iter().enumerate() {
        match groups.last_mut() {
            Some((_, last, first)) if *first == page => *last = i,
            _ => groups.push((i, i, page)),
        }
    }
    if pages > 0 {
        let _ = writeln!(t, "pages         {pages}");
    }
    for (first, last, page) in groups.iter().take(SHOWN) {
        if pages > 1 {
            let _ = match first == last {
                true => writeln!(t, "\npage {first}"),
                false => writeln!(t, "\npages {first} to {last}, each"),
            };
        }
        page_text(&mut t, page);
    }
    let shown: usize = groups.iter().take(SHOWN).map(|g| g.1 - g.0 + 1).sum();
    if shown < pages {
        let _ = writeln!(t, "\n... and {} more pages", pages - shown);
    }
    if !facts.others.is_empty() {
        let _ = writeln!(t, "no pages      {}", facts.others.join(", "));
    }
    let _ = match read {
        Ok(info) => {
            let channels = if info.channels == 1 { "1 channel".into() } else { format!("{} channels", info.channels) };
            write!(t, "read as       {}x{}, {channels} of {}", info.width, info.height, sample(*info))
        }
        Err(e) => write!(t, "not read      {}", hints::error_text(e)),
    };
    t
}

fn page_text(t: &mut String, page: &PageFacts) {
    let size = page.levels.first().map_or(String::new(), |[w, h]| format!("{w}x{h}"));
    let _ = writeln!(t, "size          {size} (columns x rows)");
    let names = if page.names.is_empty() { String::new() } else { format!(": {}", page.names.join(", ")) };
    let _ = writeln!(t, "channels      {}{names}", page.channels);
    let _ = writeln!(t, "samples       {}, {}", page.sample, page.colour);
    if !page.compression.is_empty() {
        let _ = writeln!(t, "stored        {}, compression {}", page.layout, page.compression);
    }
    if page.levels.len() > 1 {
        let levels: Vec<String> = page.levels.iter().enumerate().map(|(i, [w, h])| format!("{i}: {w}x{h}")).collect();
        let _ = writeln!(t, "levels        {}", levels.join(", "));
    }
    if page.orientation != 1 {
        let _ = writeln!(t, "orientation   {} ({})", page.orientation, oriented(page.orientation));
    }
    let Calibration { pixel, georeference, resolution } = &page.calibration;
    let _ = match (pixel, resolution.and_then(|r| Some((r.values()?, r.unit)))) {
        (None, Some((_, unit))) if !matches!(unit, 2 | 3) => writeln!(t, "pixel size    not known"),
        (Some(p), _) => {
            let z = p.z.map_or(String::new(), |z| format!(", planes {} µm apart", short(z)));
            writeln!(t, "pixel size    {} x {} µm{z} (from {})", short(p.x), short(p.y), source(p))
        }
        (None, Some(([x, y], unit))) => {
            let unit = if unit == 2 { " per inch" } else { " per cm" };
            let reading = "assumed to be for printing or meaningless; --pixel-size overrides it";
            writeln!(t, "pixel size    not known (resolution {} x {}{unit}: {reading})", short(x), short(y))
        }
        (None, None) => writeln!(t, "pixel size    not known"),
    };
    if let Some(geo) = georeference {
        let system = match (geo.epsg(), geo.citation()) {
            (Some(code), Some(name)) => format!("EPSG:{code} ({name})"),
            (Some(code), None) => format!("EPSG:{code}"),
            (None, Some(name)) => name,
            (None, None) => "an unnamed coordinate system".into(),
        };
        let _ = match geo.to_world() {
            Ok(map) => {
                let [x, y] = map.origin.map(short);
                let [a, b] = map.columns.map(short);
                let [c, d] = map.rows.map(short);
                writeln!(t, "georeference  {system}; corner ({x}, {y}), a column ({a}, {b}), a row ({c}, {d})")
            }
            Err(why) => writeln!(t, "georeference  {system}; {why}"),
        };
    }
}

fn oriented(orientation: u16) -> &'static str {
    match orientation {
        2 => "mirrored left to right",
        3 => "rotated by 180 degrees",
        4 => "mirrored top to bottom",
        5 => "mirrored along the diagonal",
        6 => "to be rotated clockwise by 90 degrees",
        7 => "mirrored along the other diagonal",
        8 => "to be rotated anticlockwise by 90 degrees",
        _ => "not a valid orientation",
    }
}

fn document(path: &Path, facts: &ImageFacts, read: &Result<SourceInfo>) -> Value {
    let page = |p: &PageFacts| {
        let Calibration { pixel, georeference, resolution } = &p.calibration;
        json!({
            "width": p.levels.first().map(|l| l[0]),
            "height": p.levels.first().map(|l| l[1]),
            "levels": p.levels,
            "channels": p.channels,
            "channel_names": p.names,
            "sample": p.sample,
            "colour": p.colour,
            "compression": p.compression,
            "layout": p.layout,
            "orientation": p.orientation,
            "pixel_size_um": pixel.as_ref().map(|s| json!({
                "x": short(s.x), "y": short(s.y), "z": s.z.map(short), "source": source(s),
            })),
            "resolution": resolution.map(|r| json!({ "x": r.x, "y": r.y, "unit": r.unit })),
            "georeference": georeference.as_ref().map(|g| {
                let map = g.to_world();
                json!({
                    "epsg": g.epsg(),
                    "name": g.citation(),
                    "origin": map.as_ref().ok().map(|m| m.origin),
                    "column": map.as_ref().ok().map(|m| m.columns),
                    "row": map.as_ref().ok().map(|m| m.rows),
                    "not_affine": map.err(),
                })
            }),
        })
    };
    json!({
        "image": path.to_string_lossy(),
        "format": facts.format,
        "page_count": facts.pages.len() + facts.more_pages,
        "pages": facts.pages.iter().map(page).collect::<Vec<_>>(),
        "no_pages": facts.others,
        "read_as": read.as_ref().ok().map(|i| json!({
            "width": i.width, "height": i.height, "channels": i.channels, "sample": sample(*i),
        })),
        "not_read": read.as_ref().err().map(hints::error_text),
    })
}
