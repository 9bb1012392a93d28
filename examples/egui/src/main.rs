//! A network inside an application with egui, on egui's device: drag the image, and the overlay of what you see follows.
//!
//!     cargo run --release --manifest-path examples/egui/Cargo.toml

mod network;

use clap::Parser;
use eframe::egui::{self, Color32, Rect, Sense, Vec2, emath::GuiRounding, pos2, vec2};
use eframe::{egui_wgpu, wgpu};
use network::{Part, Shown, State, locked};
use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use unet_wgpu::frame::requirements;
use unet_wgpu::{Image, Model, Pixels};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone, Parser)]
struct Options {
    /// A built-in model or a checkpoint
    #[arg(long, default_value = "nuclei")]
    model: String,
    /// Rows and columns of the part of the image that is shown
    #[arg(long, default_value_t = 384)]
    size: u32,
    /// Milliseconds of each frame for the network
    #[arg(long, default_value_t = 8.0)]
    budget: f64,
    /// Drag the image for so many frames, wait for its overlay, print the frame times, end
    #[arg(long)]
    frames: Option<usize>,
    /// Save the last frame as PNG
    #[arg(long, requires = "frames")]
    screenshot: Option<PathBuf>,
}

struct App {
    options: Options,
    textures: Shown,
    image_size: Vec2,
    /// The corner of the part of the image that is shown.
    corner: Vec2,
    opacity: f32,
    state: Arc<Mutex<State>>,
    frames: usize,
    shot: bool,
    saved: Arc<AtomicBool>,
}

impl App {
    fn new(cc: &eframe::CreationContext, options: Options, state: Arc<Mutex<State>>) -> Result<Self> {
        let egui = cc.wgpu_render_state.as_ref().ok_or("egui does not draw with wgpu")?;
        let image = demo_image()?;
        let textures = network::prepare(egui, Model::open(&options.model)?, options.size, &image)?;
        let image_size = vec2(image.size[0] as f32, image.size[1] as f32);
        if options.size as f32 > image_size.min_elem() {
            return Err(format!("the demo image is smaller than {0}x{0}", options.size).into());
        }
        let saved = Arc::default();
        Ok(Self {
            options,
            textures,
            image_size,
            corner: vec2(60.0, 60.0),
            opacity: 1.0,
            state,
            frames: 0,
            shot: false,
            saved,
        })
    }

    /// The image, and the overlay over it. Drawn pixel by pixel.
    fn panes(&mut self, ui: &mut egui::Ui) -> [Rect; 2] {
        let pixel = 1.0 / ui.ctx().pixels_per_point();
        let side = self.options.size as f32;
        let panes = ui.horizontal(|ui| {
            ["Image", "Overlay"].map(|title| {
                let pane = ui.vertical(|ui| {
                    ui.strong(title);
                    ui.allocate_exact_size(Vec2::splat(side * pixel), Sense::drag())
                });
                let (rect, response) = pane.inner;
                self.corner -= response.drag_delta() / pixel;
                Rect::from_min_size(rect.min.round_to_pixels(1.0 / pixel), rect.size())
            })
        });
        let panes = panes.inner;
        self.corner = self.corner.clamp(Vec2::ZERO, self.image_size - Vec2::splat(side));
        let corner = self.corner.round();
        let part = |corner: Vec2, size: Vec2| {
            Rect::from_min_size((corner / self.image_size).to_pos2(), size / self.image_size)
        };
        for pane in panes {
            let uv = part(corner, Vec2::splat(side));
            ui.painter().image(self.textures.image, pane, uv, Color32::WHITE);
        }
        // The overlay stays where it belongs in the image, also while the next one is in progress.
        let state = locked(&self.state);
        if let Some([x, y]) = state.shown {
            let overlay = self.textures.overlays[(state.overlays + 1) % 2];
            let rect = panes[1].translate((vec2(x as f32, y as f32) - corner) * pixel);
            let all = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
            let tint = Color32::WHITE.gamma_multiply(self.opacity);
            ui.painter_at(panes[1]).image(overlay, rect, all, tint);
        }
        panes
    }

    fn controls(&mut self, ui: &mut egui::Ui) {
        let state = locked(&self.state);
        ui.horizontal(|ui| {
            ui.add(egui::Slider::new(&mut self.opacity, 0.0..=1.0).text("opacity").fixed_decimals(2));
            ui.separator();
            ui.add(
                egui::Slider::new(&mut self.options.budget, 1.0..=50.0)
                    .suffix(" ms")
                    .text("of each frame for the network"),
            );
        });
        let done = state.progress.map_or(0.0, |p| p.done as f32 / p.of as f32);
        let text = format!("{}: {:.0} ms per overlay, {} so far", self.options.model, self.textures.ms, state.overlays);
        ui.add(egui::ProgressBar::new(done).text(text).corner_radius(2));
        let times = state.milliseconds();
        drop(state);
        timeline(ui, &times);
        match &locked(&self.state).error {
            Some(error) => ui.colored_label(ui.visuals().error_fg_color, error),
            None => ui.weak(&self.textures.device),
        };
    }
}

