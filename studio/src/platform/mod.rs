//! What differs between the desktop and a browser's page: tasks, dialogs, where files come from and go.
//!
//! Both sides have the same names. In a browser files are in memory, see [`unet_wgpu::low_level::io::fs`], and `browser` keeps them in
//! the storage that the browser gives to the page.

#[cfg(target_family = "wasm")]
mod browser;
#[cfg(not(target_family = "wasm"))]
mod native;

#[cfg(target_family = "wasm")]
pub use browser::*;
#[cfg(not(target_family = "wasm"))]
pub use native::*;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Built-in models with what they are for; in a browser they are files beside the page.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("nuclei", "nuclei in fluorescence microscopy: U-Net, width 16, for single nuclei"),
    ("nuclei-unet++", "nuclei in fluorescence microscopy: U-Net++, width 16, for single nuclei"),
    ("nuclei-unet3+", "nuclei in fluorescence microscopy: U-Net 3+, width 16, for single nuclei"),
    ("nuclei-he", "nuclei in stained tissue (bright field, colour): U-Net, width 16, depth 3, for single nuclei"),
];

/// Extensions of model files.
pub const MODEL_FILES: [&str; 6] = ["safetensors", "pth", "pt", "ckpt", "onnx", "zip"];

/// What the user has chosen in a dialog, or dropped.
pub enum Chosen {
    /// Images, models, a folder.
    Files(Vec<PathBuf>),
    /// A project, or a folder of images.
    Project(PathBuf),
    /// A model.
    Model(PathBuf),
    /// The folder for results.
    Export(PathBuf),
    /// Nothing: something failed.
    Failed(String),
}

/// What dialogs bring, some frames after they were opened.
pub struct Choices {
    sender: Sender<Chosen>,
    receiver: Receiver<Chosen>,
}

impl Default for Choices {
    fn default() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }
}

impl Choices {
    /// What was chosen since the last call.
    pub fn take(&self) -> Vec<Chosen> {
        self.receiver.try_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet_wgpu::low_level::weights::builtin;

    #[test]
    fn the_built_in_models_are_those_of_the_library() {
        let names: Vec<_> = builtin::BUILTIN.iter().map(|b| (b.name, b.description)).collect();
        assert_eq!(names, BUILT_IN);
    }
}
