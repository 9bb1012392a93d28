//! Where two instances touch.

use super::boxes::{Window, is_instance};

/// Columns from the middle of each row of the disc y^2 + x^2 <= 5, from two rows above to two below.
const DISC: [isize; 5] = [1, 2, 2, 2, 1];

/// Whether the disc around a pixel, of any kind, holds two different instances; for every pixel of the target.
pub(super) fn touching_border<'a>(window: &'a Window) -> impl Iterator<Item = bool> + 'a {
    let columns = window.target_columns();
    window.target_rows().flat_map(move |y| columns.clone().map(move |x| touches(window, y, x)))
}

fn touches(window: &Window, y: usize, x: usize) -> bool {
    let mut first = 0;
    for (dy, reach) in (-2isize..=2).zip(DISC) {
        let Some(row) = y.checked_add_signed(dy).filter(|&row| row < window.height) else { continue };
        let from = x.saturating_add_signed(-reach);
        let to = (x + reach as usize + 1).min(window.width);
        for &label in &window.labels[row * window.width..][from..to] {
            if is_instance(label) && label != first {
                if first != 0 {
                    return true;
                }
                first = label;
            }
        }
    }
    false
}
