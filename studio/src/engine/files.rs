//! Images from files, for the canvas and the gallery.

use super::Event;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unet_wgpu::low_level::infer::{OpenOptions, calibration_of, describe_image, is_zarr, page_count, read_image};
use unet_wgpu::low_level::io::fs;
use unet_wgpu::{Error, Image, Pixels, Result};

/// Rows and columns of a thumbnail at most.
const THUMBNAIL: usize = 96;

/// A decoded image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageFile {
    /// Its file.
    pub path: PathBuf,
    /// Its pixels.
    #[serde(with = "shared_image")]
    pub image: Arc<Image>,
    /// Micrometres per pixel, across and down, if the file says so.
    pub pixel_size: Option<[f64; 2]>,
    /// Notes on how it was read.
    pub notes: Vec<String>,
}

/// A small copy of an image in colours of the screen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Its file.
    pub path: PathBuf,
    /// Columns and rows.
    pub size: [usize; 2],
    /// RGB.
    #[serde(with = "serde_bytes")]
    pub rgb: Vec<u8>,
}

/// Whether a file is an image that the library reads, by its first bytes, or a folder an OME-Zarr.
pub fn is_image(path: &Path) -> bool {
    fs::is_dir(path) && is_zarr(path) || fs::is_file(path) && describe_image(path).is_ok_and(|facts| facts.is_some())
}

pub(super) fn load(path: &Path) -> Result<Event> {
    let options = OpenOptions::default();
    let (image, notes) = read_image(path, &options)?;
    let pixel_size = calibration_of(path, &options, None)?.pixel.map(|p| [p.x, p.y]);
    let mut notes: Vec<String> = notes.iter().map(ToString::to_string).collect();
    let pages = page_count(path)?;
    if pages > 1 {
        notes.push(format!("{} has {pages} pages; page 0 is shown and used", path.display()));
    }
    Ok(Event::Loaded(Box::new(ImageFile { path: path.into(), image: Arc::new(image), pixel_size, notes })))
}

pub(super) fn thumbnail(path: &Path) -> Result<Event> {
    let (image, _) = read_image(path, &OpenOptions::default())?;
    Ok(Event::Thumbnail(small(path, &image)?))
}

/// Every n-th pixel of an image, stretched between percentiles of what is left.
fn small(path: &Path, image: &Image) -> Result<Thumbnail> {
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let step = width.max(height).div_ceil(THUMBNAIL).max(1);
    let size = [width.div_ceil(step), height.div_ceil(step)];
    let at = |i: usize| match image.pixels() {
        Pixels::U8(v) => v.get(i).map(|&v| f32::from(v)),
        Pixels::U16(v) => v.get(i).map(|&v| f32::from(v)),
        Pixels::F32(v) => v.get(i).copied(),
    };
    let mut values = Vec::with_capacity(size[0] * size[1] * 3);
    for y in (0..height).step_by(step) {
        for x in (0..width).step_by(step) {
            let first = (y * width + x) * channels;
            let channel =
                |c: usize| at(first + if channels >= 3 { c } else { 0 }).filter(|v| v.is_finite()).unwrap_or(0.0);
            values.extend([0, 1, 2].map(channel));
        }
    }
    let mut sorted = values.clone();
    sorted.sort_by(f32::total_cmp);
    let rank = |part: f64| sorted.get(((sorted.len().max(1) - 1) as f64 * part) as usize).copied();
    let (Some(low), Some(high)) = (rank(0.01), rank(0.998)) else {
        return Err(Error::file(path, "has no pixels"));
    };
    let scale = 255.0 / (high - low).max(f32::MIN_POSITIVE);
    let rgb = values.iter().map(|v| ((v - low) * scale).clamp(0.0, 255.0) as u8).collect();
    Ok(Thumbnail { path: path.into(), size, rgb })
}

