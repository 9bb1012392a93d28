//! Masks and probabilities as files, written band by band.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use npyz::WriterBuilder;

use super::strips::{SampleKind, StripLayout, StripTiff};
use super::tags::tags;
use super::{Ids, ProbabilityFormat, palette};
use crate::error::{Error, Result};
use crate::infer::band::{Band, BandInfo, BandSink, Needs};
use crate::infer::calibration::Calibration;
use crate::infer::origin::{NPY_HEADER, SOFTWARE};
use crate::infer::writer::{ResultSink, Writer};
use crate::io::{Output, PendingFile, PendingHandle};

/// Buffer size for PNG data, in bytes.
const PNG_BUFFER: usize = 1 << 18;

/// Width and height as stored in files.
pub(super) fn sides(path: &Path, width: usize, height: usize) -> Result<(u32, u32)> {
    // PNG's own limit; TIFF's is twice that.
    let side = |n: usize| u32::try_from(n).ok().filter(|&n| n > 0 && n <= i32::MAX as u32);
    match (side(width), side(height)) {
        (Some(w), Some(h)) => Ok((w, h)),
        _ => Err(Error::file(path, format!("cannot hold an image of {width}x{height}"))),
    }
}

/// Level of deflate and filter of a PNG file: the fastest that keep overlays within 6 % of the default's size (docs/performance.md).
/// Masks are smaller without filters, which hide that rows repeat.
fn compression(color: png::ColorType) -> (u8, png::Filter) {
    match color {
        png::ColorType::Rgb | png::ColorType::Rgba => (3, png::Filter::Adaptive),
        _ => (4, png::Filter::NoFilter),
    }
}

/// A PNG file being written row by row.
pub(crate) struct PngFile {
    file: PendingFile,
    rows: png::StreamWriter<'static, PendingHandle>,
}

impl PngFile {
    pub(crate) fn create(
        output: &Output,
        (width, height): (usize, usize),
        (color, depth): (png::ColorType, png::BitDepth),
        palette: Option<Vec<u8>>,
    ) -> Result<Self> {
        let (w, h) = sides(output.name(), width, height)?;
        let file = PendingFile::create(output.clone())?;
        let mut encoder = png::Encoder::new(file.handle()?, w, h);
        encoder.set_color(color);
        encoder.set_depth(depth);
        let (level, filter) = compression(color);
        encoder.set_deflate_compression(png::DeflateCompression::Level(level));
        encoder.set_filter(filter);
        let named = encoder.add_text_chunk("Software".into(), SOFTWARE.into());
        named.map_err(|e| file.error(e.into()))?;
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        // The stream buffers by itself. No buffer is put between it and the file, since errors on drop would be lost.
        let rows = encoder.write_header().and_then(|w| w.into_stream_writer_with_size(PNG_BUFFER));
        let rows = rows.map_err(|e| file.error(e.into()))?;
        Ok(Self { file, rows })
    }

    pub(crate) fn row(&mut self, bytes: &[u8]) -> Result<()> {
        self.rows.write_all(bytes).map_err(|e| self.file.error(e))
    }

    pub(crate) fn finish(self) -> Result<()> {
        let Self { file, rows } = self;
        rows.finish().map_err(|e| file.error(e.into()))?;
        file.finish()
    }
}

/// Fails if a sink was not started or its bands are not consecutive.
pub(super) fn check_order(path: &Path, expected: usize, band: &Band) -> Result<()> {
    if band.first == expected {
        return Ok(());
    }
    Err(Error::file(path, format!("expected row {}, got row {}", expected, band.first)))
}

pub(super) fn not_started(path: &Path) -> Error {
    Error::file(path, "rows were written before the start")
}

/// Writer of mask files.
#[derive(Clone, Copy, Debug)]
pub struct MaskWriter;

impl Writer for MaskWriter {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn about(&self) -> &'static str {
        "Class ids as PNG: black and white for two classes, a palette for more"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["png", "tif", "tiff"]
    }

    fn sink(&self, output: Output, calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Rows(Box::new(MaskSink::new(output).with_calibration(calibration.clone()))))
    }
}

/// The mask as PNG or, by its extension, TIFF: 0 and 255 for up to two classes, a palette whose indices are the class ids
/// for up to 256 (TIFF: grey class ids), and 16-bit grey class ids for more. TIFF files are BigTIFF above 4 GB.
pub struct MaskSink {
    output: Output,
    calibration: Calibration,
    state: Option<MaskFile>,
    next: usize,
}

enum MaskFile {
    Png(Box<PngFile>, usize),
    Tiff(PendingFile, Box<StripTiff<PendingHandle>>, usize),
}

