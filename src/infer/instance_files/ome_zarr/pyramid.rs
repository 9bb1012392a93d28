//! Arrays of labels in several resolutions, written row by row into chunks.

use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::infer::decode::zarr::Format;
use crate::io::fs;
use crate::parallel::*;

/// Rows and columns of a chunk.
const CHUNK: usize = 512;
/// Of gzip: labels compress well at any.
const LEVEL: u32 = 3;

/// A resolution of labels.
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    /// Of the array; rows and columns are the last two.
    pub shape: Vec<u64>,
    /// Columns and rows of the full size for each of this.
    pub factors: [f64; 2],
}

/// Arrays whose planes are filled from the top, each from the rows of the full size.
#[derive(Debug)]
pub(super) struct Pyramid {
    levels: Vec<Level>,
    bytes: usize,
    next: usize,
}

#[derive(Debug)]
struct Level {
    /// The folder of all chunks.
    array: PathBuf,
    /// That of the plane's chunks.
    folder: PathBuf,
    width: usize,
    height: usize,
    factors: [f64; 2],
    /// Rows so far, and those that wait for a row of chunks.
    rows: usize,
    band: Vec<u32>,
}

impl Pyramid {
    /// Creates the arrays `0`, `1`, ... in a folder, whose axes have these names.
    pub(super) fn create(
        folder: &Path,
        format: Format,
        wide: bool,
        axes: &[Value],
        resolutions: Vec<Resolution>,
    ) -> Result<Self> {
        let bytes = if wide { 4 } else { 2 };
        let mut levels = Vec::new();
        for (number, Resolution { shape, factors }) in resolutions.into_iter().enumerate() {
            let array = folder.join(number.to_string());
            fs::create_dir(&array)?;
            let (name, metadata) = metadata(format, bytes, axes, &shape);
            fs::write(array.join(name), format!("{metadata:#}"))?;
            let array = if format == Format::V3 { array.join("c") } else { array };
            let [height, width] = shape.last_chunk().map_or([0; 2], |sides| sides.map(|side| side as usize));
            levels.push(Level { folder: array.clone(), array, width, height, factors, rows: 0, band: Vec::new() });
        }
        Ok(Self { levels, bytes, next: 0 })
    }

    /// Begins a plane: its positions along the other axes in each array, `None` for an array without this plane.
    pub(super) fn begin(&mut self, planes: impl IntoIterator<Item = Option<Vec<u64>>>) {
        for (level, plane) in self.levels.iter_mut().zip(planes) {
            level.rows = if plane.is_some() { 0 } else { level.height };
            let plane = plane.unwrap_or_default();
            level.folder = plane.iter().fold(level.array.clone(), |path, at| path.join(at.to_string()));
        }
        self.next = 0;
    }

    /// Takes the next row of the full size.
    pub(super) fn row(&mut self, labels: &[u32]) -> Result<()> {
        for level in &mut self.levels {
            while level.rows < level.height && level.source_row(level.rows) <= self.next {
                level.push(labels);
                if level.rows.is_multiple_of(CHUNK) || level.rows == level.height {
                    level.flush(self.bytes)?;
                }
            }
        }
        self.next += 1;
        Ok(())
    }
}

impl Level {
    /// The row of the full size that a row is.
    fn source_row(&self, row: usize) -> usize {
        (row as f64 * self.factors[1]) as usize
    }

    fn push(&mut self, labels: &[u32]) {
        let last = labels.len().saturating_sub(1);
        let label = |x: usize| labels.get(((x as f64 * self.factors[0]) as usize).min(last)).copied().unwrap_or(0);
        if self.factors[0] == 1.0 && labels.len() == self.width {
            self.band.extend_from_slice(labels);
        } else {
            self.band.extend((0..self.width).map(label));
        }
        self.rows += 1;
    }

    /// Writes a row of chunks; those without labels are left out.
    fn flush(&mut self, bytes: usize) -> Result<()> {
        let folder = self.folder.join(((self.rows - 1) / CHUNK).to_string());
        let (width, band) = (self.width, &self.band);
        let write = |column: usize| {
            let from = column * CHUNK;
            let line = |row: &[u32]| row.get(from..width.min(from + CHUNK)).unwrap_or_default().to_vec();
            let lines: Vec<Vec<u32>> = band.chunks_exact(width.max(1)).map(line).collect();
            if lines.iter().flatten().all(|&label| label == 0) {
                return Ok(());
            }
            let mut raw = vec![0u8; CHUNK * CHUNK * bytes];
            for (to, line) in raw.chunks_exact_mut(CHUNK * bytes).zip(&lines) {
                for (to, label) in to.chunks_exact_mut(bytes).zip(line) {
                    to.copy_from_slice(label.to_le_bytes().get(..bytes).unwrap_or_default());
                }
            }
            fs::create_dir_all(&folder)?;
            let mut out = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
            out.write_all(&raw)?;
            fs::write(folder.join(column.to_string()), out.finish()?)
        };
        let done: Vec<Result<()>> = (0..width.div_ceil(CHUNK)).into_par_iter().map(write).collect();
        self.band.clear();
        done.into_iter().collect()
    }
}

/// The metadata of an array, and the file for it.
fn metadata(format: Format, bytes: usize, axes: &[Value], shape: &[u64]) -> (&'static str, Value) {
    let planes = shape.len().saturating_sub(2);
    let chunk: Vec<u64> = (0..shape.len()).map(|i| if i < planes { 1 } else { CHUNK as u64 }).collect();
    match format {
        Format::V2 => (
            ".zarray",
            json!({
                "zarr_format": 2,
                "shape": shape,
                "chunks": chunk,
                "dtype": format!("<u{bytes}"),
                "compressor": { "id": "gzip", "level": LEVEL },
                "fill_value": 0,
                "filters": null,
                "order": "C",
                "dimension_separator": "/",
            }),
        ),
        Format::V3 => (
            "zarr.json",
            json!({
                "zarr_format": 3,
                "node_type": "array",
                "shape": shape,
                // Version 0.5 asks for them.
                "dimension_names": axes,
                "data_type": format!("uint{}", bytes * 8),
                "chunk_grid": { "name": "regular", "configuration": { "chunk_shape": chunk } },
                "chunk_key_encoding": { "name": "default", "configuration": { "separator": "/" } },
                "fill_value": 0,
                "codecs": [
                    { "name": "bytes", "configuration": { "endian": "little" } },
                    { "name": "gzip", "configuration": { "level": LEVEL } },
                ],
                "attributes": {},
            }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_version_3_name_their_dimensions() {
        let axes = ["z", "y", "x"].map(Value::from);
        let (name, array) = metadata(Format::V3, 2, &axes, &[1, 300, 400]);
        assert_eq!((name, &array["dimension_names"]), ("zarr.json", &json!(["z", "y", "x"])));
        assert_eq!(array["chunk_grid"]["configuration"]["chunk_shape"], json!([1, CHUNK, CHUNK]));
    }
}
