use serde_json::json;

use super::*;
use crate::infer::tile::grid::{Tile, TileGrid, Tileability};
use crate::infer::{
    Image, Pixels, SegmentOptions, Segmenter, TileInput, TileOutputs, TilePlace, TileRunner, normalise, source_window,
};
use crate::model::{parse, whole_graph};
use crate::session::Backend;
use crate::tensor::Shape;
use crate::testing::{OP_TOLERANCE, gpu_or_skip, random_input, random_parameter};
use crate::weights::{Checkpoint, ModelMetadata, Normalisation};

fn model(name: &str, config: serde_json::Value, normalisation: Normalisation) -> Model {
    let architecture = parse("unet", &config).unwrap();
    let size = architecture.size_rule().minimum;
    let graph = whole_graph(&*architecture, 1, size, size).unwrap();
    // Another name, other weights.
    let weight = |k: &str, d: &[usize]| random_parameter(&format!("{name} {k}"), d).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), weight(k, d))).collect();
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
    Model::new(name, Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

fn small(name: &str) -> Model {
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 3 });
    model(name, config, Normalisation::Unit)
}

fn image(width: usize, height: usize) -> Image {
    // The name seeds the noise: with this one the networks find both classes.
    let noise = random_input("picture", Shape::new(1, 1, height, width)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Image::new(width, height, 1, Pixels::U16(pixels)).unwrap()
}

/// Class ids and probabilities, with tiles of at most `tile` pixels.
fn run(ensemble: &Ensemble, image: &Image, tile: usize) -> (Vec<f32>, Vec<f32>) {
    run_on(&Backend::Cpu, ensemble, image, tile, 1)
}

/// The same with `batch` tiles or orientations per run.
fn run_on(backend: &Backend, ensemble: &Ensemble, image: &Image, tile: usize, batch: usize) -> (Vec<f32>, Vec<f32>) {
    let (w, h) = (image.width(), image.height());
    let tileability = ensemble.tileability(|m| Segmenter::new(Backend::Cpu, m.clone()).tileability());
    let Tileability::Exact(spec) = tileability.unwrap() else { panic!("cannot be tiled") };
    let grid = TileGrid::plan(h, w, (tile, tile), &spec).unwrap();
    let size = [grid.rows.window, grid.columns.window];
    let outputs = TileOutputs { probabilities: true, ..TileOutputs::default() };
    let mut runner = TileRunner::new(backend, ensemble, size, outputs, batch).unwrap();
    let affines: Vec<_> = ensemble.models().map(|m| normalise(image, &m.metadata.normalisation).unwrap()).collect();
    let planes = ensemble.planes();
    let (mut mask, mut probabilities) = (vec![-1.0; w * h], vec![-1.0; planes * w * h]);
    let tiles: Vec<_> = grid.iter().collect();
    for some in tiles.chunks(runner.tiles_at_once()) {
        let place = |t: &Tile| {
            let rows = source_window(t.y.start, size[0], h);
            let columns = source_window(t.x.start, size[1], w);
            let pixels = image.window(columns.start, rows.start, columns.len(), rows.len()).unwrap();
            (TilePlace { image: [h, w], start: [t.y.start, t.x.start], size, rows, columns }, pixels)
        };
        let read: Vec<_> = some.iter().map(place).collect();
        let inputs: Vec<_> =
            read.iter().map(|(place, pixels)| TileInput { place, pixels, affines: &affines }).collect();
        let mut last = 0.0;
        let progress = |f: f64| {
            assert!((last..=1.0).contains(&f));
            last = f;
            Ok(())
        };
        let results = runner.run(&inputs, progress).unwrap();
        assert_eq!(results.len(), some.len());
        for (t, result) in some.iter().zip(results) {
            let (oh, ow) = (grid.rows.output, grid.columns.output);
            for (k, y) in t.y.valid.clone().enumerate() {
                let from = |plane: usize| (plane * oh + t.y.offset + k) * ow + t.x.offset;
                let (at, n) = (y * w + t.x.valid.start, t.x.valid.len());
                mask[at..at + n].copy_from_slice(&result.mask[from(0)..from(0) + n]);
                for c in 0..planes {
                    let line = &result.probabilities[from(c)..from(c) + n];
                    probabilities[c * w * h + at..c * w * h + at + n].copy_from_slice(line);
                }
            }
        }
    }
    (mask, probabilities)
}

fn alone(model: &Model, image: &Image) -> (Vec<f32>, Vec<f32>) {
    let options = SegmentOptions { probabilities: true, ..Default::default() };
    let s = Segmenter::new(Backend::Cpu, model.clone()).segment(image, &options, |_| Ok(())).unwrap();
    ((0..image.width() * image.height()).map(|i| s.mask.id(i) as f32).collect(), s.probabilities.unwrap())
}

#[test]
fn one_model_is_the_segmenter() {
    let (m, p) = (small("a"), image(30, 22));
    assert_eq!(run(&m.clone().into(), &p, 1 << 20), alone(&m, &p));
}

#[test]
fn results_do_not_depend_on_tiles() {
    for tta in [Tta::None, Tta::Flips, Tta::D4] {
        let ensemble = Ensemble::new(vec![small("a"), small("b")]).unwrap().with_tta(tta);
        let p = image(53, 39);
        let whole = run(&ensemble, &p, 1 << 20);
        assert!(whole.1.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!((0..3).filter(|c| whole.0.contains(&(*c as f32))).count() > 1, "one class only");
        for tile in [24, 34] {
            assert!(run(&ensemble, &p, tile) == whole, "{tta:?}, tiles of {tile}");
        }
    }
}

#[test]
fn results_do_not_depend_on_tiles_without_padding() {
    let config = json!({ "width": 2, "depth": 1, "out_channels": 2 });
    let ensemble = Ensemble::from(model("v", config, Normalisation::ZScore)).with_tta(Tta::D4);
    let p = image(41, 30);
    assert!(run(&ensemble, &p, 40) == run(&ensemble, &p, 1 << 20));
}

#[test]
fn probabilities_are_averaged_after_each_models_normalisation() {
    let config = json!({ "width": 2, "depth": 2, "padding": "same", "out_channels": 3 });
    let (a, b) = (small("a"), model("b", config, Normalisation::ZScore));
    let p = image(28, 20);
    let (mask, mean) = run(&Ensemble::new(vec![a.clone(), b.clone()]).unwrap(), &p, 1 << 20);
    let (one, two) = (alone(&a, &p).1, alone(&b, &p).1);
    for (i, m) in mean.iter().enumerate() {
        assert!((m - (one[i] + two[i]) / 2.0).abs() <= f32::EPSILON, "{i}");
    }
    let pixels = 28 * 20;
    for (i, &id) in mask.iter().enumerate() {
        let best = (0..3).map(|c| mean[c * pixels + i]).fold(f32::MIN, f32::max);
        assert_eq!(mean[id as usize * pixels + i], best);
    }
}

/// The mean over all symmetries is equivariant.
#[test]
fn symmetric_means_are_equivariant() {
    for (tta, count) in [(Tta::Flips, 4), (Tta::D4, 8)] {
        let ensemble = Ensemble::from(small("a")).with_tta(tta);
        let (w, h) = (36, 20);
        let p = image(w, h);
        let (_, upright) = run(&ensemble, &p, 1 << 20);
        let raw = p.window(0, 0, w, h).unwrap();
        for by in Orientation::all().into_iter().take(count) {
            let pixels = by.planes(&raw, [h, w]).iter().map(|&v| v as u16).collect();
            let [rows, columns] = by.size([h, w]);
            let oriented = Image::new(columns, rows, 1, Pixels::U16(pixels)).unwrap();
            let (_, actual) = run(&ensemble, &oriented, 1 << 20);
            let expected = by.planes(&upright, [h, w]);
            let largest = actual.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest <= OP_TOLERANCE, "{tta:?} {by:?}: {largest}");
        }
        // The network itself is not equivariant, or this would show nothing.
        let (_, plain) = run(&small("a").into(), &p, 1 << 20);
        assert!(plain.iter().zip(&upright).any(|(a, b)| (a - b).abs() > 1e-3));
    }
}

#[test]
fn a_single_sigmoid_has_a_threshold() {
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 1 });
    let ensemble = Ensemble::from(model("s", config, Normalisation::Unit)).with_tta(Tta::Flips);
    let (mask, mean) = run(&ensemble, &image(20, 16), 1 << 20);
    assert!(mask.iter().zip(&mean).all(|(&id, &p)| id == if p > 0.5 { 1.0 } else { 0.0 }));
}

