//! Scores of a model on a data set.

use std::path::PathBuf;

use pyo3::prelude::*;
use serde_json::{Value, json};
use unet_wgpu::low_level::infer::source::InMemory;
use unet_wgpu::low_level::infer::{LabelOptions, OpenOptions, SegmentOptions, calibration_of, check_channels};
use unet_wgpu::low_level::train::{Dataset, EvaluateOptions, GroundTruthKind, InstanceTruth};

use crate::device;
use crate::error::text;
use crate::input::Input;
use crate::model::Model;
use crate::scale::{ScaleArgs, short};
use crate::segment::settings;
use crate::work::{self, Observer};

/// Segments the images of a data set and compares them with its ground truth; returns a JSON document.
#[pyfunction]
#[pyo3(signature = (
    model, folder, *, device, precision, instances, ground_truth, channels, fill_nan, ignore, iou, scale, memory, progress
))]
#[expect(clippy::too_many_arguments, reason = "one for each option of the Python function")]
pub(crate) fn evaluate(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    folder: PathBuf,
    device: String,
    precision: String,
    instances: Option<String>,
    ground_truth: Option<bool>,
    channels: Option<Vec<usize>>,
    fill_nan: Option<f32>,
    ignore: Option<i64>,
    iou: Option<Vec<f64>>,
    scale: ScaleArgs,
    memory: u64,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    let model = model.inner.clone();
    work::run(py, Observer::of(progress), move |progress| {
        let kind =
            ground_truth.map(|instances| if instances { GroundTruthKind::Instances } else { GroundTruthKind::Classes });
        let data = Dataset::open_as(&folder, kind)?;
        let backend = device::open(&device, &precision)?;
        let (describe, name, classes) = (backend.describe(), model.name.clone(), model.classes());
        let segmenter = unet_wgpu::Segmenter::new(backend, model);
        let mut segmenter = segmenter.with_recovery(device::reopening(device, precision));
        let requested = instances.as_deref().map(settings).transpose()?;
        let found = segmenter.instance_options(&requested.clone().unwrap_or_default())?;
        let read = OpenOptions { channels, fill_nan, ..OpenOptions::default() };
        let mut options = EvaluateOptions {
            ground_truth: if requested.is_some() { InstanceTruth::Labels } else { InstanceTruth::None },
            connectivity: found.connectivity,
            labels: LabelOptions { ignore, ..LabelOptions::default() },
            read,
            ..EvaluateOptions::default()
        };
        if let Some(iou) = iou {
            options.thresholds = iou;
        }
        let segment = SegmentOptions::default().with_memory(memory).with_instances(requested.clone());
        let count = data.pairs().len().max(1) as f64;
        let trained = segmenter.model().metadata.scale;
        scale.of(None, trained)?;
        let scores = unet_wgpu::low_level::train::evaluate(&data, classes, &options, |i, pair, image| {
            let channels = segmenter.model().architecture.in_channels();
            check_channels(&pair.image, &InMemory::borrowed(image), channels)?;
            let calibration = calibration_of(&pair.image, &options.read, scale.pixel_size())?;
            let pixel = calibration.pixel.map(|p| [p.x, p.y].map(short));
            let segment = segment.clone().with_scale(scale.of(pixel, trained)?);
            let done = |part: f64| progress.report((i as f64 + part) / count);
            segmenter.segment(image, &segment, done).map_err(|e| Input::about(pair.image.to_str(), e))
        })?;
        let mut document = scores.document()?;
        if requested.is_some() {
            document.insert("instances_by".into(), json!(found.to_string()));
        }
        let notes: Vec<Value> = scores.notes.iter().map(|(note, n)| json!([text(note), n])).collect();
        document.insert("notes".into(), json!(notes));
        document.insert("device".into(), json!(describe));
        document.insert("model".into(), json!(name));
        Ok(Value::Object(document).to_string())
    })
}
