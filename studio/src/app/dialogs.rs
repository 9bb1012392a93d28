//! File dialogs, on threads of their own, so that the window goes on.

use eframe::egui;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// What the user has chosen.
pub(super) enum Chosen {
    Images(Vec<PathBuf>),
    Project(PathBuf),
    Model(PathBuf),
    Export(PathBuf),
}

pub(super) struct Dialogs {
    sender: Sender<Chosen>,
    receiver: Receiver<Chosen>,
}

impl Default for Dialogs {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }
}

impl Dialogs {
    fn ask(&self, ctx: &egui::Context, ask: impl FnOnce() -> Option<Chosen> + Send + 'static) {
        let (sender, ctx) = (self.sender.clone(), ctx.clone());
        let spawned = std::thread::Builder::new().name("dialog".into()).spawn(move || {
            if let Some(chosen) = ask() {
                // Without a receiver the window is closed.
                let _ = sender.send(chosen);
                ctx.request_repaint();
            }
        });
        if let Err(e) = spawned {
            log::error!("a dialog cannot be opened: {e}");
        }
    }

    pub(super) fn open_images(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("Add images");
        self.ask(ctx, move || dialog.pick_files().map(Chosen::Images));
    }

    pub(super) fn open_project(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("A folder of images, or a project");
        self.ask(ctx, move || dialog.pick_folder().map(Chosen::Project));
    }

    pub(super) fn open_model(&self, ctx: &egui::Context) {
        let files = ["safetensors", "pth", "pt", "ckpt", "onnx", "zip"];
        let dialog = rfd::FileDialog::new().set_title("Open a model").add_filter("models", &files);
        self.ask(ctx, move || dialog.pick_file().map(Chosen::Model));
    }

    pub(super) fn export_folder(&self, ctx: &egui::Context) {
        let dialog = rfd::FileDialog::new().set_title("Where results go");
        self.ask(ctx, move || dialog.pick_folder().map(Chosen::Export));
    }

    /// What was chosen since the last call.
    pub(super) fn chosen(&self) -> Vec<Chosen> {
        self.receiver.try_iter().collect()
    }
}
