//! A browser's page: one thread, files in memory that the page's storage keeps, downloads.

mod js;
pub(crate) mod mirror;
mod storage;

use super::{BUILT_IN, Choices, Chosen, MODEL_FILES};
use eframe::egui;
pub use js::failed;
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
pub use storage::{keep, restore, trouble};
use unet_wgpu::low_level::io::fs::{self, memory};
use unet_wgpu::{Error, Model, Result};
use wasm_bindgen::prelude::*;

thread_local! {
    /// The address of the worker's script.
    static WORKER: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Notes the address of the worker's script.
pub fn set_worker(address: String) {
    WORKER.set(address);
}

/// The address of the worker's script.
pub fn worker() -> String {
    WORKER.with_borrow(String::clone)
}

/// Whether files are in the storage of a browser, so that they have to be handed out to be of use elsewhere.
pub const BROWSER: bool = true;

/// Models that the user has opened.
const MODELS: &str = "/models";
/// Images on their way into a project, which are not stored.
const DROPPED: &str = "/dropped";
/// Results on their way out, which are not stored.
const DOWNLOADS: &str = "/downloads";
/// Names the project that was open last.
const LAST: &str = "/.last-project";
/// What the user has chosen for all projects.
const PREFERENCES: &str = "/.preferences.json";

/// Starts a task in turn with the page's frames.
pub fn start<F>(_: &str, task: impl FnOnce() -> F + Send + 'static) -> io::Result<()>
where
    F: Future<Output = ()> + 'static,
{
    wasm_bindgen_futures::spawn_local(task());
    Ok(())
}

/// The text of a thrown error.
pub(crate) fn text(error: &JsValue) -> String {
    let message = error.dyn_ref::<js_sys::Error>().map(|e| String::from(e.message()));
    message.or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}

/// Where the project of the demo images is made.
pub fn home() -> PathBuf {
    "/".into()
}

/// The file of what the user has chosen for all projects.
pub fn preferences() -> Option<PathBuf> {
    Some(PREFERENCES.into())
}

/// Where the project of single images is made.
pub fn project_of(_: &Path) -> Option<PathBuf> {
    Some("/unet-studio".into())
}

/// Opens a model: a built-in name, whose file is beside the page, or a file.
pub async fn open_model(name: &str) -> Result<Model> {
    if !BUILT_IN.iter().any(|(known, _)| *known == name) {
        return Model::open(name);
    }
    let bytes = js::fetch_model(name).await.map_err(|e| Error::file(name, text(&e)))?;
    Model::from_bytes(name, &Uint8Array::from(bytes).to_vec())
}

/// Models that the user has opened before.
pub fn models() -> Vec<PathBuf> {
    fs::read_dir(MODELS).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Projects that can be opened without a dialog.
pub fn projects() -> Vec<PathBuf> {
    let all = memory::list().into_iter().map(|(path, _)| path);
    all.filter(|path| path.ends_with("studio.json")).filter_map(|path| Some(path.parent()?.into())).collect()
}

/// Notes what is open, for the next start.
pub fn opened(project: &Path) {
    // Only a convenience: without it the next start shows no project.
    let _ = fs::write(LAST, project.to_string_lossy().as_bytes());
}

/// The project that was open last.
pub fn last_project() -> Option<PathBuf> {
    fs::read_to_string(LAST).ok().map(PathBuf::from).filter(|path| fs::is_dir(path))
}

/// Downloads files: one as it is, several as an archive named after their folder.
pub fn hand_out(folder: &Path, files: &[PathBuf]) -> std::result::Result<String, String> {
    let named = Array::new();
    for file in files {
        let bytes = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let name = file.strip_prefix(folder).unwrap_or(file).to_string_lossy();
        named.push(&Array::of2(&JsValue::from(&*name), &Uint8Array::from(&bytes[..])));
    }
    let archive = format!("{}.zip", folder.file_name().map_or("files".into(), |name| name.to_string_lossy()));
    let (first, said) = match files {
        [file] => {
            // A model of a training is called after its folder.
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let of_training = ["best.safetensors", "last.safetensors"].contains(&&*name);
            let name = if of_training { archive.replace(".zip", ".safetensors") } else { name.into_owned() };
            (Some(name.clone()), format!("downloaded {name}"))
        }
        _ => (None, format!("downloaded {} files in {archive}", files.len())),
    };
    let done = match first {
        Some(name) => js::download(&name, &Array::from(&named.get(0)).get(1).unchecked_into()),
        None => js::download_all(&archive, &named),
    };
    done.map_err(|e| text(&e))?;
    if folder == Path::new(DOWNLOADS) {
        let _ = fs::remove_dir_all(DOWNLOADS);
    }
    Ok(said)
}

/// Writes what a dialog or a drop brought into the files of the page.
fn take_in(folder: &Path, name: &str, bytes: &[u8]) -> std::result::Result<PathBuf, String> {
    let path = folder.join(name.trim_start_matches('/'));
    let parent = path.parent().unwrap_or(folder);
    // An image of a project may be a hard link to an earlier file of this name, which would get these bytes.
    let _ = fs::remove_file(&path);
    let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, bytes));
    written.map(|()| path.clone()).map_err(|e| format!("{}: {e}", path.display()))
}

/// Models stay, so that they are there after the next start; images go into a project.
fn folder_of(name: &str) -> &'static Path {
    let extension = Path::new(name).extension().unwrap_or_default().to_string_lossy().to_lowercase();
    Path::new(if MODEL_FILES.contains(&&*extension) { MODELS } else { DROPPED })
}

