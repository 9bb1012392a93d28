//! The tuning API: choices are measured, cached and respected.

use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::graph::rewrite;
use unet_wgpu::low_level::kernel::{ConvChoice, ConvFamily, TEXTURES, Target, TensorStorage};
use unet_wgpu::low_level::model::{INPUT, parse, whole_graph};
use unet_wgpu::low_level::ops::FusedConv2d;
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::Shape;
use unet_wgpu::low_level::tune::{choices, load, save, tune, tune_storage};
use unet_wgpu::testing::{gpu_or_skip, random_input, random_parameter};
use unet_wgpu::{Error, Gpu};

fn network(gpu: &Gpu) -> Graph {
    let architecture =
        parse("unet", &serde_json::json!({"width": 8, "depth": 1, "padding": "same"})).expect("a small network");
    rewrite::optimise(&whole_graph(&*architecture, 1, 24, 20).expect("a graph"), gpu.target()).expect("rewrites")
}

#[test]
fn choices_are_cached_and_respected() {
    let Some(gpu) = gpu_or_skip() else { return };
    let graph = network(&gpu);
    let mut calls = Vec::new();
    let measured = tune(&gpu, &graph, |done, of| {
        calls.push((done, of));
        Ok(())
    })
    .unwrap();
    assert_eq!(calls.last(), Some(&(measured.len(), measured.len())));
    let convolutions = graph.nodes().iter().filter(|n| FusedConv2d::of(&*n.op).is_some()).count();
    assert_eq!(measured.iter().map(|m| m.layers.len()).sum::<usize>(), convolutions);
    for m in &measured {
        assert!(m.candidates.len() >= 2, "{m:?}");
        // The built-in kernels are correct.
        assert!(m.candidates.iter().all(|c| c.outcome.is_ok()), "{m:?}");
        assert!(m.candidates.iter().any(|c| m.chosen == Some(c.family)), "{m:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    assert_eq!(load(&gpu, folder.path()), None, "nothing there");
    let mut tuning = choices(&measured);
    // A choice that differs from any default.
    for m in &measured {
        tuning.set(m.class, ConvFamily::Plain);
    }
    let path = save(&gpu, folder.path(), &tuning).unwrap();
    assert_eq!(load(&gpu, folder.path()).as_ref(), Some(&tuning));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let families = |target: &Target| {
        let plan = Plan::new(&graph, target).unwrap();
        plan.dispatches.iter().filter_map(|s| s.choice).collect::<Vec<_>>()
    };
    let tuned = gpu.with_tuning(tuning);
    assert!(families(gpu.target()).iter().any(|c| c.family != ConvFamily::Plain));
    for ConvChoice { family, reason: why } in families(tuned.target()) {
        assert_eq!(family, ConvFamily::Plain);
        assert!(why.contains("tuned"), "{why}");
    }
    // Forcing a family, for tests and measurements, takes precedence; so does deterministic tiling.
    let forced = tuned.target().clone().with_conv(ConvFamily::Tile);
    assert!(families(&forced).iter().all(|c| c.family == ConvFamily::Tile));
    assert!(families(tuned.with_deterministic_tiling().target()).iter().all(|c| c.family == ConvFamily::Gemm));

    let text = std::fs::read_to_string(&path).unwrap();
    for bad in [text.replace("plain", "magic"), text.replace("unet-wgpu", "unet-gpu"), text[..40].into(), "".into()] {
        std::fs::write(&path, bad).unwrap();
        assert_eq!(load(&gpu, folder.path()), None, "a bad file is a miss");
    }
}

#[test]
fn tensor_storage_is_measured_and_respected() {
    let Some(gpu) = gpu_or_skip() else { return };
    let graph = network(&gpu);
    let measured = tune_storage(&gpu, &graph, &Default::default()).unwrap();
    let all: Vec<TensorStorage> = measured.candidates.iter().map(|c| c.storage).collect();
    assert_eq!(all, gpu.storages());
    assert_eq!(all[0], gpu.target().options.storage, "the default first");
    assert!(measured.candidates.iter().all(|c| c.outcome.is_ok()), "{measured:?}");
    assert!(measured.chosen.is_some());
    assert_ne!(measured.choice(), Some(all[0]), "the default is not recorded");

    let folder = tempfile::tempdir().unwrap();
    for storage in all {
        let mut tuning = unet_wgpu::low_level::kernel::Tuning::default();
        tuning.set_storage(Some(storage));
        save(&gpu, folder.path(), &tuning).unwrap();
        let tuned = gpu.with_tuning(load(&gpu, folder.path()).unwrap());
        let plan = Plan::new(&graph, tuned.target()).unwrap();
        let uses = plan.dispatches.iter().any(|s| s.kernel.value(TEXTURES).is_some());
        assert_eq!(uses, storage != TensorStorage::Buffers);
        // Removing choices restores the default.
        assert_eq!(tuned.with_tuning(Default::default()).target().options.storage, gpu.target().options.storage);
    }
    let mut impossible = unet_wgpu::low_level::kernel::Tuning::default();
    impossible.set_storage(Some(TensorStorage::AlwaysTextures));
    assert_eq!(gpu.with_tuning(impossible).target().options.storage, gpu.target().options.storage);
}

#[test]
fn tuning_can_be_cancelled() {
    let Some(gpu) = gpu_or_skip() else { return };
    let cancelled = tune(&gpu, &network(&gpu), |done, _| if done == 1 { Err(Error::Cancelled) } else { Ok(()) });
    assert!(matches!(cancelled, Err(Error::Cancelled)));
}

#[test]
fn warm_up_does_not_change_results() {
    let Some(gpu) = gpu_or_skip() else { return };
    let input = random_input("warm", Shape::new(1, 1, 24, 20)).unwrap();
    let run = |warm: bool| {
        let mut session =
            Session::new(&gpu, Plan::new(&network(&gpu), gpu.target()).unwrap(), random_parameter).unwrap();
        session.write(INPUT, input.data()).unwrap();
        for _ in 0..2 {
            if warm {
                session.warm_up().unwrap();
            }
            session.run().unwrap();
        }
        session.read("logits").unwrap()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn the_measured_peak_is_plausible() {
    let Some(gpu) = gpu_or_skip() else { return };
    let peak = gpu.measure_peak().unwrap();
    assert!(peak.gflops.is_finite() && peak.gflops > 0.5, "{peak:?}");
    assert!(peak.gbytes.is_finite() && peak.gbytes > 0.05, "{peak:?}");
}

/// Pipelines are cached on disk if the backend supports it, and a damaged cache file is replaced.
#[test]
fn pipelines_are_cached_on_disk() {
    use unet_wgpu::wgpu::Features;
    use unet_wgpu::{DeviceChoice, Gpu};
    if gpu_or_skip().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
    let session = || {
        let gpu = Gpu::new(&DeviceChoice::Auto).unwrap();
        gpu.cache_pipelines(folder.path());
        let plan = Plan::new(&network(&gpu), gpu.target()).unwrap();
        Session::new(&gpu, plan, random_parameter).unwrap().run().unwrap();
        gpu
    };
    let gpu = session();
    if !gpu.device().features().contains(Features::PIPELINE_CACHE) {
        assert!(files().is_empty());
        return;
    }
    let [file] = &files()[..] else { panic!("{:?}", files()) };
    assert!(std::fs::metadata(file).unwrap().len() > 40);
    for bad in [&b""[..], &[7; 100_000]] {
        std::fs::write(file, bad).unwrap();
        session();
        let now = std::fs::read(file).unwrap();
        assert!(now.starts_with(b"unet-c1\n"), "replaced by a good one");
    }
    assert_eq!(files().len(), 1);
}

/// Kernels are compiled with an application's own pipeline cache, which is set once, before any is compiled.
#[test]
fn kernels_compile_with_the_pipeline_cache_of_the_application() {
    use unet_wgpu::wgpu::{Features, PipelineCacheDescriptor};
    use unet_wgpu::{DeviceChoice, Gpu};
    if gpu_or_skip().is_none() {
        return;
    }
    let [gpu, other] = [0, 1].map(|_| Gpu::new(&DeviceChoice::Auto).unwrap());
    if !gpu.device().features().contains(Features::PIPELINE_CACHE) {
        return;
    }
    let descriptor = PipelineCacheDescriptor { label: None, data: None, fallback: true };
    // SAFETY: there is no data.
    let cache = unsafe { gpu.device().create_pipeline_cache(&descriptor) };
    gpu.use_pipeline_cache(cache.clone()).unwrap();
    let twice = gpu.use_pipeline_cache(cache.clone()).unwrap_err().to_string();
    assert!(twice.contains("is set already"), "{twice}");
    gpu.set_compile_threads(1);
    let plan = Plan::new(&network(&gpu), gpu.target()).unwrap();
    let kernels: std::collections::BTreeSet<_> = plan.dispatches.iter().map(|d| d.kernel.clone()).collect();
    gpu.compile(&kernels).unwrap();
    assert_eq!(gpu.pipelines_compiled(), kernels.len());
    let late = gpu.use_pipeline_cache(cache.clone()).unwrap_err().to_string();
    assert!(late.contains("compiled already"), "{late}");
    // The cache of another device is refused, so it is handed to the device.
    other.use_pipeline_cache(cache).unwrap();
    let foreign = other.compile(&kernels).unwrap_err().to_string();
    assert!(foreign.contains("compiling kernel"), "{foreign}");
}
