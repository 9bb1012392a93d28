use super::*;
use crate::infer::{Image, Pixels, SegmentOptions, Segmentation, Segmenter, Tileability};
use crate::model::{Padding, UNet, whole_graph};
use crate::model::{onnx::proto::ModelProto, onnx_export::export};
use crate::session::Backend;
use crate::tensor::{HostTensor, Shape};
use crate::testing::{random_input, random_parameter};
use crate::weights::{Checkpoint, ModelMetadata, Normalisation, PixelStep, StoredType};
use prost::Message;
use serde_json::json;
use std::io::{Cursor, Write};

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn network_of(out_channels: usize) -> Model {
    let network = UNet { width: 2, depth: 2, padding: Padding::Same, out_channels, ..UNet::default() };
    let graph = whole_graph(&network, 1, 4, 4).unwrap();
    let tensor = |(name, dims): (&str, &[usize])| (name.to_string(), random_parameter(name, dims).unwrap());
    let weights = graph.parameters().map(tensor).collect();
    let metadata = ModelMetadata::parse(r#"{"arch": "unet", "config": {}}"#).unwrap();
    let metadata = ModelMetadata { config: network.config(), ..metadata };
    Model::new("m", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

fn network() -> Model {
    network_of(1)
}

const V4: &str = r#"
format_version: 0.4.9
type: model
name: cells
license: MIT
authors: [{name: A. Author}, {name: B. Author}]
cite: [{text: A paper, doi: 10.1/2}]
inputs:
  - name: raw
    axes: bcyx
    data_type: uint16
    data_range: [-.inf, .inf]
    shape: {min: [1, 1, 16, 32], step: [0, 0, 8, 16]}
    preprocessing:
      - name: scale_range
        kwargs: {mode: per_sample, axes: xy, min_percentile: 1, max_percentile: 99.8}
outputs:
  - name: mask
    axes: bcyx
    halo: [0, 0, 16, 24]
    shape: {reference_tensor: raw, scale: [1.0, 0.0, 1.0, 1.0], offset: [0.0, 0.5, 0.0, 0.0]}
    postprocessing: [{name: sigmoid}]
weights:
  onnx: {source: ./weights.onnx, sha256: SUM, opset_version: 17}
test_inputs: [x.npy]
test_outputs: [y.npy]
"#;

const V5: &str = r#"
format_version: 0.5.3
type: model
name: cells
inputs:
  - id: raw
    axes:
      - {type: batch}
      - {type: channel, channel_names: [raw]}
      - {type: space, id: y, size: {min: 16, step: 4}}
      - {type: space, id: x, size: {min: 16, step: 4}}
    preprocessing:
      - {id: ensure_dtype, kwargs: {dtype: float32}}
      - {id: scale_linear, kwargs: {gain: 0.5, offset: 1}}
      - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 2, std: 4}}
    test_tensor: {source: x.npy}
outputs:
  - id: mask
    axes:
      - {type: batch}
      - {type: channel, channel_names: [a]}
      - {type: space, id: y, size: {tensor_id: raw, axis_id: y}, halo: 8}
      - {type: space, halo: 8, size: {tensor_id: raw, axis_id: x, offset: 0}}
    test_tensor: {source: y.npy}
weights:
  pytorch_state_dict: {source: weights.safetensors, architecture: {callable: UNet}}
"#;

fn opened_with(rdf: &str, more: &[(&str, &[u8])], set: Value) -> Result<Model> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("package.zip");
    let mut entries = vec![("rdf.yaml", rdf.as_bytes())];
    entries.extend_from_slice(more);
    std::fs::write(&path, zip_of(&entries)).unwrap();
    Ok(open(&path, set.as_object().unwrap())?.0)
}

fn opened(rdf: &str, more: &[(&str, &[u8])]) -> Result<Model> {
    opened_with(rdf, more, json!({}))
}

fn sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn onnx() -> (Vec<u8>, String) {
    let bytes = export(&network()).unwrap();
    let rdf = V4.replace("SUM", &sum(&bytes));
    (bytes, rdf)
}

