//! Tiled output matches whole-image output, bit for bit if requested; every pixel is written exactly once; networks
//! that cannot be tiled are errors.

use serde_json::json;
use unet_wgpu::Result;
use unet_wgpu::low_level::infer::instance_files::Labels;
use unet_wgpu::low_level::infer::source::InMemory;
use unet_wgpu::low_level::infer::{
    BandInfo, Image, InstanceOptions, InstanceSink, Pixels, SegmentOptions, Segmentation, Segmenter, Separation, feed,
    instance_writers,
};
use unet_wgpu::low_level::model::{Model, parse, whole_graph};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::Shape;
use unet_wgpu::low_level::weights::{Checkpoint, ModelMetadata, Normalisation};
use unet_wgpu::testing::{WINOGRAD_TOLERANCE, gpu_or_skip, random_input, random_parameter};

fn model(arch: &str, config: serde_json::Value) -> Model {
    let architecture = parse(arch, &config).unwrap();
    let size = architecture.size_rule().minimum;
    let graph = whole_graph(&*architecture, 1, size, size).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), random_parameter(k, d).unwrap())).collect();
    let metadata = ModelMetadata {
        format: 1,
        arch: arch.into(),
        config,
        normalisation: Normalisation::Percentile { low: 1.0, high: 99.8, clamp: Some([0.0, 1.5]) },
        classes: vec![],
        target: None,
        instances: None,
        scale: None,
        recipe: None,
    };
    Model::new("random", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

fn image(width: usize, height: usize, channels: usize) -> Image {
    let noise = random_input("image", Shape::new(1, 1, height, width * channels)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Image::new(width, height, channels, Pixels::U16(pixels)).unwrap()
}

fn segment_with(model: &Model, image: &Image, tile: Option<usize>, exact: bool) -> Result<Segmentation> {
    let gpu = gpu_or_skip().unwrap();
    let options =
        SegmentOptions::default().with_probabilities(true).with_tile(tile).with_memory(8 << 30).with_exact(exact);
    Segmenter::new(Backend::Gpu(gpu), model.clone()).segment(image, &options, |_| Ok(()))
}

fn segment(model: &Model, image: &Image, tile: Option<usize>) -> Result<Segmentation> {
    segment_with(model, image, tile, false)
}

/// Largest difference of a probability between tiles and one run on the whole image.
fn difference(model: &Model, image: &Image, tile: usize, exact: bool) -> f32 {
    let whole = segment_with(model, image, None, exact).unwrap();
    assert_eq!(whole.tiles, [1, 1]);
    let tiled = segment_with(model, image, Some(tile), exact).unwrap();
    assert!(tiled.tiles[0] * tiled.tiles[1] > 1, "{:?}", tiled.tiles);
    if exact {
        assert_eq!(whole.mask, tiled.mask);
    }
    let (a, b) = (whole.probabilities.unwrap(), tiled.probabilities.unwrap());
    // A pixel that no tile wrote would be 0, which no sigmoid or softmax of these networks returns.
    assert!(b.iter().all(|&p| p > 0.0 && p < 1.0));
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Bit-exact with deterministic tiling; otherwise within Winograd's tolerance.
fn assert_tiled_is_whole(model: &Model, image: &Image, tile: usize) {
    assert_eq!(difference(model, image, tile, true), 0.0);
    let rounding = difference(model, image, tile, false);
    assert!(rounding <= WINOGRAD_TOLERANCE, "{rounding}");
}

#[test]
fn unet_same_padding() {
    if gpu_or_skip().is_some() {
        let m = model("unet", json!({"width": 12, "depth": 3, "padding": "same"}));
        assert_tiled_is_whole(&m, &image(301, 215, 1), 160);
    }
}

#[test]
fn unet_valid_padding() {
    if gpu_or_skip().is_some() {
        let m = model("unet", json!({"width": 4, "depth": 2}));
        assert_tiled_is_whole(&m, &image(201, 155, 1), 100);
    }
}

/// The decoder's upsampling reads beyond the edge of its map, so pixels near the edge of a tile are no result.
#[test]
fn unet_valid_padding_with_an_upsampling_that_pads() {
    if gpu_or_skip().is_some() {
        let config = |up: &str| json!({"width": 4, "depth": 2, "up": up, "align_corners": false});
        for up in ["nearest_conv", "bilinear"] {
            assert_tiled_is_whole(&model("unet", config(up)), &image(201, 155, 1), 100);
        }
    }
}

#[test]
fn unet_nearest_and_bilinear() {
    if gpu_or_skip().is_some() {
        let m =
            model("unet", json!({"in_channels": 3, "width": 4, "depth": 2, "padding": "same", "up": "nearest_conv"}));
        assert_tiled_is_whole(&m, &image(151, 115, 3), 96);
        let m =
            model("unet", json!({"width": 4, "depth": 2, "padding": "same", "up": "bilinear", "align_corners": false}));
        assert_tiled_is_whole(&m, &image(151, 115, 1), 96);
    }
}

#[test]
fn unet_plus_plus() {
    if gpu_or_skip().is_some() {
        let m = model("unetpp", json!({"out_channels": 2, "width": 4, "depth": 3}));
        assert_tiled_is_whole(&m, &image(301, 215, 1), 160);
    }
}

#[test]
fn unet_3_plus() {
    if gpu_or_skip().is_some() {
        let m = model("unet3p", json!({"width": 4, "depth": 3, "deep_supervision": true}));
        assert_tiled_is_whole(&m, &image(401, 215, 1), 352);
    }
}

#[test]
fn small_and_odd_images() {
    if gpu_or_skip().is_some() {
        let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same"}));
        let v = model("unet", json!({"width": 4, "depth": 2}));
        for (w, h) in [(1, 1), (3, 2), (17, 1), (33, 47)] {
            for m in [&m, &v] {
                let s = segment(m, &image(w, h, 1), None).unwrap();
                assert_eq!((s.mask.width(), s.mask.height()), (w, h));
            }
        }
    }
}

#[test]
fn networks_that_cannot_be_tiled_say_why() {
    if gpu_or_skip().is_some() {
        let m = model("unet3p", json!({"width": 4, "depth": 2, "deep_supervision": true, "cgm": true}));
        assert!(segment(&m, &image(100, 80, 1), None).is_ok());
        let e = segment(&m, &image(100, 80, 1), Some(48)).unwrap_err().to_string();
        assert!(e.contains("cannot be tiled exactly") && e.contains("cgm"), "{e}");
        let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same", "up": "bilinear"}));
        let e = segment(&m, &image(100, 80, 1), Some(48)).unwrap_err().to_string();
        assert!(e.contains("size of the whole image"), "{e}");
    }
}

#[test]
fn a_memory_budget_makes_tiles_smaller() {
    let Some(gpu) = gpu_or_skip() else { return };
    let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same"}));
    let p = image(501, 415, 1);
    let options = |memory| SegmentOptions::default().with_memory(memory);
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu), m);
    let large = segmenter.segment(&p, &options(1 << 30), |_| Ok(())).unwrap();
    let small = segmenter.segment(&p, &options(4 << 20), |_| Ok(())).unwrap();
    assert!(large.tiles == [1, 1] && small.tiles[0] * small.tiles[1] > 1);
    assert!(segmenter.device_bytes() < 5 << 20, "{}", segmenter.device_bytes());
    assert_eq!(large.mask, small.mask);
    let e = segmenter.segment(&p, &options(1000), |_| Ok(())).unwrap_err().to_string();
    assert!(e.contains("the limit is 1000 bytes of memory"), "{e}");
}

#[test]
fn progress_can_cancel() {
    let Some(gpu) = gpu_or_skip() else { return };
    let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same"}));
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu), m);
    let (p, options) = (image(301, 215, 1), SegmentOptions::default().with_tile(Some(96)));
    let cancel = |f: f64| if f > 0.3 { Err(unet_wgpu::Error::Cancelled) } else { Ok(()) };
    assert!(matches!(segmenter.segment(&p, &options, cancel), Err(unet_wgpu::Error::Cancelled)));
    // The segmenter can be reused.
    assert!(segmenter.segment(&p, &options, |_| Ok(())).is_ok());
}

