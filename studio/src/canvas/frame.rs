//! What the device draws in a frame: quads, and with which shader, style and texture.

use super::tiles::Quad;
use bytemuck::{Pod, Zeroable};
use eframe::egui::Color32;
use eframe::wgpu;
use std::sync::Arc;

/// A shader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pipe {
    Shapes,
    Image,
    Labels,
    Live,
    Classes,
}

/// A shader's uniforms, and what else it reads.
#[derive(Clone, Debug)]
pub(super) struct Style {
    /// Begins with [`Screen`], which is filled in when the target is known.
    pub bytes: Vec<u8>,
    /// Colours of instances.
    pub table: Option<Arc<[Color32]>>,
}

/// What a quad shows.
#[derive(Clone, Debug)]
pub(super) enum Texture {
    None,
    Slot(u64),
    Given(wgpu::Texture),
}

#[derive(Clone, Debug)]
pub(super) struct Draw {
    pub pipe: Pipe,
    pub style: usize,
    pub texture: Texture,
    /// Only these columns of the target, in screen pixels.
    pub columns: Option<[u32; 2]>,
}

/// A frame. Quad i is drawn by draw i.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    pub quads: Vec<Quad>,
    pub draws: Vec<Draw>,
    pub styles: Vec<Style>,
}

impl Frame {
    pub fn style(&mut self, style: &impl Pod, table: Option<Arc<[Color32]>>) -> usize {
        self.styles.push(Style { bytes: bytemuck::bytes_of(style).to_vec(), table });
        self.styles.len() - 1
    }

    pub fn draw(&mut self, quad: Quad, draw: Draw) {
        self.quads.push(quad);
        self.draws.push(draw);
    }
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Screen {
    pub size: [f32; 2],
    pub linear: u32,
    pub unused: u32,
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Slot {
    pub colour: [f32; 4],
    /// Low, 1 / (high - low), gamma.
    pub window: [f32; 4],
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ImageStyle {
    pub screen: Screen,
    pub count: u32,
    pub floats: u32,
    pub unused: [u32; 2],
    pub slots: [Slot; 16],
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LabelsStyle {
    pub screen: Screen,
    pub anchor: [f32; 2],
    pub opacity: f32,
    pub width: f32,
    pub selected: u32,
    pub unlabelled: u32,
    pub entries: u32,
    /// Screen pixels of a point.
    pub point: f32,
    pub palette: [[u8; 16]; 9],
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LiveStyle {
    pub screen: Screen,
    pub colour: [f32; 4],
    pub size: [f32; 2],
    pub threshold: f32,
    pub opacity: f32,
    /// Screen pixels of a point.
    pub point: f32,
    pub unused: [u32; 3],
}

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub(super) struct ShapesStyle {
    pub screen: Screen,
    /// Background, its other squares, border, lines between pixels.
    pub colours: [[f32; 4]; 4],
}

/// A colour as shaders compute with it: as sRGB encodes it, not premultiplied.
pub(super) fn straight(colour: Color32) -> [f32; 4] {
    colour.to_srgba_unmultiplied().map(|v| f32::from(v) / 255.0)
}
