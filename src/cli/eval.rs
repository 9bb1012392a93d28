//! `unet eval`

use super::instances::{self, InstanceArgs};
use super::models::SetArgs;
use super::reading::{GroundTruthArgs, ReadArgs};
use super::scale::{ScaleArgs, brief};
use super::segment::memory;
use super::segment_group::{about, progress_bar, short};
use super::{Common, hints, output};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use unet_wgpu::low_level::infer::source::InMemory;
use unet_wgpu::low_level::infer::{
    LabelOptions, SegmentOptions, Segmenter, calibration_of, check_channels, check_writable, write_atomically,
};
use unet_wgpu::low_level::train::evaluate::InstanceScores;
use unet_wgpu::low_level::train::metrics::{AP_THRESHOLDS, Classes, Measure};
use unet_wgpu::low_level::train::{Dataset, EvaluateOptions, Evaluation, InstanceTruth, Split, evaluate};
use unet_wgpu::low_level::weights::builtin;
use unet_wgpu::{Error, Result};

/// Score a model on images with masks: Dice, IoU, and how well single instances are found
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet eval --data nuclei                          the built-in model on images/ with masks/ or labels/
  unet eval -m best.safetensors --data nuclei --csv scores.csv
  unet eval -m best.safetensors --data nuclei --instances watershed --min-area 20 --iou 0.5,0.75
  unet eval -m membranes.safetensors --data em --em --objects components

A data set is a folder with images/ and masks/ (class ids; black and white for two classes) or labels/ (a number for every
instance) or both, with equal names; docs/training.md has other layouts. A folder of data sets is their union.

Dice and IoU of classes are over all pixels. \"Dice per image\" is a mean over images: those in which the class is present (in
the ground truth or the prediction), and all images, where an absent class counts as 1. Predicted instances are those that
`unet segment --save labels` writes with the same options; the ground truth is in labels/. An instance counts as found if its
IoU with a predicted one is above the threshold; AP is tp / (tp + fp + fn), mean AP its mean over the thresholds. Scores of instances
are over the instances of all images together; --csv and --json have those of every image too.")]
pub(super) struct Eval {
    /// Built-in model (`unet inspect` lists them) or a checkpoint file
    #[arg(short, long, default_value = builtin::DEFAULT)]
    model: String,
    #[command(flatten)]
    set: SetArgs,
    /// The data set
    #[arg(short, long, value_name = "DIR")]
    data: PathBuf,
    /// Also write the scores of every image
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Use only the first image and every N-th after it, by name
    #[arg(long, value_name = "N")]
    every: Option<usize>,
    /// Ground-truth instances: those of labels/; those or, without labels, the components of the ground-truth mask; or none
    #[arg(long = "objects", value_enum, default_value = "labels", value_name = "KIND")]
    objects: GroundTruthFiles,
    /// The class of the instances that are compared [default: every class but the background]
    #[arg(long = "object-class", value_name = "ID")]
    instance_class: Option<u32>,
    /// IoU from which on an instance counts as found [default: 0.5,0.55,..0.9]
    #[arg(long, value_delimiter = ',', value_name = "T,..")]
    iou: Vec<f64>,
    #[command(flatten)]
    ground_truth: GroundTruthArgs,
    /// Also report the ISBI 2012 challenge's pixel, Rand and warping error (two classes)
    #[arg(long)]
    em: bool,
    #[command(flatten)]
    read: ReadArgs,
    /// Limit of device memory; larger images are cut into smaller tiles
    #[arg(long, default_value = "2G", value_parser = memory, value_name = "SIZE")]
    memory: u64,
    #[command(flatten)]
    scale: ScaleArgs,
    #[command(flatten)]
    instances: InstanceArgs,
}

/// [`InstanceTruth`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GroundTruthFiles {
    Labels,
    Components,
    None,
}

