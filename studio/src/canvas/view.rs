//! Which part of an image is on the screen, and how large. No widget, no device.

use eframe::egui::{Pos2, Rect, Vec2};

/// Where a canvas lies on the screen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Its rectangle in points.
    pub rect: Rect,
    /// Screen pixels per point.
    pub pixels_per_point: f32,
}

impl Area {
    /// Width and height in screen pixels.
    pub fn pixels(&self) -> [f64; 2] {
        let p = f64::from(self.pixels_per_point);
        [f64::from(self.rect.width()) * p, f64::from(self.rect.height()) * p]
    }

    fn centre(&self) -> [f64; 2] {
        let (c, p) = (self.rect.center(), f64::from(self.pixels_per_point));
        [f64::from(c.x) * p, f64::from(c.y) * p]
    }
}

/// The image point in the middle of the canvas, and the magnification.
///
/// Image coordinates are in pixels from the upper left corner: the first pixel covers 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The image point in the middle of the canvas: column, row.
    pub centre: [f64; 2],
    /// Screen pixels per image pixel.
    pub zoom: f64,
}

impl Default for View {
    fn default() -> Self {
        Self { centre: [0.0; 2], zoom: 1.0 }
    }
}

impl View {
    /// The largest magnification.
    pub const MAX_ZOOM: f64 = 128.0;

    /// The whole image, with a narrow margin.
    pub fn fit(area: &Area, size: [u32; 2]) -> Self {
        let size = size.map(f64::from);
        let [w, h] = area.pixels();
        let zoom = (w / size[0].max(1.0)).min(h / size[1].max(1.0)) * 0.98;
        let zoom = if zoom.is_finite() && zoom > 0.0 { zoom.min(Self::MAX_ZOOM) } else { 1.0 };
        Self { centre: size.map(|s| s / 2.0), zoom }
    }

    /// Keeps the magnification between a quarter of [`Self::fit`] and [`Self::MAX_ZOOM`], and the centre in the image.
    #[must_use]
    pub fn clamped(self, area: &Area, size: [u32; 2]) -> Self {
        let least = Self::fit(area, size).zoom.min(1.0) / 4.0;
        let zoom = if self.zoom.is_finite() { self.zoom.clamp(least, Self::MAX_ZOOM) } else { 1.0 };
        let inside = |at: f64, size: u32| if at.is_finite() { at.clamp(0.0, f64::from(size)) } else { 0.0 };
        Self { centre: [inside(self.centre[0], size[0]), inside(self.centre[1], size[1])], zoom }
    }

    /// The screen position of the image's upper left corner, in screen pixels.
    pub fn origin(&self, area: &Area) -> [f64; 2] {
        let c = area.centre();
        [c[0] - self.centre[0] * self.zoom, c[1] - self.centre[1] * self.zoom]
    }

    /// The screen position of an image point, in points.
    pub fn to_screen(&self, area: &Area, at: [f64; 2]) -> Pos2 {
        let (o, p) = (self.origin(area), f64::from(area.pixels_per_point));
        Pos2::new(((o[0] + at[0] * self.zoom) / p) as f32, ((o[1] + at[1] * self.zoom) / p) as f32)
    }

    /// The image point at a screen position in points.
    pub fn to_image(&self, area: &Area, at: Pos2) -> [f64; 2] {
        let (o, p) = (self.origin(area), f64::from(area.pixels_per_point));
        [(f64::from(at.x) * p - o[0]) / self.zoom, (f64::from(at.y) * p - o[1]) / self.zoom]
    }

    /// Magnifies by a factor; the image point at `at` stays where it is.
    pub fn zoom_at(&mut self, area: &Area, size: [u32; 2], at: Pos2, factor: f64) {
        let fixed = self.to_image(area, at);
        let zoom = Self { zoom: self.zoom * factor, ..*self }.clamped(area, size).zoom;
        let ratio = self.zoom / zoom;
        for (centre, fixed) in self.centre.iter_mut().zip(fixed) {
            *centre = fixed + (*centre - fixed) * ratio;
        }
        self.zoom = zoom;
        *self = self.clamped(area, size);
    }

    /// Moves the image by `delta` points.
    pub fn pan(&mut self, area: &Area, size: [u32; 2], delta: Vec2) {
        let p = f64::from(area.pixels_per_point);
        self.centre[0] -= f64::from(delta.x) * p / self.zoom;
        self.centre[1] -= f64::from(delta.y) * p / self.zoom;
        *self = self.clamped(area, size);
    }

