//! An image and its labels on the screen, drawn by egui's device; smooth for images of 10,000 x 10,000 pixels.
//!
//! | file | responsibility |
//! |---|---|
//! | `view` | which part of the image is visible, how large |
//! | `pyramid`, `image` | samples in host memory, coarser levels, limits of the contrast |
//! | `contrast`, `layers`, `palette` | what the application says about a scene |
//! | `label_map` | the studio's label maps as a canvas reads them |
//! | `tiles`, `label_tiles` | which tiles a view needs, and their texels |
//! | `store` | which tiles the device holds |
//! | `frame`, `compose` | a scene as draws |
//! | `buffer`, `pipes`, `histogram`, `gpu` | the device's side |
//! | `input`, `scale_bar`, `widget` | the widget |

mod buffer;
mod compose;
mod contrast;
mod frame;
mod gpu;
mod histogram;
mod image;
mod input;
mod label_map;
mod label_tiles;
mod layers;
mod palette;
mod pipes;
mod pyramid;
mod scale_bar;
mod store;
mod tiles;
mod view;
mod widget;

pub use contrast::{ChannelDisplay, Contrast};
pub use image::CanvasImage;
pub use label_map::{MapTiles, TileVersions};
pub use layers::{
    Background, Colouring, LABEL_TILE, LabelLayer, LabelStyle, LabelTiles, Live, LiveLook, Scene, UNLABELLED,
};
pub use palette::instance_colour;
pub use store::Uploads;
pub use view::{Area, View};
pub use widget::{Canvas, CanvasResponse};
