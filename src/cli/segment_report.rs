//! What `unet segment` prints of each image, in the order of the images, whichever is done first.

use super::scale::brief;
use super::segment_jobs::{Job, Save};
use super::{Common, hints, output};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use unet_wgpu::low_level::infer::{InstanceReport, Scale, Streamed};
use unet_wgpu::{Error, Message, Result};

/// An image that is done with, one way or another.
pub(super) enum Report<'a> {
    /// Its results exist.
    Skipped(&'a Path),
    Failed(&'a Path, Error),
    /// Another page failed, without which there is no stack.
    LeftOut(&'a Job<'a>, usize),
    Done(Box<Done<'a>>),
}

/// An image whose results are written.
pub(super) struct Done<'a> {
    pub job: &'a Job<'a>,
    /// Micrometres, where they are known.
    pub pixel: Option<[f64; 2]>,
    pub scale: Scale,
    pub instances: Option<InstanceReport>,
    pub result: Streamed,
    /// Milliseconds that it took.
    pub ms: f64,
    pub device_bytes: u64,
}

/// Prints results, notes and failures.
pub(super) struct Reporter<'a> {
    pub common: &'a Common,
    pub device: String,
    pub model: String,
    pub classes: Vec<String>,
    /// How instances are found.
    pub method: String,
    /// The pixel size that the model was trained at, micrometres.
    pub trained: Option<f64>,
    /// Whether reports name the page.
    pub pages: bool,
    pub level: usize,
    /// Whether there is more than one image.
    pub several: bool,
    /// Images that failed.
    pub failed: usize,
    /// Notes printed so far, each of which is printed once.
    pub notes: BTreeSet<String>,
}

/// Reports from several threads: each is printed once those before it are.
pub(super) struct Reports<'a>(Mutex<Turns<'a>>);

struct Turns<'a> {
    reporter: Reporter<'a>,
    next: usize,
    waiting: BTreeMap<usize, Report<'a>>,
    /// What ends the run.
    end: Option<Error>,
    bar: ProgressBar,
}

impl<'a> Reports<'a> {
    pub(super) fn new(reporter: Reporter<'a>) -> Self {
        let (waiting, bar) = (BTreeMap::new(), ProgressBar::hidden());
        Self(Mutex::new(Turns { reporter, next: 0, waiting, end: None, bar }))
    }

    fn turns(&self) -> MutexGuard<'_, Turns<'a>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the report whose turn this is, and those that have waited for it.
    pub(super) fn submit(&self, turn: usize, report: Report<'a>) {
        let mut turns = self.turns();
        turns.waiting.insert(turn, report);
        let Turns { reporter, next, waiting, end, bar } = &mut *turns;
        while let Some(report) = waiting.remove(next) {
            *next += 1;
            if end.is_none() {
                *end = bar.suspend(|| reporter.print(report)).err();
            }
        }
    }

    /// The bar that is drawn meanwhile.
    pub(super) fn draw(&self, bar: &ProgressBar) {
        self.turns().bar = bar.clone();
    }

    /// Whether something has happened that ends the run.
    pub(super) fn ended(&self) -> bool {
        self.turns().end.is_some()
    }

    /// How many images failed; or what ended the run.
    pub(super) fn finish(self) -> Result<usize> {
        let Turns { reporter, end, .. } = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        end.map_or(Ok(reporter.failed), Err)
    }
}

