//! Rows of labels as runs of equal ones, in memory up to a limit and in a temporary file beyond it.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::{Spool, spool};

/// Bytes of runs up to which no file is created.
const IN_MEMORY: usize = 16 << 20;
/// Bytes per run in a file.
const RUN: usize = 12;
/// Rows per band of [`Bands`].
const BAND: u32 = 64;
/// Runs of a band buffered in memory.
const BUFFERED: usize = 1024;

/// A horizontal run of pixels with equal label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First column.
    pub start: u32,
    /// One past the last column.
    pub end: u32,
    /// The label; never 0 if runs are of instances.
    pub label: u32,
}

impl Run {
    /// Writes the labels of a row's pixels, 0 between its runs.
    pub fn paint(runs: &[Self], row: &mut [u32]) {
        row.fill(0);
        for run in runs {
            if let Some(pixels) = row.get_mut(run.start as usize..run.end as usize) {
                pixels.fill(run.label);
            }
        }
    }

    fn bytes(&self) -> [u8; RUN] {
        let mut out = [0; RUN];
        for (to, word) in out.chunks_exact_mut(4).zip([self.start, self.end, self.label]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    fn read(bytes: &[u8; RUN]) -> Self {
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        Self { start: word(0), end: word(4), label: word(8) }
    }
}

/// A temporary file, with its folder for error messages.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub file: Spool,
    pub folder: PathBuf,
}

impl Scratch {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { file: spool(IN_MEMORY, folder), folder: folder.to_path_buf() }
    }
}

pub(crate) fn failed(folder: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |e| Error::io(folder, std::io::Error::new(e.kind(), format!("temporary file of instances: {e}")))
}

/// Rows written in order, to be read in the same order.
#[derive(Debug)]
pub(super) struct Rows {
    file: BufWriter<Spool>,
    folder: PathBuf,
}

impl Rows {
    pub(super) fn new(folder: &Path) -> Self {
        let Scratch { file, folder } = Scratch::new(folder);
        Self { file: BufWriter::with_capacity(1 << 16, file), folder }
    }

    pub(super) fn push(&mut self, row: &[Run]) -> Result<()> {
        let count = (row.len() as u32).to_le_bytes();
        let mut write = || {
            self.file.write_all(&count)?;
            row.iter().try_for_each(|r| self.file.write_all(&r.bytes()))
        };
        write().map_err(failed(&self.folder))
    }

    /// Reads from the first row; each call of the returned function yields the next row.
    pub(super) fn read(&mut self) -> Result<impl FnMut(&mut Vec<Run>) -> Result<()> + '_> {
        let Self { file, folder } = self;
        file.seek(SeekFrom::Start(0)).map_err(failed(folder))?;
        let mut reader = BufReader::with_capacity(1 << 16, file.get_mut());
        Ok(move |row: &mut Vec<Run>| {
            row.clear();
            let mut next = || {
                let mut count = [0; 4];
                reader.read_exact(&mut count)?;
                for _ in 0..u32::from_le_bytes(count) {
                    let mut run = [0; RUN];
                    reader.read_exact(&mut run)?;
                    row.push(Run::read(&run));
                }
                Ok(())
            };
            next().map_err(failed(folder))
        })
    }
}

/// Runs written in any order, to be read row by row: sorted into bands of rows when written, and within a band when
/// read.
#[derive(Debug)]
pub(super) struct Bands {
    scratch: Scratch,
    bands: Vec<Band>,
    end: u64,
}

#[derive(Clone, Debug, Default)]
struct Band {
    /// Row in the image, and run.
    buffered: Vec<(u32, Run)>,
    /// Offsets and lengths of the band's blocks in the file.
    blocks: Vec<(u64, usize)>,
}

impl Bands {
    pub(super) fn new(folder: &Path, height: u32) -> Self {
        let bands = vec![Band::default(); height.div_ceil(BAND) as usize];
        Self { scratch: Scratch::new(folder), bands, end: 0 }
    }

