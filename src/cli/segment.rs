//! `unet segment`

use super::objects::ObjectArgs;
use super::{Common, output};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::infer::{
    BandInfo, Ensemble, Ids, ObjectFile, ObjectReport, Picture, ProbabilityFormat, SegmentOptions, Segmentation,
    Segmenter, Tta, check_distinct, check_writable, expand_inputs, feed, output_path, write_mask, write_overlay,
    write_probabilities,
};
use unet_wgpu::model::Model;
use unet_wgpu::weights::builtin;

/// Segment pictures: write a mask and an overlay of each
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet segment cells.png                         writes cells_mask.png and cells_overlay.png beside it
  unet segment scans/ -o results                 every picture of a folder
  unet segment 'day1/*.tif' -m nuclei-unet++ -o results --save mask,prob
  unet segment cells.png -m my_model.safetensors -o cells_mask.png
  unet segment cells.png -m first.safetensors -m second.safetensors --tta d4
                                                 the mean of two models over eight orientations
  unet segment cells.tif --save labels,geojson,csv --instances watershed --min-area 20
                                                 single objects: numbers, outlines for QuPath, a table
  unet segment scans/ -o results --skip-existing --json >> log.jsonl
                                                 goes on where an earlier run stopped

Pictures: PNG, JPEG, TIFF; 8 and 16 bit and 32-bit float; grey and RGB; any size. Large ones are cut into tiles whose
joined result equals one run on the whole picture.

Objects are numbered from 1 on in the order of their first pixels, row by row, the same in all files. Outlines (geojson, coco,
rois) run along the edges of pixels; the centre of pixel (0, 0) is at (0.5, 0.5) there, and at (0, 0) in the table. With --json
every picture is one line on stdout as soon as it is done.")]
pub struct Segment {
    /// Pictures, folders of pictures, or patterns such as 'day1/*.tif'
    #[arg(required = true, value_name = "IMAGE|DIR|GLOB")]
    inputs: Vec<String>,
    /// Built-in model (`unet inspect` lists them) or a checkpoint file; given several times, their probabilities are
    /// averaged
    #[arg(short, long, default_value = builtin::DEFAULT)]
    model: Vec<String>,
    /// Average the probabilities over orientations of the picture
    #[arg(long, value_enum, default_value = "none", value_name = "WHICH")]
    tta: Orientations,
    /// Where results go: a folder, or the mask's .png for a single picture [default: beside each picture]
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// What to write
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["mask", "overlay"], value_name = "KIND")]
    save: Vec<Save>,
    /// Device memory to stay under; larger pictures are cut into smaller tiles
    #[arg(long, default_value = "2G", value_parser = memory, value_name = "SIZE")]
    memory: u64,
    /// Largest tile edge, pixels [default: as large as fits]
    #[arg(long, value_name = "N")]
    tile: Option<usize>,
    /// The same bits whatever the tiles, with slower kernels; without it results differ in rounding (about 1e-6 in f32) near
    /// the edges of tiles
    #[arg(long)]
    exact: bool,
    /// Pass over pictures whose results all exist; files are there whole or not at all, so this resumes a run
    #[arg(long)]
    skip_existing: bool,
    #[command(flatten)]
    objects: ObjectArgs,
}

/// Test-time augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Orientations {
    /// The picture as it is
    None,
    /// Mirrored left to right, top to bottom, and both: 4 runs
    Flips,
    /// Those, and each turned by 90 degrees: 8 runs
    D4,
}

/// A kind of result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Save {
    /// Class ids as PNG: black and white for two classes, a palette for more
    Mask,
    /// The picture with the mask drawn over it
    Overlay,
    /// Probabilities as 32-bit float TIFF, a page per class
    Prob,
    /// The number of every pixel's object: 16-bit TIFF, 32-bit for more than 65,535 objects
    Labels,
    /// Outlines of objects as GeoJSON for QuPath
    Geojson,
    /// Outlines of objects as COCO annotations
    Coco,
    /// Outlines of objects as ImageJ's ROI archive
    Rois,
    /// A table of objects: class, area, centroid, bounding box, perimeter, eccentricity, mean of every channel
    Csv,
}

impl Save {
    fn object(self) -> Option<ObjectFile> {
        match self {
            Self::Mask | Self::Overlay | Self::Prob => None,
            Self::Labels => Some(ObjectFile::Labels),
            Self::Geojson => Some(ObjectFile::GeoJson),
            Self::Coco => Some(ObjectFile::Coco),
            Self::Rois => Some(ObjectFile::Rois),
            Self::Csv => Some(ObjectFile::Table),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Overlay => "overlay",
            Self::Prob => "prob",
            other => other.object().map_or("", |o| o.name().0),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Mask | Self::Overlay => "png",
            Self::Prob => ProbabilityFormat::Tiff.extension(),
            other => other.object().map_or("", |o| o.name().1),
        }
    }
}

