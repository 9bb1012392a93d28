//! A small valid file of every format: the seeds of fuzzing.

use super::files::{Tiff, zip_of};
use prost::Message;
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;
use unet_wgpu::Model;
use unet_wgpu::low_level::kernel::{ConvClass, ConvFamily, Tuning};
use unet_wgpu::low_level::model::onnx::proto::{
    AttributeProto, DataType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetId, TensorProto,
    TensorShape, TensorType, TypeProto, ValueInfo,
};
use unet_wgpu::low_level::model::onnx_export::export;
use unet_wgpu::low_level::model::{parse, whole_graph};
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, SafetensorsFormat, StoredType, WeightFormat};
use unet_wgpu::testing::random_parameter;

/// A seed: fuzz target, file name, contents.
pub(super) type Seed = (&'static str, String, Vec<u8>);

/// Tiny networks of the three architectures.
pub(super) fn models() -> Vec<Model> {
    let small = |arch: &str, config: Value| {
        let network = parse(arch, &config).unwrap();
        let s = network.example();
        let graph = whole_graph(&*network, 1, s.h, s.w).unwrap();
        let tensor = |(name, dims): (&str, &[usize])| (name.to_string(), random_parameter(name, dims).unwrap());
        let weights = graph.parameters().map(tensor).collect();
        let metadata = json!({ "arch": arch, "config": network.config(), "classes": ["a", "b"] });
        let metadata = Some(ModelMetadata::parse(&metadata.to_string()).unwrap());
        Model::new(arch, Checkpoint { metadata, weights, ..Checkpoint::default() }).unwrap()
    };
    vec![
        small("unet", json!({ "width": 2, "depth": 1, "padding": "same" })),
        small("unetpp", json!({ "width": 1, "depth": 2, "deep_supervision": true })),
        small("unet3p", json!({ "width": 1, "depth": 2, "cat": 1, "deep_supervision": true, "cgm": true })),
    ]
}

fn checkpoint(model: &Model) -> Checkpoint {
    Checkpoint { metadata: Some(model.metadata.clone()), weights: model.weights().clone(), ..Checkpoint::default() }
}

fn safetensors() -> Vec<Seed> {
    let mut all = Vec::new();
    for model in models() {
        for (stored, name) in [(StoredType::F32, "f32"), (StoredType::F16, "f16")] {
            let bytes = SafetensorsFormat.write(&checkpoint(&model), stored, Path::new("m")).unwrap();
            all.push(("safetensors", format!("{}_{name}.safetensors", model.name), bytes));
        }
        // Without metadata, the names identify the network.
        let plain = Checkpoint { metadata: None, ..checkpoint(&model) };
        let bytes = SafetensorsFormat.write(&plain, StoredType::F32, Path::new("m")).unwrap();
        all.push(("safetensors", format!("{}_plain.safetensors", model.name), bytes));
    }
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gz, &all[0].2).unwrap();
    all.push(("safetensors", "unet.safetensors.gz".into(), gz.finish().unwrap()));
    for (i, (dtype, size)) in
        [("F64", 8), ("BF16", 2), ("I8", 1), ("BOOL", 1), ("U16", 2), ("I64", 8)].into_iter().enumerate()
    {
        let header = json!({ "a": { "dtype": dtype, "shape": [2, 3], "data_offsets": [0, 6 * size] } }).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![1; 6 * size]].concat();
        all.push(("safetensors", format!("type_{i}.safetensors"), bytes));
    }
    all
}

pub(super) fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    NodeProto { op_type: op.into(), input: names(inputs), output: names(outputs), attribute, ..Default::default() }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), ..Default::default() }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(i), ..Default::default() }
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { name: name.into(), s: Some(s.into()), ..Default::default() }
}

pub(super) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let data_type = DataType::Float as i32;
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, float_data: values.to_vec(), ..Default::default() }
}

pub(super) fn numbers(name: &str, values: &[i64]) -> TensorProto {
    let (dims, data_type) = (vec![values.len() as i64], DataType::Int64 as i32);
    TensorProto { name: name.into(), dims, data_type, int64_data: values.to_vec(), ..Default::default() }
}

