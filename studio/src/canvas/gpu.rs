//! The device's side of a canvas: textures, buffers, and a frame's draws in egui's render pass.

use super::buffer::buffer;
use super::frame::{Draw, Frame, Pipe, Screen, Style, Texture};
use super::histogram::Counter;
use super::pipes::{Pipes, STYLE_BYTES};
use super::store::{Command, SharedQueue, Texels, locked};
use eframe::egui::{self, PaintCallbackInfo};
use eframe::egui_wgpu::{CallbackResources, CallbackTrait, ScreenDescriptor};
use eframe::wgpu;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// A frame of a canvas, as egui's renderer calls it.
pub(super) struct Paint {
    pub canvas: u64,
    pub format: wgpu::TextureFormat,
    pub frame: Frame,
    pub queue: SharedQueue,
    pub ctx: egui::Context,
}

/// Everything that canvases hold on the device, in egui's resources.
#[derive(Default)]
struct Resources {
    pipes: HashMap<wgpu::TextureFormat, Pipes>,
    canvases: HashMap<u64, Held>,
}

/// What one canvas holds.
struct Held {
    tiles: HashMap<u64, Tile>,
    styles: Vec<wgpu::Buffer>,
    style_groups: Vec<wgpu::BindGroup>,
    quads: Option<wgpu::Buffer>,
    tables: HashMap<usize, (Arc<[egui::Color32]>, wgpu::Buffer)>,
    maps: Vec<Option<wgpu::BindGroup>>,
    counter: Option<Counter>,
    /// Gone when the canvas is.
    alive: Weak<Mutex<super::store::Queue>>,
}

struct Tile {
    texture: wgpu::Texture,
    group: wgpu::BindGroup,
}

impl CallbackTrait for Paint {
    fn prepare(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        screen: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let resources = resources.entry::<Resources>().or_insert_with(Resources::default);
        resources.canvases.retain(|_, held| held.alive.strong_count() > 0);
        let pipes = resources.pipes.entry(self.format).or_insert_with(|| Pipes::new(device, self.format));
        let held = resources.canvases.entry(self.canvas).or_insert_with(|| Held::new(Arc::downgrade(&self.queue)));
        let commands = {
            let mut pending = locked(&self.queue);
            pending.bytes = 0;
            std::mem::take(&mut pending.commands)
        };
        for command in commands {
            match command {
                Command::Create { slot, texels } => {
                    held.tiles.insert(slot, Tile::new(device, queue, pipes, &texels));
                }
                Command::Write { slot, at, texels } => {
                    if let Some(tile) = held.tiles.get(&slot) {
                        write(queue, &tile.texture, at, &texels);
                    }
                }
                Command::Drop { slot } => {
                    held.tiles.remove(&slot);
                }
                Command::Limits(request) => {
                    held.counter.get_or_insert_with(|| Counter::new(device)).request(request);
                }
            }
        }
        if held.counter.as_mut().is_some_and(|c| c.step(device, queue, encoder)) {
            self.ctx.request_repaint();
        }
        held.prepare(device, queue, pipes, &self.frame, screen.size_in_pixels, self.format);
        Vec::new()
    }

    fn paint(&self, info: PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        let Some(resources) = resources.get::<Resources>() else { return };
        let (Some(pipes), Some(held)) = (resources.pipes.get(&self.format), resources.canvases.get(&self.canvas))
        else {
            return;
        };
        let Some(quads) = &held.quads else { return };
        let [width, height] = info.screen_size_px;
        pass.set_viewport(0.0, 0.0, width as f32, height as f32, 0.0, 1.0);
        pass.set_vertex_buffer(0, quads.slice(..));
        let clip = info.clip_rect_in_pixels();
        let [left, top, w, h] = [clip.left_px, clip.top_px, clip.width_px, clip.height_px].map(|v| v.max(0) as u32);
        let mut set = None;
        for (i, draw) in self.frame.draws.iter().enumerate() {
            let group = match &draw.texture {
                Texture::None => None,
                Texture::Slot(slot) => match held.tiles.get(slot) {
                    Some(tile) => Some(&tile.group),
                    None => continue,
                },
                Texture::Given(_) => match held.maps.get(i) {
                    Some(Some(group)) => Some(group),
                    _ => continue,
                },
            };
            let Some(style) = held.style_groups.get(draw.style) else { continue };
            let [a, b] = draw.columns.map_or([left, left + w], |[a, b]| [a.max(left), b.min(left + w)]);
            if a >= b || h == 0 {
                continue;
            }
            pass.set_scissor_rect(a, top, b - a, h);
            if set != Some((draw.pipe, draw.style)) {
                pass.set_pipeline(pipes.of(draw.pipe));
                pass.set_bind_group(0, style, &[]);
                set = Some((draw.pipe, draw.style));
            }
            if let Some(group) = group {
                pass.set_bind_group(1, group, &[]);
            }
            pass.draw(0..4, i as u32..i as u32 + 1);
        }
    }
}