/// Images in messages.
mod shared_image {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
    use std::borrow::Cow;
    use std::sync::Arc;
    use unet_wgpu::low_level::infer::{Alpha, ChannelKind, Colour};
    use unet_wgpu::{Image, Pixels};

    #[derive(Serialize, Deserialize)]
    struct Parts<'a> {
        size: [usize; 3],
        bytes_per_sample: u8,
        colour: u8,
        alpha: u8,
        alpha_at: usize,
        names: Cow<'a, [String]>,
        #[serde(borrow, with = "serde_bytes")]
        pixels: Cow<'a, [u8]>,
    }

    const COLOURS: [Colour; 4] = [Colour::Grey, Colour::Rgb, Colour::Separate, Colour::Chosen];

    pub(super) fn serialize<S: Serializer>(image: &Arc<Image>, to: S) -> Result<S::Ok, S::Error> {
        let pixels: &[u8] = match image.pixels() {
            Pixels::U8(v) => v,
            Pixels::U16(v) => bytemuck::cast_slice(v),
            Pixels::F32(v) => bytemuck::cast_slice(v),
        };
        let (alpha, alpha_at) = match image.kind().alpha {
            Alpha::None => (0, 0),
            Alpha::At(at) => (1, at),
            Alpha::LeftOut(at) => (2, at),
        };
        let parts = Parts {
            size: [image.width(), image.height(), image.channels()],
            bytes_per_sample: image.pixels().sample().bytes() as u8,
            colour: COLOURS.iter().position(|c| *c == image.kind().colour).unwrap_or_default() as u8,
            alpha,
            alpha_at,
            names: Cow::Borrowed(image.channel_names()),
            pixels: Cow::Borrowed(pixels),
        };
        parts.serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Arc<Image>, D::Error> {
        let parts = Parts::deserialize(from)?;
        let pixels = match parts.bytes_per_sample {
            1 => Pixels::U8(parts.pixels.into_owned()),
            2 => Pixels::U16(bytemuck::pod_collect_to_vec(&parts.pixels)),
            _ => Pixels::F32(bytemuck::pod_collect_to_vec(&parts.pixels)),
        };
        let alpha = match parts.alpha {
            0 => Alpha::None,
            1 => Alpha::At(parts.alpha_at),
            _ => Alpha::LeftOut(parts.alpha_at),
        };
        let colour = COLOURS.get(usize::from(parts.colour)).copied().unwrap_or(Colour::Separate);
        let [width, height, channels] = parts.size;
        let image = Image::new(width, height, channels, pixels).map_err(de::Error::custom)?;
        Ok(Arc::new(image.with_kind(ChannelKind { colour, alpha }).with_channel_names(parts.names.into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_pages_the_first_is_shown_and_this_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stack.tif");
        let mut file = tiff::encoder::TiffEncoder::new(std::fs::File::create(&path).unwrap()).unwrap();
        for grey in [10, 20, 30] {
            file.write_image::<tiff::encoder::colortype::Gray8>(4, 4, &[grey; 16]).unwrap();
        }
        drop(file);
        let Event::Loaded(loaded) = load(&path).unwrap() else { panic!("no image") };
        assert_eq!(loaded.image.pixels(), &Pixels::U8(vec![10; 16]));
        assert_eq!(loaded.notes, [format!("{} has 3 pages; page 0 is shown and used", path.display())]);
    }

    #[test]
    fn thumbnails_are_small_and_span_black_to_white() {
        let pixels = (0..400 * 200).map(|i| (i % 400) as u16 * 100).collect();
        let image = Image::new(400, 200, 1, Pixels::U16(pixels)).unwrap();
        let small = small(Path::new("a"), &image).unwrap();
        assert_eq!(small.size, [80, 40]);
        assert_eq!((small.rgb.iter().min(), small.rgb.iter().max()), (Some(&0), Some(&255)));
        assert!(small.rgb[..3 * 80].windows(6).all(|w| w[0] <= w[3]), "brighter to the right");
    }
}
