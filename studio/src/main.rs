//! `unet-studio [FOLDER]`: see, correct, train.

use clap::Parser;
use eframe::{egui, egui_wgpu, wgpu};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use unet_studio::app::Studio;
use unet_studio::device::descriptor;
use unet_studio::platform;

/// See what a network finds in your images, correct it, and train a network of your own
#[derive(Parser)]
#[command(version)]
struct Options {
    /// A project, or a folder of images
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let viewport = egui::ViewportBuilder::default().with_inner_size([1360.0, 860.0]).with_drag_and_drop(true);
    let mut native = eframe::NativeOptions { viewport, ..Default::default() };
    if let egui_wgpu::WgpuSetup::CreateNew(setup) = &mut native.wgpu_options.wgpu_setup {
        setup.device_descriptor = Arc::new(|adapter: &wgpu::Adapter| descriptor(adapter));
    }
    let created =
        move |cc: &eframe::CreationContext| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
            let render = cc.wgpu_render_state.as_ref().ok_or("the window is not drawn with wgpu")?;
            let studio = Studio::new(render, &cc.egui_ctx, options.folder)?;
            Ok(Box::new(studio.with_preferences(platform::preferences())))
        };
    match eframe::run_native("unet studio", native, Box::new(created)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
