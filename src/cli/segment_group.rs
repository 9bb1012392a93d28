//! Images of `unet segment` from opening to their report, alone or several in a batch.

use super::scale::{ScaleArgs, brief};
use super::{Common, hints, instances, output};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;
use unet_wgpu::low_level::infer::{
    BandSink, Coordinates, ImageSource, ImageTask, InstanceOptions, InstanceReport, OpenOptions, ResultSink, Scale,
    SegmentOptions, Segmenter, Streamed, Writer, calibration_of, check_channels, open_image,
};
use unet_wgpu::low_level::weights::TrainedScale;
use unet_wgpu::{Error, Message, Result};

/// Queued images that are decoded whole take at most the memory divided by this.
const QUEUE_SHARE: u64 = 4;

/// A kind of result.
pub(super) type Save = &'static dyn Writer;

/// One image of a file, and where its results go.
pub(super) struct Job<'a> {
    pub input: &'a Path,
    pub page: usize,
    pub outputs: Vec<(Save, PathBuf)>,
}

/// How images are segmented.
pub(super) struct Work<'a> {
    pub read: OpenOptions,
    /// Channels that the network takes.
    pub network: usize,
    pub instances: &'a InstanceOptions,
    /// Whether overlays show single instances.
    pub overlay: bool,
    pub coordinates: Coordinates,
    /// Limit in bytes, instances included.
    pub memory: u64,
    /// Whether reports name the page.
    pub pages: bool,
    pub level: usize,
    /// How large the model sees what images show.
    pub scale: &'a ScaleArgs,
    /// The scale that the model was trained at.
    pub trained: Option<TrainedScale>,
    pub options: SegmentOptions,
}

/// A queued image.
pub(super) struct OpenJob<'a> {
    job: &'a Job<'a>,
    /// Its number among all images, from 1.
    number: usize,
    source: Box<dyn ImageSource>,
    sinks: Vec<Box<dyn BandSink>>,
    instances: Option<Box<dyn Fn() -> Option<InstanceReport>>>,
    /// Micrometres, where they are known.
    pixel: Option<[f64; 2]>,
    scale: Scale,
    /// Milliseconds that opening took.
    opening: f64,
}

impl OpenJob<'_> {
    /// Whether it can run in a batch with the queued images.
    pub(super) fn joins(&self, group: &[OpenJob], memory: u64) -> bool {
        let held: u64 = group.iter().chain([self]).map(|o| o.source.held_bytes()).sum();
        let alike = |first: &OpenJob| first.source.info() == self.source.info() && first.scale == self.scale;
        group.first().is_none_or(|first| alike(first) && held <= memory / QUEUE_SHARE)
    }
}

/// Prints results, notes and failures.
pub(super) struct Reporter<'a> {
    pub common: &'a Common,
    pub device: String,
    pub model: String,
    /// Whether there is more than one image.
    pub several: bool,
    /// Images that failed.
    pub failed: usize,
    /// Notes printed so far, each of which is printed once.
    pub notes: BTreeSet<String>,
}

impl Reporter<'_> {
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
    pub(super) fn failed(&mut self, input: &Path, e: Error) -> Result<()> {
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
}