/// The same file as if another program had written it: without this program's metadata.
fn foreign(onnx: &[u8]) -> Vec<u8> {
    let mut proto = ModelProto::decode(onnx).unwrap();
    proto.metadata_props.clear();
    proto.producer_name = "other".into();
    proto.encode_to_vec()
}

#[test]
fn version_4_with_onnx() {
    let (bytes, rdf) = onnx();
    let model = opened(&rdf, &[("weights.onnx", &bytes)]).unwrap();
    assert_eq!(model.weights(), network().weights());
    let steps = vec![PixelStep::Range { low: 1.0, high: 99.8, eps: 1e-6, joint: false }];
    assert_eq!(model.metadata.normalisation, Normalisation::Steps { steps });
    let package = model.package().unwrap();
    let of = (package.output.halo, &package.post[..], package.network_output.as_str());
    assert_eq!(of, ([16, 24], &[Post::Sigmoid][..], "logits"));
    // Rows are 16 + 8 k, columns 32 + 16 k, the network's own sizes 4 k: 32 + 16 k is valid for all.
    let rule = model.architecture.size_rule();
    assert_eq!((rule.minimum, rule.step, model.architecture.invalid_margin()), (32, 16, [16, 24]));
    let about = [("name", "cells"), ("license", "MIT"), ("authors", "A. Author; B. Author"), ("cite", "A paper")];
    let about = about.into_iter().chain([("pixels", "of type uint16")]);
    assert_eq!(package.about, about.map(|(k, v)| (k, v.to_string())).collect::<Vec<_>>());
    assert_eq!(package.test.clone().unwrap().map(|s| s.name), ["x.npy", "y.npy"]);
}

#[test]
fn version_5_with_a_state_dict() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let weights = network().weights().clone();
    weights::save(&path, &Checkpoint { weights, ..Checkpoint::default() }, StoredType::F32).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let model = opened(V5, &[("weights.safetensors", &bytes)]).unwrap();
    assert_eq!((model.weights(), model.architecture.invalid_margin()), (network().weights(), [8, 8]));
    let linear = |gain: f64, offset: f64| PixelStep::Linear { gain: vec![gain], offset: vec![offset] };
    let steps = vec![linear(0.5, 1.0), linear(1.0 / 4.000001, -2.0 / 4.000001)];
    assert_eq!(model.metadata.normalisation, Normalisation::Steps { steps });
    assert!(model.import().is_some());
    // `a` is the only channel; all else is background.
    assert_eq!(model.classes(), ["background", "a"]);
}

