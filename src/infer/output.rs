//! Result files: masks, overlays and probabilities. Each appears whole or not at all.

mod overlay;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::WriterBuilder;
use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, TiffKind, colortype::Gray32Float};

pub(crate) use overlay::Display;
pub use overlay::write_overlay;

use crate::error::{Error, Result};
use crate::weights::temporary_file;

/// Bytes of pixels from which on a TIFF file gets 64-bit offsets.
pub(super) const BIG_TIFF: u64 = 0xe000_0000;

/// Class ids, one per pixel, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// For up to 256 classes.
    U8(Vec<u8>),
    /// For more.
    U16(Vec<u16>),
}

impl Ids {
    /// The id with this index; 0 outside.
    pub(crate) fn id(&self, index: usize) -> usize {
        match self {
            Self::U8(v) => v.get(index).map_or(0, |&id| usize::from(id)),
            Self::U16(v) => v.get(index).map_or(0, |&id| usize::from(id)),
        }
    }
}

/// The class of every pixel of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    classes: usize,
    ids: Ids,
}

impl Mask {
    /// A mask of ids below `classes` (class 0 is the background). Fails if they do not fill it or one is too large.
    pub fn new(width: usize, height: usize, classes: usize, ids: Ids) -> Result<Self> {
        let (len, largest) = match &ids {
            Ids::U8(v) => (v.len(), v.iter().max().map(|&m| usize::from(m))),
            Ids::U16(v) => (v.len(), v.iter().max().map(|&m| usize::from(m))),
        };
        let Some(largest) = largest.filter(|_| width.checked_mul(height) == Some(len)) else {
            return Err(Error::invalid("mask", format!("{len} class ids do not fill {width}x{height} pixels")));
        };
        if largest >= classes {
            return Err(Error::invalid("mask", format!("class {largest} does not exist, there are {classes}")));
        }
        Ok(Self { width, height, classes, ids })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of classes, background included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The class ids.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Class of the pixel with this index, counted row by row; 0 outside.
    pub(crate) fn id(&self, index: usize) -> usize {
        self.ids.id(index)
    }
}

/// The colour of a class: black for the background, then colours far apart from their neighbours, all different.
pub fn palette(class: usize) -> [u8; 3] {
    const FIRST: [[u8; 3]; 10] = [
        [0, 0, 0],
        [0, 230, 80],
        [255, 80, 40],
        [40, 140, 255],
        [255, 215, 0],
        [225, 60, 225],
        [0, 220, 230],
        [255, 150, 180],
        [150, 100, 40],
        [150, 255, 160],
    ];
    if let Some(&c) = FIRST.get(class) {
        return c;
    }
    // Steps of the golden ratio never come close to an earlier hue; brightness changes too.
    let hue = (class as f64 * 0.618_033_988_749_895).fract() * 6.0;
    let value = [255.0, 200.0, 150.0][class % 3];
    let saturation = [1.0, 0.7, 0.45][class / 3 % 3];
    [5.0, 3.0, 1.0].map(|n| {
        let k: f64 = (n + hue) % 6.0;
        (value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))).round() as u8
    })
}

/// Writes a file by way of a temporary one in the same folder, which is made if it does not exist. When anything fails
/// no trace is left and an older file stays as it was.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    if path.is_dir() {
        return Err(Error::file(path, "cannot be written, a folder of this name exists"));
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    // Not waited for until it is on the disk, as checkpoints are: a result can be made again.
    let temporary = temporary_file(folder, ".unet-", write).map_err(|e| Error::io(path, e))?;
    temporary.persist(path).map_err(|e| Error::io(path, e.error))?;
    Ok(())
}

/// Writes a mask as PNG: 0 and 255 for up to two classes, a palette whose indices are the class ids for up to 256, and
/// 16-bit grey class ids for more.
pub fn write_mask(path: impl AsRef<Path>, mask: &Mask) -> Result<()> {
    use png::{BitDepth, ColorType};
    let colours: Vec<u8> = (0..mask.classes.min(256)).flat_map(palette).collect();
    let (color, depth, colours) = match mask.classes {
        ..=2 => (ColorType::Grayscale, BitDepth::Eight, None),
        3..=256 => (ColorType::Indexed, BitDepth::Eight, Some(colours)),
        _ => (ColorType::Grayscale, BitDepth::Sixteen, None),
    };
    write_png(path.as_ref(), (mask.width, mask.height), (color, depth), colours, |y, row| {
        let ids = y * mask.width..(y + 1) * mask.width;
        match mask.classes {
            ..=2 => row.extend(ids.map(|i| if mask.id(i) == 0 { 0 } else { 255 })),
            3..=256 => row.extend(ids.map(|i| mask.id(i) as u8)),
            _ => row.extend(ids.flat_map(|i| (mask.id(i) as u16).to_be_bytes())),
        }
    })
}

