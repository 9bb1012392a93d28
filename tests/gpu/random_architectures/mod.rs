//! Random networks of the family: the GPU computes what the reference computes, rewriting, tiling and recording in parts
//! change nothing, f16 is near. A few in every run of the tests, hundreds by
//! `cargo test --release --test gpu random_architectures -- --ignored --nocapture`.

mod files;
pub(crate) mod frames;
pub(crate) mod generator;
mod rounded;
mod worst;

use generator::{Case, Random};
use rounded::run_rounded;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use unet_wgpu::low_level::gpu::{Gpu, PrecisionChoice};
use unet_wgpu::low_level::graph::{Graph, rewrite};
use unet_wgpu::low_level::infer::{Image, Pixels, SegmentOptions, Segmenter, Tileability};
use unet_wgpu::low_level::kernel::{AdapterClass, Target};
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::{Backend, Session};
use unet_wgpu::low_level::tensor::{HostTensor, Precision, Shape};
use unet_wgpu::testing::{F16_TOLERANCE, WINOGRAD_TOLERANCE, gpu_or_skip, network_tolerance, random_input};
use worst::Worst;

/// Rewritten graphs add up in another order; `models.rs` has the same.
const REWRITE_TOLERANCE: f32 = 5e-6;

/// The comparison of f16 plans.
const HALF: &str = "f16 = reference with f16 storage";

type Tensors = BTreeMap<String, HostTensor>;

#[test]
fn random_architectures() {
    run(0..20, 160);
}

#[test]
#[ignore = "hundreds of networks, some minutes: before a release"]
fn random_architectures_by_the_hundred() {
    run(seeds(0..300), 400);
}

/// The range of `UNET_RANDOM_SEEDS`, such as `17..18` to look into a failure, or else `all`.
fn seeds(all: Range<u64>) -> Range<u64> {
    let range = std::env::var("UNET_RANDOM_SEEDS").unwrap_or_default();
    let numbers = range.split_once("..").map(|(first, end)| (first.parse(), end.parse()));
    match numbers {
        Some((Ok(first), Ok(end))) => first..end,
        _ => all,
    }
}

/// Noise of 16 bits, `channels` samples per pixel.
pub(crate) fn noise(seed: u64, width: usize, height: usize, channels: usize) -> Vec<u16> {
    let noise = random_input(&format!("image {seed}"), Shape::new(1, 1, height, width * channels)).unwrap();
    noise.data().iter().map(|v| (v * 30_000.0 + 30_000.0) as u16).collect()
}

