//! Plans that store activations and weights as f16: their accuracy against the CPU reference, their memory, and that an
//! overflow is never returned as a result.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use unet_wgpu::low_level::gpu::{Gpu, PrecisionChoice};
use unet_wgpu::low_level::graph::{Graph, rewrite};
use unet_wgpu::low_level::infer::{Ids, Image, Pixels, SegmentOptions, Segmentation, Segmenter};
use unet_wgpu::low_level::kernel::{AdapterClass, Caps, ConvFamily, Target};
use unet_wgpu::low_level::model::{self, INPUT, Model, whole_graph};
use unet_wgpu::low_level::plan::{Plan, PlanMemory};
use unet_wgpu::low_level::session::{Backend, Session};
use unet_wgpu::low_level::tensor::{HostTensor, Precision, Shape};
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Normalisation};
use unet_wgpu::testing::{F16_TOLERANCE, gpu_or_skip, model_cases, random_input, random_parameter};
use unet_wgpu::{Error, Result};

/// The GPU for f16 plans; `None`, with a message, if shaders have no f16.
fn halves() -> Option<Gpu> {
    let gpu = gpu_or_skip()?;
    if !gpu.caps().f16 {
        eprintln!("skipped: {} has no f16 in shaders", gpu.describe());
        return None;
    }
    Some(gpu.with_precision(PrecisionChoice::F16).unwrap())
}

fn plan(graph: &Graph, gpu: &Gpu) -> Plan {
    Plan::new(&rewrite::optimise(graph, gpu.target()).unwrap(), gpu.target()).unwrap()
}

#[test]
fn networks_in_f16_are_near_the_reference() {
    let Some(gpu) = halves() else { return };
    for (arch, config, [n, c, h, w]) in model_cases() {
        let name = format!("{arch} {config}");
        let graph = whole_graph(&*model::parse(arch, &config).unwrap(), n, h, w).unwrap();
        let input = random_input(&name, Shape::new(n, c, h, w)).unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), input)]);
        let expected = graph.run_reference(&inputs, random_parameter, |_, _| Ok(())).unwrap();
        let plan = plan(&graph, &gpu);
        assert!(plan.dispatches.iter().all(|s| s.kernel.value("F16").is_some()), "{name}");
        let mut session = Session::new(&gpu, plan, random_parameter).unwrap();
        let got = session.run_all(&inputs).unwrap();
        for (key, expected) in &expected {
            // The gate of the classification-guided module is 0 or 1.
            let c = got[key].compare(expected).unwrap();
            assert!(c.within(F16_TOLERANCE), "{name}: {key}: error {} of scale {}", c.max_error, c.scale);
            // The results do have f16 accuracy, not f32's.
            assert!(key.contains("gate") || c.max_error > 1e-6 * c.scale, "{name}: {key}: error {}", c.max_error);
        }
        assert_eq!(got, session.run_all(&inputs).unwrap(), "{name}: second run");
    }
}

#[test]
fn f16_plans_take_half_the_memory() {
    for class in [AdapterClass::Cpu, AdapterClass::Nvidia] {
        // Force the same kernels: Winograd's, which are f32 only, take more memory.
        let caps = Caps { f16: true, ..Caps::typical(class) };
        let target = Target::from(caps).with_conv(ConvFamily::Gemm);
        for name in ["nuclei", "nuclei-unet++", "nuclei-unet3+"] {
            let model = Model::open(name).unwrap();
            let graph = whole_graph(&*model.architecture, 1, 256, 256).unwrap();
            let graph = rewrite::optimise(&graph, &target).unwrap();
            let memory = |precision| Plan::new(&graph, &target.clone().with_precision(precision)).unwrap().memory;
            let (wide, half): (PlanMemory, PlanMemory) = (memory(Precision::F32), memory(Precision::F16));
            let is_half = |a: u64, b: u64| (a as f64 / b as f64 - 0.5).abs() < 0.01;
            assert!(is_half(half.live, wide.live), "{name}: live {} of {}", half.live, wide.live);
            assert!(is_half(half.slots, wide.slots), "{name}: slots {} of {}", half.slots, wide.slots);
            assert!(is_half(half.weights, wide.weights), "{name}: weights {} of {}", half.weights, wide.weights);
            assert_eq!(half.io, wide.io, "{name}: I/O bindings stay f32");
        }
    }
}

