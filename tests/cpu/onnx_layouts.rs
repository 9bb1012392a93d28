//! ONNX files with the axes, sizes and skips of many exporters, made by `scripts/onnx_layouts.py` with random weights.
//! Outputs and masks must match onnxruntime's.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::infer::{Ids, Image, Pixels, SegmentOptions, Segmenter, Tileability};
use unet_wgpu::low_level::model::{INPUT, Model, whole_graph};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::low_level::weights;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/layouts").join(name)
}

fn open(name: &str, set: &Value) -> Model {
    let set: Map<String, Value> = set.as_object().unwrap().clone();
    Model::open_with(path(&format!("{name}.onnx")).to_str().unwrap(), &set).unwrap()
}

fn tensor(name: &str, key: &str) -> HostTensor {
    let checkpoint = weights::open(path(&format!("{name}.safetensors")).to_str().unwrap()).unwrap();
    checkpoint.weights.get(key).unwrap().clone()
}

/// The network's output for the fixture's input.
fn run(name: &str, model: &Model) -> HostTensor {
    let x = tensor(name, "input");
    let s = x.shape().unwrap();
    let graph = whole_graph(&*model.architecture, s.n, s.h, s.w).unwrap();
    let inputs = BTreeMap::from([(INPUT.to_string(), x)]);
    let outputs = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap();
    outputs.into_values().next().unwrap()
}

fn assert_same_output(name: &str, model: &Model) {
    let (got, expected) = (run(name, model), tensor(name, "output"));
    assert_eq!(got.dims(), expected.dims(), "{name}");
    let max = expected.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let off = got.data().iter().zip(expected.data()).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(off <= 1e-5 * max, "{name}: off by {off} of {max}");
}

/// The class ids of the fixture's image, as segmented.
fn segmented(name: &str, model: Model) -> Result<Vec<u16>, String> {
    let image = tensor(name, "image");
    let &[c, h, w] = image.dims() else { panic!("{name}: {:?}", image.dims()) };
    // Planar in the file, interleaved in an image.
    let bytes = (0..h * w * c).map(|i| image.data()[i % c * h * w + i / c] as u8).collect();
    let image = Image::new(w, h, c, Pixels::U8(bytes)).unwrap();
    let mut segmenter = Segmenter::new(Backend::Cpu, model);
    let result = segmenter.segment(&image, &SegmentOptions::default(), |_| Ok(())).map_err(|e| e.to_string())?;
    assert_eq!((result.mask.width(), result.mask.height()), (w, h), "{name}");
    Ok(match result.mask.ids() {
        Ids::U8(ids) => ids.iter().map(|&v| v.into()).collect(),
        Ids::U16(ids) => ids.clone(),
    })
}

/// Class ids of onnxruntime's output with their margins; `threshold` is for a single channel.
fn expected(name: &str, threshold: f32) -> (Vec<u16>, Vec<f32>) {
    let (image, y) = (tensor(name, "image"), tensor(name, "output"));
    let (s, &[_, h, w]) = (y.shape().unwrap(), image.dims()) else { panic!("{name}: {:?}", image.dims()) };
    let pixel = |i: usize| -> (u16, f32) {
        let at = |c: usize| y.data()[(c * s.h + i / w) * s.w + i % w];
        if s.c == 1 {
            return (u16::from(at(0) > threshold), (at(0) - threshold).abs());
        }
        let mut order: Vec<usize> = (0..s.c).collect();
        order.sort_by(|&a, &b| at(b).total_cmp(&at(a)));
        (order[0] as u16, at(order[0]) - at(order[1]))
    };
    (0..h * w).map(pixel).unzip()
}

fn assert_same_mask(name: &str, model: Model, threshold: f32) {
    let (expected, margins) = expected(name, threshold);
    let got = segmented(name, model).unwrap();
    assert!(expected.iter().any(|&v| v != expected[0]), "{name}: a single class proves nothing");
    let wrong = (0..expected.len()).filter(|&i| got[i] != expected[i] && margins[i] > 1e-5).count();
    assert_eq!(wrong, 0, "{name}: of {} pixels", expected.len());
}

#[test]
fn axes_are_found_in_any_order() {
    for (name, layout, threshold) in [
        ("grey_reshape", "NHWC", 0.5),
        ("grey_unsqueeze", "NHWC", 0.5),
        ("grey_flat", "NHWC", 0.5),
        ("channels_12_of_5", "NHWC", 0.5),
        ("preprocessed_gated", "NHWC", 0.5),
        ("no_batch", "HWC", 0.5),
        ("last_to_first", "NHWC", 0.0),
        ("first_to_last", "NCHW", 0.5),
    ] {
        let model = open(name, &json!({}));
        assert_eq!(model.architecture.config()["layout"], layout, "{name}");
        assert_same_output(name, &model);
        assert_same_mask(name, model, threshold);
    }
}