impl Eval {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let mut data = Dataset::open_as(&self.data, self.ground_truth.numbers())?;
        let mut readings: Vec<String> = data.readings().iter().map(ToString::to_string).collect();
        readings.dedup();
        common.note(&format!("ground truth: {}", readings.join(", ")));
        if let Some(step) = self.every.filter(|&n| n != 1) {
            data = data.split(Split::Every(step), 0)?.1;
        }
        self.csv.iter().try_for_each(check_writable)?;
        let model = self.set.open(&self.model, common)?;
        let classes = model.classes();
        let backend = common.backend()?;
        let device = backend.describe();
        let mut segmenter = Segmenter::new(backend, model).with_recovery(common.recovery());
        let requested = self.instances.settings();
        let found = segmenter.instance_options(&requested)?;
        if self.objects != GroundTruthFiles::None {
            let own = segmenter.model().metadata.instances.as_ref();
            instances::note(&found, &requested, own).iter().for_each(|text| common.note(text));
        }
        let options = EvaluateOptions {
            ground_truth: match self.objects {
                GroundTruthFiles::Labels => InstanceTruth::Labels,
                GroundTruthFiles::Components => InstanceTruth::Components,
                GroundTruthFiles::None => InstanceTruth::None,
            },
            connectivity: found.connectivity,
            instance_class: self.instance_class,
            grow: 0,
            thresholds: if self.iou.is_empty() { AP_THRESHOLDS.to_vec() } else { self.iou.clone() },
            labels: LabelOptions {
                colours: self.ground_truth.colours.clone().unwrap_or_default(),
                ignore: self.ground_truth.ignore,
                ignore_orientation: self.read.ignore_orientation,
            },
            em: self.em,
            read: self.read.options(),
        };
        let segment = SegmentOptions::default()
            .with_probabilities(self.em)
            .with_memory(self.memory)
            .with_instances((self.objects != GroundTruthFiles::None).then_some(requested));
        let count = data.pairs().len();
        let trained = segmenter.model().metadata.scale;
        self.scale.of(None, trained).check(trained)?;
        let mut factors: Vec<f64> = Vec::new();
        let scores = evaluate(&data, classes, &options, |i, pair, image| {
            check_channels(&pair.image, &InMemory::borrowed(image), segmenter.model().architecture.in_channels())?;
            let bar = progress_bar(common, &pair.image, i + 1, count);
            let pixel = match self.scale.needs_pixel_size(trained) {
                true => calibration_of(&pair.image, &options.read, self.scale.pixel_size)?
                    .pixel
                    .map(|p| [p.x, p.y].map(short)),
                false => None,
            };
            let segment = segment.clone().with_scale(self.scale.of(pixel, trained));
            let result = segmenter.segment(image, &segment, |done| {
                bar.set_position((done * 1000.0) as u64);
                Ok(())
            });
            bar.finish_and_clear();
            factors.extend(result.iter().flat_map(|r| r.scale));
            result.map_err(|e| about(&pair.image, e))
        })?;
        let range = factors.iter().fold([f64::INFINITY, 0.0f64], |[low, high], &f| [low.min(f), high.max(f)]);
        if range != [1.0; 2] {
            common.note(&format!("images were resized for the model by {} to {}", brief(range[0]), brief(range[1])));
        }
        for (note, n) in &scores.notes {
            common.note(&format!("{n} of {count} images: {}", hints::text(note)));
        }
        if let Some(path) = &self.csv {
            write_csv(path, &scores)?;
        }
        if common.json {
            let mut document = scores.document()?;
            if self.objects != GroundTruthFiles::None {
                document.insert("instances_by".into(), json!(found.to_string()));
            }
            document.insert("scale".into(), json!(range));
            document.insert("device".into(), json!(device));
            document.insert("model".into(), json!(self.model));
            document.insert("data".into(), json!(self.data.to_string_lossy()));
            output::json(&Value::Object(document))?;
        } else {
            table(&scores)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(e: &Evaluation) -> Result<()> {
    let c = e.confusion()?;
    let width = e.classes.iter().map(|n| n.chars().count()).max().unwrap_or(0).max(10);
    let images = e.images.len();
    let number = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.4}"));
    let heads = ["Dice", "IoU", "Dice per image", "absent as 1", "present in"];
    let [dice, iou, present, all, within] = heads;
    output::line(&format!("{:width$}  {dice:>7}  {iou:>7}  {present:>14}  {all:>11}  {within:>10}", "class"))?;
    for (class, name) in e.classes.iter().enumerate() {
        let of = |measure| number(c.if_present(class, measure));
        let present = number(e.mean(|p| p.confusion.if_present(class, Measure::Dice)));
        let all = number(e.mean(|p| Some(p.confusion.dice(class))));
        let within = e.images.iter().filter(|p| p.confusion.occurs(class)).count();
        let (dice, iou) = (of(Measure::Dice), of(Measure::Iou));
        output::line(&format!("{name:width$}  {dice:>7}  {iou:>7}  {present:>14}  {all:>11}  {within:>10}"))?;
    }
    let mean = |over| number(e.foreground(Measure::Dice, over));
    output::line(&format!(
        "mean foreground Dice per image: {} over the classes present, {} over all (absent ones as 1)",
        mean(Classes::Present),
        mean(Classes::All)
    ))?;
    output::line(&format!("mean IoU {:.4}, pixel error {:.4}, {images} images", c.mean_iou(), c.pixel_error()))?;
    if e.instances().next().is_some() {
        let (predicted, actual) = e.instance_counts();
        let with = match e.instances().count() {
            all if all == images => String::new(),
            some => format!(" in the {some} images with labels"),
        };
        output::line(&format!("\n{actual} instances, {predicted} predicted{with}"))?;
        output::line("IoU from   precision   recall       F1       AP      tp      fp      fn")?;
        for &t in &e.thresholds {
            let m = e.matches(t);
            let shares = format!("{:9.4}{:9.4}{:9.4}{:9.4}", m.precision(), m.recall(), m.f1(), m.ap());
            output::line(&format!("{t:9}  {shares}{:8}{:8}{:8}", m.tp, m.fp, m.fn_))?;
        }
        let [ap, aji, pq, seg] = [e.mean_ap(), e.aji(), e.pq(), e.seg().unwrap_or(1.0)];
        output::line(&format!("mean AP {ap:.4}, AJI {aji:.4}, PQ {pq:.4}, SEG {seg:.4}"))?;
        let mean = |of: fn(&InstanceScores) -> f64| e.mean(|p| p.instances.as_ref().map(of)).unwrap_or(1.0);
        let all = e.mean(|p| p.instances.as_ref().map(|o| o.instances.mean_ap(&e.thresholds))).unwrap_or(1.0);
        output::line(&format!(
            "means over images: F1 at 0.5 {:.4}, mean AP {all:.4}, AJI {:.4}, PQ {:.4}, SEG {:.4}",
            mean(|o| o.instances.matches(0.5).f1()),
            mean(|o| o.instances.aji().index()),
            mean(|o| o.instances.pq().quality()),
            mean(|o| o.instances.seg())
        ))?;
        output::line(&format!(
            "V_rand {:.4} (merges {:.4}, splits {:.4}), V_info {:.4}, means over images",
            mean(|o| o.rand.v_rand),
            mean(|o| o.rand.precision),
            mean(|o| o.rand.recall),
            mean(|o| o.v_info)
        ))?;
    }
    if let Some(pixel) = e.mean(|p| p.em.map(|em| em.pixel_error)) {
        let rand = e.mean(|p| p.em.map(|em| em.rand_error)).unwrap_or(0.0);
        let warping = e.mean(|p| p.em.map(|em| em.warping_error)).unwrap_or(0.0);
        output::line(&format!(
            "\nISBI 2012: pixel error {pixel:.4}, Rand error {rand:.4}, warping error {warping:.6}"
        ))?;
    }
    Ok(())
}

fn write_csv(path: &PathBuf, e: &Evaluation) -> Result<()> {
    let rows = e.images.iter().map(|p| (p, e.columns(p)));
    write_atomically(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        for (i, (image, columns)) in rows.enumerate() {
            if i == 0 {
                let names = columns.iter().map(|c| c.0.as_str());
                csv.write_record(["name", "width", "height"].into_iter().chain(names))?;
            }
            let size = [image.name.clone(), image.width.to_string(), image.height.to_string()];
            let values = columns.iter().map(|c| c.1.map(|v| v.to_string()).unwrap_or_default());
            csv.write_record(size.into_iter().chain(values))?;
        }
        csv.flush()
    })
    .map_err(|e| match e {
        Error::Io { source, .. } => Error::io(path, source),
        e => e,
    })
}
