//! Channels of an image for a network, as `unet segment --channels` counts them.

use std::borrow::Cow;

use unet_wgpu::low_level::infer::{Alpha, ChannelKind, Colour};
use unet_wgpu::{Error, Image, Pixels, Result};

/// Numbers of an image file's channels, in the order in which the network gets them; none for the program's rules.
pub type SelectedChannels = Option<Vec<usize>>;

/// The number that a channel of a decoded image has in its file, whose alpha is left out.
pub fn file_channel(image: &Image, channel: usize) -> usize {
    match image.kind().alpha {
        Alpha::LeftOut(alpha) if channel >= alpha => channel + 1,
        _ => channel,
    }
}

/// The selected channels of a decoded image.
pub(super) fn selected<'a>(image: &'a Image, channels: &SelectedChannels) -> Result<Cow<'a, Image>> {
    let Some(channels) = channels else { return Ok(Cow::Borrowed(image)) };
    let place = |&file: &usize| (0..image.channels()).find(|&c| file_channel(image, c) == file);
    let places: Option<Vec<usize>> = channels.iter().map(place).collect();
    let places = places.filter(|p| !p.is_empty()).ok_or_else(|| {
        let numbers: Vec<String> = channels.iter().map(usize::to_string).collect();
        Error::invalid(
            "channels",
            format!("{} are not all among those of the image as it is shown", numbers.join(", ")),
        )
    })?;
    fn pick<T: Copy>(v: &[T], stored: usize, places: &[usize]) -> Vec<T> {
        v.chunks_exact(stored).flat_map(|pixel| places.iter().filter_map(|&c| pixel.get(c).copied())).collect()
    }
    let pixels = match image.pixels() {
        Pixels::U8(v) => Pixels::U8(pick(v, image.channels(), &places)),
        Pixels::U16(v) => Pixels::U16(pick(v, image.channels(), &places)),
        Pixels::F32(v) => Pixels::F32(pick(v, image.channels(), &places)),
    };
    // As the program has it: what was chosen enters the network unchanged.
    let rgb = image.kind().colour == Colour::Rgb && places == [0, 1, 2];
    let colour = if rgb { Colour::Rgb } else { Colour::Chosen };
    let image = Image::new(image.width(), image.height(), places.len(), pixels)?;
    Ok(Cow::Owned(image.with_kind(ChannelKind { colour, alpha: Alpha::None })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_counted_as_in_the_file() {
        let kind = ChannelKind { colour: Colour::Separate, alpha: Alpha::LeftOut(1) };
        let image = Image::new(2, 1, 3, Pixels::U8((0..6).collect())).unwrap().with_kind(kind);
        assert_eq!([0, 1, 2].map(|c| file_channel(&image, c)), [0, 2, 3]);
        let chosen = selected(&image, &Some(vec![3, 0])).unwrap();
        assert_eq!((chosen.pixels(), chosen.kind().colour), (&Pixels::U8(vec![2, 0, 5, 3]), Colour::Chosen));
        assert!(selected(&image, &Some(vec![1])).unwrap_err().to_string().contains("not all among"));
        assert!(selected(&image, &Some(vec![])).is_err());
        assert_eq!(&*selected(&image, &None).unwrap(), &image);
    }

    #[test]
    fn a_choice_is_what_the_library_reads() {
        use unet_wgpu::low_level::infer::{OpenOptions, read_image};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ppm");
        std::fs::write(&path, [b"P6 3 2 255\n".as_slice(), &(0..18).collect::<Vec<u8>>()].concat()).unwrap();
        let (whole, _) = read_image(&path, &OpenOptions::default()).unwrap();
        for channels in [vec![2], vec![2, 0], vec![0, 1, 2]] {
            let options = OpenOptions { channels: Some(channels.clone()), ..OpenOptions::default() };
            let (read, _) = read_image(&path, &options).unwrap();
            let own = selected(&whole, &Some(channels)).unwrap();
            assert_eq!((own.pixels(), own.kind()), (read.pixels(), read.kind()));
        }
    }
}