fn segment(gpu: &Gpu, model: &Model, image: &Image) -> Result<Segmentation> {
    let options = SegmentOptions::default().with_probabilities(true);
    Segmenter::new(Backend::Gpu(gpu.clone()), model.clone()).segment(image, &options, |_| Ok(()))
}

fn ids(s: &Segmentation) -> &[u8] {
    let Ids::U8(ids) = s.mask.ids() else { panic!("two classes fit a byte") };
    ids
}

#[test]
fn the_mask_of_a_shipped_image_is_the_same_in_f16() {
    let Some(gpu) = halves() else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/images/nuclei_hff.png");
    let (model, image) = (Model::open("nuclei").unwrap(), Image::open(file).unwrap());
    let half = segment(&gpu, &model, &image).unwrap();
    assert_eq!((half.precision, &half.fallback), (Precision::F16, &None));
    let wide = segment(&gpu.with_precision(PrecisionChoice::F32).unwrap(), &model, &image).unwrap();
    assert_eq!(wide.precision, Precision::F32);
    assert!(ids(&wide).contains(&1) && ids(&wide).contains(&0), "the image has both classes");
    let differ = ids(&half).iter().zip(ids(&wide)).filter(|(a, b)| a != b).count();
    assert!(differ * 1000 <= ids(&wide).len(), "{differ} of {} pixels differ", ids(&wide).len());
    let (a, b) = (half.probabilities.unwrap(), wide.probabilities.unwrap());
    let error = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    eprintln!("{differ} pixels differ, probabilities by at most {error:.1e}");
}