/// A folder of this name that is not there yet, nor one that the page uses itself.
fn free_folder(name: &str) -> PathBuf {
    let numbered = (2..).map(|n| format!("/{name}-{n}"));
    let free = |path: &String| ![MODELS, DROPPED, DOWNLOADS].contains(&&**path) && !fs::exists(path);
    std::iter::once(format!("/{name}")).chain(numbered).find(free).unwrap_or_default().into()
}

/// A folder for an image of many files. What had this name before goes, but not what a project has of it.
fn empty_folder(name: &str) -> PathBuf {
    let path = Path::new(DROPPED).join(name);
    let _ = fs::remove_dir_all(&path);
    path
}

/// Reads what a dialog or a drop brought, pairs of path and file: single files, then the folders among them.
async fn taken(files: JsValue) -> std::result::Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    let mut single = Vec::new();
    // By the name that they came with.
    let mut folders: Vec<(String, PathBuf)> = Vec::new();
    for file in Array::from(&files).iter() {
        let pair = Array::from(&file);
        let name = pair.get(0).as_string().unwrap_or_default();
        let bytes = Uint8Array::from(js::read_file(&pair.get(1)).await.map_err(|e| text(&e))?).to_vec();
        match name.split_once('/') {
            Some((folder, inside)) => {
                let known = folders.iter().find(|(name, _)| name == folder).map(|(_, path)| path.clone());
                let path = known.unwrap_or_else(|| {
                    // An OME-Zarr is an image.
                    let path = if folder.ends_with(".zarr") { empty_folder(folder) } else { free_folder(folder) };
                    folders.push((folder.into(), path.clone()));
                    path
                });
                take_in(&path, inside, &bytes)?;
            }
            None => single.push(take_in(folder_of(&name), &name, &bytes)?),
        }
    }
    Ok((single, folders.into_iter().map(|(_, path)| path).collect()))
}

/// Sends what a dialog ends with.
fn send(sender: &Sender<Chosen>, ctx: &egui::Context, chosen: std::result::Result<Option<Chosen>, String>) {
    if let Some(chosen) = chosen.unwrap_or_else(|e| Some(Chosen::Failed(e))) {
        // Without a receiver the page is closed.
        let _ = sender.send(chosen);
        ctx.request_repaint();
    }
}

impl Choices {
    fn pick(
        &self,
        ctx: &egui::Context,
        accept: String,
        [several, folder]: [bool; 2],
        chosen: impl Fn(Vec<PathBuf>) -> Option<Chosen> + 'static,
    ) {
        let (sender, ctx) = (self.sender.clone(), ctx.clone());
        wasm_bindgen_futures::spawn_local(async move {
            let paths = match js::open_files(&accept, several, folder).await {
                Ok(files) => taken(files).await,
                Err(e) => Err(text(&e)),
            };
            let paths = paths.map(|(files, folders)| if folder { folders } else { files });
            send(&sender, &ctx, paths.map(|paths| if paths.is_empty() { None } else { chosen(paths) }));
        });
    }

    /// Asks for images.
    pub fn open_images(&self, ctx: &egui::Context) {
        self.pick(ctx, String::new(), [true, false], |paths| Some(Chosen::Files(paths)));
    }

    /// Asks for a project, or a folder of images, which is copied.
    pub fn open_project(&self, ctx: &egui::Context) {
        self.pick(ctx, String::new(), [true, true], |paths| paths.into_iter().next().map(Chosen::Project));
    }

    /// Asks for a model.
    pub fn open_model(&self, ctx: &egui::Context) {
        let accept = MODEL_FILES.map(|extension| format!(".{extension}")).join(",");
        self.pick(ctx, accept, [false, false], |paths| paths.into_iter().next().map(Chosen::Model));
    }

    /// Results are downloaded.
    pub fn export_folder(&self, ctx: &egui::Context) {
        let _ = fs::remove_dir_all(DOWNLOADS);
        let made = fs::create_dir_all(DOWNLOADS).map_err(|e| format!("{DOWNLOADS}: {e}"));
        send(&self.sender, ctx, made.map(|()| Some(Chosen::Export(DOWNLOADS.into()))));
    }

    /// Takes what is dropped on the page from now on.
    pub fn listen(&self, ctx: &egui::Context) {
        let (sender, ctx) = (self.sender.clone(), ctx.clone());
        let dropped = Closure::new(move |files: JsValue| {
            let (sender, ctx) = (sender.clone(), ctx.clone());
            wasm_bindgen_futures::spawn_local(async move {
                if files.is_instance_of::<js_sys::Error>() {
                    return send(&sender, &ctx, Err(text(&files)));
                }
                let all = taken(files).await;
                let all = all.map(|(files, folders)| Some(Chosen::Files([folders, files].concat())));
                send(&sender, &ctx, all);
            });
        });
        js::on_drop(&dropped);
        // For the life of the page.
        dropped.forget();
    }

    /// The page takes dropped files itself, see [`Self::listen`].
    pub fn drop(&self, _: &egui::Context, _: &[egui::DroppedFileHandle]) {}
}