    pub(super) fn push(&mut self, y: u32, run: Run) -> Result<()> {
        let Some(band) = self.bands.get_mut((y / BAND) as usize) else { return Ok(()) };
        band.buffered.push((y, run));
        if band.buffered.len() < BUFFERED {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(band.buffered.len() * (4 + RUN));
        for (y, run) in band.buffered.drain(..) {
            bytes.extend(y.to_le_bytes());
            bytes.extend(run.bytes());
        }
        band.blocks.push((self.end, BUFFERED));
        self.end += bytes.len() as u64;
        self.scratch.file.write_all(&bytes).map_err(failed(&self.scratch.folder))
    }

    /// Reads from the first row; each call of the returned function yields the next row.
    pub(super) fn read(&mut self) -> impl FnMut(&mut Vec<Run>) -> Result<()> + '_ {
        let mut loaded: Vec<(u32, Run)> = Vec::new();
        let (mut y, mut at) = (0u32, 0usize);
        move |row| {
            row.clear();
            if y.is_multiple_of(BAND) {
                at = 0;
                loaded = self.load((y / BAND) as usize)?;
            }
            let rest = loaded.get(at..).unwrap_or_default();
            row.extend(rest.iter().take_while(|r| r.0 == y).map(|r| r.1));
            at += row.len();
            y += 1;
            Ok(())
        }
    }

    fn load(&mut self, band: usize) -> Result<Vec<(u32, Run)>> {
        let Some(Band { buffered, blocks }) = self.bands.get(band) else { return Ok(Vec::new()) };
        let mut all = buffered.clone();
        let Scratch { file, folder } = &mut self.scratch;
        let mut read = |&(at, count): &(u64, usize)| {
            file.seek(SeekFrom::Start(at))?;
            let mut reader = BufReader::with_capacity((4 + RUN) * BUFFERED, &mut *file);
            for _ in 0..count {
                let (mut y, mut run) = ([0; 4], [0; RUN]);
                reader.read_exact(&mut y)?;
                reader.read_exact(&mut run)?;
                all.push((u32::from_le_bytes(y), Run::read(&run)));
            }
            Ok(())
        };
        blocks.iter().try_for_each(&mut read).map_err(failed(folder))?;
        all.sort_unstable_by_key(|(y, run)| (*y, run.start));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u32, label: u32) -> Run {
        Run { start, end: start + 1, label }
    }

    #[test]
    fn rows_can_be_read_twice_in_order() {
        let mut rows = Rows::new(&std::env::temp_dir());
        let all = [vec![run(1, 5), run(7, 2)], vec![], vec![run(0, u32::MAX)]];
        all.iter().for_each(|r| rows.push(r).unwrap());
        for _ in 0..2 {
            let mut next = rows.read().unwrap();
            let mut row = vec![run(9, 9)];
            for expected in &all {
                next(&mut row).unwrap();
                assert_eq!(&row, expected);
            }
            assert!(next(&mut row).is_err(), "there is no fourth row");
        }
    }

    #[test]
    fn bands_sort_runs() {
        let (height, per_row) = (130u32, 40u32);
        let mut bands = Bands::new(&std::env::temp_dir(), height);
        // A step coprime to the number of runs visits all of them.
        let total = height * per_row;
        for i in 0..total {
            let k = (i * 1511) % total;
            bands.push(k / per_row, run(3 * (k % per_row), k)).unwrap();
        }
        assert!(bands.end > 0, "some of it lies in the file");
        for _ in 0..2 {
            let mut next = bands.read();
            let mut row = Vec::new();
            for y in 0..height {
                next(&mut row).unwrap();
                let expected: Vec<Run> = (0..per_row).map(|x| run(3 * x, y * per_row + x)).collect();
                assert_eq!(row, expected, "row {y}");
            }
        }
    }
}