/// A network from `x` of dimensions `input` to `y`; 0 stands for a dynamic dimension.
pub(super) fn onnx_model(nodes: Vec<NodeProto>, tensors: Vec<TensorProto>, input: &[i64]) -> ModelProto {
    let dim = |&d: &i64| Dimension { value: (d != 0).then_some(DimensionValue::Fixed(d)) };
    let value = |name: &str, dims: &[i64]| {
        let shape = Some(TensorShape { dim: dims.iter().map(dim).collect() });
        let tensor_type = Some(TensorType { elem_type: DataType::Float as i32, shape });
        ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
    };
    let graph = GraphProto {
        node: nodes,
        initializer: tensors,
        input: vec![value("x", input)],
        output: vec![value("y", &[0, 0, 0, 0])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetId { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() }
}

fn onnx() -> Vec<Seed> {
    let mut all: Vec<(String, Vec<u8>)> =
        models().iter().map(|m| (format!("{}.onnx", m.name), export(m).unwrap())).collect();
    let conv = |x: &str, y: &str| node("Conv", &[x, "w"], &[y], vec![ints("pads", &[1, 1, 1, 1])]);
    let pool = |op: &str, x: &str, y: &str| {
        node(op, &[x], &[y], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
    };
    let w = floats("w", &[2, 1, 3, 3], &[0.25; 18]);
    // Sizes computed by nodes.
    let resized = vec![
        conv("x", "a"),
        pool("MaxPool", "a", "p"),
        node("Shape", &["a"], &["as"], vec![]),
        node("Slice", &["as", "two", "four", "zero"], &["size"], vec![]),
        node("Shape", &["p"], &["ps"], vec![]),
        node("Gather", &["ps", "one"], &["c"], vec![int("axis", 0)]),
        node("Gather", &["ps", "zero"], &["n"], vec![int("axis", 0)]),
        node("Concat", &["n", "c", "size"], &["sizes"], vec![int("axis", 0)]),
        node("Resize", &["p", "", "", "sizes"], &["u"], vec![text("mode", "linear")]),
        node("Concat", &["u", "a"], &["j"], vec![int("axis", 1)]),
        node("Split", &["j", "split"], &["s", "t"], vec![int("axis", 1)]),
        node("Mul", &["s", "t"], &["m"], vec![]),
        node("Softmax", &["m"], &["y"], vec![int("axis", 1)]),
    ];
    let lists = [("zero", 0), ("one", 1), ("two", 2), ("four", 4)].map(|(n, v)| numbers(n, &[v]));
    let tensors = [lists.to_vec(), vec![w.clone(), numbers("split", &[2, 2])]].concat();
    all.push(("resized.onnx".into(), onnx_model(resized, tensors, &[0, 1, 0, 0]).encode_to_vec()));
    // Squeeze-and-excitation, and group normalisation as exported by PyTorch.
    let excite = vec![
        conv("x", "a"),
        node("Reshape", &["a", "groups"], &["r"], vec![]),
        node("InstanceNormalization", &["r", "ones", "zeros"], &["i"], vec![]),
        node("Shape", &["a"], &["s"], vec![]),
        node("Reshape", &["i", "s"], &["b"], vec![]),
        node("GlobalAveragePool", &["b"], &["g"], vec![]),
        node("Flatten", &["g"], &["f"], vec![]),
        node("Gemm", &["f", "m", "bias"], &["h"], vec![int("transB", 1)]),
        node("HardSigmoid", &["h"], &["q"], vec![]),
        node("Unsqueeze", &["q", "axes"], &["e"], vec![]),
        node("Mul", &["b", "e"], &["z"], vec![]),
        node("ReduceMean", &["z"], &["v"], vec![ints("axes", &[1])]),
        node("Clip", &["v", "low"], &["y"], vec![]),
    ];
    let tensors = vec![
        w.clone(),
        numbers("groups", &[0, 1, -1]),
        floats("ones", &[1], &[1.0]),
        floats("zeros", &[1], &[0.0]),
        floats("m", &[2, 2], &[0.5; 4]),
        floats("bias", &[2], &[0.1; 2]),
        numbers("axes", &[2, 3]),
        floats("low", &[], &[-1.0]),
    ];
    all.push(("excite.onnx".into(), onnx_model(excite, tensors, &[1, 1, 16, 16]).encode_to_vec()));
    // NHWC input, padding, a transposed convolution, class ids.
    let last = vec![
        node("Transpose", &["x"], &["t"], vec![ints("perm", &[0, 3, 1, 2])]),
        node("Pad", &["t", "pads"], &["p"], vec![text("mode", "reflect")]),
        node("Conv", &["p", "w"], &["a"], vec![]),
        node("BatchNormalization", &["a", "two", "two", "two", "two"], &["b"], vec![]),
        node("PRelu", &["b", "slope"], &["l"], vec![]),
        node("ConvTranspose", &["l", "k"], &["u"], vec![ints("strides", &[2, 2]), int("group", 2)]),
        pool("AveragePool", "u", "d"),
        node("ReduceMax", &["d"], &["r"], vec![ints("axes", &[1]), int("keepdims", 1)]),
        node("Concat", &["d", "r"], &["c"], vec![int("axis", 1)]),
        node("ArgMax", &["c"], &["i"], vec![int("axis", 1)]),
        node("Cast", &["i"], &["y"], vec![int("to", 6)]),
    ];
    let tensors = vec![
        w,
        floats("k", &[2, 1, 2, 2], &[0.25; 8]),
        floats("two", &[2], &[1.0, 2.0]),
        floats("slope", &[2, 1, 1], &[0.1; 2]),
        numbers("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
    ];
    all.push(("last.onnx".into(), onnx_model(last, tensors, &[0, 0, 0, 1]).encode_to_vec()));
    all.into_iter().map(|(name, bytes)| ("onnx", name, bytes)).collect()
}

/// A format 0.4 description of a package with `weights.onnx`.
pub(super) const RDF: &str = "format_version: 0.4.9
type: model
name: cells
license: MIT
authors: [{name: A. Author}]
inputs:
  - name: raw
    axes: bcyx
    preprocessing:
      - {name: scale_range, kwargs: {mode: per_sample, axes: xy, min_percentile: 1, max_percentile: 99.8}}
outputs:
  - name: mask
    axes: bcyx
    halo: [0, 0, 16, 24]
    postprocessing: [{name: sigmoid}, {name: binarize, kwargs: {threshold: 0.5}}]
weights:
  onnx: {source: ./weights.onnx, opset_version: 17}
test_inputs: [x.npy]
test_outputs: [y.npy]
";

/// A format 0.5 description of a package with a state dict.
const RDF_5: &str = "format_version: 0.5.3
type: model
inputs:
  - id: raw
    axes: [{type: batch}, {type: channel}, {type: space, id: y, size: {min: 16, step: 4}}, {type: space, id: x, size: 16}]
    preprocessing:
      - {id: scale_linear, kwargs: {gain: 0.5, offset: 1}}
      - {id: fixed_zero_mean_unit_variance, kwargs: {mean: 2, std: 4}}
    test_tensor: {source: x.npy}
outputs:
  - id: mask
    axes: [{type: batch}, {type: channel}, {type: space, id: y, size: 16, halo: 8}, {type: space, id: x, size: 16, halo: 8}]
    postprocessing: [{id: softmax, kwargs: {axis: channel}}]
    test_tensor: {source: y.npy}
weights:
  pytorch_state_dict: {source: weights.safetensors, architecture: {callable: UNet}}
";

fn rdf() -> Vec<Seed> {
    let model = &models()[0];
    let npy = npy(&[1, 1, 4, 4]);
    let stored = SafetensorsFormat.write(&checkpoint(model), StoredType::F16, Path::new("m")).unwrap();
    let tests = [("x.npy", &npy[..]), ("y.npy", &npy[..])];
    let exported = export(model).unwrap();
    let four = [&[("rdf.yaml", RDF.as_bytes()), ("weights.onnx", &exported[..])][..], &tests].concat();
    let five = [&[("bioimageio.yaml", RDF_5.as_bytes()), ("weights.safetensors", &stored[..])][..], &tests].concat();
    vec![("rdf", "four.zip".into(), zip_of(&four, false)), ("rdf", "five.zip".into(), zip_of(&five, true))]
}

fn npy(dims: &[u64]) -> Vec<u8> {
    use npyz::WriterBuilder;
    let mut out = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(dims).writer(&mut out).begin_nd().unwrap();
    let count: u64 = dims.iter().product();
    writer.extend((0..count).map(|i| i as f32)).unwrap();
    writer.finish().unwrap();
    out
}

fn tiff() -> Vec<Seed> {
    use tiff::encoder::{Compression, Predictor};
    use tiff::encoder::{TiffEncoder, colortype, compression::DeflateLevel};
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let ramp: Vec<u8> = (0..12 * 10 * 3).map(|i| (i * 7) as u8).collect();
    let wide: Vec<u16> = ramp.iter().map(|&v| u16::from(v) * 200).collect();
    let real: Vec<f32> = ramp.iter().map(|&v| f32::from(v) / 9.0).collect();
    let kinds = [
        ("plain", Compression::Uncompressed),
        ("lzw", Compression::Lzw),
        ("deflate", Compression::Deflate(DeflateLevel::Best)),
        ("packbits", Compression::Packbits),
    ];
    for (name, compression) in kinds {
        let mut out = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut out).unwrap().with_compression(compression);
        encoder.write_image::<colortype::Gray8>(12, 10, &ramp[..120]).unwrap();
        encoder.write_image::<colortype::RGB8>(12, 10, &ramp).unwrap();
        encoder.write_image::<colortype::Gray16>(12, 10, &wide[..120]).unwrap();
        all.push((format!("{name}.tif"), out.into_inner()));
    }
    let mut out = Cursor::new(Vec::new());
    let encoder = TiffEncoder::new_big(&mut out).unwrap().with_compression(Compression::Lzw);
    let mut encoder = encoder.with_predictor(Predictor::Horizontal);
    encoder.write_image::<colortype::Gray16>(12, 10, &wide[..120]).unwrap();
    all.push(("big.tif".into(), out.into_inner()));
    let mut out = Cursor::new(Vec::new());
    TiffEncoder::new(&mut out).unwrap().write_image::<colortype::Gray32Float>(12, 10, &real[..120]).unwrap();
    all.push(("float.tif".into(), out.into_inner()));
    let tile = [&ramp[..256]];
    let tiled = Tiff::grey(20, 12).with(322, &[16]).with(323, &[16]);
    all.push(("tiled.tif".into(), tiled.clone().chunks(true, &[tile[0]; 2])));
    all.push(("tiled_big.tif".into(), tiled.big().chunks(true, &[tile[0]; 2])));
    let planar = Tiff::grey(12, 10).with(258, &[8, 8, 8]).with(277, &[3]).with(262, &[2]).with(284, &[2]);
    all.push(("planar.tif".into(), planar.chunks(false, &[&ramp[..120]; 3])));
    all.push(("bits.tif".into(), Tiff::grey(12, 10).with(258, &[1]).chunks(false, &[&ramp[..20]])));
    let ome = r#"<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" SizeX="12" SizeY="10" SizeZ="1" SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="1"/>
</Pixels></Image></OME>"#;
    all.push(("ome.tif".into(), Tiff::grey(12, 10).described(ome).chunks(false, &[&ramp[..120]])));
    let imagej = "ImageJ=1.53k\nimages=2\nchannels=2\nhyperstack=true\nmode=composite\n";
    all.push(("imagej.tif".into(), Tiff::grey(12, 10).described(imagej).chunks(false, &[&ramp[..120]])));
    all.into_iter().map(|(name, bytes)| ("tiff", name, bytes)).collect()
}

fn image() -> Vec<Seed> {
    use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let rgb = DynamicImage::ImageRgb8(RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8, y as u8, 9])));
    let rgba = RgbaImage::from_fn(9, 7, |x, y| image::Rgba([x as u8 * 9, y as u8, 9, 200]));
    let rgba = DynamicImage::ImageRgba8(rgba);
    let images = [
        ("grey", DynamicImage::ImageLuma8(rgb.to_luma8())),
        ("wide", DynamicImage::ImageLuma16(rgb.to_luma16())),
        ("rgb", rgb),
        ("rgba", rgba),
    ];
    for (name, image) in &images {
        let formats = [
            (ImageFormat::Png, "png"),
            (ImageFormat::Jpeg, "jpg"),
            (ImageFormat::WebP, "webp"),
            (ImageFormat::Bmp, "bmp"),
        ];
        for (format, ending) in formats {
            let mut out = Cursor::new(Vec::new());
            // Not every format supports every pixel type.
            if image.write_to(&mut out, format).is_ok() {
                all.push((format!("{name}.{ending}"), out.into_inner()));
            }
        }
    }
    let mut palette = Vec::new();
    let mut encoder = png::Encoder::new(&mut palette, 8, 4);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_palette(vec![1, 2, 3, 40, 50, 60]);
    encoder.write_header().unwrap().write_image_data(&[0b0101_0101; 4]).unwrap();
    all.push(("palette.png".into(), palette));
    all.push(("array.npy".into(), npy(&[7, 9])));
    all.push(("channels.npy".into(), npy(&[7, 9, 3])));
    all.push(("planes.npy".into(), npy(&[2, 9, 7])));
    all.into_iter().map(|(name, bytes)| ("image", name, bytes)).collect()
}

fn cache() -> Vec<Seed> {
    let mut tuning = Tuning::default();
    let class = ConvClass { kernel: [3; 2], stride: [1; 2], dilation: [1; 2], inputs: 64, outputs: 32, pixels: 65536 };
    tuning.set(class, ConvFamily::Winograd);
    tuning.set(ConvClass { kernel: [1; 2], outputs: 2, pixels: 4096, ..class }.rounded(), ConvFamily::Tile);
    vec![("cache", "tuning.json".into(), unet_wgpu::low_level::tune::write(&tuning, "fuzz".into()).into_bytes())]
}

/// All seeds, except those of `assets/fixtures/torch`.
pub(super) fn all() -> Vec<Seed> {
    [safetensors(), onnx(), rdf(), tiff(), image(), cache()].concat()
}
