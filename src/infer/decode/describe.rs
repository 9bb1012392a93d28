//! Descriptions of image files for people, from headers alone: nothing is decoded.

use std::io::{Read, Seek};

use ::image::codecs::gif::GifDecoder;
use ::image::codecs::{bmp::BmpDecoder, jpeg::JpegDecoder, png::PngDecoder, pnm::PnmDecoder, webp::WebPDecoder};
use ::image::{ImageDecoder, ImageResult};

use super::calibrate::{self, ome_channels};
use super::directory::{Directories, Directory, failed};
use super::plane::Plane;
use super::tiff::levels::{self, Kind, Level, Listed};
use super::tiff::pages;
use super::{Bounds, MAX_PIXELS, Source, begin, tag, tiff};
use crate::error::Result;
use crate::infer::calibration::Calibration;
use crate::io::image_formats::Decoder;
use crate::io::{ImageFormat, Input, Reader};

/// Description of an image file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageFacts {
    /// Format, such as `BigTIFF (OME)`.
    pub format: String,
    /// Pages; of a pyramid only the full sizes.
    pub pages: Vec<PageFacts>,
    /// Number of further pages that are not listed.
    pub more_pages: usize,
    /// Directories that are not pages: masks, thumbnails, slide labels.
    pub others: Vec<String>,
}

/// Description of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageFacts {
    /// Columns and rows of each level, full size first.
    pub levels: Vec<[u64; 2]>,
    /// Samples per pixel, over all directories of the page.
    pub channels: usize,
    /// Channel names, where the file has them.
    pub names: Vec<String>,
    /// Sample type, such as `uint16`.
    pub sample: String,
    /// Meaning of the samples, such as `RGB`.
    pub colour: String,
    /// Compression.
    pub compression: String,
    /// Storage layout, such as `tiles of 256x256`.
    pub layout: String,
    /// Value of the orientation tag, 1 for upright.
    pub orientation: u16,
    /// Pixel size and georeference at full size.
    pub calibration: Calibration,
}

/// Pages beyond this many are counted but not described.
const LISTED: usize = 1000;

/// The format of an image file from its first bytes; `None` if it is not an image in a known format.
pub fn image_format(head: &[u8]) -> Option<&'static str> {
    let format = ImageFormat::of_head(head)?;
    match format.decoder() {
        // Other files begin with these letters too; the reserved bytes of a bitmap are zero.
        Some(Decoder::Bmp) if head.get(6..10) != Some(&[0; 4]) => None,
        // AVIF is named, though it is not read.
        None if format.name != "AVIF" => None,
        _ => Some(format.name),
    }
}