/// Bars of the latest frames: green as fast as a screen, yellow and red where it is seen.
fn timeline(ui: &mut egui::Ui, times: &[f64]) {
    const TALLEST: f64 = 50.0;
    let [half, most] = [50, 95].map(|percent| percentile(times, percent));
    ui.label(format!("Frames: 50 % under {half:.0} ms, 95 % under {most:.0} ms; the line is at 33 ms"));
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 60.0), Sense::hover());
    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 2.0, ui.visuals().extreme_bg_color);
    let y = |ms: f64| rect.bottom() - (ms.min(TALLEST) / TALLEST) as f32 * rect.height();
    for (i, &ms) in times.iter().rev().take((rect.width() / 4.0) as usize).enumerate() {
        let right = rect.right() - 4.0 * i as f32;
        let bar = Rect::from_min_max(pos2(right - 3.0, y(ms)), pos2(right, rect.bottom()));
        let colour = match ms {
            ms if ms <= 17.0 => Color32::from_rgb(0x4c, 0xa8, 0x6b),
            ms if ms <= 33.4 => Color32::from_rgb(0xd9, 0xb0, 0x3c),
            _ => Color32::from_rgb(0xd0, 0x55, 0x4a),
        };
        painter.rect_filled(bar, 0.0, colour);
    }
    let line = egui::Stroke::new(1.0, ui.visuals().weak_text_color());
    painter.hline(rect.x_range(), y(33.3), line);
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let moves = self.options.frames.is_some_and(|last| self.frames < last);
        if moves {
            self.corner += vec2(1.0, 0.5);
        }
        self.frames += 1;
        let panes = egui::CentralPanel::default().show(ui, |ui| {
            let panes = self.panes(ui);
            ui.add_space(6.0);
            self.controls(ui);
            panes
        });
        // The network's work of this frame.
        let place = [self.corner.x.round() as u32, self.corner.y.round() as u32];
        let part = Part { place, budget: self.options.budget, state: self.state.clone() };
        ui.painter().add(egui_wgpu::Callback::new_paint_callback(ui.max_rect(), part));
        let state = locked(&self.state);
        if (state.shown != Some(place) && state.error.is_none()) || self.options.frames.is_some() {
            ui.ctx().request_repaint();
        }
        let failed = state.error.is_some() && self.options.frames.is_some();
        if failed || self.saved.load(Ordering::Relaxed) {
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        } else if self.options.frames.is_some() && !moves && state.shown == Some(place) && !self.shot {
            self.shot = true;
            drop(state);
            self.end(ui.ctx(), panes.inner);
        }
    }
}

impl App {
    /// Prints the times between frames, saves the screenshot.
    fn end(&self, ctx: &egui::Context, panes: [Rect; 2]) {
        let state = locked(&self.state);
        let times = state.milliseconds();
        let [half, most, slowest] = [50, 95, 100].map(|percent| percentile(&times, percent));
        let (frames, overlays) = (state.frames, state.overlays);
        println!(
            "{frames} frames: 50 % under {half:.1} ms, 95 % under {most:.1} ms, the slowest {slowest:.1} ms; {overlays} overlays"
        );
        let [image, overlay] =
            panes.map(|p| format!("{},{}", p.min.x * ctx.pixels_per_point(), p.min.y * ctx.pixels_per_point()));
        println!("image and overlay at {image} {overlay}");
        let (saved, path, again, shared) =
            (self.saved.clone(), self.options.screenshot.clone(), ctx.clone(), self.state.clone());
        ctx.request_screenshot(move |shot| {
            let rgba = image::RgbaImage::from_raw(shot.size[0] as u32, shot.size[1] as u32, shot.as_raw().to_vec());
            let rgb = rgba.map(|image| image::DynamicImage::from(image).into_rgb8());
            let outcome = path.zip(rgb).map(|(path, rgb)| rgb.save(path));
            locked(&shared).error = outcome.and_then(|o| o.err()).map(|e| e.to_string());
            saved.store(true, Ordering::Relaxed);
            again.request_repaint();
        });
    }
}

fn percentile(times: &[f64], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// A microscope's image of 16 bits, in 8 bits for the screen.
fn demo_image() -> Result<egui::ColorImage> {
    let image = Image::from_bytes(include_bytes!("../../../assets/images/nuclei_u2os.png"))?;
    let Pixels::U16(values) = image.pixels() else { return Err("the demo image has 16 bits".into()) };
    let mut sorted = values.clone();
    sorted.sort_unstable();
    let [low, high] = [5, 998].map(|rank| f32::from(sorted[sorted.len() * rank / 1000]));
    let grey: Vec<u8> = values.iter().map(|&v| ((f32::from(v) - low) / (high - low) * 255.0).round() as u8).collect();
    Ok(egui::ColorImage::from_gray([image.width(), image.height()], &grey))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let model = Model::open(&options.model)?;
    let wanted = network::frame_options(options.size)?;
    let mut native = eframe::NativeOptions::default();
    let side = options.size as f32;
    native.viewport = egui::ViewportBuilder::default().with_inner_size([(2.0 * side + 24.0).max(560.0), side + 230.0]);
    if let egui_wgpu::WgpuSetup::CreateNew(setup) = &mut native.wgpu_options.wgpu_setup {
        // egui opens its device with what the network needs. Should the adapter lack something, preparing the network says so.
        setup.device_descriptor = Arc::new(move |adapter: &wgpu::Adapter| {
            requirements(adapter, &model, &wanted)
                .map_or_else(|_| wgpu::DeviceDescriptor::default(), |r| r.descriptor())
        });
    }
    let state: Arc<Mutex<State>> = Arc::default();
    let shared = state.clone();
    let created = move |cc: &eframe::CreationContext| -> Result<Box<dyn eframe::App>> {
        Ok(Box::new(App::new(cc, options, shared)?))
    };
    eframe::run_native("unet-wgpu: egui", native, Box::new(created)).map_err(|e| e.to_string())?;
    locked(&state).error.take().map_or(Ok(()), |e| Err(e.into()))
}
