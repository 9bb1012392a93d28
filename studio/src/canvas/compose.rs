//! A scene as draws: background, image, labels, live output, lines between pixels.

use super::contrast::Contrast;
use super::frame::{Draw, Frame, ImageStyle, LabelsStyle, LiveStyle, Pipe, ShapesStyle, Slot, Texture, straight};
use super::image::{CanvasImage, level_part, planes};
use super::label_tiles::{self, MARGIN};
use super::layers::{Background, Colouring, LABEL_TILE, LabelLayer, Live, LiveLook, Scene, UNLABELLED};
use super::palette::PALETTE;
use super::pyramid::TILE;
use super::store::{Key, Store, Texels, Version};
use super::tiles::{Quad, Tiling};
use super::view::{Area, View};
use eframe::egui::Color32;
use unet_wgpu::low_level::infer::Sample;

/// Lines separate pixels from this magnification on.
const GRID_ZOOM: f64 = 12.0;

/// Where things are drawn.
pub(super) struct Place<'a> {
    pub view: &'a View,
    pub area: &'a Area,
    /// Columns of the target, in screen pixels: left and right of the split.
    pub columns: [[u32; 2]; 2],
}

/// All that is drawn in a frame. Tiles that are missing are put into the store as far as there is room.
pub(super) fn compose(store: &mut Store, scene: &Scene, place: &Place, panel: Color32) -> Frame {
    let mut frame = Frame::default();
    let shapes = shapes_style(&mut frame, scene.background.unwrap_or(Background::Plain(panel)));
    let p = f64::from(place.area.pixels_per_point);
    let r = place.area.rect;
    let whole = [r.left(), r.top(), r.right(), r.bottom()].map(|v| (f64::from(v) * p) as f32);
    figure(&mut frame, shapes, whole, 0);
    let size = scene.image.map(CanvasImage::size);
    if let Some(image) = scene.image {
        let of_image = Contrast::of(image);
        add_image(store, image, scene.contrast.unwrap_or(&of_image), place, &mut frame);
    }
    if let Some(live) = scene.live {
        add_live(live, place, &mut frame);
    }
    let lined = size.or_else(|| scene.labels.as_ref().map(|l| l.tiles.size()));
    if let Some(size) = lined.filter(|_| scene.grid && place.view.zoom >= GRID_ZOOM) {
        add_grid(&mut frame, shapes, place, size);
    }
    let sides = [&scene.labels, &scene.compare].map(|l| l.as_ref());
    let split = scene.compare.is_some();
    for (layer, columns) in sides.into_iter().zip(place.columns) {
        if let Some(layer) = layer {
            add_labels(store, layer, place, split.then_some(columns), &mut frame);
        }
    }
    if let Some(size) = lined {
        add_border(&mut frame, shapes, place, size);
    }
    frame
}

fn shapes_style(frame: &mut Frame, background: Background) -> usize {
    let [a, b] = match background {
        Background::Plain(colour) => [colour; 2],
        Background::Checkered(a, b) => [a, b],
    };
    let border = [0.5, 0.5, 0.5, 1.0];
    let style = ShapesStyle { colours: [straight(a), straight(b), border, [0.5, 0.5, 0.5, 0.3]], ..Default::default() };
    frame.style(&style, None)
}

fn figure(frame: &mut Frame, style: usize, rect: [f32; 4], kind: u8) {
    let quad = Quad { rect, origin: [0.0; 2], scale: 0.0, kind: f32::from(kind) };
    frame.draw(quad, Draw { pipe: Pipe::Shapes, style, texture: Texture::None, columns: None });
}