/// Describes an image file; `None` if it is not an image.
pub fn describe_image(input: impl Into<Input>) -> Result<Option<ImageFacts>> {
    let input = &input.into();
    #[cfg(feature = "ome-zarr")]
    if let Some(folder) = super::zarr::folder(input) {
        return of_zarr(folder).map(Some);
    }
    let (source, reader, head) = begin(input, &Bounds { pixels: MAX_PIXELS, memory: u64::MAX })?;
    let Some(format) = image_format(&head) else { return Ok(None) };
    let source = source.as_source();
    let decoder = Decoder::of_head(&head);
    if decoder == Some(Decoder::Tiff) {
        return tiff::guarded(&source, || of_tiff(&source, reader, format)).map(Some);
    }
    let page = match decoder {
        Some(Decoder::Png) => of_decoder(PngDecoder::new(reader)),
        Some(Decoder::Jpeg) => of_decoder(JpegDecoder::new(reader)),
        Some(Decoder::WebP) => of_decoder(WebPDecoder::new(reader)),
        Some(Decoder::Bmp) => of_decoder(BmpDecoder::new(reader)),
        Some(Decoder::Gif) => of_decoder(GifDecoder::new(reader)),
        Some(Decoder::Pnm) => of_decoder(PnmDecoder::new(reader)),
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
    // A handle with its own position.
    let (own, _) = source.input.open()?;
    let mut file = Directories::new(own).map_err(|e| failed(source, e))?;
    let chain = levels::chain(source, &mut file, usize::MAX)?;
    let Some(first) = chain.first().map(|l| l.directory.clone()) else { return Ok(ImageFacts::default()) };
    let text = file.text(&first, tag::DESCRIPTION).unwrap_or_default();
    let dialect = match text.trim() {
        t if t.contains("<OME") => " (OME)",
        t if t.starts_with("ImageJ=") => " (ImageJ)",
        t if t.starts_with("Aperio") => " (Aperio SVS)",
        _ if first.has(tag::GEO_KEYS) => " (GeoTIFF)",
        _ => "",
    };
    // Stacks as the decoder reads the description; a file that it cannot open is described by its directories.
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

#[cfg(feature = "ome-zarr")]
fn of_zarr(folder: &std::path::Path) -> Result<ImageFacts> {
    use super::zarr::{Format, Multiscale, Role, kind};
    use crate::infer::channel_kind::ChannelKind;
    let multiscale = Multiscale::open(folder)?;
    let array = multiscale.array(0)?;
    let levels = (0..multiscale.levels.len()).map(|i| multiscale.size(i)).collect::<Result<Vec<_>>>()?;
    let side = |role, of: &[u64]| multiscale.axis(role).and_then(|i| of.get(i)).copied().unwrap_or(1);
    let channels = usize::try_from(side(Role::Channel, &array.shape)).unwrap_or(usize::MAX);
    let names = if multiscale.names.len() == channels { multiscale.names.clone() } else { Vec::new() };
    let shards = if array.shards.is_some() { " in shards" } else { "" };
    let colour = match kind(channels, &names) {
        ChannelKind::GREY => "grey",
        ChannelKind::RGB => "RGB",
        _ => "separate channels",
    };
    let page = PageFacts {
        levels,
        channels,
        names,
        sample: array.kind.name(),
        colour: colour.into(),
        compression: array.compression(),
        layout: format!("chunks of {}x{}{shards}", side(Role::X, &array.chunk), side(Role::Y, &array.chunk)),
        orientation: 1,
        calibration: multiscale.calibration(0, None),
    };
    let [times, planes] = multiscale.stack(&array);
    let count = usize::try_from(times.saturating_mul(planes)).unwrap_or(usize::MAX);
    let version = if multiscale.node.format == Format::V2 { "2" } else { "3" };
    let (pages, more_pages) = (vec![page; count.min(LISTED)], count.saturating_sub(LISTED));
    Ok(ImageFacts { format: format!("OME-Zarr (Zarr {version})"), pages, more_pages, others: Vec::new() })
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
    let samples = file.number(d, tag::SAMPLES_PER_PIXEL).unwrap_or(1);
    let bits = file.whole(d, tag::BITS_PER_SAMPLE).unwrap_or_else(|| vec![1]);
    let kind = match file.number(d, tag::SAMPLE_FORMAT).unwrap_or(1) {
        2 => "int",
        3 => "float",
        5 | 6 => "complex",
        _ => "uint",
    };
    let depths = match bits.iter().all(|b| Some(b) == bits.first()) {
        true => bits.first().map_or(String::new(), u64::to_string),
        false => bits.iter().map(u64::to_string).collect::<Vec<_>>().join("/"),
    };
    let colour = match file.number(d, tag::PHOTOMETRIC) {
        Some(0) => "grey, 0 is white",
        Some(1) => "grey",
        Some(2) => "RGB",
        Some(3) => "palette",
        Some(4) => "mask",
        Some(5) => "CMYK",
        Some(6) => "YCbCr",
        Some(8..=10) => "Lab",
        Some(32803) => "colour filter array",
        _ => "not specified",
    };
    let extra = file.whole(d, tag::EXTRA_SAMPLES).unwrap_or_default();
    let alpha = if extra.iter().any(|e| matches!(e, 1 | 2)) { " and alpha" } else { "" };
    let planar = if samples > 1 && file.number(d, tag::PLANAR) == Some(2) { ", one plane per channel" } else { "" };
    let layout = match (file.number(d, tag::TILE_WIDTH), file.number(d, tag::TILE_HEIGHT)) {
        (Some(w), Some(h)) => format!("tiles of {w}x{h}{planar}"),
        _ => match file.number(d, tag::ROWS_PER_STRIP) {
            Some(rows) if rows < file.number(d, tag::HEIGHT).unwrap_or(0) => format!("strips of {rows} rows{planar}"),
            _ => format!("one strip{planar}"),
        },
    };
    PageFacts {
        channels: usize::try_from(samples).unwrap_or(usize::MAX),
        sample: format!("{kind}{depths}"),
        colour: format!("{colour}{alpha}"),
        compression: compression(
            file.number(d, tag::COMPRESSION).unwrap_or(1),
            file.number(d, tag::PREDICTOR).unwrap_or(1),
        ),
        layout,
        orientation: file.number(d, tag::ORIENTATION).and_then(|o| u16::try_from(o).ok()).unwrap_or(1),
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
