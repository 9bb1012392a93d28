//! Long use: memory and open handles stay as they are, and threads do not disturb each other.

use crate::random_architectures::frames::Host;
use crate::random_architectures::generator::{Case, Random};
use crate::random_architectures::noise;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;
use unet_wgpu::frame::Budget;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::infer::{Ids, Image, Pixels, SegmentOptions, Segmenter};
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::{Backend, Session};
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::testing::{gpu_or_skip, random_input};

/// Networks of every architecture, small ones.
const SEEDS: [u64; 4] = [2, 3, 5, 7];

/// What a thread does again and again: a session or a frame of its own.
fn work(gpu: &Gpu, thread: usize, rounds: usize, mut each: impl FnMut(usize, Vec<Vec<u8>>)) {
    let case = Case::new(SEEDS[thread / 2 % SEEDS.len()]);
    let model = case.model().unwrap();
    if thread.is_multiple_of(2) {
        let [n, c, h, w] = case.input;
        let graph = rewrite::optimise(&model.whole_graph(n, h, w).unwrap(), gpu.target()).unwrap();
        let plan = Plan::new(&graph, gpu.target()).unwrap();
        let mut session = Session::new(gpu, plan, model.stored()).unwrap();
        for round in 0..rounds {
            let input = random_input(&format!("round {round}"), Shape::new(n, c, h, w)).unwrap();
            let outputs = session.run_all(&BTreeMap::from([(INPUT.to_string(), input)])).unwrap();
            let bytes = |t: &HostTensor| bytemuck::cast_slice(t.data()).to_vec();
            each(round, outputs.values().map(bytes).collect());
        }
    } else {
        let pixels = noise(case.seed, case.image[0], case.image[1], model.architecture.in_channels());
        let (mut frame, host) = Host::prepare(gpu, &case, &model, 1, &pixels).unwrap();
        let mut r = Random::new(thread as u64);
        for round in 0..rounds {
            each(round, host.run(&mut frame, || Budget::Dispatches(r.within(1, 20))).unwrap());
        }
    }
}

/// Sessions run while frames are recorded part by part, on one device and queue.
#[test]
fn eight_threads_give_the_bytes_of_one() {
    let Some(gpu) = gpu_or_skip() else { return };
    let (threads, rounds) = (8, 4);
    let mut alone = vec![Vec::new(); threads];
    for (thread, results) in alone.iter_mut().enumerate() {
        work(&gpu, thread, rounds, |_, bytes| results.push(bytes));
    }
    std::thread::scope(|s| {
        for (thread, expected) in alone.iter().enumerate() {
            let gpu = &gpu;
            s.spawn(move || {
                work(gpu, thread, rounds, |round, bytes| {
                    assert!(bytes == expected[round], "thread {thread}, round {round} differs");
                });
            });
        }
    });
}

/// Resident memory of this process, bytes, and its open handles; 0 where the system does not tell.
fn used() -> [u64; 2] {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).unwrap_or(0);
    let handles = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    // 4096 bytes a page wherever the tests run.
    [pages * 4096, handles as u64]
}

/// Memory that is allocated on the device by wgpu, bytes; 0 where the backend does not tell.
fn device(gpu: &Gpu) -> u64 {
    gpu.wait(gpu.queue().submit([])).unwrap();
    gpu.device().generate_allocator_report().map_or(0, |report| report.total_allocated_bytes)
}

