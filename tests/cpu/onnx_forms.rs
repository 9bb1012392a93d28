//! Small ONNX files of many forms, written and run through onnxruntime by `scripts/check_onnx_forms.py`: what the CPU reference
//! makes of them, and what their output is taken for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unet_wgpu::model::{INPUT, Model, whole_graph};
use unet_wgpu::session::Backend;
use unet_wgpu::weights;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/fixtures/onnx_forms")
}

struct Form {
    name: String,
    activation: String,
    allowed: f32,
}

fn forms() -> Vec<Form> {
    let text = std::fs::read_to_string(folder().join("forms.json")).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let form = |v: &serde_json::Value| Form {
        name: v["name"].as_str().unwrap().into(),
        activation: v["activation"].as_str().unwrap().into(),
        allowed: v["allowed"].as_f64().unwrap() as f32,
    };
    list.iter().map(form).collect()
}

fn open(name: &str) -> Model {
    Model::open(&folder().join(format!("{name}.onnx")).to_string_lossy()).unwrap()
}

/// What was assumed of the output.
fn activation(model: &Model) -> String {
    let assumed = model.import().unwrap().assumed();
    let said = assumed.iter().find_map(|a| a.strip_prefix("activation=")).unwrap();
    said.split(' ').next().unwrap().into()
}

#[test]
fn every_form_is_computed_and_understood_as_it_is() {
    let tensors = weights::load(folder().join("forms.safetensors")).unwrap().weights;
    let forms = forms();
    assert!(forms.len() > 140);
    let mut wrong = Vec::new();
    for form in &forms {
        let model = open(&form.name);
        let said = activation(&model);
        if said != form.activation {
            wrong.push(format!("{}: taken for {said}, is {}", form.name, form.activation));
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
        if dims != expected.dims() || worst.is_nan() || worst > form.allowed {
            wrong.push(format!("{}: {dims:?} for {:?}, off by {worst}", form.name, expected.dims()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The class of a pixel follows from the probability, whatever it is written as.
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
        let mut graph = unet_wgpu::graph::Graph::new();
        let input = graph.input(INPUT, unet_wgpu::tensor::TensorDesc::linear(s));
        let input = graph.node("import", unet_wgpu::ops::ImportNchw, &[input]).unwrap();
        let built = model.architecture.build(&mut graph, input).unwrap();
        assert_eq!(built.rule, unet_wgpu::ops::MaskRule::Threshold(0.5), "{name}");
        let out = graph.node("export", unet_wgpu::ops::ExportNchw, &[built.decision]).unwrap();
        graph.output("p", out);
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        let got = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap();
        for (p, &v) in got["p"].data().iter().zip(expected.data()) {
            assert!((p - probability(v)).abs() < 1e-4, "{name}: {p} of {v}");
        }
    }
}

#[test]
fn a_setting_wins_over_what_is_worked_out() {
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
fn what_is_quantised_or_of_whole_numbers_is_said() {
    let report = |name: &str| open(name).import().unwrap().clone();
    assert!(report("qdq_sigmoid").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("qop_channel_logits").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("dynamic_sigmoid").notes.iter().any(|n| n.to_string().starts_with("quantised")));
    assert!(report("sigmoid").notes.is_empty());
    let assumed = report("uint8_input").assumed().join("; ");
    assert!(assumed.contains("normalisation=none (its input is of uint8"), "{assumed}");
    assert!(report("sigmoid").assumed().join("; ").contains("normalisation=unit"));
}

/// Files on which an earlier version was wrong, or which it refused.
#[test]
fn files_that_were_taken_wrongly_are_right() {
    let folder = folder().with_file_name("onnx_cases");
    let open = |name: &str| Model::open(&folder.join(format!("{name}.onnx")).to_string_lossy());
    for (name, expected) in [
        ("prob_clip", "after_sigmoid"),
        ("prob_hardsigmoid", "after_sigmoid"),
        // The background of its softmax is cut off.
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
    // Of the quantised one two steps of its output.
    let cases = [("celu", 1e-4), ("log_softmax", 1e-4), ("concat_zero_channels", 1e-4), ("quantised_qdq", 0.01)];
    for (name, allowed) in cases {
        let model = open(name).unwrap();
        let (x, expected) = (tensors.get(&format!("{name}/x")).unwrap(), tensors.get(&format!("{name}/y")).unwrap());
        let s = x.shape().unwrap();
        let graph = whole_graph(&*model.architecture, s.n, s.h, s.w).unwrap();
        let inputs = BTreeMap::from([(INPUT.to_string(), x.clone())]);
        let got = Backend::Cpu.run(&graph, &inputs, model.stored()).unwrap().remove("output").unwrap();
        assert_eq!(got.dims(), expected.dims(), "{name}");
        let worst = got.data().iter().zip(expected.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= allowed, "{name}: {worst}");
    }
}
