//! The worker's end: the tasks, on a device of their own.

use super::tasks::Tasks;
use super::wire::{ToPage, ToWorker, decode, encode};
use crate::platform::{failed, mirror};
use js_sys::{Array, Uint8Array};
use unet_wgpu::Gpu;
use unet_wgpu::low_level::gpu::DeviceChoice;
use wasm_bindgen::prelude::*;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

fn post(message: &ToPage) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let sent = encode(message).and_then(|bytes| {
        let bytes = Uint8Array::from(&bytes[..]);
        let sent = scope.post_message_with_transfer(&bytes, &Array::of1(&bytes.buffer()));
        sent.map_err(|e| crate::platform::text(&e))
    });
    sent.unwrap_or_else(|e| failed(&e));
}

/// Starts the worker. Errors are texts for the user.
#[wasm_bindgen]
pub async fn work() -> Result<(), JsValue> {
    let text = |e: &dyn std::fmt::Display| JsValue::from(format!("The worker cannot compute: {e}"));
    let gpu = Gpu::new_async(&DeviceChoice::default()).await.map_err(|e| text(&e))?;
    let report = |event| {
        // Files that an event tells of are there before it.
        let files = mirror::changes();
        if !files.is_empty() {
            post(&ToPage::Files(files));
        }
        post(&ToPage::Event(event));
    };
    let tasks = Tasks::start(&gpu, report).map_err(|e| text(&e))?;
    let listen = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        match decode(&Uint8Array::from(event.data()).to_vec()) {
            Ok(ToWorker::Files(changes)) => mirror::apply(changes).unwrap_or_else(|e| failed(&e)),
            Ok(ToWorker::Request(request)) => tasks.send(*request),
            Ok(ToWorker::Stop(work)) => tasks.stop(work),
            Err(e) => failed(&e),
        }
    });
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    scope.set_onmessage(Some(listen.as_ref().unchecked_ref()));
    // For the life of the worker.
    listen.forget();
    post(&ToPage::Ready(gpu.describe()));
    Ok(())
}
