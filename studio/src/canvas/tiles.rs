//! Which tiles a view needs, and where they lie on the screen.

use super::pyramid::level_size;
use super::view::{Area, View};
use bytemuck::{Pod, Zeroable};

/// A rectangle on the screen and the texels that it shows, as shaders read it. Lengths are in screen pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Quad {
    /// Left, top, right, bottom.
    pub rect: [f32; 4],
    /// Where texel (0, 0) has its corner.
    pub origin: [f32; 2],
    /// Texels per screen pixel.
    pub scale: f32,
    /// Which of a shader's figures this is.
    pub kind: f32,
}

/// An image cut into square tiles, at each of its levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    /// Columns and rows of level 0.
    pub size: [u32; 2],
    /// Pixels along a tile's side, at every level.
    pub side: u32,
    /// The coarsest level.
    pub top: u32,
}

impl Tiling {
    /// The level that has one to two pixels per screen pixel, or the finest.
    pub fn level(&self, zoom: f64) -> u32 {
        // A zoom of exactly 1/4 is level 2, also after rounding.
        let wanted = (1.0 / zoom).log2() + 1e-9;
        (wanted.max(0.0) as u32).min(self.top)
    }

    /// Tiles of a level that a view shows, those nearest to its centre first.
    pub fn visible(&self, view: &View, area: &Area, level: u32) -> Vec<[u32; 2]> {
        let [a, b] = view.visible(area, self.size);
        if a[0] >= b[0] || a[1] >= b[1] {
            return Vec::new();
        }
        let side = f64::from(self.side) * f64::from(1u32 << level);
        let last = level_size(self.size, level).map(|s| s.div_ceil(self.side) - 1);
        let range = |i: usize| ((a[i] / side) as u32).min(last[i])..=((b[i] / side).ceil() as u32 - 1).min(last[i]);
        let mut tiles: Vec<_> = range(1).flat_map(|y| range(0).map(move |x| [x, y])).collect();
        let middle = view.centre.map(|c| c / side - 0.5);
        let distance = |t: &[u32; 2]| (0..2).map(|i| (f64::from(t[i]) - middle[i]).powi(2)).sum::<f64>();
        tiles.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        tiles
    }

    /// The tile of a coarser level that holds this one.
    pub fn ancestor(tile: [u32; 2], up: u32) -> [u32; 2] {
        tile.map(|t| t >> up)
    }

    /// Where a tile of `level` lies, drawn with the texture of its ancestor at level `from`.
    pub fn quad(&self, view: &View, area: &Area, level: u32, tile: [u32; 2], from: u32) -> Quad {
        let o = view.origin(area);
        let pixel = |level: u32| f64::from(1u32 << level);
        let edge = |i: usize, t: u32| {
            let at = (f64::from(t) * f64::from(self.side) * pixel(level)).min(f64::from(self.size[i]));
            (o[i] + at * view.zoom) as f32
        };
        let holder = Self::ancestor(tile, from - level);
        let corner = |i: usize| (o[i] + f64::from(holder[i] * self.side) * pixel(from) * view.zoom) as f32;
        Quad {
            rect: [edge(0, tile[0]), edge(1, tile[1]), edge(0, tile[0] + 1), edge(1, tile[1] + 1)],
            origin: [corner(0), corner(1)],
            scale: (1.0 / (view.zoom * pixel(from))) as f32,
            kind: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Rect, pos2, vec2};

    const TILING: Tiling = Tiling { size: [10_000, 6_000], side: 512, top: 5 };

    fn area() -> Area {
        Area { rect: Rect::from_min_size(pos2(0.0, 0.0), vec2(1000.0, 600.0)), pixels_per_point: 1.0 }
    }

    #[test]
    fn levels_follow_the_zoom() {
        let levels = [4.0, 1.0, 0.75, 0.5, 0.3, 0.25, 0.126, 0.125, 1e-6].map(|z| TILING.level(z));
        assert_eq!(levels, [0, 0, 0, 1, 1, 2, 2, 3, 5]);
    }

    #[test]
    fn visible_tiles_cover_the_view_without_overlap() {
        for zoom in [3.0, 1.0, 0.7, 0.25, 0.1] {
            let view = View { centre: [5100.3, 2900.7], zoom };
            let level = TILING.level(zoom);
            let quads =
                TILING.visible(&view, &area(), level).into_iter().map(|t| TILING.quad(&view, &area(), level, t, level));
            let covered: f64 = quads
                .map(|q| {
                    let part = |a: f32, b: f32, limit: f32| f64::from((b.min(limit) - a.max(0.0)).max(0.0));
                    part(q.rect[0], q.rect[2], 1000.0) * part(q.rect[1], q.rect[3], 600.0)
                })
                .sum();
            let [a, b] = view.visible(&area(), TILING.size);
            let wanted = (b[0] - a[0]) * (b[1] - a[1]) * zoom * zoom;
            assert!((covered - wanted).abs() < 1.0, "{zoom}: {covered} {wanted}");
        }
    }

    #[test]
    fn an_ancestor_shows_the_same_place() {
        let view = View { centre: [5000.0, 3000.0], zoom: 1.0 };
        let (fine, coarse) = (TILING.quad(&view, &area(), 0, [9, 5], 0), TILING.quad(&view, &area(), 0, [9, 5], 2));
        assert_eq!(fine.rect, coarse.rect);
        // The image point at the tile's corner, by either texture.
        let image = |q: Quad, level: u32, holder: u32| {
            ((q.rect[0] - q.origin[0]) * q.scale + (holder * 512) as f32) * (1 << level) as f32
        };
        assert_eq!((image(fine, 0, 9), image(coarse, 2, 2)), (4608.0, 4608.0));
    }

    #[test]
    fn the_nearest_tile_comes_first_and_edges_are_cut() {
        let view = View { centre: [9990.0, 5990.0], zoom: 1.0 };
        let tiles = TILING.visible(&view, &area(), 0);
        assert_eq!(tiles[0], [19, 11]);
        let quad = TILING.quad(&view, &area(), 0, [19, 11], 0);
        assert_eq!(quad.rect, [500.0 - 262.0, 300.0 - 358.0, 510.0, 310.0]);
    }
}