#[test]
fn collection_style_packages() {
    let (one, two) = (network_of(1), network_of(2));
    let per_sample =
        |axes: &str| format!("{{name: zero_mean_unit_variance, kwargs: {{axes: {axes}, mode: per_sample}}}}");
    let like =
        |c: f64| format!("{{reference_tensor: input0, scale: [1.0, {c:?}, 1.0, 1.0], offset: [0.0, 0.0, 0.0, 0.0]}}");
    let four = |input: String, output: String| {
        format!(
            "format_version: 0.4.7\ntype: model\nname: n\ninputs:\n  - {{name: input0, axes: bcyx, {input}}}\n\
             outputs:\n  - {{name: output0, axes: bcyx, {output}}}\n\
             weights:\n  pytorch_state_dict: {{source: https://a.b/c.pt}}\n  onnx: {{source: weights.onnx}}\n"
        )
    };
    let steps = "shape: {min: [1, 1, 64, 64], step: [0, 0, 16, 16]}";
    let same = format!("shape: {}", like(1.0));
    // Foreground and boundaries; a fixed size given by a YAML alias; a threshold after a sigmoid.
    let boundaries = four(
        format!("data_type: uint8, {steps}, preprocessing: [{}]", per_sample("cyx")),
        format!("halo: [0, 0, 16, 16], shape: {}", like(2.0)),
    );
    let fixed = four(
        format!("shape: &shape [1, 1, 256, 256], preprocessing: [{}]", per_sample("cyx")),
        "shape: *shape, halo: [0, 0, 8, 8], postprocessing: [{name: sigmoid}]".into(),
    );
    let thresholded = four(
        format!("{steps}, preprocessing: [{{name: scale_linear, kwargs: {{gain: 0.00392156862745098, offset: 0}}}}]"),
        format!("{same}, postprocessing: [{{name: sigmoid}}, {{name: binarize, kwargs: {{threshold: 0.3}}}}]"),
    );
    for (rdf, network, minimum, fixed, halo, classes) in [
        (&boundaries, &two, 64, [None; 2], [16, 16], 2),
        (&fixed, &one, 256, [Some(256); 2], [8, 8], 2),
        (&thresholded, &one, 64, [None; 2], [0, 0], 2),
    ] {
        let own = export(network).unwrap();
        for bytes in [foreign(&own), own] {
            let model = opened(rdf, &[("weights.onnx", &bytes)]).unwrap_or_else(|e| panic!("{e}\n{rdf}"));
            let a = &model.architecture;
            assert_eq!((a.size_rule().minimum, a.fixed_size(), a.invalid_margin()), (minimum, fixed, halo), "{rdf}");
            assert_eq!(model.classes().len(), classes);
            assert_eq!(whole_graph(&**a, 1, 256, 256).unwrap().outputs()[0].0, "output0");
        }
    }
    let own = export(&one).unwrap();
    let error = |rdf: &str| opened(rdf, &[("weights.onnx", &own)]).unwrap_err().to_string();
    assert!(error(&boundaries).contains("outputs: have 2 channels, the network 1"), "{}", error(&boundaries));
    let e = error(&thresholded.replace("[0, 0, 16, 16]", "[0, 0, 8, 8]").replace("64, 64", "62, 62"));
    assert!(e.contains("has 62 + k * 8 pixels"), "{e}");
    let half = thresholded.replace("1.0, 1.0, 1.0, 1.0", "1.0, 1.0, 0.5, 0.5");
    assert!(error(&half).contains("axis `y` of outputs: has 0.5 pixels per input pixel"), "{}", error(&half));
    let set = |set: Value| opened_with(&fixed, &[("weights.onnx", &own)], set);
    let free = set(json!({ "free_size": true, "normalisation": "unit" })).unwrap();
    assert_eq!((free.architecture.fixed_size(), &free.metadata.normalisation), ([None; 2], &Normalisation::Unit));
    assert!(set(json!({ "width": 4 })).unwrap_err().to_string().contains("model setting width"));
}

/// Segments the image on the CPU, in tiles of at most `tile` pixels.
fn segmented(model: &Model, image: &Image, tile: Option<usize>) -> Segmentation {
    let mut segmenter = Segmenter::new(Backend::Cpu, model.clone());
    let options = SegmentOptions { probabilities: true, tile, ..SegmentOptions::default() };
    segmenter.segment(image, &options, |_| Ok(())).unwrap()
}

fn image(width: usize, height: usize) -> Image {
    let noise = random_input("image", Shape::new(1, 1, height, width)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 100.0 + 120.0) as u8).collect();
    Image::new(width, height, 1, Pixels::U8(pixels)).unwrap()
}

fn five(order: &str, channels: usize, size: &str, output: &str, post: &str) -> String {
    let axis = |letter: char, end: &str| match letter {
        'b' => "{type: batch}".to_string(),
        'c' if end == "in" => "{type: channel, channel_names: [grey]}".to_string(),
        'c' => format!("{{type: channel, channel_names: {:?}}}", &["cell", "rim", "dirt"][..channels]),
        l if end == "in" => format!("{{type: space, id: {l}, size: {size}}}"),
        l => format!("{{type: space, id: {l}, size: {{tensor_id: raw, axis_id: {l}}}{output}}}"),
    };
    let axes = |end: &str| order.chars().map(|l| axis(l, end)).collect::<Vec<_>>().join(", ");
    format!(
        "format_version: 0.5.4\ntype: model\ninputs:\n  - id: raw\n    axes: [{}]\n    preprocessing:\n      \
         - {{id: zero_mean_unit_variance, kwargs: {{axes: [y, x]}}}}\noutputs:\n  - id: seen\n    axes: [{}]\n    \
         postprocessing: [{post}]\nweights: {{onnx: {{source: w.onnx}}}}\n",
        axes("in"),
        axes("out")
    )
}

const ANY: &str = "{min: 4, step: 4}";

