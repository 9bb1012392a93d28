//! An application that is nothing but a canvas.

use eframe::egui::{self, Color32, pos2};
use eframe::wgpu;
use egui_kittest::Harness;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use unet_studio::canvas::{
    Area, Background, Canvas, CanvasImage, CanvasResponse, Contrast, LABEL_TILE, LabelLayer, LabelStyle, LabelTiles,
    Live, Scene, View,
};
use unet_wgpu::{Image, Pixels};

/// Whether there is a device; panics where the environment demands one.
pub fn device() -> bool {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = std::pin::pin!(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let mut context = Context::from_waker(Waker::noop());
    let found = matches!(adapters.as_mut().poll(&mut context), Poll::Ready(found) if !found.is_empty());
    assert!(found || std::env::var_os("UNET_REQUIRE_GPU").is_none(), "no adapter");
    found
}

pub struct Map {
    pub size: [u32; 2],
    pub labels: Vec<u32>,
    version: u64,
    versions: Vec<u64>,
}

impl Map {
    pub fn new(size: [u32; 2], f: impl Fn(u32, u32) -> u32) -> Self {
        let labels = (0..size[0] * size[1]).map(|i| f(i % size[0], i / size[0])).collect();
        let tiles = size.map(|s| s.div_ceil(LABEL_TILE));
        Self { size, labels, version: 1, versions: vec![1; (tiles[0] * tiles[1]) as usize] }
    }

    pub fn set(&mut self, [x, y]: [u32; 2], id: u32) {
        self.labels[(y * self.size[0] + x) as usize] = id;
        self.version += 1;
        let tile = y / LABEL_TILE * self.size[0].div_ceil(LABEL_TILE) + x / LABEL_TILE;
        self.versions[tile as usize] = self.version;
    }
}

impl LabelTiles for Map {
    fn size(&self) -> [u32; 2] {
        self.size
    }

    fn read(&self, at: [u32; 2], step: u32, size: [u32; 2], out: &mut [u32]) {
        for (row, out) in out.chunks_mut(size[0] as usize).enumerate() {
            let first = (at[1] + row as u32 * step) * self.size[0] + at[0];
            for (column, out) in out.iter_mut().enumerate() {
                *out = self.labels[(first + column as u32 * step) as usize];
            }
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn tile_version(&self, tile: [u32; 2]) -> u64 {
        self.versions[(tile[1] * self.size[0].div_ceil(LABEL_TILE) + tile[0]) as usize]
    }
}

pub struct App {
    pub canvas: Canvas,
    pub image: CanvasImage,
    pub contrast: Option<Contrast>,
    pub labels: Option<Map>,
    pub compare: Option<Map>,
    pub style: LabelStyle,
    pub live: Option<Live>,
    pub pixel_size: Option<f64>,
    pub background: Background,
    pub render_state: eframe::egui_wgpu::RenderState,
    pub last: Option<CanvasResponse>,
    pub loading: bool,
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        let scene = Scene {
            image: Some(&self.image),
            contrast: self.contrast.as_ref(),
            labels: self.labels.as_ref().map(|m| LabelLayer { key: 1, tiles: m, style: self.style.clone() }),
            compare: self.compare.as_ref().map(|m| LabelLayer { key: 2, tiles: m, style: self.style.clone() }),
            live: self.live.as_ref(),
            pixel_size: self.pixel_size,
            background: Some(self.background),
            ..Default::default()
        };
        self.last = Some(self.canvas.show(ui, &scene));
        self.loading = self.canvas.is_loading(&scene);
    }
}

/// A window of `size` screen pixels.
pub fn open<'a>(pixels: Image, size: [f32; 2], pixels_per_point: f32) -> Harness<'a, App> {
    Harness::builder()
        .with_size(egui::Vec2::from(size) / pixels_per_point)
        .with_pixels_per_point(pixels_per_point)
        .wgpu()
        .build_eframe(|cc| {
            let render_state = cc.wgpu_render_state.clone().unwrap();
            App {
                canvas: Canvas::new(render_state.target_format),
                image: CanvasImage::new(Arc::new(pixels)),
                contrast: None,
                labels: None,
                compare: None,
                style: LabelStyle::default(),
                live: None,
                pixel_size: None,
                background: Background::Plain(Color32::from_rgb(20, 30, 40)),
                render_state,
                last: None,
                loading: true,
            }
        })
}

/// A frame's pixels.
pub struct Shot {
    pub size: [u32; 2],
    pub rgba: Vec<u8>,
    pub area: Area,
    pub view: View,
}

impl Shot {
    pub fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let i = (y * self.size[0] + x) as usize * 4;
        [self.rgba[i], self.rgba[i + 1], self.rgba[i + 2]]
    }

    /// The image point in the middle of a screen pixel.
    pub fn image_point(&self, x: u32, y: u32) -> [f64; 2] {
        let p = self.area.pixels_per_point;
        self.view.to_image(&self.area, pos2((x as f32 + 0.5) / p, (y as f32 + 0.5) / p))
    }

    /// The colour of the screen pixel that shows this image point.
    pub fn shows(&self, at: [f64; 2]) -> [u8; 3] {
        let (p, s) = (self.area.pixels_per_point, self.view.to_screen(&self.area, at));
        self.at((s.x * p) as u32, (s.y * p) as u32)
    }
}

/// The frame's picture. On a busy machine without a GPU the harness waits too briefly for the first one.
macro_rules! drawn {
    ($harness:expr) => {
        (0..10).find_map(|_| $harness.render().ok()).expect("the device does not draw")
    };
}
pub(crate) use drawn;

/// Draws frames until everything that is visible is there.
pub fn settle(harness: &mut Harness<App>) -> Shot {
    for _ in 0..500 {
        harness.step();
        drawn!(harness);
        if !harness.state().loading {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(!harness.state().loading, "the canvas keeps loading");
    shot(harness)
}

/// The next frame.
pub fn shot(harness: &mut Harness<App>) -> Shot {
    harness.step();
    let image = drawn!(harness);
    let last = harness.state().last.as_ref().unwrap();
    Shot { size: [image.width(), image.height()], area: last.area, view: last.view, rgba: image.into_raw() }
}

pub fn black(size: [u32; 2]) -> Image {
    Image::new(size[0] as usize, size[1] as usize, 1, Pixels::U8(vec![0; (size[0] * size[1]) as usize])).unwrap()
}

/// Noise that is the same on every machine.
pub fn hash(i: u32) -> u32 {
    let mut h = i.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
    h ^= h >> 15;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^ h >> 13
}

pub fn near(a: [u8; 3], b: [f64; 3], most: f64) -> bool {
    a.iter().zip(b).all(|(&a, b)| (f64::from(a) - b).abs() <= most)
}
