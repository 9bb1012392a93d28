//! The image with its instances drawn over it, each in a colour of its own. Which instance a pixel belongs to is known when all
//! rows are in, so the image waits in a temporary file, as it is shown: three bytes a pixel.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Instances;
use super::runs::{Run, Scratch, failed};
use crate::error::Result;
use crate::infer::image::Image;
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
    /// `contrast` is what is shown black and white.
    pub fn new(folder: &Path, contrast: [f64; 2]) -> Self {
        let Scratch { file, folder } = Scratch::new(folder);
        Self { file: BufWriter::with_capacity(1 << 16, file), folder, contrast }
    }

    /// The next rows of the image.
    pub fn push(&mut self, rows: &Image) -> Result<()> {
        let levels = Levels::new(self.contrast, rows.pixels().unit());
        let mut write =
            || (0..rows.width() * rows.height()).try_for_each(|i| self.file.write_all(&levels.rgb(rows, i)));
        write().map_err(failed(&self.folder))
    }

    /// Writes the overlay, a PNG file.
    pub fn write(mut self, output: &Output, instances: &mut Instances) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).map_err(failed(&self.folder))?;
        let (width, size) = (instances.width(), (instances.width(), instances.height()));
        let file = PngFile::create(output, size, (png::ColorType::Rgb, png::BitDepth::Eight), None)?;
        let mut rows = Rows {
            seen: BufReader::with_capacity(1 << 16, self.file.get_mut()),
            folder: &self.folder,
            file,
            above: None,
            own: None,
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

/// A row is written when the next one is known, since that decides its outlines.
struct Rows<'a> {
    seen: BufReader<&'a mut Spool>,
    folder: &'a Path,
    file: PngFile,
    above: Option<Vec<u32>>,
    own: Option<Vec<u32>>,
    rgb: Vec<u8>,
    out: Vec<u8>,
}

impl Rows<'_> {
    /// Writes the row that waits; `below` is the next one, if there is one.
    fn next(&mut self, below: Option<Vec<u32>>) -> Result<()> {
        if let Some(own) = &self.own {
            self.seen.read_exact(&mut self.rgb).map_err(failed(self.folder))?;
            let rgb: &[[u8; 3]] = bytemuck::cast_slice(&self.rgb);
            let near = |x: usize, dy: isize| {
                let row = match dy {
                    0 => Some(own),
                    -1 => self.above.as_ref(),
                    _ => below.as_ref(),
                };
                row.and_then(|r| r.get(x)).map(|&n| n as usize)
            };
            self.out.clear();
            tinted(own.len(), |x| rgb.get(x).copied().unwrap_or_default(), near, palette, &mut self.out);
            self.file.row(&self.out)?;
        }
        self.above = std::mem::replace(&mut self.own, below);
        Ok(())
    }
}