fn add_image(store: &mut Store, image: &CanvasImage, contrast: &Contrast, place: &Place, frame: &mut Frame) {
    let shown = contrast.shown();
    let tiling = Tiling { size: image.size(), side: TILE, top: image.pyramid().top() };
    let mut style = ImageStyle { count: shown.len() as u32, ..Default::default() };
    style.floats = u32::from(image.pixels().pixels().sample() == Sample::F32);
    let displays = shown.iter().filter_map(|&c| contrast.channels.get(usize::from(c)));
    for (slot, c) in style.slots.iter_mut().zip(displays) {
        // Equal limits are a threshold.
        let width = (c.high - c.low).max(f32::MIN_POSITIVE * 1e6);
        *slot = Slot { colour: straight(c.colour), window: [c.low, 1.0 / width, c.gamma.max(0.0), 0.0] };
    }
    let style = frame.style(&style, None);
    // Of an image without visible channels one is held, and none is drawn.
    let held = if shown.is_empty() { vec![0] } else { shown };
    let set = held.iter().fold(0u64, |h, &c| h.wrapping_mul(65_599).wrapping_add(u64::from(c) + 1));
    let sample = image.pixels().pixels().sample().bytes() as u64;
    let tile_bytes = u64::from(TILE * TILE) * sample * held.len() as u64;
    let mut tile = |level: u32, tile: [u32; 2], anyway: bool| {
        let key = Key::Image { image: image.id(), set, level, tile };
        // The coarsest level is shown from some of the pixels until it is averaged from all.
        let version = Version { core: u64::from(image.pyramid().level(level).is_some()), ring: 0 };
        let old = store.get(&key).map(|e| (e.slot, e.version));
        match old {
            Some((slot, present)) if present == version => Some(slot),
            old => {
                let old = old.map(|(slot, _)| slot);
                let Some((pixels, part)) = level_part(image, level, tile, TILE) else { return old };
                if !anyway && !store.has_room(&key) {
                    return old;
                }
                let data = planes(pixels, part, &held);
                let size = part.size.map(|s| s as u32);
                let texels = Texels { bytes: sample as u32, size, layers: held.len() as u32, data };
                Some(store.put(key, texels, version, 0))
            }
        }
    };
    tile(tiling.top, [0; 2], true);
    let (level, tiles) = visible(&tiling, place, 256 << 20, tile_bytes);
    for at in tiles {
        // The finest that is there.
        let found =
            (level..=tiling.top).find_map(|from| Some((tile(from, Tiling::ancestor(at, from - level), false)?, from)));
        if let Some((slot, from)) = found {
            let quad = tiling.quad(place.view, place.area, level, at, from);
            frame.draw(quad, Draw { pipe: Pipe::Image, style, texture: Texture::Slot(slot), columns: None });
        }
    }
}

/// The tiles that are shown, of a level whose visible part takes at most half the budget.
fn visible(tiling: &Tiling, place: &Place, budget: u64, tile_bytes: u64) -> (u32, Vec<[u32; 2]>) {
    let mut level = tiling.level(place.view.zoom);
    loop {
        let tiles = tiling.visible(place.view, place.area, level);
        if tiles.len() as u64 * tile_bytes <= budget / 2 || level == tiling.top {
            return (level, tiles);
        }
        level += 1;
    }
}

fn add_labels(store: &mut Store, layer: &LabelLayer, place: &Place, columns: Option<[u32; 2]>, frame: &mut Frame) {
    let tiling = label_tiles::tiling(layer.tiles.size());
    let style = &layer.style;
    let table = match &style.colouring {
        Colouring::Instances => None,
        Colouring::Table(table) => Some(table.clone()).filter(|t| !t.is_empty()),
    };
    let origin = place.view.origin(place.area);
    let mut palette = [0; 144];
    for (out, [r, g, b]) in palette.as_chunks_mut::<4>().0.iter_mut().zip(PALETTE) {
        *out = [r, g, b, 255];
    }
    let point = place.area.pixels_per_point;
    let uniforms = LabelsStyle {
        // The hatch repeats after 12 points.
        anchor: origin.map(|o| o.rem_euclid(12.0 * f64::from(point)) as f32),
        point,
        opacity: if style.fills { style.opacity.clamp(0.0, 1.0) } else { 0.0 },
        width: if style.outlines { style.width.clamp(1.0, 2.0) } else { 0.0 },
        selected: style.selected.unwrap_or(UNLABELLED),
        unlabelled: u32::from(style.unlabelled),
        entries: table.as_ref().map_or(0, |t| t.len() as u32),
        palette: bytemuck::cast(palette),
        ..Default::default()
    };
    let uniforms = frame.style(&uniforms, table);
    let side = u64::from(LABEL_TILE + 2 * MARGIN);
    label_tiles::fetch(store, layer, &tiling, tiling.top, [0; 2], true);
    let (level, tiles) = visible(&tiling, place, 256 << 20, side * side * 4);
    for at in tiles {
        let found = (level..=tiling.top).find_map(|from| {
            let tile = Tiling::ancestor(at, from - level);
            Some((label_tiles::fetch(store, layer, &tiling, from, tile, false)?, from))
        });
        if let Some((slot, from)) = found {
            let quad = tiling.quad(place.view, place.area, level, at, from);
            frame.draw(quad, Draw { pipe: Pipe::Labels, style: uniforms, texture: Texture::Slot(slot), columns });
        }
    }
}

