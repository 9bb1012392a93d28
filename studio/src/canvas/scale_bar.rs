//! A bar of a round length.

use super::view::{Area, View};
use eframe::egui::{Align2, Color32, FontId, Painter, Rect, Stroke, StrokeKind, pos2, vec2};

/// A round length of at most `most` micrometres: 1, 2 or 5 times a power of ten. None if there is none.
pub(super) fn round_length(most: f64) -> Option<f64> {
    if !(most.is_finite() && most > 0.0) {
        return None;
    }
    let power = 10f64.powi(most.log10().floor() as i32);
    // The next power of ten comes first in case the logarithm is rounded down.
    [10.0, 5.0, 2.0, 1.0].map(|m| m * power).into_iter().find(|&l| l <= most * (1.0 + 1e-9))
}

/// The length in the unit that people read it in.
pub(super) fn length_text(micrometres: f64) -> String {
    let (value, unit) = match micrometres {
        l if l >= 1e6 * (1.0 - 1e-9) => (l / 1e6, "m"),
        l if l >= 1e4 * (1.0 - 1e-9) => (l / 1e4, "cm"),
        l if l >= 1e3 * (1.0 - 1e-9) => (l / 1e3, "mm"),
        l if l >= 1.0 - 1e-9 => (l, "µm"),
        l => (l * 1e3, "nm"),
    };
    let text = format!("{value:.6}");
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Draws the bar in the lower right corner. `pixel_size` is in micrometres.
pub(super) fn draw(painter: &Painter, area: &Area, view: &View, pixel_size: f64) {
    /// The longest bar, in points.
    const LONGEST: f32 = 140.0;
    let points = view.zoom / f64::from(area.pixels_per_point);
    let longest = f64::from(LONGEST.min(area.rect.width() / 3.0));
    let Some(length) = round_length(longest / points * pixel_size) else { return };
    let width = (length / pixel_size * points) as f32;
    let end = area.rect.right_bottom() - vec2(16.0, 16.0);
    let bar = Rect::from_min_max(pos2(end.x - width, end.y - 4.0), end);
    let text = length_text(length);
    let font = FontId::proportional(13.0);
    let text = painter.layout_no_wrap(text, font, Color32::WHITE);
    let behind = Rect::from_min_max(
        pos2(bar.left().min(bar.center().x - text.size().x / 2.0) - 6.0, bar.top() - text.size().y - 6.0),
        pos2(bar.right().max(bar.center().x + text.size().x / 2.0) + 6.0, bar.bottom() + 6.0),
    );
    painter.rect_filled(behind, 3.0, Color32::from_black_alpha(140));
    painter.rect(bar, 0.0, Color32::WHITE, Stroke::new(1.0, Color32::BLACK), StrokeKind::Outside);
    let at = Align2::CENTER_BOTTOM.anchor_size(pos2(bar.center().x, bar.top() - 2.0), text.size());
    painter.galley(at.min, text, Color32::WHITE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_round_and_fit() {
        for (most, length) in
            [(1.0, 1.0), (0.99, 0.5), (3.0, 2.0), (1000.0, 1000.0), (7.9e-3, 5e-3), (49_999.0, 20_000.0)]
        {
            let found = round_length(most).unwrap();
            assert!((found / length - 1.0).abs() < 1e-12, "{most}: {found}");
        }
        assert!(round_length(0.0).is_none() && round_length(f64::NAN).is_none());
    }

    #[test]
    fn lengths_have_the_unit_that_people_read() {
        let texts = [0.005, 0.5, 1.0, 50.0, 1000.0, 20_000.0, 5e6].map(length_text);
        assert_eq!(texts, ["5 nm", "500 nm", "1 µm", "50 µm", "1 mm", "2 cm", "5 m"]);
    }
}
