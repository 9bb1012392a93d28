//! What the targets share: limits on memory, what panics mean, a file to read from, and what is done with a model.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use unet_wgpu::Model;
use unet_wgpu::graph::{Graph, footprint, rewrite};
use unet_wgpu::kernel::Caps;
use unet_wgpu::model::{Architecture, parameter_count, whole_graph};
use unet_wgpu::plan::Plan;

pub mod archive;
pub mod onnx;

/// Bytes that may always be in use: the program's own, the fuzzer's corpus, and what a parser may take for any file.
const FREE: usize = 768 << 20;
/// Bytes of memory that a byte of the file justifies.
const PER_BYTE: usize = 4096;

/// Counts what is in use, and ends the process where a file asks for more than it justifies. libFuzzer's own limit needs a
/// sanitizer, and memory that is reserved but not touched would escape it.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static ALLOWED: AtomicUsize = AtomicUsize::new(usize::MAX);

fn taken(bytes: usize) {
    let used = USED.fetch_add(bytes, Relaxed).saturating_add(bytes);
    let allowed = ALLOWED.load(Relaxed);
    if used > allowed {
        ALLOWED.store(usize::MAX, Relaxed);
        panic!("an allocation of {bytes} bytes makes {used} in use; the file justifies {allowed}");
    }
}

// SAFETY: every call is the system's allocator's; counting is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        USED.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Crates whose assertions the library expects and catches. A panic of theirs that nobody catches is still a finding.
const CAUGHT: [&str; 12] = [
    "/tiff-",
    "/npyz-",
    "/zune-jpeg-",
    "/zune-core-",
    "/png-",
    "/image-",
    "/image-webp-",
    "/gif-",
    "/fax-",
    "/weezl-",
    "/ruzstd-",
    "/hayro-jpeg2000-",
];

/// Runs a target on one input.
pub fn run(data: &[u8], target: impl FnOnce()) {
    static SETUP: Once = Once::new();
    SETUP.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |l| l.file());
            if !CAUGHT.iter().any(|c| file.contains(c)) {
                ALLOWED.store(usize::MAX, Relaxed);
                hook(info);
            }
        }));
    });
    ALLOWED.store(FREE + data.len() * PER_BYTE, Relaxed);
    target();
    ALLOWED.store(usize::MAX, Relaxed);
}

/// A file of these bytes in memory, under the same name for every input; gives its path.
pub fn file(name: &str, data: &[u8]) -> PathBuf {
    thread_local!(static FOLDER: RefCell<Option<PathBuf>> = const { RefCell::new(None) });
    let folder = FOLDER.with_borrow_mut(|folder| {
        let make = || {
            let path = PathBuf::from(format!("/dev/shm/unet-fuzz-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder in /dev/shm");
            path
        };
        folder.get_or_insert_with(make).clone()
    });
    let path = folder.join(name);
    fs::write(&path, data).expect("a file in /dev/shm");
    path
}

/// Every error about a file says which.
pub fn names<T>(result: Result<T, unet_wgpu::Error>, path: &Path) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(e) => {
            let text = e.to_string();
            assert!(text.contains(&path.display().to_string()), "an error that does not name the file: {text}");
            assert!(text.len() < 1 << 20, "an error of {} bytes", text.len());
            None
        }
    }
}

/// What the program does with a model before any image is opened.
pub fn digest(model: &Model) {
    let network = &*model.architecture;
    let _ = (network.config().to_string(), model.classes(), model.unused_keys());
    let (rule, example, fixed) = (network.size_rule(), network.example(), network.fixed_size());
    assert!(rule.step > 0 && rule.minimum > 0, "{rule:?}");
    let larger = |fixed: Option<usize>| fixed.unwrap_or(rule.minimum.saturating_add(rule.step));
    for [h, w] in [[example.h, example.w], fixed.map(larger)] {
        if let Ok(graph) = whole_graph(network, example.n, h, w) {
            planned(&graph);
        }
    }
    derived(network, model);
}

fn planned(graph: &Graph) {
    let _ = (graph.macs(), parameter_count(graph), graph.to_string());
    if let (Some((_, x)), Some((_, y))) = (graph.inputs().next(), graph.outputs().first().cloned()) {
        let _ = (footprint(graph, x, y, 0), footprint(graph, x, y, 1));
    }
    let Ok(cheap) = rewrite::optimise(graph) else { return };
    if Plan::min_memory(&cheap, &Caps::default()).is_ok_and(|min| min < 4 << 30) {
        let _ = Plan::new(&cheap, &Caps::default());
    }
}

/// Loads the weights as a session does, those that are computed from others too.
fn derived(network: &dyn Architecture, model: &Model) {
    let s = network.example();
    let Ok(graph) = whole_graph(network, s.n, s.h, s.w).and_then(|g| rewrite::optimise(&g)) else { return };
    let mut stored = model.stored();
    let mut values = vec![None; graph.values().len()];
    for id in graph.ids() {
        let value = graph.value(id);
        if let unet_wgpu::graph::ValueKind::Parameter(p) = &value.kind {
            values[id.index()] = p.evaluate(&value.name, &values, &mut stored).ok();
        }
    }
}