#[test]
fn axis_permutations_need_no_rearrange_node() {
    for name in ["grey_reshape", "grey_unsqueeze", "grey_flat", "channels_12_of_5", "preprocessed_gated", "no_batch"] {
        let model = open(name, &json!({}));
        let s = model.architecture.example();
        let graph = whole_graph(&*model.architecture, s.n, s.h, s.w).unwrap();
        assert!(graph.nodes().iter().all(|n| n.op.name() != "rearrange"), "{name}");
    }
}

#[test]
fn the_order_of_axes_can_be_set() {
    let set = json!({ "layout": "NHWC", "output_layout": "nhwc" });
    assert_same_output("channels_12_of_5", &open("channels_12_of_5", &set));
    let wrong = |set: Value| {
        let path = path("grey_reshape.onnx");
        Model::open_with(path.to_str().unwrap(), set.as_object().unwrap()).unwrap_err().to_string()
    };
    assert!(wrong(json!({ "layout": "HWC" })).contains("layout is HWC, its input `x` has 4 dimensions"));
    assert!(wrong(json!({ "layout": "WHC" })).contains("is not one of NCHW"));
    assert!(wrong(json!({ "size": "12" })).contains("is not ROWSxCOLUMNS"));
    assert!(wrong(json!({ "size": "24x20" })).contains("size is 24x20, the file fixes 12x20"));
}

#[test]
fn a_cascade_with_cropped_skips_has_a_rule() {
    let model = open("cascade", &json!({}));
    let rule = model.architecture.size_rule();
    assert_eq!((rule.step, rule.margin, model.architecture.ruled()), (4, 28, true));
    let segmenter = Segmenter::new(Backend::Cpu, model.clone());
    let Tileability::Impossible(why) = segmenter.tileability().unwrap() else { panic!("can be tiled") };
    assert!(why.contains("global average pooling"), "{why}");
    assert_same_output("cascade", &model);
    assert_same_mask("cascade", model, 0.5);
}

#[test]
fn a_network_without_a_size_rule_runs_on_the_given_size() {
    let model = open("windows_12", &json!({}));
    assert!(!model.architecture.ruled());
    assert_eq!(model.architecture.tried_size([13, 30]).unwrap(), [24, 36]);
    assert_same_output("windows_12", &model);
    assert_same_mask("windows_12", model, 0.5);
    let fixed = open("windows_12", &json!({ "size": "24x36" }));
    assert_eq!(fixed.architecture.fixed_size(), [Some(24), Some(36)]);
    assert_same_mask("windows_12", fixed, 0.5);
    let e = segmented("windows_12", open("windows_12", &json!({ "size": "12x12" }))).unwrap_err();
    assert!(e.contains("larger than the 12x12 pixels") && e.contains("another `size=`"), "{e}");
}

#[test]
fn networks_that_change_the_size_run_but_cannot_segment() {
    for (name, part) in [("double", "upsamples by 2"), ("half", "stands for 2x2 of the image")] {
        let model = open(name, &json!({}));
        assert_same_output(name, &model);
        let e = segmented(name, model).unwrap_err();
        assert!(e.contains(part) && e.contains("cannot segment"), "{name}: {e}");
    }
}

#[test]
fn tf2onnx_networks_match_the_masks_of_onnxruntime() {
    for name in ["tf_grey128_13", "tf_grey_dyn_13", "tf_rgb128_13"] {
        let model = open(name, &json!({}));
        assert_eq!((model.architecture.config()["layout"].as_str(), model.architecture.classes()), (Some("NHWC"), 2));
        let image = Image::open(path(&format!("{name}.png"))).unwrap();
        let mask = Image::open(path(&format!("{name}_mask.png"))).unwrap();
        let mut segmenter = Segmenter::new(Backend::Cpu, model);
        let result = segmenter.segment(&image, &SegmentOptions::default(), |_| Ok(())).unwrap();
        let (Ids::U8(got), Pixels::U8(expected)) = (result.mask.ids(), mask.pixels()) else { panic!("{name}") };
        assert_eq!((result.mask.width(), result.mask.height()), (mask.width(), mask.height()), "{name}");
        assert!(got.iter().zip(expected).all(|(&a, &b)| (a == 1) == (b == 255)), "{name}");
        assert!(expected.contains(&0) && expected.contains(&255), "{name}");
    }
}
