//! `unet segment`

use super::instances::{self, InstanceArgs};
use super::models::SetArgs;
use super::reading::ReadArgs;
use super::scale::ScaleArgs;
use super::segment_group::{OpenJob, Work};
use super::segment_jobs::{self, Job, Naming, Save};
use super::segment_pipeline::Pipeline;
use super::segment_report::{Reporter, Reports};
use super::shard::{Shard, shard};
use super::{Common, output, values};
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use unet_wgpu::Result;
use unet_wgpu::low_level::infer::{
    Blend, Coordinates, Ensemble, PageChoice, SegmentOptions, Segmenter, Tta, expand_inputs_and_skipped,
};
use unet_wgpu::low_level::weights::{InstanceTarget, ModelMetadata, Normalisation, builtin};

/// Segment images: write a mask and an overlay of each
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet segment cells.png                         writes cells_mask.png and cells_overlay.png beside it
  unet segment scans/ -o results                 every image of a folder
  unet segment 'day1/*.tif' -m nuclei-unet++ -o results --save mask,prob
  unet segment cells.png -m my_model.safetensors -o cells_mask.png
  unet segment cells.png -m first.safetensors -m second.safetensors --tta d4
                                                 the mean of two models over eight orientations
  unet segment cells.png -m nuclei-unet++ -m nuclei-unet3+
                                                 of two built-in models; all of an ensemble must predict the same kind
  unet segment cells.tif --save labels,geojson,csv
                                                 single instances: numbers, outlines for QuPath, a table
  unet segment cells.tif -m my_model.safetensors --save labels --instances watershed --min-area 20,10%
                                                 instead of the settings in the model's file
  unet segment scans/ -o results --batch 8       eight images of one size at a time
  unet segment scans/ -o results --skip-existing --json >> log.jsonl
                                                 resumes a run
  unet segment scans/ -o results --shard 2/8 --skip-existing
                                                 the second of eight processes, on this machine or another

  unet segment slide.ome.tif --channels 2,0 --page all -o results --memory 1G
                                                 two dyes of every plane; a TIFF is never in memory as a whole
  unet segment stack.tif --page stack --save labels
                                                 stack_labels.tif with as many pages, which ImageJ and napari open as a stack
  unet segment large_nuclei.tif --diameter auto --save labels,csv
                                                 resized so that instances are as large as those that the model was trained on
  unet segment slide.svs --level 1 --save labels,csv
                                                 a pyramid's first smaller copy; sizes in micrometres if the file gives them
  unet segment plate.ome.zarr --save ome-zarr    labels into the folder `labels` of every image of the plate
  unet segment field.tif --save geojson --coordinates world
                                                 outlines in the coordinates of a GeoTIFF, for QGIS
  unet segment bands.tif --pages-as-channels -m field.onnx
                                                 every page is a channel of one image

Images: PNG, JPEG, WebP, BMP, GIF, PNM, JPEG 2000, TIFF and BigTIFF (integers and floats of any size, strips and tiles;
OME-TIFF and ImageJ stacks), NPY (8 and 16 bit, 32-bit float), OME-Zarr (images, plates, wells); grey, RGB, any number of
channels; any size. RGB becomes grey by luminance, grey becomes RGB by repetition; any other mismatch between a file's channels and the network's is an error unless
--channels selects channels. Large images are cut into tiles; the joined result equals one run on the whole image. TIFF,
NPY and OME-Zarr are read in windows and results are written in strips; other formats are decoded into memory first.

