//! Reports of a run: values as CSV and JSON lines, TensorBoard events, curves, images.
//!
//! `metrics.csv` and `metrics.jsonl` hold no time stamps, so that a resumed run writes the same bytes as an
//! uninterrupted one.

mod curves;
mod events;
mod images;
mod rows;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Dataset;
use crate::clock::SystemTime;
use crate::error::{Error, Result};
use crate::infer::{self, Mask};
use crate::io::fs::{self, File, OpenOptions};
use crate::io::replace_file;
use rows::{CSV_HEADER, Row, Split};

/// Prefix of event files; TensorBoard looks for `tfevents`.
const EVENTS_PREFIX: &str = "events.out.tfevents.";
/// Suffix of this crate's event files.
const EVENTS_SUFFIX: &str = ".unet";

/// The reports of a run, in its folder: `metrics.csv` (a line per value: step, split, name, value), `metrics.jsonl` (an
/// object per step and split), an event file for TensorBoard, `curves.svg` and `predictions_<step>.png`.
#[derive(Debug)]
pub struct Report {
    folder: PathBuf,
    csv: Appended,
    jsonl: Appended,
    events: Appended,
    rows: Vec<Row>,
}

impl Report {
    /// Starts a report in a folder, which is created if needed. An earlier report is replaced.
    pub fn create(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        for old in event_files(folder)? {
            fs::remove_file(&old).map_err(|e| Error::io(&old, e))?;
        }
        Self::begin(folder, 0, CSV_HEADER.as_bytes(), &[], Vec::new())
    }

    /// Continues a report after `step` steps; later steps are removed. Incomplete last lines are dropped; so is
    /// everything from a damaged line on, with a logged warning.
    pub fn resume(folder: impl AsRef<Path>, step: u64) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        let csv = rows::lines_until(&folder.join("metrics.csv"), 1, step, rows::csv_step)?;
        let jsonl = rows::lines_until(&folder.join("metrics.jsonl"), 0, step, |l| Row::parse(l).map(|r| r.step))?;
        let rows = jsonl.lines().filter_map(Row::parse).collect();
        Self::begin(folder, step, [CSV_HEADER, &csv].concat().as_bytes(), jsonl.as_bytes(), rows)
    }

    fn begin(folder: &Path, step: u64, csv: &[u8], jsonl: &[u8], rows: Vec<Row>) -> Result<Self> {
        let files = event_files(folder)?;
        let mut last = None;
        for path in files {
            let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
            last = Some(Appended::open(&path, &events::until(&bytes, step))?);
        }
        let events = match last {
            Some(events) if events.len > 0 => events,
            // Nothing in it could be read: begun again.
            Some(events) => Appended::open(&events.path.clone(), &events::version(now()))?,
            None => {
                let name = format!("{EVENTS_PREFIX}{:010}{EVENTS_SUFFIX}", now() as u64);
                Appended::open(&folder.join(name), &events::version(now()))?
            }
        };
        let csv = Appended::open(&folder.join("metrics.csv"), csv)?;
        let jsonl = Appended::open(&folder.join("metrics.jsonl"), jsonl)?;
        Ok(Self { folder: folder.into(), csv, jsonl, events, rows })
    }

    /// Adds values of a training step, such as `loss` and `lr`. `step` is the number of steps done.
    pub fn train(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.add(step, Split::Train, values)
    }

    /// Adds validation measures after `step` steps, and syncs the files to disk.
    pub fn validation(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.add(step, Split::Validation, values)?;
        self.csv.sync().and_then(|()| self.jsonl.sync())
    }

    fn add(&mut self, step: u64, split: Split, values: &[(&str, f64)]) -> Result<()> {
        let values = values.iter().map(|&(name, value)| (name.to_string(), value)).collect();
        let row = Row { step, split, values };
        self.csv.append(row.csv().as_bytes())?;
        self.jsonl.append(row.jsonl().as_bytes())?;
        self.events.append(&events::scalars(now(), &row))?;
        self.rows.push(row);
        Ok(())
    }

    /// Writes `curves.svg`: losses, measures and the learning rate over steps.
    pub fn curves(&self) -> Result<()> {
        let path = self.folder.join("curves.svg");
        replace_file(&path, |w| w.write_all(curves::svg(&self.rows).as_bytes())).map_err(|e| Error::io(&path, e))
    }

    /// Writes `predictions_<step>.png`: a row of image, ground truth and prediction for each pair of `data` in
    /// `predicted` (its index and the predicted mask), in the colours of an overlay. Ignored pixels are grey.
    pub fn images(
        &mut self,
        step: u64,
        data: &Dataset,
        read: &infer::OpenOptions,
        labels: &infer::LabelOptions,
        predicted: &[(usize, Mask)],
    ) -> Result<()> {
        if predicted.is_empty() {
            return Ok(());
        }
        let path = self.folder.join(format!("predictions_{step}.png"));
        let grid = images::grid(data, read, labels, predicted)?;
        let png = grid.png().map_err(|e| Error::io(&path, e))?;
        replace_file(&path, |w| w.write_all(&png)).map_err(|e| Error::io(&path, e))?;
        self.events.append(&events::image(now(), step, "predictions", [grid.width, grid.height], &png))
    }
}

/// This crate's event files in a folder, oldest first.
fn event_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        if name.starts_with(EVENTS_PREFIX) && name.ends_with(EVENTS_SUFFIX) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Unix time, seconds.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// A file that is appended to, all or nothing.
#[derive(Debug)]
struct Appended {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Appended {
    /// Replaces the file's contents by `start`.
    fn open(path: &Path, start: &[u8]) -> Result<Self> {
        let io = |e| Error::io(path, e);
        replace_file(path, |w| w.write_all(start)).map_err(io)?;
        let file = OpenOptions::new().append(true).open(path).map_err(io)?;
        Ok(Self { path: path.into(), file, len: start.len() as u64 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(e) = self.file.write_all(bytes) {
            // A partial record would spoil the following ones. If truncation fails too, reading drops it.
            let _ = self.file.set_len(self.len);
            return Err(Error::io(&self.path, e));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }
}

#[cfg(test)]
mod tests;
