//! What image files are, as far as their headers say: for people, and before anything is decoded.

use std::io::{Read, Seek};

use ::image::codecs::gif::GifDecoder;
use ::image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder, pnm::PnmDecoder, webp::WebPDecoder};
use ::image::{ImageDecoder, ImageResult};

use super::calibrate::{self, ome_channels};
use super::directory::{Directories, Directory};
use super::levels::{self, Kind, Level, Listed};
use super::pages::{self, Plane};
use super::{Bounds, MAX_PIXELS, Source, begin, is_tiff, tiff};
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::io::{Input, Reader};

/// What an image file is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageFacts {
    /// Its format, such as `BigTIFF (OME)`.
    pub format: String,
    /// Its pages; of a pyramid only the full sizes.
    pub pages: Vec<PageFacts>,
    /// Pages that are not listed for their number.
    pub more_pages: usize,
    /// Directories that are no pages: masks, thumbnails, labels of slides.
    pub others: Vec<String>,
}

/// What a page is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageFacts {
    /// Columns and rows of each level, the full size first.
    pub levels: Vec<[u64; 2]>,
    /// Samples of a pixel, over all directories of the page.
    pub channels: usize,
    /// What the channels are called, where the file says it.
    pub names: Vec<String>,
    /// Type of the samples, such as `uint16`.
    pub sample: String,
    /// What the samples mean, such as `RGB`.
    pub colour: String,
    /// Compression.
    pub compression: String,
    /// How pixels lie in the file, such as `tiles of 256x256`.
    pub layout: String,
    /// Number of the orientation tag, 1 for upright.
    pub orientation: u16,
    /// Size and place of pixels of the full size.
    pub calibration: Calibration,
}

/// Pages beyond this many are counted and not described.
const LISTED: usize = 1000;

/// The format of an image file, by its first bytes; none of a file that is no image that this program knows.
pub fn image_format(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "TIFF",
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => "BigTIFF",
        [0x89, b'P', b'N', b'G', ..] => "PNG",
        [0xff, 0xd8, 0xff, ..] => "JPEG",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "WebP",
        // Other files begin with these letters too; a bitmap's reserved bytes are zero.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => "BMP",
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t' | b'#', ..] => "PNM",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "JPEG 2000",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => "AVIF",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "NPY",
        _ => return None,
    })
}

