//! Networks that predict geometry for instances: their planes in tiles, orientations and ensembles, against the definition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use unet_wgpu::Result;
use unet_wgpu::low_level::infer::source::InMemory;
use unet_wgpu::low_level::infer::{
    Band, BandInfo, BandSink, Ensemble, Image, InstanceMethod, InstanceSettings, Needs, Orientation, Pixels,
    SegmentOptions, Segmenter, Tta,
};
use unet_wgpu::low_level::model::{INPUT, Model, onnx_export, parse, whole_graph};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::low_level::weights::{Checkpoint, InstanceTarget, ModelMetadata, Normalisation};
use unet_wgpu::testing::{gpu_or_skip, random_input, random_parameter};

const CLOSE: f32 = 1e-4;

fn opened(name: &str, arch: &str, target: InstanceTarget, config: &Value, classes: &[&str]) -> Result<Model> {
    let architecture = parse(arch, config).unwrap();
    let size = architecture.size_rule().minimum;
    let graph = whole_graph(&*architecture, 1, size, size).unwrap();
    let weight = |k: &str, d: &[usize]| random_parameter(&format!("{name} {k}"), d).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), weight(k, d))).collect();
    let mut metadata = ModelMetadata::parse(&json!({ "arch": arch, "config": config }).to_string()).unwrap();
    metadata.normalisation = Normalisation::Scale { divisor: 30_000.0 };
    metadata.classes = classes.iter().map(ToString::to_string).collect();
    metadata.target = Some(target);
    Model::new(name, Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() })
}

fn multi(name: &str, channels: usize) -> Model {
    let config = json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": channels });
    opened(name, "unet", InstanceTarget::Multi, &config, &[]).unwrap()
}

fn image(width: usize, height: usize) -> Image {
    let noise = random_input("geometry", Shape::new(1, 1, height, width)).unwrap();
    Image::new(width, height, 1, Pixels::U16(noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect()))
        .unwrap()
}

/// What a sink gets of an image.
#[derive(Clone, Debug, Default, PartialEq)]
struct Planes {
    classes: Vec<usize>,
    probabilities: Vec<f32>,
    geometry: Vec<f32>,
}

struct Recorder(Arc<Mutex<Planes>>, usize);

impl BandSink for Recorder {
    fn needs(&self) -> Needs {
        Needs { probabilities: true, geometry: true, ..Needs::default() }
    }
    fn start(&mut self, info: &BandInfo) -> Result<()> {
        self.1 = info.height;
        let zeros = |planes: usize| vec![f32::NAN; planes * info.width * info.height];
        let (probabilities, geometry) = (zeros(info.planes), zeros(info.geometry));
        *self.0.lock().unwrap() = Planes { classes: vec![], probabilities, geometry };
        Ok(())
    }
    fn band(&mut self, band: &Band) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        let (n, whole) = (band.width * band.height, band.width * self.1);
        all.classes.extend((0..n).map(|i| band.class(i)));
        let place = |to: &mut Vec<f32>, from: &[f32]| {
            for (c, plane) in from.chunks_exact(n).enumerate() {
                let at = c * whole + band.first * band.width;
                to[at..at + n].copy_from_slice(plane);
            }
        };
        place(&mut all.probabilities, band.probabilities.unwrap());
        place(&mut all.geometry, band.geometry.unwrap());
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn run(backend: &Backend, models: impl Into<Ensemble>, image: &Image, options: &SegmentOptions) -> Planes {
    let found = Arc::new(Mutex::new(Planes::default()));
    let sinks: Vec<Box<dyn BandSink>> = vec![Box::new(Recorder(found.clone(), 0))];
    let mut source = InMemory::borrowed(image);
    Segmenter::new(backend.clone(), models).segment_to(&mut source, options, sinks, |_| Ok(())).unwrap();
    found.lock().unwrap().clone()
}

fn backends() -> Vec<Backend> {
    std::iter::once(Backend::Cpu).chain(gpu_or_skip().map(Backend::Gpu)).collect()
}

fn off(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1.0f32, |m, v| m.max(v.abs()));
    a.iter()
        .zip(b)
        .map(|(a, b)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() / largest })
        .fold(0.0, f32::max)
}

