//! Colours of instances that colour-blind eyes tell apart.

use eframe::egui::Color32;

/// Well separated hues after Okabe and Ito and Paul Tol, without black, and lighter and darker ones of each.
pub(super) const PALETTE: [[u8; 3]; 36] = shades();

const HUES: [[u8; 3]; 12] = [
    [0xe6, 0x9f, 0x00], // orange
    [0x56, 0xb4, 0xe9], // sky blue
    [0xf0, 0xe4, 0x42], // yellow
    [0x00, 0x72, 0xb2], // blue
    [0xd5, 0x5e, 0x00], // vermilion
    [0x00, 0x9e, 0x73], // bluish green
    [0xcc, 0x79, 0xa7], // reddish purple
    [0x44, 0xaa, 0x99], // teal
    [0xee, 0x66, 0x77], // rose
    [0x99, 0x99, 0x33], // olive
    [0x88, 0x77, 0xdd], // indigo, lightened
    [0xbb, 0xcc, 0x33], // pear
];

const fn shades() -> [[u8; 3]; 36] {
    let mut out = [[0; 3]; 36];
    let mut i = 0;
    while i < 36 {
        let mut c = 0;
        while c < 3 {
            let v = HUES[i % 12][c] as u32;
            out[i][c] = match i / 12 {
                0 => v,
                1 => (v + 255) / 2,
                _ => v * 2 / 3,
            } as u8;
            c += 1;
        }
        i += 1;
    }
    out
}

/// The place in the palette: consecutive numbers have far hues, numbers 12 apart another hue and lightness.
fn place(id: u32) -> usize {
    let (turn, shade) = (id / 12, id / 12 % 3);
    let hue = id.wrapping_mul(5).wrapping_add(turn + id / 432) % 12;
    (shade * 12 + hue) as usize
}

/// The colour of an instance without a colour of its own.
pub fn instance_colour(id: u32) -> Color32 {
    let [r, g, b] = PALETTE[place(id)];
    Color32::from_rgb(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_near_each_other_have_different_colours() {
        for id in 1..5000u32 {
            for other in id + 1..id + 12 {
                let differ = instance_colour(id) != instance_colour(other);
                assert!(differ, "{id} {other}");
            }
        }
        assert_ne!(instance_colour(1), instance_colour(13));
    }

    #[test]
    fn all_of_the_palette_is_used() {
        let used: std::collections::BTreeSet<_> = (1..500).map(|id| instance_colour(id).to_array()).collect();
        assert_eq!(used.len(), 36);
    }
}
