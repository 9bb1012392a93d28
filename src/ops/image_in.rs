//! From pixels to network input: crop, mirror at the edges of the image, normalise.

use super::{InputKind, Lowering, Op, OpCase, Spatial, by_plane, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// Cuts a tile out of a window of an image, mirrors the image where the tile extends beyond it (the edge pixel is not
/// repeated), and normalises: `clamp((x - offset) * scale, low, high)` per channel.
///
/// Inputs, both linear: windows `[N, C, WH, WW]` (raw values of a rectangle of the image with every pixel that the tile
/// needs after mirroring), and the [`ImageInfo`] words of each, `[N, 1, 1, 8 + 4 C]`. Output: `[N, C, height, width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageIn {
    /// Rows of the tile.
    pub height: usize,
    /// Columns of the tile.
    pub width: usize,
}

/// Position and normalisation of a tile: the values that change per tile and image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInfo {
    /// Image row and column of the tile's first pixel; negative above and left of the image.
    pub tile: [i64; 2],
    /// Image row and column of the window's first pixel.
    pub window: [usize; 2],
    /// Image rows and columns.
    pub image: [usize; 2],
    /// Offset, scale, low, high of each channel.
    pub channels: Vec<[f32; 4]>,
}

impl ImageInfo {
    /// Words before those of the channels.
    const HEAD: usize = 8;

    /// Number of words for `channels` channels.
    pub const fn len(channels: usize) -> usize {
        Self::HEAD + 4 * channels
    }

    /// The words that the kernel reads. Sizes up to 2^24 are exact as `f32`.
    pub fn words(&self) -> Vec<f32> {
        let mut words = vec![self.tile[0] as f32, self.tile[1] as f32, self.window[0] as f32, self.window[1] as f32];
        words.extend([self.image[0] as f32, self.image[1] as f32, 0.0, 0.0]);
        words.extend(self.channels.iter().flatten());
        words
    }
}

/// The pixel at coordinate `i` of an axis of `len` pixels that is mirrored periodically; the edge pixel is not
/// repeated. 0 for an axis of one pixel.
pub fn mirror(i: isize, len: usize) -> usize {
    if len <= 1 {
        return 0;
    }
    let period = 2 * (len as i128 - 1);
    let phase = (i as i128).rem_euclid(period);
    phase.min(period - phase) as usize
}

impl Op for ImageIn {
    fn name(&self) -> &'static str {
        "image_in"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        let (window, info) = (inputs[0].shape, inputs[1].shape);
        let words = Shape::new(window.n, 1, 1, ImageInfo::len(window.c));
        if inputs.iter().any(|i| i.layout != Layout::Linear) || info != words {
            return Err(Error::op(self.name(), format!("window {window} and info {info} do not fit together")));
        }
        Ok(vec![TensorDesc::blocked(window.with_hw(self.height, self.width))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let window = inputs[0].shape()?;
        let x = inputs[0].data();
        let out = window.with_hw(self.height, self.width);
        Ok(vec![by_plane(out, |n, c, plane| {
            let info = &inputs[1].data()[n * ImageInfo::len(window.c)..];
            let (tile, origin) = ([info[0] as isize, info[1] as isize], [info[2] as usize, info[3] as usize]);
            let image = [info[4] as usize, info[5] as usize];
            let [offset, scale, low, high] = [0, 1, 2, 3].map(|k| info[ImageInfo::HEAD + 4 * c + k]);
            for y in 0..out.h {
                let wy = mirror(y as isize + tile[0], image[0]).saturating_sub(origin[0]).min(window.h - 1);
                for x_ in 0..out.w {
                    let wx = mirror(x_ as isize + tile[1], image[1]).saturating_sub(origin[1]).min(window.w - 1);
                    let v = x[window.index(n, c, wy, wx)];
                    plane[y * out.w + x_] = ((v - offset) * scale).max(low).min(high);
                }
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (window, out) = (cx.input(0), cx.output(0));
        let (Size { w, h, blocks, c }, Size { w: window_w, h: window_h, .. }) = (out.into(), window.into());
        let tile_words = ImageInfo::len(out.c) as u32;
        let params = ImageInParams { y: cx.output_view(0), w, h, window_w, window_h, blocks, c, tile_words };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        let (key, grid) = cx.per_area(KernelKey::new("image_in"), out);
        cx.dispatch(key, params, bindings, grid)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("the result depends on the position of the tile in the image")
    }
}

shader_struct! {
    /// Parameters of `image_in`.
    struct ImageInParams {
        y: View,
        w: u32,
        h: u32,
        window_w: u32,
        window_h: u32,
        blocks: u32,
        c: u32,
        /// Words per tile.
        tile_words: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    // Random data would not be valid info words, so each case has fixed ones.
    let case = |name: &str, tile: [usize; 2], window: Shape, info: ImageInfo| OpCase {
        name: format!("image_in/{name}"),
        op: std::sync::Arc::new(ImageIn { height: tile[0], width: tile[1] }),
        inputs: vec![
            (TensorDesc::linear(window), InputKind::Data),
            (TensorDesc::linear(Shape::new(1, 1, 1, ImageInfo::len(window.c))), InputKind::Fixed(info.words())),
        ],
    };
    let unit = [0.0, 1.0, f32::MIN, f32::MAX];
    let scaled = [0.25, 3.0, -1.0, 1.5];
    let info =
        |tile, window, image, channels: &[[f32; 4]]| ImageInfo { tile, window, image, channels: channels.to_vec() };
    let pair = [info([2, 3], [0, 0], [10, 12], &[unit, scaled]), info([-5, 40], [0, 30], [7, 50], &[scaled, unit])];
    let mut two = case("two tiles of different images", [6, 7], Shape::new(1, 2, 10, 20), pair[0].clone());
    let words = pair.iter().flat_map(ImageInfo::words).collect();
    two.inputs = vec![
        (TensorDesc::linear(Shape::new(2, 2, 10, 20)), InputKind::Data),
        (TensorDesc::linear(Shape::new(2, 1, 1, ImageInfo::len(2))), InputKind::Fixed(words)),
    ];
    vec![
        two,
        case("inside", [6, 7], Shape::new(1, 1, 10, 12), info([2, 3], [0, 0], [10, 12], &[unit])),
        case(
            "mirrored on all sides, normalised",
            [16, 20],
            Shape::new(1, 1, 9, 11),
            info([-3, -4], [0, 0], [9, 11], &[scaled]),
        ),
        case(
            "window of a large image, three channels",
            [8, 8],
            Shape::new(1, 3, 8, 9),
            info([100, 200], [98, 199], [1000, 900], &[unit, scaled, unit]),
        ),
        case(
            "image smaller than the margin",
            [21, 21],
            Shape::new(1, 5, 3, 1),
            info([-9, -9], [0, 0], [3, 1], &[unit; 5]),
        ),
    ]
}
