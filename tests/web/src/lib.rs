//! What the page calls.

#![cfg(target_arch = "wasm32")]

mod cases;

use std::collections::BTreeSet;
use std::path::Path;

use unet_wgpu::low_level::io::fs::memory::{self, Change};
use unet_wgpu::low_level::ops::{Lowering, registry};
use unet_wgpu::{Backend, Gpu, Image, Model, wgpu};
use wasm_bindgen::prelude::*;

type Outcome<T> = Result<T, JsError>;

/// A panic becomes a text in the console, not a bare trap.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        let console = js_sys::Reflect::get(&js_sys::global(), &"console".into());
        let error = console.and_then(|c| js_sys::Reflect::get(&c, &"error".into()));
        if let Ok(Ok(error)) = error.map(JsCast::dyn_into::<js_sys::Function>) {
            let _ = error.call1(&JsValue::NULL, &info.to_string().into());
        }
    }));
}

fn failed(e: impl std::fmt::Display) -> JsError {
    JsError::new(&e.to_string())
}

/// A device of no feature and of the limits that every browser has.
async fn modest() -> Outcome<Gpu> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&Default::default()).await.map_err(failed)?;
    let (device, queue) = adapter.request_device(&Default::default()).await.map_err(failed)?;
    Gpu::from_wgpu(device, queue).map_err(failed)
}

/// What the library opens by itself.
#[wasm_bindgen]
pub async fn device() -> Outcome<String> {
    Ok(Backend::open_async("auto").await.map_err(failed)?.describe())
}

/// Class ids, then probabilities, of an image file by a checkpoint.
#[wasm_bindgen]
pub async fn segment(model: Vec<u8>, image: Vec<u8>) -> Outcome<js_sys::Array> {
    let model = Model::from_bytes("nuclei", &model).map_err(failed)?;
    let image = Image::from_bytes(&image).map_err(failed)?;
    let backend = Backend::open_async("auto").await.map_err(failed)?;
    let (ids, probabilities) = cases::segment(backend, model, &image).await.map_err(failed)?;
    let (ids, probabilities) = (js_sys::Uint8Array::from(&ids[..]), js_sys::Float32Array::from(&probabilities[..]));
    Ok(js_sys::Array::of2(&ids, &probabilities))
}

/// The losses of a few training steps.
#[wasm_bindgen]
pub async fn losses() -> Outcome<Vec<f32>> {
    cases::losses(&modest().await?).await.map_err(failed)
}

/// A run in a folder of files in memory: losses, probabilities by the model that it saved, names of files, and changes.
#[wasm_bindgen]
pub async fn train() -> Outcome<js_sys::Array> {
    let trained = cases::train(&modest().await?, Path::new("/project")).await.map_err(failed)?;
    let (losses, probabilities) =
        (js_sys::Float32Array::from(&trained.losses[..]), js_sys::Float32Array::from(&trained.probabilities[..]));
    Ok(js_sys::Array::of4(&losses, &probabilities, &trained.files.into(), &written().into()))
}

/// The files to store, as the files that a folder has.
fn written() -> String {
    let mut files: Vec<String> = memory::take_changes()
        .into_iter()
        .filter_map(|change| match change {
            Change::Written(path) => Some(path.display().to_string()),
            Change::Folder(_) | Change::Removed(_) => None,
        })
        .collect();
    files.sort();
    files.join("\n")
}

/// Compiles every kernel that the operations' cases choose on a modest device: how many, then what failed.
#[wasm_bindgen]
pub async fn kernels() -> Outcome<js_sys::Array> {
    let gpu = modest().await?;
    let mut keys = BTreeSet::new();
    for case in registry() {
        let inputs: Vec<_> = case.inputs.iter().map(|i| i.0).collect();
        let outputs = case.op.infer(&inputs).map_err(failed)?;
        for training in [false, true] {
            let mut lowering = Lowering::new(&case.name, gpu.target(), &inputs, &outputs);
            lowering.training = training;
            case.op.lower(&mut lowering).map_err(failed)?;
            keys.extend(lowering.finish().dispatches.into_iter().map(|d| d.kernel));
        }
    }
    let all = js_sys::Array::of1(&(keys.len() as u32).into());
    for key in keys {
        if let Err(e) = gpu.pipeline_async(&key).await {
            all.push(&format!("{key}: {e}").into());
        }
    }
    Ok(all)
}