/// The mean raw output of the heads that segmentation uses, by the CPU reference.
fn raw(model: &Model, image: &Image, heads: &[&str]) -> Vec<f32> {
    let Pixels::U16(pixels) = image.pixels() else { panic!() };
    let x = pixels.iter().map(|&v| f32::from(v) / 30_000.0).collect();
    let (h, w) = (image.height(), image.width());
    let inputs = BTreeMap::from([(INPUT.to_string(), HostTensor::new([1, 1, h, w], x).unwrap())]);
    let graph = whole_graph(&*model.architecture, 1, h, w).unwrap();
    let outputs = graph.run_reference(&inputs, model.stored(), |_, _| Ok(())).unwrap();
    let all: Vec<&[f32]> = heads.iter().map(|&name| outputs[name].data()).collect();
    (0..all[0].len()).map(|i| all.iter().map(|z| z[i]).sum::<f32>() / all.len() as f32).collect()
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

/// Softmax over planes.
fn softmax(z: &[f32], n: usize) -> Vec<f32> {
    let sum = |i: usize| z.chunks_exact(n).map(|p| p[i].exp()).sum::<f32>();
    let sums: Vec<f32> = (0..n).map(sum).collect();
    z.iter().enumerate().map(|(i, z)| z.exp() / sums[i % n]).collect()
}

/// Probabilities, geometry and classes by their definition.
fn expected(target: InstanceTarget, z: &[f32], n: usize) -> Planes {
    let plane = |c: usize| &z[c * n..(c + 1) * n];
    if target == InstanceTarget::Border {
        let q = softmax(z, n);
        let probabilities: Vec<f32> = q[..n].iter().map(|b| 1.0 - b).collect();
        let geometry = q[n..2 * n].iter().zip(&q[2 * n..]).map(|(inside, border)| inside * (1.0 - border)).collect();
        let classes = probabilities.iter().map(|&p| usize::from(p > 0.5)).collect();
        return Planes { classes, probabilities, geometry };
    }
    let p: Vec<f32> = plane(0).iter().map(|&z| sigmoid(z)).collect();
    let mut geometry = plane(1).to_vec();
    if target == InstanceTarget::Multi {
        geometry.extend(plane(2).iter().map(|&z| sigmoid(z)));
        geometry.extend(&z[3 * n..5 * n]);
    }
    let q = softmax(&z[target.planes() * n..], n);
    if q.is_empty() {
        return Planes { classes: p.iter().map(|&p| usize::from(p > 0.5)).collect(), probabilities: p, geometry };
    }
    let class = |i: usize| {
        let best = (0..q.len() / n).fold(0, |best, k| if q[k * n + i] > q[best * n + i] { k } else { best });
        if p[i] > 0.5 { best + 1 } else { 0 }
    };
    let mut probabilities: Vec<f32> = p.iter().map(|p| 1.0 - p).collect();
    probabilities.extend(q.iter().enumerate().map(|(i, q)| q * p[i % n]));
    Planes { classes: (0..n).map(class).collect(), probabilities, geometry }
}

#[test]
fn planes_are_those_of_the_raw_outputs() {
    use InstanceTarget::{Border, Distance, Multi};
    let unet = |channels: usize| json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": channels });
    let nested = |channels: usize, more: Value| {
        let mut config = json!({ "width": 4, "depth": 3, "out_channels": channels });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let full = json!({ "width": 4, "depth": 2, "out_channels": 2, "deep_supervision": true });
    let cases = [
        ("unet", Multi, unet(5), vec!["logits"], 2),
        ("unet", Multi, unet(8), vec!["logits"], 4),
        ("unet", Distance, unet(4), vec!["logits"], 3),
        ("unet", Border, unet(3), vec!["logits"], 2),
        ("unetpp", Multi, nested(5, json!({})), vec!["logits.1", "logits.2", "logits.3"], 2),
        ("unetpp", Distance, nested(2, json!({"deep_supervision": false})), vec!["logits.3"], 2),
        ("unetpp", Multi, nested(5, json!({"level": 1})), vec!["logits.1"], 2),
        ("unetpp", Multi, nested(5, json!({"level": 2})), vec!["logits.1", "logits.2"], 2),
        ("unet3p", Distance, full, vec!["logits.0"], 2),
    ];
    let image = image(40, 24);
    let (n, mut found) = (40 * 24, 0);
    for (arch, target, config, heads, classes) in cases {
        let model = opened(arch, arch, target, &config, &[]).unwrap();
        assert_eq!(model.classes().len(), classes, "{arch} {config}");
        let want = expected(target, &raw(&model, &image, &heads), n);
        for backend in backends() {
            let got = run(&backend, model.clone(), &image, &SegmentOptions::default());
            let name = format!("{arch} {target} {config} on {}", backend.describe());
            assert!(off(&got.probabilities, &want.probabilities) < CLOSE, "{name}");
            assert!(off(&got.geometry, &want.geometry) < CLOSE, "{name}");
            // Rounding may decide where two classes are equally probable.
            let differ = got.classes.iter().zip(&want.classes).filter(|(a, b)| a != b).count();
            assert!(differ <= 2, "{name}: {differ} classes differ");
        }
        found += usize::from((1..classes).all(|c| want.classes.contains(&c)) && want.classes.contains(&0));
    }
    assert!(found > 4, "only {found} of the random networks find every class");
}

fn oriented(image: &Image, by: Orientation) -> Image {
    let Pixels::U16(pixels) = image.pixels() else { panic!() };
    let (h, w) = (image.height(), image.width());
    let planes: Vec<f32> = pixels.iter().map(|&v| f32::from(v)).collect();
    let [rows, columns] = by.size([h, w]);
    let turned = by.planes(&planes, [h, w]).into_iter().map(|v| v as u16).collect();
    Image::new(columns, rows, 1, Pixels::U16(turned)).unwrap()
}

/// An offset plane is swapped with the other and changes its sign as its axis does.
#[test]
fn the_result_of_a_turned_image_is_the_turned_result() {
    let (model, image) = (multi("turned", 5), image(36, 28));
    let options = SegmentOptions::default();
    for backend in backends() {
        let averaged = || Ensemble::from(model.clone()).with_tta(Tta::D4);
        let upright = run(&backend, averaged(), &image, &options);
        let alone = run(&backend, model.clone(), &image, &options);
        assert!(off(&alone.geometry, &upright.geometry) > 1e-2, "orientations change nothing");
        for by in Orientation::all() {
            let turned = run(&backend, averaged(), &oriented(&image, by), &options);
            let mut geometry = by.inverse().planes(&turned.geometry, by.size([28, 36]));
            let n = 28 * 36;
            let (y, x) = (geometry[2 * n..3 * n].to_vec(), geometry[3 * n..].to_vec());
            let (y, x) = if by.transpose { (x, y) } else { (y, x) };
            let sign = |flip: bool| if flip { -1.0 } else { 1.0 };
            geometry.truncate(2 * n);
            geometry.extend(y.iter().map(|v| v * sign(by.flip_rows)));
            geometry.extend(x.iter().map(|v| v * sign(by.flip_columns)));
            assert!(off(&geometry, &upright.geometry) < 1e-5, "{by:?}");
            let probabilities = by.inverse().planes(&turned.probabilities, by.size([28, 36]));
            assert!(off(&probabilities, &upright.probabilities) < 1e-5, "{by:?}");
        }
    }
}

#[test]
fn flips_average_planes_with_their_signs() {
    let (model, image, n) = (multi("flips", 5), image(20, 16), 20 * 16);
    let options = SegmentOptions::default();
    let got = run(&Backend::Cpu, Ensemble::from(model.clone()).with_tta(Tta::Flips), &image, &options);
    let mut want = vec![0.0; 4 * n];
    for by in Tta::Flips.orientations() {
        let one = run(&Backend::Cpu, model.clone(), &oriented(&image, by), &options);
        let planes = by.planes(&one.geometry, [16, 20]);
        let sign = [1.0, 1.0, if by.flip_rows { -1.0 } else { 1.0 }, if by.flip_columns { -1.0 } else { 1.0 }];
        want.iter_mut().enumerate().for_each(|(i, sum)| *sum += planes[i] * sign[i / n] / 4.0);
    }
    assert!(off(&got.geometry, &want) < 1e-5);
}

#[test]
fn ensembles_average_planes() {
    let (a, b, image) = (multi("a", 7), multi("b", 7), image(24, 24));
    let options = SegmentOptions::default();
    let both = run(&Backend::Cpu, Ensemble::new(vec![a.clone(), b.clone()]).unwrap(), &image, &options);
    let each = [a, b].map(|m| run(&Backend::Cpu, m, &image, &options));
    let mean = |of: fn(&Planes) -> &Vec<f32>| -> Vec<f32> {
        of(&each[0]).iter().zip(of(&each[1])).map(|(a, b)| (a + b) / 2.0).collect()
    };
    assert!(off(&both.geometry, &mean(|p| &p.geometry)) < 1e-6);
    assert!(off(&both.probabilities, &mean(|p| &p.probabilities)) < 1e-6);
    let n = 24 * 24;
    let class = |i: usize| match both.probabilities[i] < 0.5 {
        true => 1 + usize::from(both.probabilities[2 * n + i] > both.probabilities[n + i]),
        false => 0,
    };
    assert_eq!(both.classes, (0..n).map(class).collect::<Vec<_>>());
    let distance = json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": 4 });
    let other = opened("other", "unet", InstanceTarget::Distance, &distance, &[]).unwrap();
    let e = Ensemble::new(vec![multi("a", 7), other]).unwrap_err().to_string();
    assert!(e.contains("a and other do not agree in what they predict for instances: multi and distance"), "{e}");
}

#[test]
fn tiles_give_the_planes_of_the_whole() {
    let (model, image) = (multi("tiles", 7), image(150, 110));
    for backend in backends() {
        let run = |tile: Option<usize>, exact: bool| {
            let options = SegmentOptions::default().with_tile(tile).with_exact(exact);
            run(&backend, model.clone(), &image, &options)
        };
        let whole = run(None, true);
        assert_eq!(run(Some(80), true), whole, "{}", backend.describe());
        let tiled = run(Some(96), false);
        assert!(
            off(&tiled.geometry, &whole.geometry) < CLOSE && off(&tiled.probabilities, &whole.probabilities) < CLOSE
        );
    }
}

/// Blended tiles are averaged with weights that sum to one: those of one tile are the whole image's.
#[test]
fn blended_tiles_have_geometry() {
    use unet_wgpu::low_level::infer::Blend;
    let (model, image) = (multi("blend", 5), image(32, 24));
    let whole = run(&Backend::Cpu, model.clone(), &image, &SegmentOptions::default());
    let blended = run(&Backend::Cpu, model.clone(), &image, &SegmentOptions::default().with_blend(Blend::Gaussian));
    assert!(off(&blended.geometry, &whole.geometry) < 1e-5);
    let tiled = SegmentOptions::default().with_blend(Blend::Gaussian).with_tile(Some(16));
    let tiled = run(&Backend::Cpu, model, &image, &tiled);
    assert_eq!(tiled.geometry.len(), whole.geometry.len());
    assert!(tiled.geometry.iter().all(|v| v.is_finite()));
}

#[test]
fn channels_that_do_not_fit_are_refused() {
    use InstanceTarget::{Border, Distance, Gap, Multi};
    let unet = |channels: usize| json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": channels });
    let error = |arch: &str, target, config: &Value, classes: &[&str]| {
        opened("m", arch, target, config, classes).unwrap_err().to_string()
    };
    let e = error("unet", Multi, &unet(6), &[]);
    let reason =
        "m: `target`: multi needs 5 output channels, and one for each class if there are several; `out_channels` is 6";
    assert_eq!(e, reason);
    let e = error("unet", Gap, &unet(3), &[]);
    assert_eq!(e, "m: `target`: gap needs 2 output channels; `out_channels` is 3");
    let e = error("unet", Multi, &unet(7), &["background", "cell"]);
    assert_eq!(e, "m: `target`: multi with 7 output channels has 3 classes with the background; `classes` names 2");
    let gated = json!({ "width": 2, "depth": 1, "out_channels": 2, "deep_supervision": true, "cgm": true });
    assert!(error("unet3p", Distance, &gated, &[]).contains("`cgm` must be false"));
    let sigmoids = json!({ "width": 2, "depth": 1, "out_channels": 3, "activation": "sigmoid" });
    assert!(error("unet3p", Border, &sigmoids, &[]).contains("`activation` must be softmax"));
    // A method that needs planes which the network lacks.
    let distance = opened("m", "unet", Distance, &unet(2), &[]).unwrap();
    let segmenter = Segmenter::new(Backend::Cpu, distance);
    let offsets = InstanceSettings::default().with_method(InstanceMethod::Offsets);
    let e = segmenter.instance_options(&offsets).unwrap_err().to_string();
    assert_eq!(
        e,
        "method of instances: `offsets` needs a network that predicts offsets (target multi); this one's target is distance"
    );
}

#[test]
fn onnx_files_of_such_a_model_become_checkpoints_again() {
    let model = multi("onnx", 7);
    let bytes = onnx_export::export(&model).unwrap();
    let back = Model::new("back", onnx_export::parse_back(&bytes, "back.onnx".as_ref()).unwrap()).unwrap();
    assert_eq!((back.metadata.target, back.weights()), (Some(InstanceTarget::Multi), model.weights()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    let e = Model::open(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(e.contains("`target`: multi cannot be read from an ONNX network"), "{e}");
}