#[test]
fn columns_before_rows() {
    let bytes = foreign(&export(&network_of(2)).unwrap());
    let open = |order: &str| opened(&five(order, 2, ANY, "", "{id: sigmoid}"), &[("w.onnx", &bytes)]);
    let (upright, transposed) = (open("bcyx").unwrap(), open("bcxy").unwrap());
    let image = image(20, 12);
    let mut pixels = vec![0; 240];
    let Pixels::U8(source) = image.pixels() else { panic!() };
    (0..240).for_each(|i| pixels[i % 20 * 12 + i / 20] = source[i]);
    let mirrored = Image::new(12, 20, 1, Pixels::U8(pixels)).unwrap();
    let (a, b) = (segmented(&upright, &mirrored, None), segmented(&transposed, &image, None));
    for c in 0..2 {
        for (y, x) in (0..12).flat_map(|y| (0..20).map(move |x| (y, x))) {
            let [p, q] = [(&a, (c * 20 + x) * 12 + y), (&b, (c * 12 + y) * 20 + x)]
                .map(|(s, i)| s.probabilities.as_ref().unwrap()[i]);
            assert!((p - q).abs() < 1e-6, "{c} {y} {x}: {p} {q}");
        }
    }
    // The tiles equal those of the untransposed network.
    let spec = |m: &Model| match Segmenter::new(Backend::Cpu, m.clone()).tileability().unwrap() {
        Tileability::Exact(spec) => spec,
        Tileability::Impossible(why) => panic!("{why}"),
    };
    assert_eq!(spec(&upright), spec(&transposed));
    let e = open("byxc").unwrap_err().to_string();
    assert!(e.contains("are `byxc`, the network takes its channels as the second axis"), "{e}");
    assert!(open("bycx").unwrap_err().to_string().contains("are `bycx`; only bcyx"));
}

