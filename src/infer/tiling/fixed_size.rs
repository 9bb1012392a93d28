//! Windows of one size, for networks with a fixed input size.

use crate::error::{Error, Hint, Message, Result};
use crate::infer::tile::grid::{TileGrid, TileSpec, Tileability, plan_axis};

/// Windows of exactly `size` rows and columns over an image. A smaller image is mirrored up to the window. A larger one
/// needs a network that can be tiled.
pub(in crate::low_level::infer) fn fixed_grid(
    image: [usize; 2],
    size: [usize; 2],
    tileability: Tileability,
    margin: usize,
) -> Result<TileGrid> {
    let larger = (0..2).any(|i| image[i] > size[i].saturating_sub(2 * margin));
    // A window that is all halo has no valid region.
    let has_valid_region = |spec: &TileSpec| {
        let min = |i: usize| TileSpec { minimum: size[i], ..*spec }.smallest_tile();
        (0..2).all(|i| min(i).is_ok_and(|min| min <= size[i]))
    };
    let tileability = match tileability {
        Tileability::Exact(spec) if !has_valid_region(&spec) => {
            Tileability::Impossible(format!("every pixel of the result depends on {} pixels on each side", spec.halo))
        }
        other => other,
    };
    let spec = match tileability {
        Tileability::Exact(spec) => spec,
        Tileability::Impossible(_) if !larger => TileSpec { align: 1, halo: 0, margin, minimum: 1 },
        Tileability::Impossible(why) => {
            let [h, w] = image;
            // Networks that lose a margin cannot be blended.
            let blend = match margin {
                0 => Message::from("tile it with `").then(Hint::BlendGaussian).then("`, "),
                _ => Message::default(),
            };
            let reason = Message::from(format!(
                "larger than the {}x{} pixels that are fixed as the network's input, and the network cannot be tiled \
                 exactly: {why}; resize the image, ",
                size[1], size[0]
            ));
            let reason = reason
                .then(blend)
                .then("or, if its layers take other sizes, give `")
                .then(Hint::model_option_with("free_size", "true"))
                .then("`, or another `size=`");
            return Err(Error::invalid(format!("{w}x{h} image"), reason));
        }
    };
    let axis = |i: usize| plan_axis(image[i], size[i], &TileSpec { minimum: size[i], ..spec });
    Ok(TileGrid { rows: axis(0)?, columns: axis(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_the_fixed_size() {
        let spec = TileSpec { align: 8, halo: 16, margin: 0, minimum: 64 };
        for (image, tiles) in [([64, 48], 1), ([10, 7], 1), ([65, 48], 2), ([200, 100], 6 * 5)] {
            let grid = fixed_grid(image, [64, 48], Tileability::Exact(spec), 0).unwrap();
            assert_eq!(([grid.rows.window, grid.columns.window], grid.len()), ([64, 48], tiles), "{image:?}");
            let valid_pixels: usize = grid.iter().map(|t| t.y.valid.len() * t.x.valid.len()).sum();
            assert_eq!(valid_pixels, image[0] * image[1]);
        }
    }

    #[test]
    fn untileable_networks_refuse_larger_images() {
        let global = || Tileability::Impossible("global pooling".into());
        assert_eq!(fixed_grid([64, 64], [64, 64], global(), 0).unwrap().len(), 1);
        assert_eq!(fixed_grid([30, 64], [64, 64], global(), 0).unwrap().rows.window, 64);
        let wide = Tileability::Exact(TileSpec { align: 8, halo: 32, margin: 0, minimum: 64 });
        let e = fixed_grid([64, 65], [64, 64], wide, 0).unwrap_err().to_string();
        assert!(e.contains("depends on 32 pixels"), "{e}");
        let e = fixed_grid([64, 65], [64, 64], global(), 0).unwrap_err().to_string();
        assert!(e.starts_with("65x64 image: larger than the 64x64") && e.contains("global pooling"), "{e}");
    }
}