impl MaskSink {
    /// A mask in `output`, whose extension chooses the format.
    pub fn new(output: impl Into<Output>) -> Self {
        Self { output: output.into(), calibration: Calibration::default(), state: None, next: 0 }
    }

    /// Adds the image's calibration to a TIFF file.
    #[must_use]
    pub fn with_calibration(self, calibration: Calibration) -> Self {
        Self { calibration, ..self }
    }
}

/// Whether the extension is TIFF's.
pub(super) fn is_tiff(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tif") || e.eq_ignore_ascii_case("tiff"))
}

impl BandSink for MaskSink {
    fn start(&mut self, info: &BandInfo) -> Result<()> {
        use png::{BitDepth, ColorType};
        let classes = info.classes.len();
        self.next = 0;
        // First drops the file of an earlier start.
        self.state = None;
        self.state = Some(if is_tiff(self.output.name()) {
            let (width, height) = sides(self.output.name(), info.width, info.height)?;
            let sample = SampleKind::Uint(if classes <= 256 { 1 } else { 2 });
            let file = PendingFile::create(self.output.clone())?;
            let layout = StripLayout { width, height, pages: 1, sample };
            let strips = StripTiff::new(file.handle()?, layout).map_err(|e| file.error(e))?;
            let strips = strips.with_tags(tags(&self.calibration, 1));
            MaskFile::Tiff(file, Box::new(strips), classes)
        } else {
            let (color, depth, colours) = match classes {
                ..=2 => (ColorType::Grayscale, BitDepth::Eight, None),
                3..=256 => (ColorType::Indexed, BitDepth::Eight, Some((0..classes).flat_map(palette).collect())),
                _ => (ColorType::Grayscale, BitDepth::Sixteen, None),
            };
            let size = (info.width, info.height);
            MaskFile::Png(Box::new(PngFile::create(&self.output, size, (color, depth), colours)?), classes)
        });
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        check_order(self.output.name(), self.next, band)?;
        self.next += band.height;
        let mut row = Vec::new();
        for y in 0..band.height {
            let ids = y * band.width..(y + 1) * band.width;
            row.clear();
            match &mut self.state {
                None => return Err(not_started(self.output.name())),
                Some(MaskFile::Png(file, classes)) => {
                    encode(&mut row, band.classes, ids, *classes, u16::to_be_bytes);
                    file.row(&row)?;
                }
                Some(MaskFile::Tiff(file, strips, classes)) => {
                    encode(&mut row, band.classes, ids, *classes, u16::to_ne_bytes);
                    strips.rows(0, &row).map_err(|e| file.error(e))?;
                }
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        match self.state {
            None => Err(not_started(self.output.name())),
            Some(MaskFile::Png(file, _)) => file.finish(),
            Some(MaskFile::Tiff(file, strips, _)) => {
                strips.finish().map_err(|e| file.error(e))?;
                file.finish()
            }
        }
    }
}

/// Encodes a row of class ids as samples.
fn encode(row: &mut Vec<u8>, ids: &Ids, at: std::ops::Range<usize>, classes: usize, wide: fn(u16) -> [u8; 2]) {
    match classes {
        ..=2 => row.extend(at.map(|i| if ids.id(i) == 0 { 0 } else { 255 })),
        3..=256 => row.extend(at.map(|i| ids.id(i) as u8)),
        _ => row.extend(at.flat_map(|i| wide(ids.id(i) as u16))),
    }
}

/// Writer of probability files in one format.
#[derive(Clone, Copy, Debug)]
pub struct ProbabilityWriter {
    /// Option name.
    pub name: &'static str,
    /// The format.
    pub format: ProbabilityFormat,
}

impl Writer for ProbabilityWriter {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        match self.format {
            ProbabilityFormat::Tiff => "Probabilities as 32-bit float TIFF, a page per class",
            ProbabilityFormat::Npy => "Probabilities as numpy array",
        }
    }

    fn suffix(&self) -> &'static str {
        "prob"
    }

    fn extensions(&self) -> &'static [&'static str] {
        match self.format {
            ProbabilityFormat::Tiff => &["tif"],
            ProbabilityFormat::Npy => &["npy"],
        }
    }

    fn sink(&self, output: Output, calibration: &Calibration) -> Result<ResultSink> {
        Ok(ResultSink::Rows(Box::new(ProbabilitySink::new(output)?.with_calibration(calibration.clone()))))
    }
}