The model's file says how instances are found; options override it. Instances are numbered from 1 in the order of their first
pixels, row by row, alike in all files. Outlines (geojson, coco, rois) run along pixel edges; the centre of pixel (0, 0) is at
(0.5, 0.5) there, and at (0, 0) in the table. With --json each image is one line on stdout as soon as it is done.")]
pub(super) struct Segment {
    /// Images, folders of images, or patterns such as 'day1/*.tif'
    #[arg(required = true, value_name = "IMAGE|DIR|GLOB")]
    inputs: Vec<String>,
    /// Built-in model (`unet inspect` lists them) or a checkpoint file; given several times, their probabilities are
    /// averaged
    #[arg(short, long, default_value = builtin::DEFAULT)]
    model: Vec<String>,
    #[command(flatten)]
    set: SetArgs,
    /// Average the probabilities over orientations of the image
    #[arg(long, value_parser = values::named::<Tta>(), default_value = "none", value_name = "WHICH")]
    tta: Tta,
    /// Where results go: a folder, or the mask's .png or .tif for a single image [default: beside each image]
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// What to write
    #[arg(long, value_parser = values::writer(), value_delimiter = ',', default_values = ["mask", "overlay"], value_name = "KIND")]
    save: Vec<Save>,
    /// What overlays show: single instances, each in its own colour, or classes [default: instances where the model's file or an
    /// option says how they are found, or where their files are written; else classes]
    #[arg(long, value_name = "WHAT")]
    overlay: Option<Overlay>,
    /// Limit of memory on the device plus that of images and results on the host; larger images are cut into smaller tiles
    #[arg(long, default_value = "2G", value_parser = memory, value_name = "SIZE")]
    memory: u64,
    /// Largest tile edge, pixels [default: as large as fits]
    #[arg(long, value_name = "N")]
    tile: Option<usize>,
    /// Tiles per run of the network, also from several images of one size, for GPUs that one tile does not fill. Results
    /// are the same; the batch shrinks where memory does not suffice
    #[arg(long, default_value = "1", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Deterministic tiling: the same bits for any tile size, with slower kernels; without it results differ by rounding
    /// (about 1e-6 in f32) near tile edges
    #[arg(long)]
    exact: bool,
    /// How tiles are joined
    #[arg(long, value_parser = values::named::<Blend>(), default_value = "exact", value_name = "HOW")]
    blend: Blend,
    #[command(flatten)]
    read: ReadArgs,
    /// Page of a TIFF file, or plane of a stack (also of OME-Zarr), counted from 0; `all` segments each as a separate image, `stack`
    /// too, but writes masks, labels and probabilities of all pages into one TIFF file each, labels as OME-Zarr into one folder
    /// [default: 0]
    #[arg(long, value_name = "N|all|stack", conflicts_with = "pages_as_channels")]
    page: Option<PageChoice>,
    /// Level of a pyramid (OME-TIFF, SVS, cloud-optimised GeoTIFF, OME-Zarr): 0 is the full size, each further level a smaller copy;
    /// `unet inspect IMAGE` lists them
    #[arg(long, default_value = "0", value_name = "N")]
    level: usize,
    /// Normalisation of pixels, instead of the model's: none, unit (by the type's largest value), scale:255, minmax, zscore,
    /// percentile:LOW,HIGH or percentile:LOW,HIGH:MIN,MAX (clamped), fixed:MEAN/STD (of values scaled as by `unit`)
    #[arg(long, value_name = "RULE")]
    normalise: Option<Normalisation>,
    /// Skip images whose results all exist; files are written atomically, so this resumes a run
    #[arg(long)]
    skip_existing: bool,
    /// Only part I, from 1, of N: every N-th image. The same part whatever results exist, so N processes share the images
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Replace files that are no results of this program
    #[arg(long)]
    overwrite: bool,
    /// Coordinates of outlines in GeoJSON: pixels, as QuPath reads them, or those of a GeoTIFF's reference system; the table
    /// has the latter as two more columns
    #[arg(long, value_parser = values::named::<Coordinates>(), default_value = "pixel", value_name = "pixel|world")]
    coordinates: Coordinates,
    #[command(flatten)]
    scale: ScaleArgs,
    #[command(flatten)]
    instances: InstanceArgs,
}

/// What an overlay shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Overlay {
    Instances,
    Classes,
}

/// Files of which only the first page is read.
#[derive(Default)]
struct UnreadPages {
    files: usize,
    first: Option<(PathBuf, usize)>,
}

impl UnreadPages {
    fn add(&mut self, input: &Path, pages: usize) {
        if pages > 1 {
            self.files += 1;
            self.first.get_or_insert_with(|| (input.to_path_buf(), pages));
        }
    }

