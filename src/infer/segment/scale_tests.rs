//! Images that are resized for the model.

use super::tests::{image, model};
use super::*;
use crate::infer::instance_files::InstanceSink;
use crate::infer::source::read_all;
use crate::infer::writers::instance_writers;
use crate::io::Output;
use crate::testing::gpu_or_skip;
use crate::weights::TrainedScale;

/// The foreground probability that four fifths of the image's pixels have at most.
fn threshold(image: &Image) -> f64 {
    let options = SegmentOptions { probabilities: true, ..SegmentOptions::default() };
    let mut p = segmented(&Backend::Cpu, image, &options).probabilities.unwrap();
    let mut p = p.split_off(p.len() / 2);
    p.sort_by(f32::total_cmp);
    p[p.len() * 4 / 5].into()
}

fn options(scale: Scale, tile: Option<usize>, threshold: f64) -> SegmentOptions {
    let instances = Some(InstanceSettings::default().with_min_area(3).with_threshold(threshold).with_close_gaps(1));
    SegmentOptions { probabilities: true, exact: true, instances, scale, tile, ..SegmentOptions::default() }
}

fn segmented(backend: &Backend, image: &Image, options: &SegmentOptions) -> Segmentation {
    Segmenter::new(backend.clone(), model()).segment(image, options, |_| Ok(())).unwrap()
}

/// Results that are resized back are those of the resized image, read at the nearest pixels; their instances too.
#[test]
fn results_are_those_of_the_resized_image() {
    let image = image("a", 90, 70);
    let threshold = threshold(&image);
    for factor in [0.6, 1.5] {
        let [h, w] = [70.0, 90.0].map(|n: f64| (n * factor).round() as usize);
        let by = Resize::new([70, 90], [h, w]);
        let mut source = InMemory::borrowed(&image);
        let small = resized(&mut source, Some(by), |s| read_all(s)).unwrap();
        let own = segmented(&Backend::Cpu, &small, &options(Scale::default(), None, threshold));
        let actual = segmented(&Backend::Cpu, &image, &options(Scale::Factor(factor), None, threshold));
        assert_eq!((actual.scale, own.scale, actual.diameter), ([factor; 2], [1.0; 2], None));
        let instances = own.instances.unwrap();
        let (labels, classes) =
            (&actual.instances.as_ref().unwrap().labels, &actual.instances.as_ref().unwrap().classes);
        assert_eq!((labels.width(), labels.height()), (90, 70));
        assert!(classes.len() > 5, "{}", classes.len());
        // An instance of the resized image for each of the image's.
        let mut of = vec![None; classes.len()];
        for y in 0..70 {
            for x in 0..90 {
                let at = (2 * y + 1) * h / 140 * w + (2 * x + 1) * w / 180;
                assert_eq!(actual.mask.ids().id(y * 90 + x), own.mask.ids().id(at));
                let (label, old) = (labels.labels()[y * 90 + x], instances.labels.labels()[at]);
                assert_eq!(*of[label as usize].get_or_insert(old), old);
            }
        }
        assert!(of.iter().all(Option::is_some));
        let p = actual.probabilities.unwrap();
        assert!(p.len() == 2 * 70 * 90 && (0..70 * 90).all(|i| (p[i] + p[70 * 90 + i] - 1.0).abs() < 1e-5));
    }
}

/// The same bytes for any tiles, in memory and in files.
#[test]
fn resized_images_are_tiled_exactly() {
    let Some(gpu) = gpu_or_skip() else { return };
    let image = image("b", 150, 130);
    let threshold = threshold(&image);
    for scale in [Scale::Factor(0.7), Scale::Factor(1.3)] {
        let whole = segmented(&Backend::Gpu(gpu.clone()), &image, &options(scale, None, threshold));
        let mut files = Vec::new();
        for tile in [None, Some(52), Some(76)] {
            let options = options(scale, tile, threshold);
            let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model());
            let found = segmenter.instance_options(options.instances.as_ref().unwrap()).unwrap();
            let outputs: Vec<_> =
                instance_writers().into_iter().map(|w| (w, Output::memory(format!("{w:?}")))).collect();
            let memory: Vec<_> = outputs.iter().map(|(_, o)| o.1.clone()).collect();
            let overlay = Output::memory("overlay.png");
            let sink = InstanceSink::new(found, "b", outputs.into_iter().map(|(w, o)| (w, o.0)).collect());
            let sinks: Vec<Box<dyn BandSink>> = vec![Box::new(sink.with_overlay(overlay.0))];
            let mut source = InMemory::borrowed(&image);
            let run = segmenter.segment_to(&mut source, &options, sinks, |_| Ok(())).unwrap();
            assert_eq!((run.tiles == [1, 1], run.image.width), (tile.is_none(), 150));
            files.push(memory.iter().chain([&overlay.1]).map(|m| m.lock().unwrap().clone()).collect::<Vec<_>>());
            let actual = segmented(&Backend::Gpu(gpu.clone()), &image, &options);
            assert!(actual.mask == whole.mask && actual.probabilities == whole.probabilities, "{tile:?}");
            assert_eq!(actual.instances, whole.instances);
        }
        assert!(files[0].iter().all(|f| !f.is_empty()) && files[1] == files[0] && files[2] == files[0]);
    }
}

/// A first pass finds the diameter of the instances as they are.
#[test]
fn diameters_are_estimated() {
    let image = image("c", 90, 70);
    let threshold = threshold(&image);
    let own = segmented(&Backend::Cpu, &image, &options(Scale::default(), None, threshold));
    let found = crate::infer::median_diameter(own.instances.unwrap().labels.areas()).unwrap();
    let mut scaled = model();
    scaled.metadata.scale = Some(TrainedScale::default().with_diameter(1.4 * found));
    let mut segmenter = Segmenter::new(Backend::Cpu, scaled);
    let auto = options(Scale::AutoDiameter, None, threshold);
    let mut calls = Vec::new();
    let progress = |part| {
        calls.push(part);
        Ok(())
    };
    let result = segmenter.segment(&image, &auto, progress).unwrap();
    assert_eq!(result.diameter, Some(found));
    assert!((result.scale[0] - 1.4).abs() < 1e-9 && result.scale[0] == result.scale[1]);
    assert!(calls.is_sorted() && calls.len() > 1);
    let told = segmenter.segment(&image, &options(Scale::Diameter(found), None, threshold), |_| Ok(())).unwrap();
    assert!(told.mask == result.mask && told.instances == result.instances && told.diameter.is_none());
    // Nothing to measure.
    let mut none = auto.clone();
    none.instances = Some(InstanceSettings::default().with_min_area(1_000_000));
    let result = segmenter.segment(&image, &none, |_| Ok(())).unwrap();
    assert_eq!((result.scale, result.diameter), ([1.0; 2], None));
    // The model states nothing.
    let e = Segmenter::new(Backend::Cpu, model()).segment(&image, &auto, |_| panic!("nothing runs")).unwrap_err();
    assert!(e.to_string().starts_with("diameter: the model does not state"), "{e}");
}