#[test]
fn disagreements_are_named() {
    let base = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 3 });
    let with = |key: &str, value: serde_json::Value| {
        let mut config = base.clone();
        config[key] = value;
        model("other", config, Normalisation::Unit)
    };
    let error = |m: Model| Ensemble::new(vec![small("a"), m]).unwrap_err().to_string();
    assert!(
        error(with("in_channels", json!(3))).contains("a and other do not agree in channels of the image: 1 and 3")
    );
    assert_eq!(
        error(with("out_channels", json!(4))),
        "ensemble: a and other do not agree in classes: [class 0, class 1, class 2] and [class 0, class 1, class 2, class 3]"
    );
    // One sigmoid plane counts as two classes, which three classes do not match.
    assert!(error(with("out_channels", json!(1))).contains("[class 0, class 1, class 2] and [class 0, class 1]"));
    assert!(error(with("padding", json!("valid"))).contains("padding"));
    assert!(Ensemble::new(vec![]).is_err());
    // Depths may differ: inputs then suit the deeper model.
    let deep = Ensemble::new(vec![small("a"), with("depth", json!(3))]).unwrap();
    assert_eq!((deep.size_rule().step, deep.runs()), (8, 2));
    assert_eq!(deep.with_tta(Tta::D4).runs(), 16);
}

