//! What lies over an image: labels, a network's live output, and how they are drawn.

use super::contrast::Contrast;
use super::image::CanvasImage;
use eframe::egui::Color32;
use eframe::wgpu;
use std::sync::Arc;

/// The label of a pixel that nobody has labelled.
pub const UNLABELLED: u32 = u32::MAX;

/// Side of the tiles in which changes of labels are told.
pub const LABEL_TILE: u32 = 256;

/// Where a canvas reads labels: [`UNLABELLED`], 0 for background, instances otherwise.
pub trait LabelTiles {
    /// Columns and rows.
    fn size(&self) -> [u32; 2];

    /// Reads every `step`-th label from column and row `at` on: `size[0]` columns and `size[1]` rows of them, row by row.
    /// `out` has as many elements. All labels that are asked for lie in the map.
    fn read(&self, at: [u32; 2], step: u32, size: [u32; 2], out: &mut [u32]);

    /// A number that grows with every change of any label.
    fn version(&self) -> u64;

    /// A number that grows with every change in a tile of [`LABEL_TILE`] x [`LABEL_TILE`] labels: column and row of the tile.
    fn tile_version(&self, tile: [u32; 2]) -> u64;
}

/// The colours of instances.
#[derive(Clone, Debug, Default)]
pub enum Colouring {
    /// Neighbouring numbers differ, also for colour-blind eyes.
    #[default]
    Instances,
    /// The colour of each instance, such as that of its class; transparent ones are hidden. Instances beyond its end have
    /// the colours of [`Self::Instances`]. Make a new one only when a colour changes.
    Table(Arc<[Color32]>),
}

impl Colouring {
    /// The colour of each instance by its class.
    pub fn by_class(classes: &[u8], colours: &[Color32]) -> Self {
        let colour = |&class: &u8| colours.get(usize::from(class)).copied().unwrap_or(Color32::TRANSPARENT);
        Self::Table(classes.iter().map(colour).collect())
    }
}

/// How labels are drawn.
#[derive(Clone, Debug)]
pub struct LabelStyle {
    /// Whether instances are filled.
    pub fills: bool,
    /// Whether instances have outlines, inside their edges.
    pub outlines: bool,
    /// Opacity of fills, 0 to 1.
    pub opacity: f32,
    /// Width of outlines in points, 1 to 2.
    pub width: f32,
    /// Whether unlabelled pixels are hatched.
    pub unlabelled: bool,
    /// The instance that is highlighted.
    pub selected: Option<u32>,
    /// The colours of instances.
    pub colouring: Colouring,
}

impl Default for LabelStyle {
    fn default() -> Self {
        Self {
            fills: true,
            outlines: true,
            opacity: 0.35,
            width: 1.5,
            unlabelled: true,
            selected: None,
            colouring: Colouring::Instances,
        }
    }
}

/// Labels over an image, and how they are drawn.
#[derive(Clone)]
pub struct LabelLayer<'a> {
    /// Names the map: another map has another key, the same map always the same.
    pub key: u64,
    /// The labels.
    pub tiles: &'a dyn LabelTiles,
    /// How they are drawn.
    pub style: LabelStyle,
}

/// How a network's output is drawn.
#[derive(Clone, Debug)]
pub enum LiveLook {
    /// Probabilities, `R32Float`: the region where they reach `least`.
    Threshold {
        /// The least value inside.
        least: f32,
        /// The region's colour.
        colour: Color32,
    },
    /// Classes, `R8Uint`: each in its colour; transparent ones, and those that the table lacks, are hidden. Make a new table only
    /// when a colour changes.
    Classes(Arc<[Color32]>),
}

/// A network's output on the device.
#[derive(Clone)]
pub struct Live {
    /// With `TEXTURE_BINDING`: a texel per image pixel; its first one belongs to the pixel `at`.
    pub texture: wgpu::Texture,
    /// Column and row of the first pixel.
    pub at: [u32; 2],
    /// Columns and rows that are drawn.
    pub size: [u32; 2],
    /// How it is drawn.
    pub look: LiveLook,
    /// Opacity of the inside, 0 to 1.
    pub opacity: f32,
}

/// What is behind an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Background {
    /// One colour.
    Plain(Color32),
    /// Squares of the screen.
    Checkered(Color32, Color32),
}

/// All that a canvas shows.
#[derive(Clone)]
pub struct Scene<'a> {
    /// The name of the canvas for those who do not see it.
    pub name: &'a str,
    /// The image.
    pub image: Option<&'a CanvasImage>,
    /// How its channels are shown; none for [`Contrast::of`].
    pub contrast: Option<&'a Contrast>,
    /// Labels over it; left of the split if there are labels to compare.
    pub labels: Option<LabelLayer<'a>>,
    /// Labels right of the split.
    pub compare: Option<LabelLayer<'a>>,
    /// A network's output over it.
    pub live: Option<&'a Live>,
    /// Width of a pixel in micrometres, for the scale bar.
    pub pixel_size: Option<f64>,
    /// Whether lines separate pixels at high magnification.
    pub grid: bool,
    /// What is behind the image; none for the colour of egui's style.
    pub background: Option<Background>,
}

impl Default for Scene<'_> {
    fn default() -> Self {
        Self {
            name: "Image",
            image: None,
            contrast: None,
            labels: None,
            compare: None,
            live: None,
            pixel_size: None,
            grid: true,
            background: None,
        }
    }
}
