//! Small ONNX files of many forms, written and run through onnxruntime by `scripts/check_onnx_forms.py`: the CPU
//! reference's outputs, and the inferred kind of output.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::infer::{Ids, Image, Pixels, SegmentOptions, Segmenter};
use unet_wgpu::low_level::model::{INPUT, Model, whole_graph};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::weights;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/onnx_forms")
}

struct Form {
    name: String,
    activation: String,
    tolerance: f32,
}

fn forms() -> Vec<Form> {
    let text = std::fs::read_to_string(folder().join("forms.json")).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let form = |v: &serde_json::Value| Form {
        name: v["name"].as_str().unwrap().into(),
        activation: v["activation"].as_str().unwrap().into(),
        tolerance: v["allowed"].as_f64().unwrap() as f32,
    };
    list.iter().map(form).collect()
}

fn open(name: &str) -> Model {
    Model::open(&folder().join(format!("{name}.onnx")).to_string_lossy()).unwrap()
}

/// The inferred output activation.
fn activation(model: &Model) -> String {
    let assumed = model.import().unwrap().assumed();
    let inferred = assumed.iter().find_map(|a| a.strip_prefix("activation=")).unwrap();
    inferred.split(' ').next().unwrap().into()
}

#[test]
fn every_form_is_computed_and_inferred_correctly() {
    let tensors = weights::load(folder().join("forms.safetensors")).unwrap().weights;
    let forms = forms();
    assert!(forms.len() > 140);
    let mut wrong = Vec::new();
    for form in &forms {
        let model = open(&form.name);
        let inferred = activation(&model);
        if inferred != form.activation {
            wrong.push(format!("{}: inferred as {inferred}, is {}", form.name, form.activation));
        }
        let x = tensors.get(&format!("{}/x", form.name)).unwrap();
        let expected = tensors.get(&format!("{}/y", form.name)).unwrap();
        let s = x.shape().unwrap();
        let graph = whole_graph(&*model.architecture, s.n, s.h, s.w).unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        let outputs = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap();
        let name = &graph.outputs()[0].0;
        let dims = model.architecture.output_dims(s).unwrap().remove(name);
        let got = &outputs[name];
        let dims = dims.unwrap_or_else(|| got.dims().to_vec());
        let worst = got
            .data()
            .iter()
            .zip(expected.data())
            .fold(0.0f32, |worst, (a, b)| if (a - b).is_nan() { f32::NAN } else { worst.max((a - b).abs()) });
        if dims != expected.dims() || worst.is_nan() || worst > form.tolerance {
            wrong.push(format!("{}: {dims:?} for {:?}, off by {worst}", form.name, expected.dims()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A pixel's class follows from its probability, however the output encodes that.
#[test]
fn classes_are_decided_at_one_half_of_the_probability() {
    let tensors = weights::load(folder().join("forms.safetensors")).unwrap().weights;
    type Probability = fn(f32) -> f32;
    let cases: [(&str, Probability); 6] = [
        ("clip01", |v| v),
        ("hard_sigmoid", |v| v),
        ("x255", |v| v / 255.0),
        ("logsigmoid", f32::exp),
        ("resize_cubic", |v| v.clamp(0.0, 1.0)),
        ("logits", |v| 1.0 / (1.0 + (-v).exp())),
    ];
    for (name, probability) in cases {
        let model = open(name);
        let (x, expected) = (tensors.get(&format!("{name}/x")).unwrap(), tensors.get(&format!("{name}/y")).unwrap());
        let s = x.shape().unwrap();
        let mut graph = unet_wgpu::low_level::graph::Graph::new();
        let input = graph.input(INPUT, unet_wgpu::low_level::tensor::TensorDesc::linear(s));
        let input = graph.node("import", unet_wgpu::low_level::ops::ImportNchw, &[input]).unwrap();
        let built = model.architecture.build(&mut graph, input).unwrap();
        assert_eq!(built.rule, unet_wgpu::low_level::ops::MaskRule::Threshold(0.5), "{name}");
        let out = graph.node("export", unet_wgpu::low_level::ops::ExportNchw, &[built.decision]).unwrap();
        graph.output("p", out);
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        let got = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap();
        for (p, &v) in got["p"].data().iter().zip(expected.data()) {
            assert!((p - probability(v)).abs() < 1e-4, "{name}: {p} of {v}");
        }
    }
}

#[test]
fn settings_override_inferred_activations() {
    let path = folder().join("x255.onnx");
    let set = |value: &str| {
        let set = serde_json::Map::from_iter([("activation".to_string(), value.into())]);
        Model::open_with(&path.to_string_lossy(), &set)
    };
    for value in ["sigmoid", "softmax", "after_sigmoid", "after_softmax_255", "after_log_sigmoid", "after_log_softmax"]
    {
        let model = set(value).unwrap();
        assert!(!model.import().unwrap().assumed().iter().any(|a| a.starts_with("activation")), "{value}");
        assert_eq!(model.architecture.config()["activation"], value);
    }
    let e = set("class_ids").unwrap_err().to_string();
    assert!(e.contains("after_log_softmax"), "{e}");
}

#[test]
fn quantisation_and_integer_inputs_are_reported() {
    let report = |name: &str| open(name).import().unwrap().clone();
    assert!(report("qdq_sigmoid").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("qop_channel_logits").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("dynamic_sigmoid").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("sigmoid").notes.is_empty());
    let assumed = report("uint8_input").assumed().join("; ");
    assert!(assumed.contains("normalisation=none (its input is of uint8"), "{assumed}");
    assert!(report("sigmoid").assumed().join("; ").contains("normalisation=unit"));
}

/// Files that an earlier version misread or rejected.
#[test]
fn regressions() {
    let folder = folder().with_file_name("onnx_cases");
    let open = |name: &str| Model::open(&folder.join(format!("{name}.onnx")).to_string_lossy());
    for (name, expected) in [
        ("prob_clip", "after_sigmoid"),
        ("prob_hardsigmoid", "after_sigmoid"),
        // A softmax whose background channel is cut off.
        ("prob_softmax", "after_sigmoid"),
        ("log_softmax", "after_log_softmax"),
        ("celu", "sigmoid"),
        ("concat_zero_channels", "sigmoid"),
        ("quantised_qdq", "softmax"),
    ] {
        assert_eq!(activation(&open(name).unwrap()), expected, "{name}");
    }
    let e = open("git_lfs_pointer").unwrap_err().to_string();
    assert!(e.ends_with("is a Git LFS pointer, not the file: run `git lfs pull`"), "{e}");
    let tensors = weights::load(folder.join("cases.safetensors")).unwrap().weights;
    // For the quantised one, two quantisation steps of its output.
    let cases = [("celu", 1e-4), ("log_softmax", 1e-4), ("concat_zero_channels", 1e-4), ("quantised_qdq", 0.01)];
    for (name, tolerance) in cases {
        let model = open(name).unwrap();
        let (x, expected) = (tensors.get(&format!("{name}/x")).unwrap(), tensors.get(&format!("{name}/y")).unwrap());
        let s = x.shape().unwrap();
        let graph = whole_graph(&*model.architecture, s.n, s.h, s.w).unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        let got = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap().remove("output").unwrap();
        assert_eq!(got.dims(), expected.dims(), "{name}");
        let worst = got.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= tolerance, "{name}: {worst}");
    }
}

/// Probabilities without a final Sigmoid or Softmax: the masks of `scripts/onnx_masks.py`, pixel by pixel.
#[test]
fn masks_of_probabilities_are_those_of_onnxruntime() {
    let folder = folder().with_file_name("onnx_cases");
    let image = Image::open(folder.join("prob_image.png")).unwrap();
    for (name, classes) in [("prob_clip", 2), ("prob_hardsigmoid", 2), ("prob_softmax", 3)] {
        let model = Model::open(&folder.join(format!("{name}.onnx")).to_string_lossy()).unwrap();
        let mut segmenter = Segmenter::new(Backend::Cpu, model);
        let result = segmenter.segment(&image, &SegmentOptions::default(), |_| Ok(())).unwrap();
        let Ids::U8(got) = result.mask.ids() else { panic!("{name}: more than 256 classes") };
        let expected = Image::open(folder.join(format!("{name}_mask.png"))).unwrap();
        let Pixels::U8(expected) = expected.pixels() else { panic!("{name}: a mask of bytes") };
        assert_eq!(got.len(), expected.len(), "{name}");
        let known = |(_, e): &(&u8, &u8)| **e != 255;
        let pairs = || got.iter().zip(expected).filter(known);
        assert!(got.len() - pairs().count() < 10, "{name}");
        assert_eq!(pairs().filter(|(g, e)| g != e).count(), 0, "{name}");
        assert!((0..classes).all(|c| pairs().filter(|(g, _)| **g == c).count() > 500), "{name}: a class is missing");
    }
}
