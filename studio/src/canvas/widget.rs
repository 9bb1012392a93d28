//! The widget: a scene under a view.

use super::compose::{Place, compose};
use super::gpu::Paint;
use super::image::CanvasImage;
use super::input::{Control, Pointer, zoom_and_keys};
use super::layers::{LabelLayer, Scene};
use super::scale_bar;
use super::store::{Store, Uploads};
use super::view::{Area, View};
use eframe::egui::{self, Color32, CursorIcon, Modifiers, Painter, Pos2, Sense, Stroke, Ui, WidgetInfo, pos2};
use eframe::egui::{emath::GuiRounding, epaint::CircleShape};
use eframe::{egui_wgpu, wgpu};
use std::sync::atomic::{AtomicU64, Ordering};

/// An image and layers over it, drawn by egui's device. What it holds there lives in egui's callback resources.
pub struct Canvas {
    /// What is visible. None until the first frame, and after [`Self::fit`]: then the whole image becomes so.
    pub view: Option<View>,
    /// Whether the primary button pans instead of using a tool. The middle button, and the primary one with the space key,
    /// always do.
    pub primary_pans: bool,
    /// Where the two sides of a comparison meet, as a fraction of the width.
    pub split: f32,
    id: u64,
    format: wgpu::TextureFormat,
    store: Store,
    pointer: Pointer,
}

/// What happened to a canvas in a frame. Coordinates are of the image: column, row; the first pixel covers 0 to 1.
pub struct CanvasResponse {
    /// egui's.
    pub response: egui::Response,
    /// Where the canvas lies on the screen.
    pub area: Area,
    /// What is visible.
    pub view: View,
    /// Where the pointer is, also outside the image.
    pub pointer: Option<[f32; 2]>,
    /// The image's pixel under the pointer.
    pub pixel: Option<[u32; 2]>,
    /// The raw samples of that pixel.
    pub values: Vec<f32>,
    /// Its labels: of the layer, of the one that it is compared with.
    pub labels: [Option<u32>; 2],
    /// Where the tool's button was pressed in this frame.
    pub pressed: Option<[f32; 2]>,
    /// Every position in this frame with the tool's button down, in order, that of the press included.
    pub path: Vec<[f32; 2]>,
    /// Where the tool's button was released in this frame. The last position of `path` if both are in it.
    pub released: Option<[f32; 2]>,
    /// Whether the tool's button is down at the end of the frame.
    pub down: bool,
    /// Whether the image is being moved.
    pub panning: bool,
    /// Keys held.
    pub modifiers: Modifiers,
    /// Draws over the canvas, and nowhere else.
    pub painter: Painter,
}

impl CanvasResponse {
    /// The screen position of an image point, for cursors of tools.
    pub fn to_screen(&self, at: [f32; 2]) -> Pos2 {
        self.view.to_screen(&self.area, at.map(f64::from))
    }

    /// The image point at a screen position.
    pub fn to_image(&self, at: Pos2) -> [f32; 2] {
        self.view.to_image(&self.area, at).map(|v| v as f32)
    }

    /// Points per image pixel, for the radius of a brush's circle.
    pub fn points_per_pixel(&self) -> f32 {
        (self.view.zoom / f64::from(self.area.pixels_per_point)) as f32
    }
}

