//! Samples inside instances, in a temporary file until the instance of each pixel is known: the image's, or
//! probabilities.

use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytemuck::Pod;

use super::runs::{Run, Scratch, failed};
use crate::error::{Error, Result};
use crate::io::Spool;

/// Samples of runs, row by row.
#[derive(Debug)]
pub(super) struct Samples<T = f32> {
    file: BufWriter<Spool>,
    folder: PathBuf,
    width: usize,
    channels: usize,
    rows: usize,
    of: PhantomData<T>,
}

impl<T: Pod> Samples<T> {
    pub(super) fn new(folder: &Path, width: usize, channels: usize) -> Self {
        let Scratch { file, folder } = Scratch::new(folder);
        Self { file: BufWriter::with_capacity(1 << 16, file), folder, width, channels, rows: 0, of: PhantomData }
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Stores the samples (channel, column) of a row that lie in runs.
    pub(super) fn push(&mut self, runs: &[Run], planes: &[T]) -> Result<()> {
        if planes.len() != self.width * self.channels {
            let reason = format!("{} samples are not {} of {} channels", planes.len(), self.width, self.channels);
            return Err(Error::invalid("objects", reason));
        }
        let mut write = || {
            self.file.write_all(&(runs.len() as u32).to_le_bytes())?;
            for run in runs {
                self.file.write_all(&run.start.to_le_bytes())?;
                self.file.write_all(&run.end.to_le_bytes())?;
                for plane in planes.chunks_exact(self.width) {
                    let part = plane.get(run.start as usize..run.end as usize).unwrap_or_default();
                    self.file.write_all(bytemuck::cast_slice(part))?;
                }
            }
            Ok(())
        };
        write().map_err(failed(&self.folder))?;
        self.rows += 1;
        Ok(())
    }

    /// Stores a whole row.
    pub(super) fn push_row(&mut self, planes: &[T]) -> Result<()> {
        self.push(&[Run { start: 0, end: self.width as u32, label: 0 }], planes)
    }

    /// Reads from the first row; each call of the returned function yields the next row, planar, with 0 outside runs.
    pub(super) fn read(&mut self) -> Result<impl FnMut(&mut Vec<T>) -> Result<()> + '_> {
        let Self { file, folder, width, channels, .. } = self;
        file.seek(SeekFrom::Start(0)).map_err(failed(folder))?;
        let mut reader = BufReader::with_capacity(1 << 16, file.get_mut());
        Ok(move |planes: &mut Vec<T>| {
            planes.clear();
            planes.resize(*width * *channels, T::zeroed());
            let mut next = || {
                for _ in 0..word(&mut reader)? {
                    let (start, end) = (word(&mut reader)? as usize, word(&mut reader)? as usize);
                    for plane in planes.chunks_exact_mut(*width) {
                        let part = plane.get_mut(start..end).unwrap_or_default();
                        reader.read_exact(bytemuck::cast_slice_mut(part))?;
                    }
                }
                Ok(())
            };
            next().map_err(failed(folder))
        })
    }
}

fn word(reader: &mut impl Read) -> std::io::Result<u32> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}