/// Describes an image file; none of a file that is no image.
pub fn describe_image(input: impl Into<Input>) -> Result<Option<ImageFacts>> {
    let input = &input.into();
    let (source, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let Some(format) = image_format(&head) else { return Ok(None) };
    let source = source.as_source();
    if is_tiff(&head) {
        return tiff::guarded(&source, || of_tiff(&source, reader, format)).map(Some);
    }
    let page = match format {
        "PNG" => of_decoder(PngDecoder::new(reader)),
        "JPEG" => of_decoder(JpegDecoder::new(reader)),
        "WebP" => of_decoder(WebPDecoder::new(reader)),
        "BMP" => of_decoder(BmpDecoder::new(reader)),
        "GIF" => of_decoder(GifDecoder::new(reader)),
        "PNM" => of_decoder(PnmDecoder::new(reader)),
        _ => None,
    };
    let calibration = calibrate::calibration(input, [0, 0], None, false).unwrap_or_default();
    let pages = page.map(|p| PageFacts { calibration, ..p }).into_iter().collect();
    Ok(Some(ImageFacts { format: format.to_string(), pages, ..ImageFacts::default() }))
}

fn of_decoder<D: ImageDecoder>(decoder: ImageResult<D>) -> Option<PageFacts> {
    let mut decoder = decoder.ok()?;
    let (w, h) = decoder.dimensions();
    let stored = decoder.original_color_type();
    let colour = match (stored.channel_count(), decoder.color_type().has_alpha()) {
        (1, _) => "grey",
        (2, _) => "grey and alpha",
        (_, true) => "RGB and alpha",
        _ => "RGB",
    };
    let channels = stored.channel_count();
    let bits = stored.bits_per_pixel() / u16::from(channels.max(1));
    Some(PageFacts {
        levels: vec![[w.into(), h.into()]],
        channels: channels.into(),
        sample: format!("uint{bits}"),
        colour: colour.into(),
        orientation: decoder.orientation().map_or(1, |o| o.to_exif().into()),
        ..PageFacts::default()
    })
}

fn of_tiff(source: &Source, reader: Reader, format: &str) -> Result<ImageFacts> {
    // A handle with a position of its own.
    let (own, _) = source.input.open()?;
    let mut file = Directories::new(own).map_err(|e| levels::failed(source, e))?;
    let chain = levels::chain(source, &mut file, usize::MAX)?;
    let Some(first) = chain.first().map(|l| l.directory.clone()) else { return Ok(ImageFacts::default()) };
    let text = file.text(&first, 270).unwrap_or_default();
    let dialect = match text.trim() {
        t if t.contains("<OME") => " (OME)",
        t if t.starts_with("ImageJ=") => " (ImageJ)",
        t if t.starts_with("Aperio") => " (Aperio SVS)",
        _ if first.has(34735) => " (GeoTIFF)",
        _ => "",
    };
    // What the decoder makes of a description; a file that it cannot open is described by its directories.
    let stack = tiff::TiffDecoder::new(source, reader).and_then(|mut d| {
        let count = pages::count(source, &mut d)?;
        let planes = (0..count.min(LISTED)).map(|p| pages::planes(source, &mut d, p).unwrap_or_default());
        Ok((count, planes.collect::<Vec<_>>()))
    });
    let (count, planes) = stack.unwrap_or_else(|_| {
        let whole = chain.iter().enumerate().filter(|(_, l)| l.kind == Kind::Page);
        let planes: Vec<Vec<Plane>> = whole.map(|(directory, _)| vec![Plane { directory, image: 0 }]).collect();
        (planes.len(), planes)
    });
    let mut pages = Vec::new();
    for (number, planes) in planes.iter().take(LISTED).enumerate() {
        let at = planes.first().map_or(0, |p| p.directory);
        let Some(own) = chain.get(at) else { continue };
        let mut facts = directory(&mut file, &own.directory);
        facts.levels = levels::of(source, &mut file, &chain, at).map_or_else(|_| vec![own.size], |l| sizes(&l));
        facts.channels *= planes.len().max(1);
        facts.names = if text.contains("<OME") { ome_channels(text.trim(), number) } else { Vec::new() };
        facts.calibration = calibrate::of_directory(source, &mut file, &first, &own.directory, number);
        pages.push(facts);
    }
    let others = chain.iter().filter_map(other).collect();
    let more_pages = count.saturating_sub(pages.len());
    Ok(ImageFacts { format: format!("{format}{dialect}"), pages, more_pages, others })
}

fn sizes(levels: &[Level]) -> Vec<[u64; 2]> {
    levels.iter().map(|l| l.size).collect()
}

fn other(listed: &Listed) -> Option<String> {
    let [w, h] = listed.size;
    match listed.kind {
        Kind::Page | Kind::Reduced => None,
        Kind::Mask => Some(format!("transparency mask {w}x{h}")),
        Kind::Associated => Some(format!("thumbnail, label or overview {w}x{h}")),
    }
}

fn directory<R: Read + Seek>(file: &mut Directories<R>, d: &Directory) -> PageFacts {
    let samples = file.number(d, 277).unwrap_or(1);
    let bits = file.whole(d, 258).unwrap_or_else(|| vec![1]);
    let kind = match file.number(d, 339).unwrap_or(1) {
        2 => "int",
        3 => "float",
        5 | 6 => "complex",
        _ => "uint",
    };
    let depths = match bits.iter().all(|b| Some(b) == bits.first()) {
        true => bits.first().map_or(String::new(), u64::to_string),
        false => bits.iter().map(u64::to_string).collect::<Vec<_>>().join("/"),
    };
    let colour = match file.number(d, 262) {
        Some(0) => "grey, 0 is white",
        Some(1) => "grey",
        Some(2) => "RGB",
        Some(3) => "palette",
        Some(4) => "mask",
        Some(5) => "CMYK",
        Some(6) => "YCbCr",
        Some(8..=10) => "Lab",
        Some(32803) => "colour filter array",
        _ => "not said",
    };
    let extra = file.whole(d, 338).unwrap_or_default();
    let alpha = if extra.iter().any(|e| matches!(e, 1 | 2)) { " and alpha" } else { "" };
    let planar = if samples > 1 && file.number(d, 284) == Some(2) { ", a plane a channel" } else { "" };
    let layout = match (file.number(d, 322), file.number(d, 323)) {
        (Some(w), Some(h)) => format!("tiles of {w}x{h}{planar}"),
        _ => match file.number(d, 278) {
            Some(rows) if rows < file.number(d, 257).unwrap_or(0) => format!("strips of {rows} rows{planar}"),
            _ => format!("one strip{planar}"),
        },
    };
    PageFacts {
        channels: usize::try_from(samples).unwrap_or(usize::MAX),
        sample: format!("{kind}{depths}"),
        colour: format!("{colour}{alpha}"),
        compression: compression(file.number(d, 259).unwrap_or(1), file.number(d, 317).unwrap_or(1)),
        layout,
        orientation: file.number(d, 274).and_then(|o| u16::try_from(o).ok()).unwrap_or(1),
        ..PageFacts::default()
    }
}

fn compression(code: u64, predictor: u64) -> String {
    let name = match code {
        1 => "none",
        2 => "CCITT RLE",
        3 => "CCITT G3",
        4 => "CCITT G4",
        5 => "LZW",
        6 => "old-style JPEG",
        7 => "JPEG",
        8 | 32946 => "deflate",
        32773 => "PackBits",
        33003 | 33004 | 33005 | 34712 => "JPEG 2000",
        34887 => "LERC",
        34925 => "LZMA",
        50000 | 34926 => "ZSTD",
        50001 | 34927 => "WebP",
        50002 | 52546 => "JPEG XL",
        _ => return format!("number {code}"),
    };
    match predictor {
        2 => format!("{name} of differences"),
        3 => format!("{name} of float differences"),
        _ => name.to_string(),
    }
}
