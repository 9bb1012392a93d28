//! What scripts/test_window.sh compares a screenshot with: takes the image out of it, segments it, draws the overlay, and counts the
//! pixels that differ from the overlay in the screenshot.
//!
//!     window_reference SCREENSHOT MODEL SIZE X,Y X,Y
//!
//! The places are those of the image and of its overlay, both drawn pixel by pixel.

use std::error::Error;
use unet_wgpu::low_level::infer::{Ids, palette};
use unet_wgpu::{Backend, Image, Model, Pixels, SegmentOptions, Segmenter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [screenshot, model, size, image, overlay] = &arguments[..] else {
        return Err("takes a screenshot, a model, a size and two places".into());
    };
    let screenshot = image::open(screenshot)?.into_rgb8();
    let size: u32 = size.parse()?;
    let part = |place: &str| -> Result<image::RgbImage, Box<dyn Error>> {
        let (x, y) = place.split_once(',').ok_or("a place is X,Y")?;
        let (x, y) = (x.parse::<u32>()?, y.parse::<u32>()?);
        if x + size > screenshot.width() || y + size > screenshot.height() {
            return Err(format!("{size}x{size} pixels at {place} are outside the screenshot").into());
        }
        Ok(image::imageops::crop_imm(&screenshot, x, y, size, size).to_image())
    };
    let (image, overlay) = (part(image)?, part(overlay)?);
    if image.pixels().any(|p| p[0] != p[1] || p[1] != p[2]) {
        return Err("the image is not grey: it is not where it is said to be".into());
    }
    let grey: Vec<u8> = image.pixels().map(|p| p[0]).collect();
    let mut segmenter = Segmenter::new(Backend::open("auto")?, Model::open(model)?);
    let pixels = Image::new(size as usize, size as usize, 1, Pixels::U8(grey))?;
    let result = segmenter.segment(&pixels, &SegmentOptions::default(), |_| Ok(()))?;
    let Ids::U8(ids) = result.mask.ids() else { return Err("a model of more than 256 classes".into()) };

    // Classes are tinted by 35 %, and outlined by one pixel.
    let id = |x: u32, y: u32| ids[(y * size + x) as usize];
    let expected = image::RgbImage::from_fn(size, size, |x, y| {
        let (shown, own) = (image.get_pixel(x, y).0, palette(id(x, y).into()));
        let near = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
        let edge = near.iter().any(|&(a, b)| a < size && b < size && id(a, b) != id(x, y));
        image::Rgb(std::array::from_fn(|c| match (id(x, y), edge) {
            (0, _) => shown[c],
            (_, true) => own[c],
            _ => ((u32::from(shown[c]) * 65 + u32::from(own[c]) * 35 + 50) / 100) as u8,
        }))
    });
    let colours = expected.pixels().zip(overlay.pixels()).filter(|(a, b)| a != b).count();
    let coloured = |p: &image::Rgb<u8>| p[0] != p[1] || p[1] != p[2];
    let classes = ids.iter().zip(overlay.pixels()).filter(|(id, p)| (**id != 0) != coloured(p)).count();
    let found = ids.iter().filter(|id| **id != 0).count();
    println!("{found} of {} pixels are of a class; classes differ in {classes}, colours in {colours}", size * size);
    if found * 100 < ids.len() || found == ids.len() {
        return Err("the image shows nothing to compare".into());
    }
    if classes + colours > 0 { Err("the window shows something else than the segmenter finds".into()) } else { Ok(()) }
}