fn run(seeds: Range<u64>, largest_tile: usize) {
    let Some(gpu) = gpu_or_skip() else { return };
    let half = gpu.caps().f16.then(|| gpu.with_precision(PrecisionChoice::F16).unwrap());
    if half.is_none() {
        eprintln!("f16 is skipped: {} has none in shaders", gpu.describe());
    }
    let (mut worst, mut failures) = (Worst::default(), Vec::new());
    for seed in seeds.clone() {
        let case = Case::new(seed);
        let checked = catch_unwind(AssertUnwindSafe(|| check(&gpu, half.as_ref(), &case, largest_tile, &mut worst)));
        match checked {
            Ok(errors) => failures.extend(errors.into_iter().map(|e| format!("{case}\n    {e}"))),
            Err(_) => failures.push(format!("{case}\n    panicked")),
        }
    }
    println!("{} networks, seeds {seeds:?}:\n{worst}", seeds.end - seeds.start);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Every check of a case; what failed.
fn check(gpu: &Gpu, half: Option<&Gpu>, case: &Case, largest_tile: usize, worst: &mut Worst) -> Vec<String> {
    let model = match case.model() {
        Ok(model) => model,
        Err(e) => return vec![e.to_string()],
    };
    let network = network(gpu, half, case, &model, worst);
    let tiles = tiles(gpu, case, &model, largest_tile, worst);
    let frames = frames::check(gpu, case, &model, worst);
    [network, tiles, frames].into_iter().filter_map(Result::err).collect()
}

/// The bare network on each device and in each form, against the reference of the graph as it is written.
fn network(gpu: &Gpu, half: Option<&Gpu>, case: &Case, model: &Model, worst: &mut Worst) -> Result<(), String> {
    let failed = |e: unet_wgpu::Error| format!("network: {e}");
    let [n, c, h, w] = case.input;
    let graph = model.whole_graph(n, h, w).map_err(failed)?;
    let input = random_input(&format!("input {}", case.seed), Shape::new(n, c, h, w)).map_err(failed)?;
    let inputs = BTreeMap::from([(INPUT.to_string(), input)]);
    let reference = |graph: &Graph| graph.run_reference(&inputs, model.stored(), |_, _| Ok(())).map_err(failed);
    let expected = reference(&graph)?;
    let mut compare = |check, got: &Tensors, expected: &Tensors, tolerance| {
        if !got.keys().eq(expected.keys()) {
            return Err(format!("{check}: outputs {:?}, not {:?}", got.keys(), expected.keys()));
        }
        let each = expected.iter().map(|(key, expected)| {
            let mut c = got[key].compare(expected).map_err(failed)?;
            if check == HALF && !key.contains("logit") && key != "geometry" {
                // A small probability moves by more than its share where f16 rounds the logit: 0 to 1 is its scale.
                c.scale = c.scale.max(1.0);
            }
            worst.compare(check, case.seed, &c, tolerance).map_err(|e| format!("{key}: {e}"))
        });
        each.collect::<Result<(), String>>()
    };

    let mut checked = String::new();
    for target in [AdapterClass::Cpu, AdapterClass::Other].map(Target::typical) {
        let rewritten = rewrite::optimise(&graph, &target).map_err(failed)?;
        if rewritten.to_string() != checked {
            compare("rewritten = as written", &reference(&rewritten)?, &expected, REWRITE_TOLERANCE)?;
            checked = rewritten.to_string();
        }
    }

    let session = |gpu: &Gpu, graph: &Graph| {
        let plan = Plan::new(graph, gpu.target()).map_err(failed)?;
        Session::new(gpu, plan, model.stored()).map_err(failed)
    };
    let f32 = network_tolerance(Precision::F32);
    let plain = session(gpu, &graph.without_dead_nodes())?.run_all(&inputs).map_err(failed)?;
    compare("GPU, as written = reference", &plain, &expected, f32)?;
    let rewritten = rewrite::optimise(&graph, gpu.target()).map_err(failed)?;
    let mut rewritten = session(gpu, &rewritten)?;
    let first = rewritten.run_all(&inputs).map_err(failed)?;
    compare("GPU, rewritten = reference", &first, &expected, f32)?;
    if first != rewritten.run_all(&inputs).map_err(failed)? {
        return Err("GPU, rewritten: the second run differs".into());
    }
    match half {
        // Where the scores of a gate are this close, rounding may open or close it.
        Some(gpu) if !on_edge(&expected, F16_TOLERANCE) => {
            let graph = rewrite::optimise(&graph, gpu.target()).map_err(failed)?;
            let got = session(gpu, &graph)?.run_all(&inputs).map_err(failed)?;
            let rounded = run_rounded(&graph, gpu.target(), &inputs, model.stored()).map_err(failed)?;
            compare(HALF, &got, &rounded, F16_TOLERANCE)
        }
        _ => Ok(()),
    }
}

/// Whether the classification-guided module of some image decides between scores that are nearly equal.
fn on_edge(outputs: &Tensors, tolerance: f32) -> bool {
    let Some(scores) = outputs.get("cls") else { return false };
    scores.data().chunks(2).any(|s| (s[0] - s[1]).abs() <= 4.0 * tolerance * s[0].max(s[1]))
}

/// Tiled equals whole: to the last bit with exact tiling, else within the rounding of Winograd's kernels.
fn tiles(gpu: &Gpu, case: &Case, model: &Model, largest_tile: usize, worst: &mut Worst) -> Result<(), String> {
    let failed = |e: unet_wgpu::Error| format!("tiles: {e}");
    let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model.clone());
    let Tileability::Exact(spec) = segmenter.tileability().map_err(failed)? else { return Ok(()) };
    let tile = spec.smallest_tile().map_err(failed)?;
    if tile > largest_tile {
        return Ok(());
    }
    let mut r = Random::new(case.seed.wrapping_add(1 << 33));
    let tile = tile + spec.align * r.within(0, 1);
    // Several tiles along one axis; along the other any number.
    let longer = tile - 2 * spec.margin + r.within(1, 3 * spec.align + 16);
    let [w, h] = [longer, r.within(1, longer)];
    let [w, h] = if r.within(0, 1) == 0 { [w, h] } else { [h, w] };
    let channels = model.architecture.in_channels();
    let pixels = Pixels::U16(noise(case.seed, w, h, channels));
    let image = Image::new(w, h, channels, pixels).map_err(failed)?;
    for (exact, check) in [(true, "exact tiles = whole"), (false, "tiles = whole")] {
        let mut segment = |tile| {
            let options = SegmentOptions::default().with_probabilities(true).with_memory(8 << 30);
            segmenter.segment(&image, &options.with_tile(tile).with_exact(exact), |_| Ok(())).map_err(failed)
        };
        let (whole, tiled) = (segment(None)?, segment(Some(tile))?);
        if whole.tiles != [1, 1] || tiled.tiles == [1, 1] {
            return Err(format!("{check}: {:?} and {:?} tiles of {tile} for {w}x{h}", whole.tiles, tiled.tiles));
        }
        let planes = |s: Option<Vec<f32>>| {
            let planes = s.unwrap_or_default();
            HostTensor::new([planes.len()], planes).map_err(failed)
        };
        let (a, b) = (planes(tiled.probabilities)?, planes(whole.probabilities)?);
        if exact {
            if tiled.mask != whole.mask || a != b {
                return Err(format!("{check}: tiles of {tile} for {w}x{h} differ"));
            }
            worst.exact(check);
        } else {
            let c = a.compare(&b).map_err(failed)?;
            worst.compare(check, case.seed, &c, WINOGRAD_TOLERANCE)?;
        }
    }
    Ok(())
}