/// Writes a PNG row by row, so that no second copy of a large picture is needed.
fn write_png(
    path: &Path,
    (width, height): (usize, usize),
    (color, depth): (png::ColorType, png::BitDepth),
    palette: Option<Vec<u8>>,
    mut fill: impl FnMut(usize, &mut Vec<u8>),
) -> Result<()> {
    let (w, h) = sides(path, width, height)?;
    write_atomically(path, |file| {
        let mut encoder = png::Encoder::new(file, w, h);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_compression(png::Compression::Fast);
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        let mut png = encoder.write_header()?;
        let mut rows = png.stream_writer()?;
        let mut row = Vec::new();
        for y in 0..height {
            row.clear();
            fill(y, &mut row);
            rows.write_all(&row)?;
        }
        rows.finish()?;
        Ok(png.finish()?)
    })
}

fn sides(path: &Path, width: usize, height: usize) -> Result<(u32, u32)> {
    // PNG's own limit; TIFF's is twice that.
    let side = |n: usize| u32::try_from(n).ok().filter(|&n| n > 0 && n <= i32::MAX as u32);
    match (side(width), side(height)) {
        (Some(w), Some(h)) => Ok((w, h)),
        _ => Err(Error::file(path, format!("cannot hold a picture of {width}x{height}"))),
    }
}

/// File formats of [`write_probabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbabilityFormat {
    /// 32-bit float TIFF with a page per class.
    Tiff,
    /// numpy array `[classes, rows, columns]`, or `[rows, columns]` for one class.
    Npy,
}

impl ProbabilityFormat {
    /// The format that a file name asks for: `.tif`, `.tiff` or `.npy`.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("tif" | "tiff") => Ok(Self::Tiff),
            Some("npy") => Ok(Self::Npy),
            _ => Err(Error::file(path, "probabilities are written as .tif or .npy")),
        }
    }

    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tiff => "tif",
            Self::Npy => "npy",
        }
    }
}

/// Writes probabilities given as planes (class, row, column) of `width` x `height`.
pub fn write_probabilities(
    path: impl AsRef<Path>,
    format: ProbabilityFormat,
    width: usize,
    height: usize,
    planes: &[f32],
) -> Result<()> {
    let path = path.as_ref();
    let (w, h) = sides(path, width, height)?;
    let plane = width.checked_mul(height).filter(|p| !planes.is_empty() && planes.len().is_multiple_of(*p));
    let Some(plane) = plane else {
        let reason = format!("{} values are not planes of {width}x{height}", planes.len());
        return Err(Error::invalid("probabilities", reason));
    };
    let classes = planes.len() / plane;
    write_atomically(path, |file| match format {
        ProbabilityFormat::Tiff if planes.len() as u64 * 4 < BIG_TIFF => {
            write_pages(TiffEncoder::new(file).map_err(std::io::Error::other)?, w, h, planes.chunks_exact(plane))
        }
        ProbabilityFormat::Tiff => {
            write_pages(TiffEncoder::new_big(file).map_err(std::io::Error::other)?, w, h, planes.chunks_exact(plane))
        }
        ProbabilityFormat::Npy => {
            let dims = [classes as u64, u64::from(h), u64::from(w)];
            let shape = if classes == 1 { &dims[1..] } else { &dims[..] };
            let mut npy = npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
            npy.extend(planes.iter().copied())?;
            npy.finish()
        }
    })
}

fn write_pages<'a, K: TiffKind>(
    encoder: TiffEncoder<&mut BufWriter<&File>, K>,
    width: u32,
    height: u32,
    pages: impl Iterator<Item = &'a [f32]>,
) -> std::io::Result<()> {
    let mut encoder = encoder.with_compression(Compression::Deflate(DeflateLevel::Fast));
    for page in pages {
        encoder.write_image::<Gray32Float>(width, height, page).map_err(|e| match e {
            tiff::TiffError::IoError(e) => e,
            e => std::io::Error::other(e),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
