use serde_json::json;

use super::*;
use crate::graph::rewrite;
use crate::infer::image::Pixels;
use crate::kernel::{AdapterClass, Target};
use crate::model::{parse, whole_graph};
use crate::plan::Plan;
use crate::tensor::Shape;
use crate::testing::{gpu_or_skip, random_input, random_parameter};
use crate::weights::{Checkpoint, ModelMetadata, Normalisation};

pub(super) fn model() -> Model {
    let config = json!({ "width": 4, "depth": 2, "padding": "same", "out_channels": 2 });
    let graph = whole_graph(&*parse("unet", &config).unwrap(), 1, 4, 4).unwrap();
    let weights = graph.parameters().map(|(k, d)| (k.to_string(), random_parameter(k, d).unwrap())).collect();
    // Statistics per image, which differ within a batch.
    let normalisation = Normalisation::ZScore;
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
    Model::new("m", Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() }).unwrap()
}

pub(super) fn image(name: &str, width: usize, height: usize) -> Image {
    let noise = random_input(name, Shape::new(1, 1, height, width)).unwrap();
    let pixels = noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect();
    Image::new(width, height, 1, Pixels::U16(pixels)).unwrap()
}

/// Class ids, probabilities, and whether all rows arrived.
type Everything = (Vec<usize>, Vec<f32>, bool);

/// A sink that records all rows of an image.
#[derive(Clone, Default)]
struct Recorder(std::sync::Arc<std::sync::Mutex<Everything>>);

impl BandSink for Recorder {
    fn needs(&self) -> Needs {
        Needs { probabilities: true, ..Needs::default() }
    }
    fn start(&mut self, _: &BandInfo) -> Result<()> {
        *self.0.lock().unwrap() = Default::default();
        Ok(())
    }
    fn band(&mut self, band: &crate::infer::Band) -> Result<()> {
        let mut all = self.0.lock().unwrap();
        all.0.extend((0..band.height * band.width).map(|i| band.class(i)));
        all.1.extend(band.probabilities.unwrap());
        Ok(())
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.0.lock().unwrap().2 = true;
        Ok(())
    }
}

type Results = Vec<(Result<Streamed>, (Vec<usize>, Vec<f32>, bool))>;

/// Segments several images together.
fn several(backend: &Backend, images: &[Image], options: &SegmentOptions) -> Results {
    let mut sources: Vec<InMemory> = images.iter().map(InMemory::borrowed).collect();
    let recorders: Vec<Recorder> = images.iter().map(|_| Recorder::default()).collect();
    let sinks = recorders.iter().map(|k| vec![Box::new(k.clone()) as Box<dyn BandSink>]);
    let tasks = sources.iter_mut().zip(sinks).map(|(source, sinks)| ImageTask { source, sinks }).collect();
    let progress = |f: f64| {
        assert!((0.0..=1.0).contains(&f));
        Ok(())
    };
    let results = Segmenter::new(backend.clone(), model()).segment_several(tasks, options, progress);
    results.into_iter().zip(&recorders).map(|(r, k)| (r, k.0.lock().unwrap().clone())).collect()
}

#[test]
fn batched_images_equal_single_ones() {
    let Some(gpu) = gpu_or_skip() else { return };
    let images = ["a", "b", "c", "d", "e"].map(|name| image(name, 30, 22));
    for backend in [Backend::Cpu, Backend::Gpu(gpu)] {
        let options = |batch, tile| SegmentOptions { batch, tile, ..Default::default() };
        let alone = several(&backend, &images, &options(1, None));
        // Runs are equally full: five images, at most four at once, are run as three and two.
        for (max, took) in [(2, 2), (4, 3), (8, 5)] {
            let actual = several(&backend, &images, &options(max, None));
            for ((a, b), (c, d)) in actual.iter().zip(&alone) {
                let (a, c) = (a.as_ref().unwrap(), c.as_ref().unwrap());
                assert!(b == d && b.2, "at most {max} at once");
                assert_eq!((a.batch, &a.class_pixels, a.tiles), (took, &c.class_pixels, [1, 1]));
            }
        }
        // Images that cannot be batched run separately: several tiles each, other sizes.
        let wide = ["g", "h"].map(|name| image(name, 90, 22));
        let tiled = several(&backend, &wide, &options(2, Some(52)));
        assert!(tiled.iter().all(|t| t.0.as_ref().unwrap().tiles != [1, 1] && t.0.as_ref().unwrap().batch == 2));
        let one = several(&backend, &wide, &options(1, Some(52)));
        assert!(tiled.iter().zip(&one).all(|(a, b)| a.1 == b.1));
        let mixed = [images[0].clone(), image("f", 17, 22)];
        let mixed = several(&backend, &mixed, &options(2, None));
        assert!(mixed.iter().all(|m| m.0.as_ref().unwrap().batch == 1) && mixed[0].1 == alone[0].1);
    }
}

