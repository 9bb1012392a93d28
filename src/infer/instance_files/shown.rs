//! The image with its instances drawn over it in different colours. The instance of a pixel is known only after all
//! rows, so the displayed image goes to a temporary file: three bytes per pixel.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::infer::image::Image;
use crate::infer::instances::Instances;
use crate::infer::instances::runs::{Run, Scratch, failed};
use crate::infer::output::{Levels, PngFile, palette, tinted};
use crate::io::{Output, Spool};

/// Rows of RGB.
#[derive(Debug)]
pub(super) struct Shown {
    file: BufWriter<Spool>,
    folder: PathBuf,
    contrast: [f64; 2],
}

impl Shown {
    /// `contrast`: the values shown as black and white.
    pub(super) fn new(folder: &Path, contrast: [f64; 2]) -> Self {
        let Scratch { file, folder } = Scratch::new(folder);
        Self { file: BufWriter::with_capacity(1 << 16, file), folder, contrast }
    }

    /// Appends the next rows of the image.
    pub(super) fn push(&mut self, rows: &Image) -> Result<()> {
        let levels = Levels::new(self.contrast, rows.pixels().unit());
        let mut write =
            || (0..rows.width() * rows.height()).try_for_each(|i| self.file.write_all(&levels.rgb(rows, i)));
        write().map_err(failed(&self.folder))
    }

    /// Writes the overlay, a PNG file.
    pub(super) fn write(mut self, output: &Output, instances: &mut Instances) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(failed(&self.folder))?;
        let (width, size) = (instances.width(), (instances.width(), instances.height()));
        let file = PngFile::create(output, size, (png::ColorType::Rgb, png::BitDepth::Eight), None)?;
        let mut rows = Rows {
            spooled: BufReader::with_capacity(1 << 16, self.file.get_mut()),
            folder: &self.folder,
            file,
            above: None,
            current: None,
            rgb: vec![0; 3 * width],
            out: Vec::new(),
        };
        instances.rows(|_, runs| {
            let mut row = vec![0; width];
            Run::paint(runs, &mut row);
            rows.next(Some(row))
        })?;
        rows.next(None)?;
        rows.file.finish()
    }
}

/// Writes a row once the next one is known, since that decides its outlines.
struct Rows<'a> {
    spooled: BufReader<&'a mut Spool>,
    folder: &'a Path,
    file: PngFile,
    above: Option<Vec<u32>>,
    current: Option<Vec<u32>>,
    rgb: Vec<u8>,
    out: Vec<u8>,
}

impl Rows<'_> {
    /// Writes the pending row; `below` is the next one, if any.
    fn next(&mut self, below: Option<Vec<u32>>) -> Result<()> {
        if let Some(current) = &self.current {
            self.spooled.read_exact(&mut self.rgb).map_err(failed(self.folder))?;
            let rgb: &[[u8; 3]] = bytemuck::cast_slice(&self.rgb);
            let near = |x: usize, dy: isize| {
                let row = match dy {
                    0 => Some(current),
                    -1 => self.above.as_ref(),
                    _ => below.as_ref(),
                };
                row.and_then(|r| r.get(x)).map(|&n| n as usize)
            };
            self.out.clear();
            tinted(current.len(), |x| rgb.get(x).copied().unwrap_or_default(), near, palette, &mut self.out);
            self.file.row(&self.out)?;
        }
        self.above = std::mem::replace(&mut self.current, below);
        Ok(())
    }
}