fn two_class(name: &str, planes: usize, normalisation: Normalisation) -> Model {
    let config = json!({ "width": 2, "depth": planes, "padding": "same", "out_channels": planes });
    model(name, config, normalisation)
}

/// A sigmoid's plane p contributes [1 - p, p] next to a softmax, in any order, orientation and tiling.
#[test]
fn a_sigmoid_and_a_softmax_of_two_classes_are_averaged() {
    let (sigmoid, softmax) = (two_class("s", 1, Normalisation::Unit), two_class("t", 2, Normalisation::ZScore));
    // Sizes that both networks accept; otherwise each would mirror by a different amount.
    let (w, h) = (72, 40);
    let (p, pixels) = (image(w, h), w * h);
    let alone = |m: &Model, tta| run(&Ensemble::from(m.clone()).with_tta(tta), &p, 1 << 20).1;
    for tta in [Tta::None, Tta::Flips, Tta::D4] {
        let (one, two) = (alone(&sigmoid, tta), alone(&softmax, tta));
        assert_eq!((one.len(), two.len()), (pixels, 2 * pixels));
        for members in [[&sigmoid, &softmax], [&softmax, &sigmoid]] {
            let ensemble = Ensemble::new(members.map(Clone::clone).to_vec()).unwrap().with_tta(tta);
            assert_eq!((ensemble.planes(), ensemble.classes().len()), (2, 2));
            let (mask, mean) = run(&ensemble, &p, 1 << 20);
            assert_eq!(mean.len(), 2 * pixels);
            for i in 0..pixels {
                let background = (1.0 - one[i] + two[i]) / 2.0;
                let foreground = (one[i] + two[pixels + i]) / 2.0;
                assert!((mean[i] - background).abs() <= 1e-6, "{tta:?} {i}");
                assert!((mean[pixels + i] - foreground).abs() <= 1e-6, "{tta:?} {i}");
                assert_eq!(mask[i], if mean[pixels + i] > mean[i] { 1.0 } else { 0.0 });
            }
            assert!(mask.contains(&0.0) && mask.contains(&1.0), "one class only");
            // The mean equals neither member's result.
            assert!(mean[pixels..] != one && mean != two);
            assert!(run(&ensemble, &p, 52) == (mask, mean), "{tta:?}: tiles");
        }
    }
}