#[test]
fn a_bad_image_fails_alone() {
    let images = ["a", "b", "c"].map(|name| image(name, 30, 22));
    let nan = Image::new(30, 22, 1, Pixels::F32(vec![0.5; 660])).unwrap();
    let two = Image::new(30, 22, 2, Pixels::U16(vec![7; 1320])).unwrap();
    let options = SegmentOptions { batch: 4, ..Default::default() };
    let alone = several(&Backend::Cpu, &images, &SegmentOptions::default());
    let [a, b, c] = images;
    for bad in [nan, two] {
        let fails = bad.channels() == 2;
        let actual = several(&Backend::Cpu, &[a.clone(), bad, b.clone(), c.clone()], &options);
        assert_eq!(actual[1].0.is_err(), fails);
        for (actual, alone) in [&actual[0], &actual[2], &actual[3]].into_iter().zip(&alone) {
            assert!(actual.0.is_ok() && actual.1 == alone.1);
        }
    }
}

/// If memory holds one tile but no batch, the tile keeps its size and the batch shrinks.
#[test]
fn memory_shrinks_the_batch() {
    let p = image("a", 100, 60);
    let run = |memory, batch| {
        let options = SegmentOptions { memory, batch, tile: Some(64), ..Default::default() };
        let mut segmenter = Segmenter::new(Backend::Cpu, model());
        segmenter.segment_to(&mut InMemory::borrowed(&p), &options, vec![], |_| Ok(())).unwrap()
    };
    let large = run(1 << 30, 4);
    assert_eq!((large.batch, large.tile), (4, run(1 << 30, 1).tile));
    // The minimum that the tile fits, by bisection.
    let fits = |memory| {
        let options = SegmentOptions { memory, tile: Some(64), ..Default::default() };
        let mut segmenter = Segmenter::new(Backend::Cpu, model());
        let run = segmenter.segment_to(&mut InMemory::borrowed(&p), &options, vec![], |_| Ok(()));
        run.is_ok_and(|r| r.tile == large.tile)
    };
    let (mut low, mut high) = (1u64 << 10, 1u64 << 30);
    while high - low > 1 << 12 {
        let middle = (low + high) / 2;
        if fits(middle) { high = middle } else { low = middle }
    }
    let tight = run(high, 4);
    assert_eq!((tight.batch, tight.tile, &tight.class_pixels), (1, large.tile, &large.class_pixels));
    let between = (1..40).map(|k| run(high + (high >> 3) * k, 4).batch).collect::<Vec<_>>();
    assert!(between.contains(&2) && between.is_sorted() && between.last() == Some(&4), "{between:?}");
}

/// A batch uses the same kernels as one image, on any class of adapters: others would round differently.
#[test]
fn batches_change_no_kernel() {
    for (width, size) in [(8, 64), (256, 16)] {
        let config = json!({ "width": width, "depth": 2, "padding": "same", "in_channels": 3 });
        let network = parse("unet", &config).unwrap();
        for class in AdapterClass::ALL {
            let families = |n| {
                let target = Target::typical(class);
                let graph = rewrite::optimise(&whole_graph(&*network, n, size, size).unwrap(), &target).unwrap();
                let plan = Plan::new(&graph, &target).unwrap();
                let choices = plan.dispatches.iter().filter_map(|s| Some((s.node, s.choice?.family)));
                choices.collect::<std::collections::BTreeMap<_, _>>()
            };
            let one = families(1);
            assert!(!one.is_empty());
            assert_eq!(families(8), one, "{class:?}, width {width}");
        }
    }
}