fn hash(parts: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// One run of a segmenter on noise of a size that is drawn, whole or in tiles; what it was, and a hash of its results.
fn segment(segmenter: &mut Segmenter, r: &mut Random, sides: [usize; 2]) -> (String, u64) {
    // Few sizes, so that each comes again.
    let [w, h] = [0, 1].map(|_| sides[0] + r.within(0, 4) * (sides[1] - sides[0]) / 4);
    let channels = segmenter.model().architecture.in_channels();
    let image = Image::new(w, h, channels, Pixels::U16(noise(1, w, h, channels))).unwrap();
    let exact = r.within(0, 3) == 0;
    let options = SegmentOptions::default().with_probabilities(true).with_exact(exact);
    let result = segmenter.segment(&image, &options, |_| Ok(())).unwrap();
    let Ids::U8(ids) = result.mask.ids() else { panic!("more than 256 classes") };
    let planes: Vec<u32> = result.probabilities.unwrap().iter().map(|p| p.to_bits()).collect();
    (format!("{} {w}x{h} exact {exact}", segmenter.model().name), hash(&(ids, planes)))
}

/// Sizes, models and ways to run them in turn, each made and dropped many times.
#[test]
#[ignore = "2,000 runs, many minutes: before a release"]
fn soak() {
    let Some(gpu) = gpu_or_skip() else { return };
    let runs = std::env::var("UNET_SOAK_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let builtin = Model::open("nuclei").unwrap();
    let cases: Vec<(Case, Model)> =
        (0..12).map(Case::new).map(|case| (case.model().unwrap(), case)).map(|(m, c)| (c, m)).collect();
    let (mut r, begin) = (Random::new(7), Instant::now());
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let (mut done, mut differ, mut again) = (0, 0, 0);
    let mut figures: Vec<[u64; 5]> = Vec::new();
    while done < runs {
        // A round: everything that is made in it is dropped at its end.
        let mut check = |(what, found): (String, u64)| {
            done += 1;
            match expected.get(&what) {
                Some(hash) => (differ, again) = (differ + u64::from(*hash != found), again + 1),
                None => drop(expected.insert(what, found)),
            }
        };
        let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), builtin.clone());
        for _ in 0..4 {
            check(segment(&mut segmenter, &mut r, [32, 96]));
        }
        for _ in 0..4 {
            let (case, model) = &cases[r.within(0, cases.len() - 1)];
            let mut segmenter = Segmenter::new(Backend::Gpu(gpu.clone()), model.clone());
            for _ in 0..3 {
                let (what, hash) = segment(&mut segmenter, &mut r, [20, 100]);
                check((format!("{} {what}", case.seed), hash));
            }
            let pixels = noise(case.seed, case.image[0], case.image[1], model.architecture.in_channels());
            let (mut frame, host) = Host::prepare(&gpu, case, model, 1, &pixels).unwrap();
            let parts = r.within(1, 40);
            let results = host.run(&mut frame, || Budget::Dispatches(parts)).unwrap();
            check((format!("{} frame", case.seed), hash(&results)));
        }
        drop(segmenter);
        let [resident, handles] = used();
        figures.push([done, resident, device(&gpu), handles, gpu.pipelines_compiled() as u64]);
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let step = figures.len().div_ceil(10);
    for [runs, resident, device, handles, kernels] in figures.iter().step_by(step).chain(figures.last()) {
        println!(
            "{runs} runs: memory {:.1} MiB, device {:.2} MiB, handles {handles}, kernels {kernels}",
            mib(*resident),
            mib(*device)
        );
    }
    println!("{done} runs in {:.0} s, {again} of them again: {differ} differ", begin.elapsed().as_secs_f64());
    assert_eq!(differ, 0);
    // Kernels stay compiled, so memory grows until the last of them.
    let last = &figures[figures.len() - 1];
    let warm = figures.iter().find(|f| f[4] == last[4]).unwrap();
    assert_eq!(last[3], warm[3], "open handles");
    assert!(last[2] <= warm[2], "{} bytes on the device, {} before", last[2], warm[2]);
    let (grown, runs) = (last[1].saturating_sub(warm[1]), last[0] - warm[0]);
    println!("memory grew by {:.2} MiB in {runs} runs after the last kernel", mib(grown));
    assert!(mib(grown) <= 8.0, "memory grew by {:.1} MiB in {runs} runs", mib(grown));
}