/// A small U-Net whose first weight is random times `factor`.
fn scaled(factor: f32) -> Model {
    let config = serde_json::json!({"width": 4, "depth": 2, "padding": "same", "norm": false});
    let architecture = model::parse("unet", &config).unwrap();
    let graph = whole_graph(&*architecture, 1, 32, 32).unwrap();
    let weights = graph.parameters().map(|(k, d)| {
        let mut w = random_parameter(k, d).unwrap();
        match k {
            "enc.0.conv1.weight" => w.data_mut().iter_mut().for_each(|v| *v *= factor),
            // Later values have ordinary size again: only the guard detects the overflow.
            "enc.0.conv2.weight" => w.data_mut().iter_mut().for_each(|v| *v /= factor),
            _ => {}
        }
        (k.to_string(), w)
    });
    let weights = weights.collect();
    let normalisation = Normalisation::Percentile { low: 40.0, high: 60.0, clamp: None };
    let metadata = ModelMetadata {
        format: 1,
        arch: "unet".into(),
        config,
        normalisation,
        classes: vec![],
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    Model::new("scaled", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

fn noise() -> Image {
    let noise = random_input("image", Shape::new(1, 1, 40, 36)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Image::new(36, 40, 1, Pixels::U16(pixels)).unwrap()
}

#[test]
fn exact_tiles_are_exact_in_f16() {
    let Some(gpu) = halves() else { return };
    let noise = random_input("tiles", Shape::new(1, 1, 150, 170)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    let image = Image::new(170, 150, 1, Pixels::U16(pixels)).unwrap();
    let run = |tile| {
        let options = SegmentOptions::default().with_probabilities(true).with_exact(true).with_tile(tile);
        let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), scaled(1.0));
        segmenter.segment(&image, &options, |_| Ok(())).unwrap()
    };
    let (whole, tiled) = (run(None), run(Some(96)));
    assert!(whole.tiles == [1, 1] && tiled.tiles[0] * tiled.tiles[1] > 1, "{:?}", tiled.tiles);
    assert_eq!((whole.mask, whole.probabilities), (tiled.mask, tiled.probabilities));
    assert_eq!((tiled.precision, tiled.fallback), (Precision::F16, None));
}

/// Warnings of this process.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, m: &log::Metadata) -> bool {
        m.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        if record.target().starts_with("unet_wgpu") {
            WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static RECORDING: LazyLock<()> = LazyLock::new(|| {
    log::set_logger(&Recorder).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
});

#[test]
fn an_overflow_is_detected_and_named() {
    let Some(gpu) = halves() else { return };
    let run = |factor: f32| -> Result<BTreeMap<String, HostTensor>> {
        let model = scaled(factor);
        let graph = whole_graph(&*model.architecture, 1, 32, 32)?;
        let inputs = BTreeMap::from([(INPUT.to_string(), random_input("x", Shape::new(1, 1, 32, 32))?)]);
        let mut session = Session::new(&gpu, plan(&graph, &gpu), model.stored())?;
        let got = session.run_all(&inputs);
        if got.is_err() {
            // The session still works for other inputs.
            session.write(INPUT, &vec![1e-3; 32 * 32])?;
            session.run()?;
        }
        let expected = graph.run_reference(&inputs, model.stored(), |_, _| Ok(()))?;
        for (key, value) in got.as_ref().into_iter().flatten() {
            assert!(value.compare(&expected[key])?.within(F16_TOLERANCE), "{factor}: {key}");
        }
        got
    };
    assert!(run(1.0).is_ok() && run(1000.0).is_ok());
    let Err(e @ Error::F16Range { .. }) = run(4.0e4) else { panic!("an overflow was not detected") };
    let text = e.to_string();
    assert!(text.starts_with("the output of `enc.0.conv1`"), "{text}");
    assert!(text.ends_with("exceeds the range of f16 (65504); f32 can hold it"), "{text}");
    let Err(e @ Error::F16Range { .. }) = run(1e6) else { panic!("a weight's overflow was not detected") };
    assert_eq!(e.to_string(), "parameter `enc.0.conv1.weight` exceeds the range of f16 (65504); f32 can hold it");
}

#[test]
fn f16_overflow_falls_back_to_f32_with_a_warning() {
    let Some(gpu) = halves() else { return };
    LazyLock::force(&RECORDING);
    for (factor, what) in [(4.0e4, "the output of `enc.0.conv1`"), (1e6, "parameter `enc.0.conv1.weight`")] {
        let (model, image) = (scaled(factor), noise());
        let half = segment(&gpu, &model, &image).unwrap();
        let mut wide = segment(&gpu.with_precision(PrecisionChoice::F32).unwrap(), &model, &image).unwrap();
        let reason = half.fallback.clone().unwrap();
        assert!(reason.starts_with(what), "{reason}");
        wide.fallback = Some(reason.clone());
        assert_eq!(half, wide);
        let warned = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(warned.contains(&format!("{reason}: repeating in f32")), "{warned:?}");
    }
    let in_range = segment(&gpu, &scaled(1.0), &noise()).unwrap();
    assert_eq!((in_range.precision, in_range.fallback), (Precision::F16, None));
}

#[test]
fn precisions_are_chosen_by_the_device() {
    let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
    let without = Gpu::from_wgpu(device, queue).unwrap();
    assert!(!without.caps().f16);
    let e = without.with_precision(PrecisionChoice::F16).unwrap_err().to_string();
    assert!(e.contains(&without.info().name) && e.contains("has no f16 in shaders; use f32 or auto"), "{e}");
    let auto = without.with_precision(PrecisionChoice::Auto).unwrap();
    assert_eq!(auto.target().options.precision, Precision::F32);
    assert!(Backend::Cpu.with_precision(PrecisionChoice::F16).is_err());
    assert_eq!(Backend::Cpu.with_precision(PrecisionChoice::Auto).unwrap().precision(), Precision::F32);
    if let Some(gpu) = halves() {
        let auto = gpu.with_precision(PrecisionChoice::Auto).unwrap().target().options.precision;
        let expected = if gpu.caps().class == AdapterClass::Cpu { Precision::F32 } else { Precision::F16 };
        assert_eq!(auto, expected, "{}", gpu.describe());
    }
    assert!("f64".parse::<PrecisionChoice>().unwrap_err().to_string().contains("f32, f16, auto"));
}