#[test]
fn postprocessing_decides_the_mask() {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    for channels in [1, 2] {
        let network = network_of(channels);
        let bytes = foreign(&export(&network).unwrap());
        let open = |post: &str| opened(&five("bcyx", channels, ANY, "", post), &[("w.onnx", &bytes)]);
        let image = image(24, 16);
        let pixels = 24 * 16;
        // Raw logits of the same pixels.
        let raw =
            opened(&five("bcyx", channels, ANY, "", "{id: binarize, kwargs: {threshold: 0.0}}"), &[("w.onnx", &bytes)]);
        let raw = segmented(&raw.unwrap(), &image, None).probabilities.unwrap();
        let post = |name: &str, kwargs: &str| format!("{{id: {name}, kwargs: {{{kwargs}}}}}");
        let binary = |t: f32| post("binarize", &format!("threshold: {t:?}"));
        let value: Vec<f32> = raw.iter().map(|&x| sigmoid(x)).collect();
        let middle = |v: &[f32]| {
            let mut v = v.to_vec();
            v.sort_by(f32::total_cmp);
            v[v.len() * 2 / 3]
        };
        let scaled: Vec<f32> = value.iter().map(|v| v * 200.0 + 5.0).collect();
        let clipped: Vec<f32> = value.iter().map(|v| v.clamp(0.2, 0.8)).collect();
        for (steps, expected, threshold) in [
            ("{id: sigmoid}".to_string(), &value, 0.5),
            (format!("{{id: sigmoid}}, {}", binary(middle(&value))), &value, middle(&value)),
            (binary(middle(&raw)), &raw, middle(&raw)),
            (format!("{{id: sigmoid}}, {}", post("scale_linear", "gain: 200, offset: 5")), &scaled, 105.0),
            (format!("{{id: sigmoid}}, {}", post("clip", "min: 0.2, max: 0.8")), &clipped, 0.5),
        ] {
            let model = open(&steps).unwrap();
            let got = segmented(&model, &image, None);
            let scale = expected.iter().fold(1.0f32, |a, v| a.max(v.abs()));
            for (i, (a, b)) in got.probabilities.as_ref().unwrap().iter().zip(expected).enumerate() {
                assert!((a - b).abs() < 1e-5 * scale, "{steps} {i}: {a} {b}");
            }
            let names = [&["background"], &["cell", "rim"][..channels]].concat();
            assert_eq!(model.classes(), names);
            let planes = got.probabilities.as_ref().unwrap();
            for i in 0..pixels {
                let best =
                    (1..channels).fold(0, |b, c| if planes[c * pixels + i] > planes[b * pixels + i] { c } else { b });
                let value = planes[best * pixels + i];
                let class = if value > threshold { best + 1 } else { 0 };
                assert!(got.mask.id(i) == class || (value - threshold).abs() < 1e-4 * scale, "{steps} {i}");
            }
            // Tiling gives the same result, and so does the package's own output.
            let tiled = segmented(&model, &image, Some(64));
            assert_eq!(tiled.mask, got.mask);
            let graph = whole_graph(&*model.architecture, 1, 16, 24).unwrap();
            let affine = crate::infer::normalise(&image, &model.metadata.normalisation).unwrap()[0];
            let Pixels::U8(source) = image.pixels() else { panic!() };
            let x =
                HostTensor::new([1, 1, 16, 24], source.iter().map(|&v| affine.apply(f32::from(v))).collect()).unwrap();
            let y = graph.run_reference(&[("input".to_string(), x)].into(), model.stored(), |_, _| Ok(())).unwrap();
            let last = y["seen"].data();
            match steps.contains("binarize") {
                true => assert!(planes.iter().zip(last).all(|(v, b)| f32::from(u8::from(*v > threshold)) == *b)),
                false => assert_eq!(last, planes),
            }
        }
        let scale = post("scale_linear", "gain: -1.0, offset: 1.0");
        let e = open(&format!("{{id: sigmoid}}, {scale}")).unwrap_err().to_string();
        assert!(e.contains("postprocessing: no class follows"), "{e}");
        assert!(open(&format!("{{id: sigmoid}}, {scale}, {}", binary(0.25))).is_ok());
        if channels > 1 {
            let softmax = open("{id: softmax}").unwrap();
            assert_eq!(softmax.classes(), ["cell", "rim"]);
            let got = segmented(&softmax, &image, None);
            let planes = got.probabilities.unwrap();
            for i in 0..pixels {
                let (a, b) = (raw[i].exp(), raw[pixels + i].exp());
                assert!((planes[i] - a / (a + b)).abs() < 1e-5);
                assert_eq!(got.mask.id(i), usize::from(b > a));
            }
            let each = post("scale_linear", "axis: channel, gain: [1.0, 3.0], offset: [0.5, 0.0]");
            let got = segmented(&open(&format!("{each}, {}", binary(0.1))).unwrap(), &image, None);
            for (i, v) in got.probabilities.unwrap().iter().enumerate() {
                let expected = if i < pixels { raw[i] + 0.5 } else { raw[i] * 3.0 };
                assert!((v - expected).abs() < 1e-4, "{i}: {v} {expected}");
            }
        }
    }
}

#[test]
fn sizes_and_halos_determine_tiles() {
    let bytes = export(&network_of(1)).unwrap();
    let open = |size: &str, halo: &str| {
        let rdf = five("bcyx", 1, size, halo, "{id: sigmoid}");
        opened(&rdf, &[("w.onnx", &bytes)]).unwrap()
    };
    let spec = |m: &Model| match Segmenter::new(Backend::Cpu, m.clone()).tileability().unwrap() {
        Tileability::Exact(spec) => spec,
        Tileability::Impossible(why) => panic!("{why}"),
    };
    let own = spec(&open(ANY, ""));
    assert!(own.halo > 8, "{own:?}");
    // A halo smaller than the layers' has no effect; a larger one replaces it.
    assert_eq!(spec(&open(ANY, ", halo: 3")), own);
    assert_eq!(spec(&open(ANY, ", halo: 50")).halo, 52);
    let wide = spec(&open("{min: 32, step: 16}", ""));
    assert_eq!((wide.minimum, wide.align, wide.halo), (32, 16, own.halo.next_multiple_of(16)));
    let image = image(150, 90);
    // An image is mirrored up to the next valid size, which depends on the step.
    let whole = |size: &str| segmented(&open(size, ""), &image, None);
    let sixteen = "{min: 32, step: 16}";
    for (model, whole, tile, edge, tiles) in [
        (open(sixteen, ""), whole(sixteen), Some(100), [96, 96], None),
        (open("80", ""), whole(ANY), None, [80, 80], None),
        (open("80", ", halo: 30"), whole(ANY), None, [80, 80], Some([2, 6])),
    ] {
        let got = segmented(&model, &image, tile);
        assert_eq!(got.tile, edge);
        assert!(tiles.is_none_or(|t| t == got.tiles), "{:?}", got.tiles);
        let [a, b] = [&got, &whole].map(|s| s.probabilities.as_ref().unwrap());
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-6, "{edge:?}: {worst}");
    }
}