impl Held {
    fn new(alive: Weak<Mutex<super::store::Queue>>) -> Self {
        Self {
            tiles: HashMap::new(),
            styles: Vec::new(),
            style_groups: Vec::new(),
            quads: None,
            tables: HashMap::new(),
            maps: Vec::new(),
            counter: None,
            alive,
        }
    }

    fn prepare(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        pipes: &Pipes,
        frame: &Frame,
        size: [u32; 2],
        format: wgpu::TextureFormat,
    ) {
        let quads: &[u8] = bytemuck::cast_slice(&frame.quads);
        if self.quads.as_ref().is_none_or(|b| b.size() < quads.len() as u64) {
            let usage = wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::COPY_DST;
            let bytes = (quads.len() as u64).next_power_of_two().max(4096);
            self.quads = Some(buffer(device, "canvas quads", bytes, usage));
        }
        if let Some(buffer) = &self.quads {
            queue.write_buffer(buffer, 0, quads);
        }
        let screen = Screen { size: size.map(|s| s as f32), linear: u32::from(format.is_srgb()), unused: 0 };
        self.style_groups.clear();
        for (i, style) in frame.styles.iter().enumerate() {
            self.add_style(device, queue, pipes, i, style, &screen);
        }
        self.maps = frame.draws.iter().map(|draw| map(device, pipes, draw)).collect();
    }

    fn add_style(
        &mut self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        pipes: &Pipes,
        i: usize,
        style: &Style,
        screen: &Screen,
    ) {
        if self.styles.len() <= i {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            self.styles.push(buffer(device, "canvas style", STYLE_BYTES, usage));
        }
        let mut bytes = style.bytes.clone();
        bytes[..size_of::<Screen>()].copy_from_slice(bytemuck::bytes_of(screen));
        queue.write_buffer(&self.styles[i], 0, &bytes);
        match &style.table {
            None => {
                self.tables.remove(&i);
            }
            Some(table) if self.tables.get(&i).is_none_or(|(old, _)| !Arc::ptr_eq(old, table)) => {
                let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
                let colours = buffer(device, "canvas colours", (table.len() * 4) as u64, usage);
                queue.write_buffer(&colours, 0, bytemuck::cast_slice(table));
                self.tables.insert(i, (table.clone(), colours));
            }
            Some(_) => {}
        }
        let table = self.tables.get(&i).map_or(&pipes.no_table, |(_, buffer)| buffer);
        self.style_groups.push(device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("canvas style"),
            layout: &pipes.style,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.styles[i].as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: table.as_entire_binding() },
            ],
        }));
    }
}

fn texture_group(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    texture: &wgpu::Texture,
    dimension: wgpu::TextureViewDimension,
) -> wgpu::BindGroup {
    let view = texture.create_view(&wgpu::TextureViewDescriptor { dimension: Some(dimension), ..Default::default() });
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: texture_label(dimension),
        layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::TextureView(&view) }],
    })
}

fn texture_label(dimension: wgpu::TextureViewDimension) -> Option<&'static str> {
    Some(if dimension == wgpu::TextureViewDimension::D2 { "canvas map" } else { "canvas tile" })
}

/// The bind group of a texture that the application gave. One of another format is not drawn.
fn map(device: &wgpu::Device, pipes: &Pipes, draw: &Draw) -> Option<wgpu::BindGroup> {
    let Texture::Given(texture) = &draw.texture else { return None };
    let (format, layout) = match draw.pipe {
        Pipe::Classes => (wgpu::TextureFormat::R8Uint, &pipes.class_map),
        _ => (wgpu::TextureFormat::R32Float, &pipes.map),
    };
    let fits = texture.format() == format
        && texture.usage().contains(wgpu::TextureUsages::TEXTURE_BINDING)
        && texture.dimension() == wgpu::TextureDimension::D2;
    if !fits {
        log::warn!("live output is not drawn: its texture is not {format:?} with TEXTURE_BINDING");
        return None;
    }
    Some(texture_group(device, layout, texture, wgpu::TextureViewDimension::D2))
}

impl Tile {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue, pipes: &Pipes, texels: &Texels) -> Self {
        let format = match texels.bytes {
            1 => wgpu::TextureFormat::R8Uint,
            2 => wgpu::TextureFormat::R16Uint,
            _ => wgpu::TextureFormat::R32Uint,
        };
        let [width, height] = texels.size;
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("canvas tile"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: texels.layers },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        write(queue, &texture, [0; 2], texels);
        let group = texture_group(device, &pipes.tile, &texture, wgpu::TextureViewDimension::D2Array);
        Self { texture, group }
    }
}

fn write(queue: &wgpu::Queue, texture: &wgpu::Texture, at: [u32; 2], texels: &Texels) {
    let [width, height] = texels.size;
    queue.write_texture(
        wgpu::TexelCopyTextureInfo {
            texture,
            mip_level: 0,
            origin: wgpu::Origin3d { x: at[0], y: at[1], z: 0 },
            aspect: wgpu::TextureAspect::All,
        },
        &texels.data,
        wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(width * texels.bytes),
            rows_per_image: Some(height),
        },
        wgpu::Extent3d { width, height, depth_or_array_layers: texels.layers },
    );
}