impl Canvas {
    /// A canvas for egui's target format (`RenderState::target_format`), without multisampling as eframe's default is.
    pub fn new(format: wgpu::TextureFormat) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (store, pointer) = (Store::new(), Pointer::default());
        Self { view: None, primary_pans: false, split: 0.5, id, format, store, pointer }
    }

    /// Shows the whole image from the next frame on.
    pub fn fit(&mut self) {
        self.view = None;
    }

    /// The most bytes of textures that stay on the device: 256 MiB unless set. What is visible may take more.
    pub fn set_budget(&mut self, bytes: u64) {
        self.store.budget = bytes;
    }

    /// Bytes of textures on the device.
    pub fn held_bytes(&self) -> u64 {
        self.store.held()
    }

    /// What was uploaded so far.
    pub fn uploads(&self) -> Uploads {
        self.store.uploads
    }

    /// Whether anything visible is still shown coarsely.
    pub fn is_loading(&self, scene: &Scene) -> bool {
        self.store.waiting || scene.image.is_some_and(|i| !i.levels_complete())
    }

    /// Fills the rest of `ui` with the scene.
    pub fn show(&mut self, ui: &mut Ui, scene: &Scene) -> CanvasResponse {
        let (rect, response) = ui.allocate_exact_size(ui.available_size(), Sense::click_and_drag());
        let area = Area {
            rect: rect.round_to_pixels(ui.ctx().pixels_per_point()),
            pixels_per_point: ui.ctx().pixels_per_point(),
        };
        let size = scene_size(scene);
        let name = scene.name.to_string();
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Canvas, ui.is_enabled(), &name));
        let mut view = self.view.unwrap_or_else(|| View::fit(&area, size)).clamped(&area, size);
        let fitted = self.view.is_none();
        let split = scene.compare.is_some().then_some(&mut self.split);
        let before = view;
        let mut control = Control { view: &mut view, area: &area, size, pans: self.primary_pans, split };
        let tool = self.pointer.follow(ui, &response, &mut control);
        zoom_and_keys(ui, &response, &mut control);
        let hover = response.hover_pos().filter(|_| response.contains_pointer());
        let over_split = self.pointer.drags_split() || hover.is_some_and(|at| control.over_split(at));
        if over_split {
            ui.ctx().set_cursor_icon(CursorIcon::ResizeHorizontal);
        } else if tool.panning {
            ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
        }
        // A window that grows keeps the whole image visible until somebody looks closer.
        self.view = (!fitted || view != before).then_some(view);
        let painter = ui.painter_at(area.rect);
        self.paint(ui, scene, &painter, &area, &view);

        let to_image = |at: Pos2| view.to_image(&area, at).map(|v| v as f32);
        let pointer = hover.or(tool.path.last().copied()).map(|at| view.to_image(&area, at));
        let pixel = pointer.and_then(|at| pixel(at, size));
        let label = |layer: &Option<LabelLayer>| layer.as_ref().zip(pixel).map(|(l, at)| label(l, at));
        CanvasResponse {
            area,
            view,
            pointer: pointer.map(|at| at.map(|v| v as f32)),
            pixel,
            values: scene.image.zip(pixel).map(|(i, at)| i.values(at)).unwrap_or_default(),
            labels: [label(&scene.labels).flatten(), label(&scene.compare).flatten()],
            pressed: tool.pressed.map(to_image),
            path: tool.path.iter().map(|&at| to_image(at)).collect(),
            released: tool.released.map(to_image),
            down: tool.down,
            panning: tool.panning,
            modifiers: ui.input(|i| i.modifiers),
            painter,
            response,
        }
    }

    fn paint(&mut self, ui: &Ui, scene: &Scene, painter: &Painter, area: &Area, view: &View) {
        if let Some(image) = scene.image {
            image.shown(ui.ctx());
            if let Some(request) = image.take_request() {
                self.store.request_limits(request);
                ui.ctx().request_repaint();
            }
        }
        let p = area.pixels_per_point;
        let x = ((area.rect.left() + self.split * area.rect.width()) * p).round().max(0.0) as u32;
        let place = Place { view, area, columns: [[0, x], [x, u32::MAX]] };
        self.store.start_frame();
        let frame = compose(&mut self.store, scene, &place, ui.visuals().extreme_bg_color);
        self.store.end_frame();
        if self.store.waiting {
            ui.ctx().request_repaint();
        }
        let paint = Paint {
            canvas: self.id,
            format: self.format,
            frame,
            queue: self.store.queue().clone(),
            ctx: ui.ctx().clone(),
        };
        painter.add(egui_wgpu::Callback::new_paint_callback(area.rect, paint));
        if scene.compare.is_some() {
            draw_split(painter, area, x as f32 / p);
        }
        if let Some(pixel_size) = scene.pixel_size {
            scale_bar::draw(painter, area, view, pixel_size);
        }
    }
}

fn scene_size(scene: &Scene) -> [u32; 2] {
    let labels = || scene.labels.as_ref().map(|l| l.tiles.size());
    scene.image.map(CanvasImage::size).or_else(labels).unwrap_or([1, 1]).map(|s| s.max(1))
}

fn pixel(at: [f64; 2], size: [u32; 2]) -> Option<[u32; 2]> {
    let inside = (0..2).all(|i| at[i] >= 0.0 && at[i] < f64::from(size[i]));
    inside.then(|| at.map(|v| v as u32))
}

fn label(layer: &LabelLayer, at: [u32; 2]) -> Option<u32> {
    let size = layer.tiles.size();
    let mut out = [0];
    (at[0] < size[0] && at[1] < size[1]).then(|| {
        layer.tiles.read(at, 1, [1, 1], &mut out);
        out[0]
    })
}

/// The line between the sides of a comparison, with a handle.
fn draw_split(painter: &Painter, area: &Area, x: f32) {
    let middle = pos2(x, area.rect.center().y);
    painter.vline(x, area.rect.y_range(), Stroke::new(3.0, Color32::from_black_alpha(120)));
    painter.vline(x, area.rect.y_range(), Stroke::new(1.0, Color32::WHITE));
    let handle =
        CircleShape { center: middle, radius: 9.0, fill: Color32::WHITE, stroke: Stroke::new(1.0, Color32::BLACK) };
    painter.add(handle);
    for side in [-1.0, 1.0] {
        let tip = middle + egui::vec2(side * 6.0, 0.0);
        let back = |y: f32| middle + egui::vec2(side * 2.5, y);
        painter.line_segment([back(-3.0), tip], Stroke::new(1.5, Color32::BLACK));
        painter.line_segment([back(3.0), tip], Stroke::new(1.5, Color32::BLACK));
    }
}