impl Reporter<'_> {
    fn print(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Skipped(input) if self.common.json => {
                let line = json!({ "input": input.to_string_lossy(), "skipped": true });
                output::line_if_read(&line.to_string())
            }
            Report::Skipped(_) => Ok(()),
            Report::Failed(input, e) => self.failed(input, e),
            Report::LeftOut(job, first) => self.left_out(job, first),
            Report::Done(done) => self.done(&done).or_else(|e| self.failed(done.job.input, e)),
        }
    }

    /// Prints notes on how an image was read, each once.
    fn notes(&mut self, input: &Path, notes: &[Message]) {
        for note in notes.iter().map(hints::text) {
            if self.notes.insert(note.clone()) {
                let once = if self.several { " (reported once)" } else { "" };
                self.common.note(&format!("{}: {note}{once}", input.display()));
            }
        }
    }

    /// Says once that images are resized to the model's pixel size, micrometres.
    fn resized(&mut self, size: f64) {
        let note =
            format!("images are resized to the model's pixel size of {size} um (--scale 1 leaves them as they are)");
        if self.notes.insert(note.clone()) {
            self.common.note(&note);
        }
    }

    /// One bad image must not stop the rest; a lost device or output would fail them all.
    fn failed(&mut self, input: &Path, e: Error) -> Result<()> {
        match e {
            Error::DeviceLost(_) | Error::Cancelled => return Err(e),
            Error::Io { path, source } if output::is_stdout(&path) => return Err(Error::Io { path, source }),
            e if !self.several => return Err(e),
            e => {
                self.failed += 1;
                let reason = hints::error_text(&e);
                output::error(&reason);
                if self.common.json {
                    let line = json!({ "input": input.to_string_lossy(), "error": reason });
                    output::line_if_read(&line.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// The other pages of a stack are reported once.
    fn left_out(&mut self, job: &Job, first: usize) -> Result<()> {
        self.failed += 1;
        let reason = format!("{}: no stack is written, since page {first} failed", job.input.display());
        if self.notes.insert(reason.clone()) {
            output::error(&reason);
        }
        if self.common.json {
            let line = json!({ "input": job.input.to_string_lossy(), "page": job.page, "error": reason });
            output::line_if_read(&line.to_string())?;
        }
        Ok(())
    }

    fn done(&mut self, done: &Done) -> Result<()> {
        let Done { job, pixel, scale, instances, result, ms, device_bytes } = done;
        let Job { input, page, .. } = job;
        let outputs = job.written();
        self.notes(input, &result.notes);
        if let (Scale::PixelSize(_), Some(size)) = (scale, self.trained) {
            self.resized(size);
        }
        let shares = class_shares(&self.classes, result);
        let (width, height) = (result.image.width, result.image.height);
        if !self.common.json {
            let classes: Vec<String> = shares.iter().map(|(name, s)| format!("{name} {:.1} %", s * 100.0)).collect();
            let files: Vec<String> = outputs.iter().map(|(_, p)| p.display().to_string()).collect();
            let [rows, columns] = result.tiles;
            let tiles = if rows * columns == 1 { String::new() } else { format!(", {rows}x{columns} tiles") };
            let batch = if result.batch == 1 { String::new() } else { format!(", {} at once", result.batch) };
            let scale = scale_text(*scale, result);
            let fallback = if result.fallback.is_some() { ", in f32 after f16 overflowed" } else { "" };
            let found = instances.as_ref().map_or(String::new(), |o| format!("; {} instances", o.count));
            let page = if self.pages { format!(", page {page}") } else { String::new() };
            let wrote = if files.is_empty() { String::new() } else { format!("; wrote {}", files.join(", ")) };
            return output::line_if_read(&format!(
                "{}{page}: {width}x{height}{scale}{tiles}{batch}, {:.2} s{fallback}; {}{found}{wrote}",
                input.display(),
                ms / 1e3,
                classes.join(", "),
            ));
        }
        let named = |(s, p): &(Save, &Path)| {
            let key = if s.is_folder() { s.name() } else { s.suffix() };
            (key.to_string(), json!(p.to_string_lossy()))
        };
        let line = json!({
            // Serialising a path that is not UTF-8 would panic.
            "input": input.to_string_lossy(),
            "page": page,
            "level": self.level,
            "pixel_size_um": pixel,
            "scale": result.scale,
            "diameter": result.diameter,
            "width": width,
            "height": height,
            "outputs": outputs.iter().map(named).collect::<serde_json::Map<String, Value>>(),
            "classes": shares.iter().map(|(n, s)| (n.clone(), json!(s))).collect::<serde_json::Map<String, Value>>(),
            "instances": instances.as_ref().map(|o| o.count),
            "instances_left_whole": instances.as_ref().map(|o| &o.left_whole),
            "instances_by": instances.as_ref().map(|_| &self.method),
            "precision": result.precision.name(),
            "fallback": result.fallback,
            "tiles": result.tiles,
            "tile": result.tile,
            "batch": result.batch,
            "notes": result.notes.iter().map(hints::text).collect::<Vec<_>>(),
            "ms": ms,
            "device_bytes": device_bytes,
            "device": self.device,
            "model": self.model,
        });
        output::line_if_read(&line.to_string())
    }
}

/// How an image was resized, for its line.
fn scale_text(scale: Scale, result: &Streamed) -> String {
    let [x, y] = result.scale.map(brief);
    let factor = match (x == y, result.scale == [1.0; 2]) {
        (_, true) if scale != Scale::AutoDiameter => return String::new(),
        (true, _) => format!(", scale {x}"),
        (false, _) => format!(", scale {x} x {y}"),
    };
    match (scale, result.diameter) {
        (Scale::AutoDiameter, Some(d)) => format!("{factor} (median diameter {} in a first pass)", brief(d)),
        (Scale::AutoDiameter, None) => format!("{factor} (no instances in a first pass)"),
        _ => factor,
    }
}

/// Share of the image's pixels of every class.
fn class_shares(classes: &[String], result: &Streamed) -> Vec<(String, f64)> {
    let total: u64 = result.class_pixels.iter().sum();
    let share = |count: &u64| *count as f64 / total.max(1) as f64;
    classes.iter().cloned().zip(result.class_pixels.iter().map(share)).collect()
}