impl Work<'_> {
    pub(super) fn open<'a>(&self, job: &'a Job<'a>, number: usize) -> Result<OpenJob<'a>> {
        let start = Instant::now();
        let open = OpenOptions { page: job.page, level: self.level, memory: Some(self.memory), ..self.read.clone() };
        let source = open_image(job.input, &open)?;
        check_channels(job.input, &*source, self.network)?;
        let calibration = calibration_of(job.input, &open, self.scale.pixel_size)?;
        let pixel = calibration.pixel.as_ref().map(|p| [p.x, p.y].map(short));
        let scale = self.scale.of(pixel, self.trained);
        let created = job.outputs.iter().map(|(save, path)| Ok((*save, path, save.sink(path.into(), &calibration)?)));
        let created: Vec<_> = created.collect::<Result<_>>()?;
        let (mut sinks, mut files, mut overlay) = (Vec::new(), Vec::new(), None);
        for (save, path, sink) in created {
            match sink {
                ResultSink::Instances(writer) => files.push((writer, path.clone())),
                ResultSink::Rows(_) if self.overlay && save.shows_instances() => overlay = Some(path),
                ResultSink::Rows(sink) => sinks.push(sink),
            }
        }
        let mut opened = OpenJob { job, number, source, sinks, instances: None, pixel, scale, opening: 0.0 };
        if !files.is_empty() || overlay.is_some() {
            // Temporary files lie beside results.
            let result = files.first().map(|f| &f.1).or(overlay);
            let folder = result.and_then(|f| f.parent()).filter(|p| !p.as_os_str().is_empty());
            // A missing folder `labels` is not made for them.
            let in_folder = files.first().is_some_and(|f| f.0.is_folder());
            let folder =
                folder.and_then(|f| f.ancestors().find(|f| !in_folder || f.is_dir())).unwrap_or(Path::new("."));
            let options = self.instances.clone().with_scratch(folder.to_path_buf());
            let sink = instances::sink(options, job.input, files, (calibration, self.coordinates))?;
            let mut sink = sink.with_page(job.page);
            if let Some(path) = overlay {
                sink = sink.with_overlay(path);
            }
            opened.instances = Some(Box::new(sink.report()));
            opened.sinks.push(Box::new(sink));
        }
        opened.opening = output::ms(start);
        Ok(opened)
    }

    /// Segments the queued images as a batch and reports each.
    pub(super) fn run_queued(
        &self,
        segmenter: &mut Segmenter,
        group: &mut Vec<OpenJob>,
        of: usize,
        reporter: &mut Reporter,
    ) -> Result<()> {
        let mut group = std::mem::take(group);
        let (Some(first), count) = (group.first(), group.len()) else { return Ok(()) };
        let start = Instant::now();
        let bar = progress_bar(reporter.common, first.job.input, first.number, of);
        // A quarter of the memory is for instances.
        let memory = if first.instances.is_some() { self.memory - self.memory / 4 } else { self.memory };
        let options = self.options.clone().with_memory(memory).with_scale(first.scale);
        let tasks = group.iter_mut().map(|o| ImageTask { source: &mut *o.source, sinks: std::mem::take(&mut o.sinks) });
        let results = segmenter.segment_several(tasks.collect(), &options, |done| {
            bar.set_position((done * 1000.0) as u64);
            Ok(())
        });
        bar.finish_and_clear();
        let ms = output::ms(start) / count as f64;
        for (opened, result) in group.into_iter().zip(results) {
            let (input, ms) = (opened.job.input, opened.opening + ms);
            let result = result.map_err(|e| about(input, e));
            if let Err(e) = result.and_then(|r| self.report(reporter, segmenter, opened, &r, ms)) {
                reporter.failed(input, e)?;
            }
        }
        Ok(())
    }

    fn report(
        &self,
        reporter: &mut Reporter,
        segmenter: &Segmenter,
        opened: OpenJob,
        result: &Streamed,
        ms: f64,
    ) -> Result<()> {
        let Job { input, page, outputs } = opened.job;
        reporter.notes(input, &result.notes);
        if let (Scale::PixelSize(_), Some(size)) = (opened.scale, self.trained.and_then(|t| t.pixel_size)) {
            reporter.resized(size);
        }
        let pixel = opened.pixel;
        let instances = opened.instances.and_then(|found| found());
        let shares = class_shares(segmenter.classes(), result);
        let (width, height) = (result.image.width, result.image.height);
        if !reporter.common.json {
            let classes: Vec<String> = shares.iter().map(|(name, s)| format!("{name} {:.1} %", s * 100.0)).collect();
            let files: Vec<String> = outputs.iter().map(|(_, p)| p.display().to_string()).collect();
            let [rows, columns] = result.tiles;
            let tiles = if rows * columns == 1 { String::new() } else { format!(", {rows}x{columns} tiles") };
            let batch = if result.batch == 1 { String::new() } else { format!(", {} at once", result.batch) };
            let scale = scale_text(opened.scale, result);
            let fallback = if result.fallback.is_some() { ", in f32 after f16 overflowed" } else { "" };
            let found = instances.as_ref().map_or(String::new(), |o| format!("; {} instances", o.count));
            let page = if self.pages { format!(", page {page}") } else { String::new() };
            return output::line_if_read(&format!(
                "{}{page}: {width}x{height}{scale}{tiles}{batch}, {:.2} s{fallback}; {}{found}; wrote {}",
                input.display(),
                ms / 1e3,
                classes.join(", "),
                files.join(", ")
            ));
        }
        let key = |s: Save| if s.is_folder() { s.name() } else { s.suffix() };
        let named = |(s, p): &(Save, PathBuf)| (key(*s).to_string(), json!(p.to_string_lossy()));
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
            "objects": instances.as_ref().map(|o| o.count),
            "objects_left_whole": instances.as_ref().map(|o| &o.left_whole),
            "objects_by": instances.as_ref().map(|_| self.instances.to_string()),
            "precision": result.precision.name(),
            "fallback": result.fallback,
            "tiles": result.tiles,
            "tile": result.tile,
            "batch": result.batch,
            "notes": result.notes.iter().map(hints::text).collect::<Vec<_>>(),
            "ms": ms,
            "device_bytes": segmenter.device_bytes(),
            "device": reporter.device,
            "model": reporter.model,
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

/// A number to 9 significant digits, without the noise of binary fractions.
pub(super) fn short(v: f64) -> f64 {
    format!("{v:.8e}").parse().unwrap_or(v)
}

/// Share of the image's pixels of every class.
fn class_shares(classes: Vec<String>, result: &Streamed) -> Vec<(String, f64)> {
    let total: u64 = result.class_pixels.iter().sum();
    let share = |count: &u64| *count as f64 / total.max(1) as f64;
    classes.into_iter().zip(result.class_pixels.iter().map(share)).collect()
}

/// Adds the image's path to an error that does not name it.
pub(super) fn about(input: &Path, e: Error) -> Error {
    match e {
        Error::Io { .. } | Error::File { .. } | Error::Cancelled | Error::DeviceLost(_) => e,
        e => Error::file(input, e.message()),
    }
}

pub(super) fn progress_bar(common: &Common, input: &Path, number: usize, of: usize) -> ProgressBar {
    if common.quiet {
        return ProgressBar::hidden();
    }
    // Hidden by itself where stderr is not a terminal.
    let bar = ProgressBar::new(1000);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} % {elapsed} (about {eta} left)");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    bar.set_message(if of > 1 { format!("{number}/{of} {name}") } else { name.into_owned() });
    bar
}
