//! A device with little memory: tiles of several sizes share what there is, and where an allocation fails tiles become smaller,
//! or the error says what did not fit.

use crate::alive::{image, model, trainer};
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::infer::SegmentOptions;
use unet_wgpu::low_level::model::whole_graph;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::testing::{allocations, fail_allocation, fail_allocations_above, gpu_or_skip};
use unet_wgpu::{Backend, Error, Model, Segmenter};

/// The same bits for tiles of any size.
fn exact() -> SegmentOptions {
    SegmentOptions::default().with_exact(true).with_probabilities(true)
}

/// Once each size was seen, nothing is allocated or compiled for it; the memory limit decides how many stay.
#[test]
fn sizes_in_turn_prepare_nothing_anew() {
    let Some(gpu) = gpu_or_skip() else { return };
    let images = [(64, 64), (96, 80), (128, 48)].map(|(w, h)| image(w, h));
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model());
    let turn = |segmenter: &mut Segmenter, options: &SegmentOptions| {
        let results = images.iter().map(|i| segmenter.segment(i, options, |_| Ok(())).unwrap());
        results.map(|r| r.mask).collect::<Vec<_>>()
    };
    let options = SegmentOptions::default();
    let expected = turn(&mut segmenter, &options);
    let (made, compiled) = (allocations(&gpu), gpu.pipelines_compiled());
    let held = segmenter.device_bytes();
    for _ in 0..3 {
        assert!(turn(&mut segmenter, &options) == expected);
    }
    assert_eq!((allocations(&gpu), gpu.pipelines_compiled()), (made, compiled), "something was prepared again");
    assert_eq!(segmenter.device_bytes(), held);
    // What a single size needs: the smallest limit with which each of them is one tile.
    let mut alone = Segmenter::new(Backend::Gpu(gpu.clone()), model());
    let need = images.each_ref().map(|i| {
        let [mut enough, mut little] = [1u64 << 30, 0];
        while enough - little > 1 << 14 {
            let limit = (enough + little) / 2;
            let whole = alone.segment(i, &options.clone().with_memory(limit), |_| Ok(()));
            if whole.is_ok_and(|r| r.tiles == [1, 1]) { enough = limit } else { little = limit }
        }
        enough
    });
    let limit = *need.iter().max().unwrap();
    let mut narrow = Segmenter::new(Backend::Gpu(gpu.clone()), model());
    let options = options.with_memory(limit);
    for i in &images {
        narrow.segment(i, &options, |_| Ok(())).unwrap();
        assert!(narrow.device_bytes() <= limit, "{} bytes, the limit is {limit}", narrow.device_bytes());
    }
    assert!(turn(&mut narrow, &options) == expected);
    assert!(narrow.device_bytes() < held, "the sizes used longest ago are gone");
}

/// Any single allocation that fails: the same bytes, from smaller tiles if need be.
#[test]
fn any_allocation_may_fail() {
    let Some(gpu) = gpu_or_skip() else { return };
    let image = image(100, 60);
    let segment = |segmenter: &mut Segmenter| segmenter.segment(&image, &exact(), |_| Ok(()));
    let before = allocations(&gpu);
    let expected = segment(&mut Segmenter::new(Backend::Gpu(gpu.clone()), model())).unwrap();
    let all = allocations(&gpu) - before;
    assert!(all > 5, "{all} allocations");
    for k in 1..=all {
        fail_allocation(&gpu, k);
        let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model());
        let result = segment(&mut segmenter).unwrap_or_else(|e| panic!("allocation {k}: {e}"));
        assert!(result.mask == expected.mask, "allocation {k}: mask");
        assert!(result.probabilities == expected.probabilities, "allocation {k}: probabilities");
        assert!(segment(&mut segmenter).unwrap().mask == expected.mask, "afterwards");
    }
    // The last one was reached, and none is left over.
    let last = allocations(&gpu);
    segment(&mut Segmenter::new(Backend::Gpu(gpu.clone()), model())).unwrap();
    assert_eq!(allocations(&gpu) - last, all);
}