#[test]
fn unsupported_features_are_errors() {
    let (bytes, rdf) = onnx();
    let error = |rdf: &str| opened(rdf, &[("weights.onnx", &bytes)]).unwrap_err().to_string();
    for (from, to, part) in [
        ("0.4.9", "0.3.6", "format_version: `0.3.6`; 0.4 and 0.5 are supported"),
        ("type: model", "type: dataset", "`dataset` is not a model"),
        ("axes: bcyx", "axes: byxc", "are `byxc`, the network takes its channels as the second axis"),
        ("axes: bcyx", "axes: bczyx", "are `bczyx`: volumes are not supported"),
        ("shape: {min: [1, 1, 16, 32]", "shape: {min: [1, 3, 16, 32]", "inputs: have 3 channels, the network 1"),
        ("0.5, 0.0, 0.0]", "0.5, -4.0, 0.0]", "axis `y` of outputs: has -8 pixels more"),
        ("name: scale_range", "name: stardist", "processing `stardist`: before the network is not supported"),
        ("name: sigmoid", "name: cellpose_flow_dynamics", "processing `cellpose_flow_dynamics`: after the network"),
        ("mode: per_sample", "mode: percentiles", "mode `percentiles`"),
        ("axes: xy,", "axes: bzt,", "rather than over the image"),
        ("weights.onnx", "../weights.onnx", "is not a file in the package"),
        ("weights.onnx", "https://a.b/weights.onnx", "is not a file in the package"),
        ("weights.onnx", "other.onnx", "`other.onnx`: is not in the package"),
        ("sha256: ", "sha256: 00", "the description says 00"),
        ("onnx: {", "tensorflow_js: {", "are tensorflow_js; only onnx and pytorch_state_dict are supported"),
        ("license: MIT", "run_mode: {name: deepimagej}", "run_mode: requires Python code"),
        ("test_inputs: [x.npy]", "test_inputs: [/etc/passwd]", "is not a file in the package"),
        ("weights:", "]weights: [", "is not YAML"),
    ] {
        let e = error(&rdf.replacen(from, to, 1));
        assert!(e.contains("package.zip: ") && e.contains(part), "{to}: {e}");
        assert_eq!(e.lines().count(), 1, "{e}");
    }
}

#[test]
fn hostile_archives_are_errors() {
    let (bytes, rdf) = onnx();
    let weights = ("weights.onnx", &bytes[..]);
    let error = |more: &[(&str, &[u8])]| opened(&rdf, more).unwrap_err().to_string();
    assert!(error(&[weights, ("../../evil", b"x")]).contains("entry `../../evil` is outside of the archive"));
    assert!(error(&[weights, ("./rdf.yaml", b"x")]).contains("occurs twice"));
    assert!(error(&[("weights.onnx", &vec![0; 80 << 20])]).contains("over 200 times as many"));
    let long = format!("{rdf}\nmore: {}", "x".repeat(2 << 20));
    assert!(opened(&long, &[weights]).unwrap_err().to_string().contains("more than the 1048576 allowed"));
    // Aliases of aliases expand to 10^10 strings.
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..10 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        laughs += &format!("a{i}: &a{i} [{list}]\n");
    }
    assert!(opened(&format!("{laughs}{rdf}"), &[weights]).unwrap_err().to_string().contains("is not YAML"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.zip");
    let whole = zip_of(&[("rdf.yaml", rdf.as_bytes()), weights]);
    for cut in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(open(&path, &Map::new()).is_err(), "{cut}");
    }
}
