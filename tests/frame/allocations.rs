//! What recording a frame allocates: on the host, by whose code; on the device, nothing.

use super::host::{Host, blobs};
use super::nuclei_options;
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use unet_wgpu::Model;
use unet_wgpu::frame::{FrameInput, FrameModel, FrameOutput, OutputRequest, OutputTarget, Roi};
use wgpu::TextureFormat as F;

/// Counts allocations of a thread while it asks for it.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
    static TRACES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note() {
    // Taking a trace allocates too.
    if COUNTS.try_with(|on| on.replace(false)).unwrap_or(false) {
        let trace = Backtrace::force_capture().to_string();
        TRACES.with(|all| all.borrow_mut().push(trace));
        COUNTS.with(|on| on.set(true));
    }
}

// SAFETY: everything is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The stack of every allocation of `f` on this thread.
fn allocations<T>(f: impl FnOnce() -> T) -> (T, Vec<String>) {
    TRACES.with(|all| all.borrow_mut().clear());
    COUNTS.with(|on| on.set(true));
    let value = f();
    COUNTS.with(|on| on.set(false));
    (value, TRACES.with(|all| all.borrow_mut().drain(..).collect()))
}

/// Whether the innermost function of this library or of wgpu is this library's. A frame is told by its file where the build kept
/// that, since functions have no path there, else by its name.
fn is_ours(trace: &str) -> bool {
    let mut lines = trace.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some((_, name)) = line.split_once(": ") else { continue };
        let file = lines.next_if(|l| l.starts_with("at ")).unwrap_or_default();
        if file.starts_with("at ./src/") || name.starts_with("unet_wgpu::") || name.starts_with("<unet_wgpu::") {
            return true;
        }
        if name.contains("wgpu") || file.contains("/wgpu") {
            return false;
        }
    }
    false
}

/// In a process of its own: where `RUST_BACKTRACE` is set wgpu takes traces too, and two at once wait for each other forever.
#[test]
fn recording_allocates_nothing_of_its_own() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "allocations::counted", "--ignored", "--nocapture"]);
    let output = command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0").output().unwrap();
    let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text.lines().filter(|l| l.contains("allocations in encode")).for_each(|l| println!("{l}"));
}

#[test]
#[ignore = "run by `recording_allocates_nothing_of_its_own`"]
fn counted() {
    let Some(host) = Host::open(true) else { return };
    // The count itself works.
    let (boxed, traces) = allocations(|| Box::new(1));
    assert_eq!((*boxed, traces.len(), is_ours(&traces[0])), (1, 1, false), "{traces:?}");
    let (roi, traces) = allocations(|| unet_wgpu::low_level::kernel::KernelKey::new("x").with("y", 1));
    assert!(roi.consts.len() == 1 && traces.len() == 1 && is_ours(&traces[0]), "{traces:?}");

    let frames = FrameModel::new(&host.gpu, Model::open("nuclei").unwrap());
    let mut frame = frames.prepare(&nuclei_options(256, vec![OutputRequest::texture(FrameOutput::Mask)])).unwrap();
    // Textures take turns, as those of a camera do.
    let pairs: Vec<_> = (0..2)
        .map(|_| (host.texture(F::R8Unorm, 256, 256, &blobs(256, 256)), host.target(F::R8Uint, 256, 256)))
        .collect();
    let device = host.gpu.device();
    let mut reserved = Vec::new();
    for i in 0..6 {
        let (input, ids) = &pairs[i % 2];
        let mut encoder = host.encoder();
        let targets = [OutputTarget::texture(ids)];
        let (outcome, traces) =
            allocations(|| frame.encode(&mut encoder, FrameInput::Texture(input), &targets, Roi::of_size(256, 256)));
        outcome.unwrap();
        let ours: Vec<_> = traces.iter().filter(|t| is_ours(t)).collect();
        println!("frame {i}: {} allocations in encode, {} of this library's code", traces.len(), ours.len());
        // The first frame makes room for the list of results.
        assert!(ours.is_empty() || (i == 0 && ours.len() == 1), "{}", ours[0]);
        host.submit(encoder);
        host.read_texture(ids);
        let report = device.generate_allocator_report();
        reserved.push(report.map(|r| r.allocations.len()));
    }
    assert_eq!(reserved[1], reserved[5], "memory of the device: {reserved:?}");
}
