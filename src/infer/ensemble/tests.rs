use serde_json::json;

use super::*;
use crate::infer::tile::TileGrid;
use crate::infer::{Picture, Pixels, SegmentOptions, Segmenter, normalise, source_window};
use crate::model::{parse, whole_graph};
use crate::testing::{OP_TOLERANCE, random_input, random_parameter};
use crate::weights::{Checkpoint, ModelMetadata, Normalisation};

fn model(name: &str, config: serde_json::Value, normalisation: Normalisation) -> Model {
    let architecture = parse("unet", &config).unwrap();
    let size = architecture.size_rule().minimum;
    let graph = whole_graph(&*architecture, 1, size, size).unwrap();
    // Another name, other weights.
    let weight = |k: &str, d: &[usize]| random_parameter(&format!("{name} {k}"), d).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), weight(k, d))).collect();
    let metadata = ModelMetadata { format: 1, arch: "unet".into(), config, normalisation, classes: vec![] };
    Model::new(name, Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

fn small(name: &str) -> Model {
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 3 });
    model(name, config, Normalisation::Unit)
}

fn picture(width: usize, height: usize) -> Picture {
    let noise = random_input("picture", Shape::new(1, 1, height, width)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Picture::new(width, height, 1, Pixels::U16(pixels)).unwrap()
}

/// Class ids and probabilities, in tiles of at most `tile` pixels.
fn run(ensemble: &Ensemble, picture: &Picture, tile: usize) -> (Vec<f32>, Vec<f32>) {
    let (w, h) = (picture.width(), picture.height());
    let spec = ensemble.tile_spec(|m| Segmenter::new(Backend::Cpu, m.clone()).tile_spec()).unwrap().unwrap();
    let grid = TileGrid::plan(h, w, (tile, tile), &spec).unwrap();
    let size = [grid.rows.window, grid.columns.window];
    let outputs = TileOutputs { probabilities: true, decision: false };
    let mut runner = TileRunner::new(&Backend::Cpu, ensemble, size, outputs).unwrap();
    let affines: Vec<_> = ensemble.models().map(|m| normalise(picture, &m.metadata.normalisation).unwrap()).collect();
    let planes = ensemble.first().architecture.out_channels();
    let (mut mask, mut probabilities) = (vec![-1.0; w * h], vec![-1.0; planes * w * h]);
    for t in grid.iter() {
        let rows = source_window(t.y.start, size[0], h);
        let columns = source_window(t.x.start, size[1], w);
        let pixels = picture.window(columns.start, rows.start, columns.len(), rows.len()).unwrap();
        let place = TilePlace { picture: [h, w], start: [t.y.start, t.x.start], size, rows, columns };
        let mut last = 0.0;
        let progress = |f: f64| {
            assert!((last..=1.0).contains(&f));
            last = f;
            Ok(())
        };
        runner.run(&place, &pixels, &affines, progress).unwrap();
        let (oh, ow) = (grid.rows.output, grid.columns.output);
        for (k, y) in t.y.keep.clone().enumerate() {
            let from = |plane: usize| (plane * oh + t.y.offset + k) * ow + t.x.offset;
            let (at, n) = (y * w + t.x.keep.start, t.x.keep.len());
            mask[at..at + n].copy_from_slice(&runner.mask()[from(0)..from(0) + n]);
            for c in 0..planes {
                let line = &runner.probabilities()[from(c)..from(c) + n];
                probabilities[c * w * h + at..c * w * h + at + n].copy_from_slice(line);
            }
        }
    }
    (mask, probabilities)
}

fn alone(model: &Model, picture: &Picture) -> (Vec<f32>, Vec<f32>) {
    let options = SegmentOptions { probabilities: true, ..Default::default() };
    let s = Segmenter::new(Backend::Cpu, model.clone()).segment(picture, &options, |_| Ok(())).unwrap();
    ((0..picture.width() * picture.height()).map(|i| s.mask.id(i) as f32).collect(), s.probabilities.unwrap())
}

#[test]
fn one_model_is_the_segmenter() {
    let (m, p) = (small("a"), picture(30, 22));
    assert_eq!(run(&m.clone().into(), &p, 1 << 20), alone(&m, &p));
}

#[test]
fn tiles_leave_no_trace() {
    for tta in [Tta::None, Tta::Flips, Tta::D4] {
        let ensemble = Ensemble::new(vec![small("a"), small("b")]).unwrap().with_tta(tta);
        let p = picture(53, 39);
        let whole = run(&ensemble, &p, 1 << 20);
        assert!(whole.1.iter().all(|p| (0.0..=1.0).contains(p)));
        assert!((0..3).filter(|c| whole.0.contains(&(*c as f32))).count() > 1, "one class only");
        for tile in [24, 34] {
            assert!(run(&ensemble, &p, tile) == whole, "{tta:?}, tiles of {tile}");
        }
    }
}

#[test]
fn networks_without_padding_too() {
    let config = json!({ "width": 2, "depth": 1, "out_channels": 2 });
    let ensemble = Ensemble::from(model("v", config, Normalisation::ZScore)).with_tta(Tta::D4);
    let p = picture(41, 30);
    assert!(run(&ensemble, &p, 40) == run(&ensemble, &p, 1 << 20));
}

#[test]
fn probabilities_are_averaged_and_each_model_normalises_its_way() {
    let config = json!({ "width": 2, "depth": 2, "padding": "same", "out_channels": 3 });
    let (a, b) = (small("a"), model("b", config, Normalisation::ZScore));
    let p = picture(28, 20);
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

/// The mean over all symmetries turns with the picture.
#[test]
fn symmetric_means_turn_with_the_picture() {
    for (tta, count) in [(Tta::Flips, 4), (Tta::D4, 8)] {
        let ensemble = Ensemble::from(small("a")).with_tta(tta);
        let (w, h) = (36, 20);
        let p = picture(w, h);
        let (_, upright) = run(&ensemble, &p, 1 << 20);
        let raw = p.window(0, 0, w, h).unwrap();
        for by in Orientation::all().into_iter().take(count) {
            let pixels = by.planes(&raw, [h, w]).iter().map(|&v| v as u16).collect();
            let [rows, columns] = by.size([h, w]);
            let turned = Picture::new(columns, rows, 1, Pixels::U16(pixels)).unwrap();
            let (_, got) = run(&ensemble, &turned, 1 << 20);
            let want = by.planes(&upright, [h, w]);
            let largest = got.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest <= OP_TOLERANCE, "{tta:?} {by:?}: {largest}");
        }
        // The network itself does not turn with the picture, or this would show nothing.
        let (_, plain) = run(&small("a").into(), &p, 1 << 20);
        assert!(plain.iter().zip(&upright).any(|(a, b)| (a - b).abs() > 1e-3));
    }
}

#[test]
fn a_single_sigmoid_has_a_threshold() {
    let config = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 1 });
    let ensemble = Ensemble::from(model("s", config, Normalisation::Unit)).with_tta(Tta::Flips);
    let (mask, mean) = run(&ensemble, &picture(20, 16), 1 << 20);
    assert!(mask.iter().zip(&mean).all(|(&id, &p)| id == if p > 0.5 { 1.0 } else { 0.0 }));
}

#[test]
fn models_that_disagree_are_named() {
    let base = json!({ "width": 2, "depth": 1, "padding": "same", "out_channels": 3 });
    let with = |key: &str, value: serde_json::Value| {
        let mut config = base.clone();
        config[key] = value;
        model("other", config, Normalisation::Unit)
    };
    let error = |m: Model| Ensemble::new(vec![small("a"), m]).unwrap_err().to_string();
    assert!(
        error(with("in_channels", json!(3))).contains("a and other do not agree in channels of the picture: 1 and 3")
    );
    assert!(error(with("out_channels", json!(4))).contains("do not agree in classes"));
    assert!(error(with("padding", json!("valid"))).contains("padding"));
    assert!(Ensemble::new(vec![]).is_err());
    // Depths may differ: inputs then suit the deeper.
    let deep = Ensemble::new(vec![small("a"), with("depth", json!(3))]).unwrap();
    assert_eq!((deep.size_rule().step, deep.runs()), (8, 2));
    assert_eq!(deep.with_tta(Tta::D4).runs(), 16);
}