/// `2G`, `512M`, `1.5GiB`, `1000000`.
pub(super) fn memory(text: &str) -> std::result::Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let shift = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        unit => return Err(format!("unknown unit `{unit}`; write for example 512M or 2G")),
    };
    let number: f64 = text[..digits].parse().map_err(|_| "not a number; write for example 512M or 2G".to_string())?;
    match number * (1u64 << shift) as f64 {
        bytes if bytes >= 1.0 && bytes < u64::MAX as f64 => Ok(bytes as u64),
        _ => Err("must be at least one byte".into()),
    }
}

impl Segment {
    pub fn run(&self, common: &Common) -> Result<ExitCode> {
        let inputs = expand_inputs(&self.inputs)?;
        let mut save: Vec<Save> = Vec::new();
        self.save.iter().for_each(|s| {
            if !save.contains(s) {
                save.push(*s)
            }
        });
        let several = inputs.len() > 1 || Path::new(&self.inputs[0]).is_dir();
        let mut outputs = Vec::new();
        for input in &inputs {
            let path = |s: &Save| output_path(self.out.as_deref(), input, s.name(), s.extension(), several);
            outputs.push(save.iter().map(path).collect::<Result<Vec<_>>>()?);
        }
        check_distinct(&outputs.concat(), &inputs)?;
        outputs.iter().flatten().try_for_each(check_writable)?;
        let models = self.model.iter().map(|m| Model::open(m)).collect::<Result<Vec<_>>>()?;
        let ensemble = Ensemble::new(models)?.with_tta(match self.tta {
            Orientations::None => Tta::None,
            Orientations::Flips => Tta::Flips,
            Orientations::D4 => Tta::D4,
        });
        let backend = common.backend()?;
        let device = backend.describe();
        let mut segmenter = Segmenter::new(backend, ensemble);
        let (mut failed, mut skipped) = (0, 0);
        for (i, (input, outputs)) in inputs.iter().zip(&outputs).enumerate() {
            if self.skip_existing && outputs.iter().all(|p| p.is_file()) {
                skipped += 1;
                if common.json {
                    output::line_if_read(&json!({ "input": input.to_string_lossy(), "skipped": true }).to_string())?;
                }
                continue;
            }
            let files: Vec<(Save, &PathBuf)> = save.iter().copied().zip(outputs).collect();
            match self.one(common, &mut segmenter, input, &files, (i + 1, inputs.len())) {
                Ok(mut result) => {
                    result["device"] = device.clone().into();
                    result["model"] = self.model.join(" + ").into();
                    if common.json {
                        output::line_if_read(&result.to_string())?;
                    }
                }
                // One bad picture must not stop the rest; a lost device or output would fail them all.
                Err(e @ (Error::DeviceLost(_) | Error::Cancelled)) => return Err(e),
                Err(Error::Io { path, source }) if output::is_stdout(&path) => return Err(Error::Io { path, source }),
                Err(e) if inputs.len() > 1 => {
                    failed += 1;
                    output::error(&e.to_string());
                    if common.json {
                        let line = json!({ "input": input.to_string_lossy(), "error": e.to_string() });
                        output::line_if_read(&line.to_string())?;
                    }
                }
                Err(e) => return Err(e),
            }
        }
        if skipped > 0 {
            common.note(&format!("{skipped} of {} pictures were skipped: their results exist", inputs.len()));
        }
        if failed > 0 {
            output::error(&format!("{failed} of {} pictures failed", inputs.len()));
        }
        Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn one(
        &self,
        common: &Common,
        segmenter: &mut Segmenter,
        input: &Path,
        outputs: &[(Save, &PathBuf)],
        (number, of): (usize, usize),
    ) -> Result<Value> {
        let start = Instant::now();
        let picture = Picture::open(input)?;
        let options = SegmentOptions {
            probabilities: self.save.contains(&Save::Prob),
            tile: self.tile,
            memory: self.memory,
            exact: self.exact,
            ..Default::default()
        };
        let bar = progress_bar(common, input, number, of);
        let about = |e| about(input, e);
        let result = segmenter.segment(&picture, &options, |done| {
            bar.set_position((done * 1000.0) as u64);
            Ok(())
        });
        bar.finish_and_clear();
        let result = result.map_err(about)?;
        for (save, path) in outputs {
            write(*save, path, &picture, &result)?;
        }
        let objects = self.objects_of(segmenter.model(), input, outputs, &picture, &result).map_err(about)?;
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let shares = class_shares(segmenter.model(), &result);
        if !common.json {
            let classes: Vec<String> = shares.iter().map(|(name, s)| format!("{name} {:.1} %", s * 100.0)).collect();
            let files: Vec<String> = outputs.iter().map(|(_, p)| p.display().to_string()).collect();
            let [rows, columns] = result.tiles;
            let tiles = if rows * columns == 1 { String::new() } else { format!(", {rows}x{columns} tiles") };
            let fallback = if result.fallback.is_some() { ", in f32 after f16 overflowed" } else { "" };
            let found = objects.as_ref().map_or(String::new(), |o| format!("; {} objects", o.count));
            output::line_if_read(&format!(
                "{}: {}x{}{tiles}, {:.2} s{fallback}; {}{found}; wrote {}",
                input.display(),
                picture.width(),
                picture.height(),
                ms / 1e3,
                classes.join(", "),
                files.join(", ")
            ))?;
        }
        Ok(json!({
            // Names that are no text would panic as paths.
            "input": input.to_string_lossy(),
            "width": picture.width(),
            "height": picture.height(),
            "outputs": outputs.iter().map(|(s, p)| (s.name().to_string(), json!(p.to_string_lossy()))).collect::<serde_json::Map<String, Value>>(),
            "classes": shares.iter().map(|(n, s)| (n.clone(), json!(s))).collect::<serde_json::Map<String, Value>>(),
            "objects": objects.as_ref().map(|o| o.count),
            "objects_left_whole": objects.map(|o| o.left_whole),
            "precision": result.precision.name(),
            "fallback": result.fallback,
            "tiles": result.tiles,
            "tile": result.tile,
            "ms": ms,
            "device_bytes": segmenter.device_bytes(),
        }))
    }

    /// Finds the objects of a picture and writes their files; `None` if none are wanted.
    fn objects_of(
        &self,
        model: &Model,
        input: &Path,
        outputs: &[(Save, &PathBuf)],
        picture: &Picture,
        result: &Segmentation,
    ) -> Result<Option<ObjectReport>> {
        let files: Vec<_> = outputs.iter().filter_map(|(s, p)| Some((s.object()?, p.to_path_buf()))).collect();
        if files.is_empty() {
            return Ok(None);
        }
        let sink = self.objects.sink(input, files, self.memory / 4);
        let report = sink.report();
        let info = BandInfo {
            width: picture.width(),
            height: picture.height(),
            channels: picture.channels(),
            classes: model.classes(),
            planes: model.architecture.out_channels(),
            contrast: None,
        };
        feed(Box::new(sink), &info, &result.mask, None, Some(picture), 256)?;
        Ok(report())
    }
}

/// Says which picture an error is about, where the error does not.
pub(super) fn about(input: &Path, e: Error) -> Error {
    match e {
        Error::Io { .. } | Error::File { .. } | Error::Cancelled | Error::DeviceLost(_) => e,
        e => Error::file(input, e.to_string()),
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

fn write(save: Save, path: &Path, picture: &Picture, result: &Segmentation) -> Result<()> {
    match save {
        Save::Mask => write_mask(path, &result.mask),
        Save::Overlay => write_overlay(path, picture, &result.mask),
        Save::Prob => {
            let planes = result.probabilities.as_deref().unwrap_or_default();
            write_probabilities(path, ProbabilityFormat::Tiff, picture.width(), picture.height(), planes)
        }
        // Those of objects are written together.
        Save::Labels | Save::Geojson | Save::Coco | Save::Rois | Save::Csv => Ok(()),
    }
}

/// Share of the picture's pixels of every class.
fn class_shares(model: &Model, result: &Segmentation) -> Vec<(String, f64)> {
    let names = model.classes();
    let mut counts = vec![0u64; names.len()];
    match result.mask.ids() {
        Ids::U8(ids) => ids.iter().for_each(|&i| counts[usize::from(i)] += 1),
        Ids::U16(ids) => ids.iter().for_each(|&i| counts[usize::from(i)] += 1),
    }
    let total: u64 = counts.iter().sum();
    names.into_iter().zip(counts).map(|(n, c)| (n, c as f64 / total.max(1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::memory;

    #[test]
    fn memory_sizes() {
        assert_eq!(memory("2G"), Ok(2 << 30));
        assert_eq!(memory("1.5GiB"), Ok(3 << 29));
        assert_eq!(memory("512m"), Ok(512 << 20));
        assert_eq!(memory("1000"), Ok(1000));
        for bad in ["", "G", "2T", "-1", "0"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }
}