/// Probabilities as 32-bit float TIFF with one page per class (BigTIFF above 4 GB), or as a numpy array.
pub struct ProbabilitySink {
    output: Output,
    calibration: Calibration,
    format: ProbabilityFormat,
    state: Option<(PendingFile, Planes)>,
    shape: [usize; 3],
    next: usize,
}

enum Planes {
    Tiff(Box<StripTiff<PendingHandle>>),
    /// The file and the offset of its data.
    Npy(PendingHandle, u64),
}

impl ProbabilitySink {
    /// Probabilities in `output`, a `.tif` or `.npy` file.
    pub fn new(output: impl Into<Output>) -> Result<Self> {
        let output = output.into();
        let format = ProbabilityFormat::of(output.name())?;
        Ok(Self::with_format(output, format))
    }

    pub(super) fn with_format(output: Output, format: ProbabilityFormat) -> Self {
        Self { output, calibration: Calibration::default(), format, state: None, shape: [0; 3], next: 0 }
    }

    /// Adds the image's calibration to a TIFF file.
    #[must_use]
    pub fn with_calibration(self, calibration: Calibration) -> Self {
        Self { calibration, ..self }
    }
}

impl BandSink for ProbabilitySink {
    fn needs(&self) -> Needs {
        Needs { probabilities: true, ..Needs::default() }
    }

    fn start(&mut self, info: &BandInfo) -> Result<()> {
        let (width, height) = sides(self.output.name(), info.width, info.height)?;
        (self.state, self.next) = (None, 0);
        self.shape = [info.planes, info.height, info.width];
        let file = PendingFile::create(self.output.clone())?;
        let mut handle = file.handle()?;
        let planes = match self.format {
            ProbabilityFormat::Tiff => {
                let (pages, sample) = (info.planes, SampleKind::Float);
                let layout = StripLayout { width, height, pages, sample };
                let strips = StripTiff::new(handle, layout).map_err(|e| file.error(e))?;
                Planes::Tiff(Box::new(strips.with_tags(tags(&self.calibration, pages))))
            }
            ProbabilityFormat::Npy => {
                let header = npy_header(self.shape).map_err(|e| file.error(e))?;
                handle.write_all(&header).map_err(|e| file.error(e))?;
                Planes::Npy(handle, header.len() as u64)
            }
        };
        self.state = Some((file, planes));
        Ok(())
    }

    fn band(&mut self, band: &Band) -> Result<()> {
        check_order(self.output.name(), self.next, band)?;
        self.next += band.height;
        let Some((file, out)) = &mut self.state else { return Err(not_started(self.output.name())) };
        let Some(values) = band.probabilities else {
            return Err(Error::file(self.output.name(), "no probabilities were given"));
        };
        let [_, height, width] = self.shape;
        for (c, plane) in values.chunks_exact((band.height * band.width).max(1)).enumerate() {
            let done = match out {
                Planes::Tiff(strips) => strips.rows(c, bytemuck::cast_slice(plane)),
                Planes::Npy(handle, data) => {
                    let at = *data + 4 * ((c * height + band.first) as u64 * width as u64);
                    handle.seek(SeekFrom::Start(at)).and_then(|_| handle.write_all(bytemuck::cast_slice(plane)))
                }
            };
            done.map_err(|e| file.error(e))?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let Some((file, planes)) = self.state else { return Err(not_started(self.output.name())) };
        if let Planes::Tiff(strips) = planes {
            strips.finish().map_err(|e| file.error(e))?;
        }
        file.finish()
    }
}

/// The numpy header for floats in native byte order; a single plane has no class axis.
fn npy_header(shape: [usize; 3]) -> std::io::Result<Vec<u8>> {
    let dims = shape.map(|n| n as u64);
    let dims = if shape[0] == 1 { &dims[1..] } else { &dims[..] };
    let mut header = Vec::new();
    // Only the header is written before the first value; the error for missing values is dropped on purpose.
    drop(npyz::WriteOptions::<f32>::new().default_dtype().shape(dims).writer(&mut header).begin_nd()?);
    pad(header)
}

/// A header of version 1 with more spaces before its last line end, as far as [`NPY_HEADER`], by which the file is recognised.
fn pad(mut header: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let wrong = || std::io::Error::other("an unexpected NPY header");
    if header.get(6) != Some(&1) || header.len() > NPY_HEADER || header.pop() != Some(b'\n') {
        return Err(wrong());
    }
    header.resize(NPY_HEADER - 1, b' ');
    header.push(b'\n');
    let length = ((NPY_HEADER - 10) as u16).to_le_bytes();
    header.get_mut(8..10).ok_or_else(wrong)?.copy_from_slice(&length);
    Ok(header)
}