/// Every instance file format, for masks made in tiles of several sizes and joined in bands of several heights.
#[test]
fn instances_across_tiles_match_the_whole_image() {
    if gpu_or_skip().is_none() {
        return;
    }
    let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same", "out_channels": 3}));
    let p = image(1388, 1040, 1);
    let dir = tempfile::tempdir().unwrap();
    let instances = |tile: Option<usize>, rows: usize, separation: Separation| -> (usize, Vec<Vec<u8>>) {
        let s = segment_with(&m, &p, tile, true).unwrap();
        assert_eq!(s.tiles == [1, 1], tile.is_none());
        let files: Vec<_> = instance_writers().into_iter().map(|k| (k, dir.path().join(format!("{k:?}")))).collect();
        let options = InstanceOptions::default().with_separation(separation).with_fill_holes(true).with_min_area(4);
        let sink = InstanceSink::new(options, "image", files.clone());
        let report = sink.report();
        let info = BandInfo {
            width: 1388,
            height: 1040,
            channels: 1,
            classes: m.classes(),
            planes: 3,
            geometry: 0,
            contrast: None,
            network: None,
        };
        feed(Box::new(sink), &info, &s.mask, None, Some(&p), rows).unwrap();
        (report().unwrap().count, files.iter().map(|f| std::fs::read(&f.1).unwrap()).collect())
    };
    for separation in [Separation::Components, Separation::Watershed { depth: 1.0 }] {
        let whole = instances(None, 1040, separation);
        assert!(whole.0 > 1000, "{}", whole.0);
        for (tile, rows) in [(700, 64), (352, 1), (160, 100)] {
            assert!(instances(Some(tile), rows, separation) == whole, "{separation:?}, tiles of {tile}");
        }
    }
}

