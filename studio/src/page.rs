//! The start of a browser's page.

use crate::app::Studio;
use crate::device::descriptor;
use crate::platform;
use eframe::{egui_wgpu, wgpu};
use std::cell::RefCell;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Starts the application on a canvas, with what is stored. `worker` is the address of the worker's script; `demo` opens the demo
/// images. Errors are texts for the user.
#[wasm_bindgen]
pub async fn start(canvas: web_sys::HtmlCanvasElement, worker: String, demo: bool) -> Result<(), JsValue> {
    platform::set_worker(worker);
    platform::restore().await.map_err(|e| JsValue::from(format!("What is stored cannot be read: {e}")))?;
    platform::keep();
    let mut options = eframe::WebOptions::default();
    if let egui_wgpu::WgpuSetup::CreateNew(setup) = &mut options.wgpu_options.wgpu_setup {
        setup.device_descriptor = Arc::new(|adapter: &wgpu::Adapter| descriptor(adapter));
    }
    let created =
        move |cc: &eframe::CreationContext| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            let render = cc.wgpu_render_state.as_ref().ok_or("the page is not drawn with WebGPU")?;
            let studio = Studio::new(render, &cc.egui_ctx, platform::last_project().filter(|_| !demo))?;
            let mut studio = studio.with_preferences(platform::preferences());
            platform::models().into_iter().for_each(|model| studio.open_model(model.to_string_lossy()));
            if demo {
                studio.open_demo();
            }
            Ok(Box::new(studio))
        };
    let runner = eframe::WebRunner::new();
    RUNNER.set(Some(runner.clone()));
    runner.start(canvas, options, Box::new(created)).await
}

thread_local! {
    static RUNNER: RefCell<Option<eframe::WebRunner>> = const { RefCell::new(None) };
}

/// Calls the application, unless it is not there or at work.
fn with_studio<T>(call: impl FnOnce(&mut Studio) -> T) -> Option<T> {
    RUNNER.with_borrow(|runner| runner.as_ref()?.app_mut::<Studio>().map(|mut studio| call(&mut studio)))
}

/// For scripts: the application's state as JSON, with the place of the image in the page: left, top, right, bottom.
#[wasm_bindgen]
pub fn status() -> Option<String> {
    with_studio(|studio| {
        let place = studio.canvas_rect().map(|r| [r.left(), r.top(), r.right(), r.bottom()]);
        serde_json::json!({ "status": studio.status(), "place": place }).to_string()
    })
}

/// For scripts: steps of the next training, and crops in each. Whether the application was there.
#[wasm_bindgen(js_name = setTraining)]
pub fn set_training(steps: u32, batch: u32) -> bool {
    with_studio(|studio| studio.set_training(steps.into(), batch as usize)).is_some()
}

/// In the page and in its worker: warnings go to the console, and the page is told about a panic, after which nothing works any more.
#[wasm_bindgen(start)]
fn watch() {
    // In the console of the browser; without one nothing is lost.
    let _ = eframe::WebLogger::init(log::LevelFilter::Warn);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        platform::failed(&info.to_string());
        before(info);
    }));
}
