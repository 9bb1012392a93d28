//! The desktop: threads, dialogs of the system, files on the disk.

use super::{Choices, Chosen, MODEL_FILES};
use eframe::egui;
use std::io;
use std::path::{Path, PathBuf};
use unet_wgpu::low_level::gpu::block_on;
use unet_wgpu::{Model, Result};

/// Whether files are in the storage of a browser, so that they have to be handed out to be of use elsewhere.
pub const BROWSER: bool = false;

/// Starts a task on a thread of its own.
pub fn start<F>(name: &str, task: impl FnOnce() -> F + Send + 'static) -> io::Result<()>
where
    F: Future<Output = ()> + 'static,
{
    std::thread::Builder::new().name(name.into()).spawn(move || block_on(task()))?;
    Ok(())
}

/// Where the project of the demo images is made.
pub fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(std::env::temp_dir)
}

/// The file of what the user has chosen for all projects.
pub fn preferences() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        std::env::home_dir().map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_CONFIG_HOME").or_else(|| Some(std::env::home_dir()?.join(".config")))
    };
    Some(folder?.join("unet-studio/preferences.json"))
}

/// Where the project of single images is made.
pub fn project_of(image: &Path) -> Option<PathBuf> {
    Some(image.parent()?.join("unet-studio"))
}

/// Opens a model: a built-in name or a file.
pub async fn open_model(name: &str) -> Result<Model> {
    Model::open(name)
}

/// Projects that can be opened without a dialog.
pub fn projects() -> Vec<PathBuf> {
    Vec::new()
}

/// Notes what is open, for the next start.
pub fn opened(_: &Path) {}

/// Tells where results are.
pub fn hand_out(folder: &Path, files: &[PathBuf]) -> std::result::Result<String, String> {
    Ok(format!("wrote {} files to {}", files.len(), folder.display()))
}

/// Why files cannot be kept.
pub fn trouble() -> Option<String> {
    None
}

impl Choices {
    fn ask(&self, ctx: &egui::Context, ask: impl FnOnce() -> Option<Chosen> + Send + 'static) {
        let (sender, ctx) = (self.sender.clone(), ctx.clone());
        let spawned = start("dialog", async move || {
            if let Some(chosen) = ask() {
                // Without a receiver the window is closed.
                let _ = sender.send(chosen);
                ctx.request_repaint();
            }
        });
        if let Err(e) = spawned {
            let _ = self.sender.send(Chosen::Failed(format!("A dialog cannot be opened: {e}")));
        }
    }

    /// Asks for images.
    pub fn open_images(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("Add images");
        self.ask(ctx, move || dialog.pick_files().map(Chosen::Files));
    }

    /// Asks for a project, or a folder of images.
    pub fn open_project(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("A folder of images, or a project");
        self.ask(ctx, move || dialog.pick_folder().map(Chosen::Project));
    }

    /// Asks for a model.
    pub fn open_model(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("Open a model").add_filter("models", &MODEL_FILES);
        self.ask(ctx, move || dialog.pick_file().map(Chosen::Model));
    }

    /// Asks where results go.
    pub fn export_folder(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("Where results go");
        self.ask(ctx, move || dialog.pick_folder().map(Chosen::Export));
    }

    /// Dropped files come with egui's events, see [`Self::drop`].
    pub fn listen(&self, _: &egui::Context) {}

    /// Takes dropped files.
    pub fn drop(&self, _: &egui::Context, files: &[egui::DroppedFileHandle]) {
        let files = files.iter().map(|file| file.path().into()).collect();
        // Its receiver is in the same place.
        let _ = self.sender.send(Chosen::Files(files));
    }
}
