//! The functions of web/browser.js.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/web/browser.js")]
extern "C" {
    /// What is stored: pairs of path and bytes, or of path and null for a folder, each folder before what is in it.
    #[wasm_bindgen(catch)]
    pub async fn restore() -> Result<JsValue, JsValue>;

    /// Stores changes in order: `[kind, path, bytes?]`, where the kind is `folder`, `written` or `removed`.
    #[wasm_bindgen(catch)]
    pub async fn store(changes: &Array) -> Result<JsValue, JsValue>;

    /// Calls back when the page may be about to end.
    #[wasm_bindgen(js_name = onHide)]
    pub fn on_hide(callback: &Closure<dyn FnMut()>);

    /// The bytes of a built-in model's file.
    #[wasm_bindgen(catch, js_name = fetchModel)]
    pub async fn fetch_model(name: &str) -> Result<JsValue, JsValue>;

    /// Downloads bytes as a file of this name.
    #[wasm_bindgen(catch)]
    pub fn download(name: &str, bytes: &Uint8Array) -> Result<(), JsValue>;

    /// Downloads pairs of name and bytes as an archive of this name.
    #[wasm_bindgen(catch, js_name = downloadAll)]
    pub fn download_all(archive: &str, files: &Array) -> Result<(), JsValue>;

    /// Asks for files with these extensions, `.a,.b` or all, or for a folder: pairs of path and `File`, none if the user has
    /// cancelled.
    #[wasm_bindgen(catch, js_name = openFiles)]
    pub async fn open_files(accept: &str, several: bool, folder: bool) -> Result<JsValue, JsValue>;

    /// The bytes of a `File`.
    #[wasm_bindgen(catch, js_name = readFile)]
    pub async fn read_file(file: &JsValue) -> Result<JsValue, JsValue>;

    /// Calls back with pairs of path and `File` that were dropped, or with an error.
    #[wasm_bindgen(js_name = onDrop)]
    pub fn on_drop(callback: &Closure<dyn FnMut(JsValue)>);

    /// Returns after some milliseconds.
    pub async fn sleep(milliseconds: f64);
}

/// Tells the page that the application has ended with this text: by the page's own function, in a worker by a message.
pub fn failed(text: &str) {
    let scope = js_sys::global();
    let shown = js_sys::Reflect::get(&scope, &"unetFailed".into()).and_then(JsCast::dyn_into::<js_sys::Function>);
    // Where neither is there, nobody can be told.
    let _ = match shown {
        Ok(show) => show.call1(&scope, &text.into()).map(drop),
        Err(_) => scope.unchecked_into::<web_sys::DedicatedWorkerGlobalScope>().post_message(&text.into()),
    };
}