fn add_live(live: &Live, place: &Place, frame: &mut Frame) {
    let size = [live.size[0].min(live.texture.width()), live.size[1].min(live.texture.height())];
    if size.contains(&0) {
        return;
    }
    let (pipe, colour, threshold, table) = match &live.look {
        LiveLook::Threshold { least, colour } => (Pipe::Live, *colour, *least, None),
        LiveLook::Classes(table) if table.is_empty() => return,
        LiveLook::Classes(table) => (Pipe::Classes, Color32::TRANSPARENT, 0.0, Some(table.clone())),
    };
    let style = LiveStyle {
        colour: straight(colour),
        size: size.map(|s| s as f32),
        threshold,
        opacity: live.opacity.clamp(0.0, 1.0),
        point: place.area.pixels_per_point,
        ..Default::default()
    };
    let style = frame.style(&style, table);
    let (o, zoom) = (place.view.origin(place.area), place.view.zoom);
    let at = |i: usize, offset: u32| (o[i] + (f64::from(live.at[i]) + f64::from(offset)) * zoom) as f32;
    let rect = [at(0, 0), at(1, 0), at(0, size[0]), at(1, size[1])];
    let quad = Quad { rect, origin: [rect[0], rect[1]], scale: (1.0 / zoom) as f32, kind: 0.0 };
    let texture = Texture::Given(live.texture.clone());
    frame.draw(quad, Draw { pipe, style, texture, columns: None });
}

/// Lines between pixels, below the labels.
fn add_grid(frame: &mut Frame, style: usize, place: &Place, size: [u32; 2]) {
    let (o, zoom) = (place.view.origin(place.area), place.view.zoom);
    let at = |i: usize, pixel: f64| (o[i] + pixel * zoom) as f32;
    let [a, b] = place.view.visible(place.area, size);
    let (a, b) = (a.map(f64::floor), b.map(f64::ceil));
    let rect = [at(0, a[0]), at(1, a[1]), at(0, b[0]), at(1, b[1])];
    let quad = Quad { rect, origin: [rect[0], rect[1]], scale: (1.0 / zoom) as f32, kind: 3.0 };
    frame.draw(quad, Draw { pipe: Pipe::Shapes, style, texture: Texture::None, columns: None });
}

/// A line around the image, outside of it, on whole screen pixels.
fn add_border(frame: &mut Frame, style: usize, place: &Place, size: [u32; 2]) {
    let (o, zoom) = (place.view.origin(place.area), place.view.zoom);
    let width = place.area.pixels_per_point.round().max(1.0);
    let at = |i: usize, pixel: f64| (o[i] + pixel * zoom) as f32;
    let [x0, y0] = [at(0, 0.0).floor(), at(1, 0.0).floor()];
    let [x1, y1] = [at(0, f64::from(size[0])).ceil(), at(1, f64::from(size[1])).ceil()];
    figure(frame, style, [x0 - width, y0 - width, x1 + width, y0], 2);
    figure(frame, style, [x0 - width, y1, x1 + width, y1 + width], 2);
    figure(frame, style, [x0 - width, y0, x0, y1], 2);
    figure(frame, style, [x1, y0, x1 + width, y1], 2);
}