    fn text(&self) -> Option<String> {
        let (path, pages) = self.first.as_ref()?;
        let path = path.display();
        Some(match self.files {
            1 => format!(
                "{path} has {pages} pages; page 0 is used (--page all for every page, --page stack for one TIFF of them)"
            ),
            n => format!(
                "{n} files have several pages (first: {path}, {pages} pages); page 0 of each is used (--page all for every page, --page stack for one TIFF of them)"
            ),
        })
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
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let (inputs, skipped_files) = expand_inputs_and_skipped(&self.inputs)?;
        skipped_files.iter().for_each(|s| common.note(&s.text()));
        let mut save: Vec<Save> = Vec::new();
        self.save.iter().for_each(|s| {
            if !save.contains(s) {
                save.push(*s)
            }
        });
        // A folder of images, not one that is an image.
        let folder = |i: &String| Path::new(i).is_dir() && inputs.first().is_none_or(|one| one != Path::new(i));
        let (out, page) = (self.out.as_deref(), self.page.unwrap_or_default());
        let naming = Naming { out, save: &save, page, of_folder: self.inputs.first().is_some_and(folder) };
        if page == PageChoice::Stack && !save.iter().any(|s| naming.stacks(*s)) {
            common.note("no kind of --save is a TIFF file or OME-Zarr: results of every page are files of their own");
        }
        let mut jobs = segment_jobs::jobs(&inputs, &naming)?;
        segment_jobs::check_results(&jobs, &inputs)?;
        let all = jobs.len();
        if let Some(shard) = self.shard {
            jobs = segment_jobs::part(jobs, shard);
            common.note(&format!("part {shard} has {} of {all} images", jobs.len()));
            if jobs.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        segment_jobs::check_places(&jobs, self.overwrite, |job| self.skips(job))?;
        let models = self.model.iter().map(|m| self.set.open(m, common)).collect::<Result<Vec<_>>>()?;
        let ensemble = Ensemble::new(models)?.with_tta(self.tta);
        let backend = common.backend()?;
        let device = backend.describe();
        let mut segmenter = Segmenter::new(backend, ensemble).with_recovery(common.recovery());
        if self.blend == Blend::Gaussian {
            let whole = "tiles are blended: with several tiles the result differs from that of the whole image";
            common.note(whole);
        }
        let requested = self.instances.settings();
        // Instances keep a share of the memory for themselves.
        let instances = segmenter.instance_options(&requested)?.with_memory_of(self.memory / 4, self.memory);
        let ModelMetadata { instances: own, target, scale: trained, .. } = &segmenter.model().metadata;
        // Before any work.
        self.scale.of(None, *trained).check(*trained)?;
        let finds = save.iter().any(|s| s.finds_instances());
        let asked = requested != Default::default();
        let known = finds || asked || own.is_some() || target.is_some_and(InstanceTarget::is_geometry);
        let shown = save.iter().any(|s| s.shows_instances()) && self.overlay.map_or(known, |o| o == Overlay::Instances);
        if finds || shown {
            let own = own.as_ref();
            instances::note(&instances, &requested, own).iter().for_each(|text| common.note(text));
        }
        let located = save.iter().any(|s| s.has_coordinates());
        let without_effect = [
            (
                asked && !finds && !shown,
                "options of single instances have no effect without --save labels, geojson, coco, rois or csv, or an overlay of \
                 instances",
            ),
            (
                self.overlay.is_some() && !save.iter().any(|s| s.shows_instances()),
                "--overlay has no effect without --save overlay",
            ),
            (
                self.coordinates == Coordinates::World && !located,
                "--coordinates world has no effect without --save geojson or csv",
            ),
        ];
        without_effect.iter().filter(|(applies, _)| *applies).for_each(|(_, text)| common.note(text));
        let work = Work {
            read: self.read.options(),
            network: segmenter.model().architecture.in_channels(),
            instances: &instances,
            overlay: shown,
            coordinates: if located { self.coordinates } else { Coordinates::Pixel },
            memory: self.memory,
            counts_pages: self.page.is_none() && !self.read.pages_as_channels,
            level: self.level,
            scale: &self.scale,
            trained: *trained,
            options: SegmentOptions::default()
                .with_tile(self.tile)
                .with_exact(self.exact)
                .with_blend(self.blend)
                .with_normalisation(self.normalise.clone())
                .with_batch(self.batch.into())
                .with_instances(Some(requested)),
        };
        let reports = Reports::new(Reporter {
            common,
            device,
            model: self.model.join(" + "),
            classes: segmenter.classes(),
            method: instances.to_string(),
            trained: trained.and_then(|t| t.pixel_size),
            pages: page != PageChoice::default(),
            level: self.level,
            several: all > 1,
            failed: 0,
            notes: BTreeSet::new(),
        });
        let unwritten = AtomicU64::new(0);
        // Returns once everything is written.
        let skipped = rayon::in_place_scope(|scope| {
            let pipeline = Pipeline::new(scope, common, (&work, &jobs), &reports, &unwritten);
            self.segment_all(pipeline, &mut segmenter)
        });
        let failed = reports.finish()?;
        if skipped > 0 {
            common.note(&format!("{skipped} of {} images were skipped: their results exist", jobs.len()));
        }
        if failed > 0 {
            output::error(&format!("{failed} of {} images failed", jobs.len()));
        }
        Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Segments the images in order. Returns how many were skipped.
    fn segment_all<'scope, 'r: 'scope, 'a: 'scope>(
        &self,
        mut pipeline: Pipeline<'_, 'scope, 'r, 'a>,
        segmenter: &mut Segmenter,
    ) -> usize {
        let (jobs, work, mut unread, mut skipped) = (pipeline.jobs, pipeline.work, UnreadPages::default(), 0);
        let mut group: Vec<OpenJob<'a>> = Vec::new();
        for (i, job) in jobs.iter().enumerate() {
            if self.skips(job) {
                if !pipeline.run(segmenter, &mut group) {
                    return skipped;
                }
                skipped += 1;
                pipeline.skip(job.input);
                continue;
            }
            let opened = pipeline.open(i, |job| self.skips(job));
            unread.add(job.input, opened.as_ref().map_or(1, |o| o.pages));
            if i + 1 == jobs.len()
                && let Some(text) = unread.text()
            {
                pipeline.common.note(&text);
            }
            match opened {
                Ok(opened) => {
                    if !opened.joins(&group, work.memory) && !pipeline.run(segmenter, &mut group) {
                        return skipped;
                    }
                    group.push(opened);
                }
                Err(e) => {
                    if !pipeline.run(segmenter, &mut group) {
                        return skipped;
                    }
                    pipeline.fail(job, e);
                }
            }
            if group.len() == usize::from(self.batch) && !pipeline.run(segmenter, &mut group) {
                return skipped;
            }
        }
        pipeline.run(segmenter, &mut group);
        skipped
    }

    fn skips(&self, job: &Job) -> bool {
        self.skip_existing && job.is_done()
    }
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
