//! Keeps the files in memory in the storage that the browser gives to the page.

use super::{DOWNLOADS, DROPPED, js, mirror, text};
use js_sys::{Array, Uint8Array};
use std::cell::{Cell, RefCell};
use std::path::Path;
use unet_wgpu::low_level::io::fs::memory::{self, Change};
use wasm_bindgen::{JsValue, closure::Closure};

/// Milliseconds between two looks for changes: what the end of the page may lose.
const PERIOD: f64 = 200.0;
/// The same after a failure; it doubles with each.
const AFTER_FAILURE: f64 = 1000.0;
/// The longest wait, milliseconds.
const LONGEST: f64 = 60_000.0;

thread_local! {
    /// Changes that are not stored yet, in order.
    static PENDING: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
    static STORING: Cell<bool> = const { Cell::new(false) };
    /// Whether somebody wanted to store while it was under way.
    static AGAIN: Cell<bool> = const { Cell::new(false) };
    static TROUBLE: RefCell<Option<String>> = const { RefCell::new(None) };
    /// What was said last, so that it is said once.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why files cannot be kept, once.
pub fn trouble() -> Option<String> {
    TROUBLE.take()
}

/// Fills the files in memory with what is stored.
pub async fn restore() -> Result<(), String> {
    let stored = js::restore().await.map_err(|e| text(&e))?;
    for entry in Array::from(&stored).iter() {
        let pair = Array::from(&entry);
        let path = pair.get(0).as_string().unwrap_or_default();
        let made = match pair.get(1) {
            bytes if bytes.is_null() || bytes.is_undefined() => memory::create_dir_all(&path),
            bytes => {
                let folder = Path::new(&path).parent().unwrap_or(Path::new("/"));
                memory::create_dir_all(folder).and_then(|()| memory::write(&path, Uint8Array::from(bytes).to_vec()))
            }
        };
        made.map_err(|e| format!("{path}: {e}"))?;
    }
    mirror::restored();
    Ok(())
}

/// Begins to store what changes.
pub fn keep() {
    wasm_bindgen_futures::spawn_local(async {
        let mut wait = PERIOD;
        loop {
            js::sleep(wait).await;
            wait = if store().await { PERIOD } else { (2.0 * wait).clamp(AFTER_FAILURE, LONGEST) };
        }
    });
    let hidden = Closure::new(|| {
        wasm_bindgen_futures::spawn_local(async {
            store().await;
        });
    });
    js::on_hide(&hidden);
    // For the life of the page.
    hidden.forget();
}

/// Whether a file is stored: not what is on its way in or out, nor a project's data sets for training, which are made anew.
fn is_kept(path: &Path) -> bool {
    let of_project = |folder: &Path| {
        let project = folder.parent().map(|project| project.join("studio.json"));
        folder.ends_with("training") && project.is_some_and(|file| memory::metadata(file).is_ok())
    };
    !path.ancestors().any(of_project) && !path.starts_with(DROPPED) && !path.starts_with(DOWNLOADS)
}

/// Stores what has changed; whether nothing is left.
async fn store() -> bool {
    AGAIN.set(true);
    if STORING.replace(true) {
        // The one under way does it once more.
        return true;
    }
    let mut done = true;
    while done && AGAIN.replace(false) {
        done = store_once().await;
    }
    STORING.set(false);
    done
}

async fn store_once() -> bool {
    let new = mirror::to_store().into_iter().filter(|change| {
        let (Change::Folder(path) | Change::Written(path) | Change::Removed(path)) = change;
        is_kept(path)
    });
    PENDING.with_borrow_mut(|pending| pending.extend(new));
    let pending = PENDING.take();
    if pending.is_empty() {
        return true;
    }
    let changes = Array::new();
    for change in &pending {
        changes.push(&for_storage(change));
    }
    let Err(e) = js::store(&changes).await else {
        SAID.take();
        return true;
    };
    let reason = format!("What you do cannot be stored: {}. Download the project to keep it.", text(&e));
    if SAID.replace(Some(reason.clone())).as_ref() != Some(&reason) {
        TROUBLE.set(Some(reason));
    }
    // Once more, before what comes now.
    PENDING.with_borrow_mut(|later| later.splice(0..0, pending).for_each(drop));
    false
}

fn for_storage(change: &Change) -> Array {
    let path = |path: &Path| JsValue::from(path.to_string_lossy().into_owned());
    match change {
        Change::Folder(folder) => Array::of2(&"folder".into(), &path(folder)),
        Change::Removed(gone) => Array::of2(&"removed".into(), &path(gone)),
        Change::Written(file) => match memory::read(file) {
            Ok(bytes) => Array::of3(&"written".into(), &path(file), &Uint8Array::from(&bytes[..])),
            // It is gone by now.
            Err(_) => Array::of2(&"removed".into(), &path(file)),
        },
    }
}