/// A device that never has more than so many bytes at once: smaller tiles, then an error.
#[test]
fn tiles_become_smaller_until_they_fit() {
    let Some(gpu) = gpu_or_skip() else { return };
    let image = image(500, 400);
    let segment = || Segmenter::new(Backend::Gpu(gpu.clone()), model()).segment(&image, &exact(), |_| Ok(()));
    let expected = segment().unwrap();
    assert_eq!(expected.tiles, [1, 1]);
    let mut last = 400 * 500;
    for bytes in [1 << 20, 1 << 18] {
        fail_allocations_above(&gpu, bytes);
        let result = segment().unwrap_or_else(|e| panic!("{bytes} bytes: {e}"));
        let area = result.tile[0] * result.tile[1];
        assert!(area < last, "{bytes} bytes: tiles of {:?}", result.tile);
        last = area;
        assert!(result.mask == expected.mask && result.probabilities == expected.probabilities, "{bytes} bytes");
    }
    fail_allocations_above(&gpu, 256);
    let e = segment().unwrap_err();
    assert!(matches!(e, Error::OutOfMemory { bytes: Some(_), .. }), "{e}");
    let text = e.to_string();
    assert!(text.starts_with("the GPU device has no memory left for allocating `"), "{text}");
    assert!(text.contains(", even with the smallest tile ("), "{text}");
}

/// A trainer names what did not fit, wherever that is, and the next one works.
#[test]
fn a_trainer_names_what_did_not_fit() {
    let Some(gpu) = gpu_or_skip() else { return };
    for k in 1.. {
        fail_allocation(&gpu, k);
        match trainer(&gpu) {
            Err(Error::OutOfMemory { what, bytes: Some(bytes), .. }) => {
                assert!(what.starts_with("allocating `") && bytes > 0, "{k}: {what}, {bytes} bytes");
            }
            Err(e) => panic!("{k}: {e}"),
            Ok(_) => {
                assert!(k > 20, "only {k} allocations");
                break;
            }
        }
    }
    fail_allocation(&gpu, 0);
    trainer(&gpu).unwrap();
}

/// The weights of a segmenter are on the device once, whatever sizes and outputs are ready, and its kernels are compiled once.
#[test]
fn sizes_that_are_ready_share_their_weights() {
    let Some(gpu) = gpu_or_skip() else { return };
    let model = Model::open("nuclei").unwrap();
    let new = || Segmenter::new(Backend::Gpu(gpu.clone()), model.clone());
    let cases = [(64, 64), (96, 80), (128, 48)].map(|(w, h)| image(w, h));
    let options = [false, true].map(|planes| SegmentOptions::default().with_probabilities(planes));
    let (mut ready, mut alone, mut largest, mut results) = (new(), 0, 0, Vec::new());
    for (image, options) in cases.iter().flat_map(|i| options.iter().map(move |o| (i, o))) {
        let mut one = new();
        let expected = one.segment(image, options, |_| Ok(())).unwrap();
        alone += one.device_bytes();
        largest = one.device_bytes().max(largest);
        drop(one);
        let compiled = gpu.pipelines_compiled();
        let result = ready.segment(image, options, |_| Ok(())).unwrap();
        assert_eq!(gpu.pipelines_compiled(), compiled, "a kernel was compiled twice");
        assert!(result == expected);
        results.push(result);
    }
    let graph = whole_graph(&*model.architecture, 1, 64, 64).unwrap();
    let plan = Plan::new(&rewrite::optimise(&graph, gpu.target()).unwrap(), gpu.target()).unwrap();
    let (weights, held) = (plan.memory.weights, ready.device_bytes());
    // Another size may choose kernels with another order of weights, for a few layers.
    println!("{alone} bytes apart, {held} together, weights {weights}");
    assert!(weights > 20 << 20 && alone > 6 * weights, "{alone} bytes apart for weights of {weights}");
    assert!(held < alone - 5 * weights + weights / 2, "{held} bytes together, {alone} apart, weights {weights}");
    // Where few fit, those used longest ago go.
    let limit = largest + weights / 8;
    let mut narrow = new();
    for (k, (image, options)) in cases.iter().flat_map(|i| options.iter().map(move |o| (i, o))).enumerate() {
        let options = options.clone().with_memory(limit);
        assert!(narrow.segment(image, &options, |_| Ok(())).unwrap() == results[k]);
        assert!(narrow.device_bytes() <= limit, "{} bytes, the limit is {limit}", narrow.device_bytes());
    }
    ready.recover(Backend::Gpu(gpu.clone()));
    assert_eq!(ready.device_bytes(), 0, "weights of the device before");
}