/// Probabilities, areas and gaps too: the whole way from an image to its labels.
#[test]
fn rules_of_instances_do_not_depend_on_tiles() {
    let Some(gpu) = gpu_or_skip() else { return };
    let m = model("unet", json!({"width": 4, "depth": 2, "padding": "same", "out_channels": 2}));
    let p = image(701, 530, 1);
    let dir = tempfile::tempdir().unwrap();
    let rules = InstanceOptions::default()
        .with_threshold(Some(0.48))
        .with_min_confidence(0.5)
        .with_min_area(3)
        .with_min_area_percent(20.0)
        .with_fill_holes(true)
        .with_close_gaps(2);
    for separation in [Separation::Components, Separation::Watershed { depth: 1.0 }] {
        let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), m.clone());
        let mut run = |tile: Option<usize>| {
            let file = dir.path().join("labels.tif");
            let sink = InstanceSink::new(
                rules.clone().with_separation(separation),
                "image",
                vec![(&Labels as _, file.clone())],
            );
            let report = sink.report();
            let options = SegmentOptions::default().with_tile(tile).with_exact(true);
            let streamed =
                segmenter.segment_to(&mut InMemory::borrowed(&p), &options, vec![Box::new(sink)], |_| Ok(())).unwrap();
            assert_eq!(streamed.tiles == [1, 1], tile.is_none());
            (report().unwrap().count, std::fs::read(file).unwrap())
        };
        let whole = run(None);
        assert!(whole.0 > 100, "{}", whole.0);
        for tile in [128, 256] {
            assert!(run(Some(tile)) == whole, "{separation:?}, tiles of {tile}");
        }
    }
}