/// The same through the segmenter on the device: the mean of the members' results, also blended.
#[test]
fn mixed_planes_on_the_device() {
    let Some(gpu) = gpu_or_skip() else { return };
    let p = image(40, 32);
    let members = [two_class("s", 1, Normalisation::Unit), two_class("t", 2, Normalisation::ZScore)];
    for blend in [crate::infer::Blend::Exact, crate::infer::Blend::Gaussian] {
        let options = SegmentOptions { probabilities: true, blend, tile: Some(40), ..Default::default() };
        let on = |ensemble: Ensemble, backend| {
            let s = Segmenter::new(backend, ensemble).segment(&p, &options, |_| Ok(())).unwrap();
            (s.mask.ids().clone(), s.probabilities.unwrap())
        };
        let (_, one) = on(members[0].clone().into(), Backend::Cpu);
        let (_, two) = on(members[1].clone().into(), Backend::Cpu);
        let pair = Ensemble::new(members.to_vec()).unwrap();
        let (_, actual) = on(pair, Backend::Gpu(gpu.clone()));
        let pixels = 40 * 32;
        assert_eq!(actual.len(), 2 * pixels);
        for i in 0..pixels {
            let expected = [(1.0 - one[i] + two[i]) / 2.0, (one[i] + two[pixels + i]) / 2.0];
            assert!(
                (actual[i] - expected[0]).abs() <= OP_TOLERANCE
                    && (actual[pixels + i] - expected[1]).abs() <= OP_TOLERANCE
            );
        }
    }
}

#[test]
fn class_names_agree_or_are_adopted() {
    let named = |name: &str, planes: usize, classes: &[&str]| {
        let mut m = two_class(name, planes, Normalisation::Unit);
        m.metadata.classes = classes.iter().map(|c| c.to_string()).collect();
        m
    };
    let pair = Ensemble::new(vec![named("a", 1, &[]), named("b", 2, &["background", "nucleus"])]).unwrap();
    assert_eq!(pair.classes(), ["background", "nucleus"]);
    let e = Ensemble::new(vec![named("a", 1, &["background", "cell"]), named("b", 2, &["background", "nucleus"])]);
    let e = e.unwrap_err().to_string();
    assert!(e.ends_with("do not agree in classes: [background, cell] and [background, nucleus]"), "{e}");
}

/// Bit-identical with any number of tiles and orientations per run, also if the last run is not full.
#[test]
fn results_do_not_depend_on_batches() {
    let Some(gpu) = gpu_or_skip() else { return };
    for backend in [Backend::Cpu, Backend::Gpu(gpu)] {
        let p = image(77, 59);
        for tta in [Tta::None, Tta::D4] {
            let members = vec![two_class("s", 1, Normalisation::Unit), two_class("t", 2, Normalisation::ZScore)];
            for ensemble in [Ensemble::from(members[1].clone()), Ensemble::new(members.clone()).unwrap()] {
                let ensemble = ensemble.with_tta(tta);
                for tile in [1 << 20, 52] {
                    let one = run_on(&backend, &ensemble, &p, tile, 1);
                    for batch in [2, 5, 8] {
                        assert!(run_on(&backend, &ensemble, &p, tile, batch) == one, "{tta:?}, {tile}, {batch} a run");
                    }
                }
            }
        }
    }
}