    /// The visible part of an image: first column and row, last column and row (exclusive). Empty if none is visible.
    pub fn visible(&self, area: &Area, size: [u32; 2]) -> [[f64; 2]; 2] {
        let half = area.pixels().map(|s| s / 2.0 / self.zoom);
        let side = |i: usize| {
            let limit = f64::from(size[i]);
            [(self.centre[i] - half[i]).clamp(0.0, limit), (self.centre[i] + half[i]).clamp(0.0, limit)]
        };
        let ([x0, x1], [y0, y1]) = (side(0), side(1));
        [[x0, y0], [x1, y1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{pos2, vec2};
    use proptest::prelude::*;

    fn area() -> Area {
        Area { rect: Rect::from_min_size(pos2(10.0, 20.0), vec2(300.0, 200.0)), pixels_per_point: 2.0 }
    }

    #[test]
    fn a_fitted_image_is_wholly_visible_and_centred() {
        let (area, size) = (area(), [1000, 100]);
        let view = View::fit(&area, size);
        let [a, b] = [view.to_screen(&area, [0.0, 0.0]), view.to_screen(&area, [1000.0, 100.0])];
        assert!(area.rect.contains(a) && area.rect.contains(b));
        assert!((a.x - area.rect.left() - (area.rect.right() - b.x)).abs() < 1e-3);
        assert_eq!(view.visible(&area, size), [[0.0, 0.0], [1000.0, 100.0]]);
    }

    #[test]
    fn one_to_one_is_a_screen_pixel_per_image_pixel() {
        let (area, view) = (area(), View { centre: [50.0, 50.0], zoom: 1.0 });
        let (a, b) = (view.to_screen(&area, [10.0, 10.0]), view.to_screen(&area, [12.0, 10.0]));
        assert_eq!((b.x - a.x) * area.pixels_per_point, 2.0);
        assert_eq!(view.visible(&area, [1000, 1000]), [[0.0, 0.0], [350.0, 250.0]]);
    }

    #[test]
    fn nonsense_becomes_a_view_of_the_image() {
        let view = View { centre: [f64::NAN, 1e9], zoom: f64::INFINITY }.clamped(&area(), [40, 30]);
        assert_eq!(view, View { centre: [0.0, 30.0], zoom: 1.0 });
        assert_eq!(View { zoom: 0.0, ..view }.clamped(&area(), [4000, 30]).zoom, 600.0 / 4000.0 * 0.98 / 4.0);
        let flat = Area { rect: Rect::from_min_size(pos2(0.0, 0.0), vec2(0.0, 0.0)), pixels_per_point: 1.0 };
        assert_eq!(View::fit(&flat, [10, 10]).zoom, 1.0);
    }

    proptest! {
        #[test]
        fn conversions_are_inverse(x in 0.0..10_000.0f64, y in 0.0..10_000.0f64, zoom in 0.05..100.0f64) {
            let (area, view) = (area(), View { centre: [x, y], zoom });
            let at = pos2(100.0, 77.0);
            let back = view.to_screen(&area, view.to_image(&area, at));
            prop_assert!((back - at).length() < 1e-3);
        }

        #[test]
        fn zooming_keeps_the_point_under_the_pointer(
            x in 4000.0..6000.0f64, y in 4000.0..6000.0f64, zoom in 0.5..50.0f64, factor in 0.5..2.0f64,
        ) {
            let (area, mut view) = (area(), View { centre: [x, y], zoom });
            let at = pos2(250.0, 60.0);
            let before = view.to_image(&area, at);
            view.zoom_at(&area, [10_000; 2], at, factor);
            let after = view.to_image(&area, at);
            prop_assert!((before[0] - after[0]).abs() < 1e-6 && (before[1] - after[1]).abs() < 1e-6);
        }

        #[test]
        fn a_clamped_view_shows_some_of_the_image(
            x in -1e6..1e6f64, y in -1e6..1e6f64, zoom in 1e-6..1e6f64,
        ) {
            let view = View { centre: [x, y], zoom }.clamped(&area(), [640, 480]);
            let [a, b] = view.visible(&area(), [640, 480]);
            prop_assert!(a[0] < b[0] && a[1] < b[1]);
        }
    }
}
