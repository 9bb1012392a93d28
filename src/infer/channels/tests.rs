use super::*;
use crate::infer::image::Sample;

fn info(channels: usize, kind: ChannelKind) -> SourceInfo {
    SourceInfo { width: 1, height: 1, channels, sample: Sample::U8, kind }
}

fn error(channels: usize, kind: ChannelKind, requested: usize) -> String {
    ChannelMap::of(&info(channels, kind), &[], requested).unwrap_err().to_string()
}

fn note(channels: usize, kind: ChannelKind, requested: usize) -> Option<String> {
    ChannelMap::of(&info(channels, kind), &[], requested).unwrap().note(true).map(ToString::to_string)
}

#[test]
fn grey_becomes_rgb_and_rgb_becomes_grey() {
    let grey = Image::new(2, 1, 1, Pixels::U16(vec![7, 9])).unwrap();
    assert_eq!(grey.to_channels(3).unwrap().pixels(), &Pixels::U16(vec![7, 7, 7, 9, 9, 9]));
    assert!(matches!(grey.to_channels(1).unwrap(), Cow::Borrowed(_)));
    // By skimage.color.rgb2gray: 0, 0.1442, 19.3..
    let rgb = Image::new(3, 1, 3, Pixels::U8(vec![255, 255, 255, 0, 0, 2, 10, 20, 31])).unwrap();
    assert_eq!(rgb.to_channels(1).unwrap().pixels(), &Pixels::U8(vec![255, 0, 19]));
    let wide = Image::new(2, 1, 3, Pixels::U16(vec![65535, 65535, 65535, 1, 1, 0])).unwrap();
    assert_eq!(wide.to_channels(1).unwrap().pixels(), &Pixels::U16(vec![65535, 1]));
    // Every value survives in three equal channels.
    let all: Vec<u16> = (0..=u16::MAX).flat_map(|x| [x; 3]).collect();
    let all = Image::new(65536, 1, 3, Pixels::U16(all)).unwrap();
    assert_eq!(all.to_channels(1).unwrap().pixels(), &Pixels::U16((0..=u16::MAX).collect()));
    // Weights are not exact in binary: equal channels must still come back bit for bit.
    for x in [0.1f32, 1.0 / 3.0, f32::MAX, f32::MIN_POSITIVE, 16777215.0] {
        let p = Image::new(1, 1, 3, Pixels::F32(vec![x; 3])).unwrap();
        assert_eq!(p.to_channels(1).unwrap().pixels(), &Pixels::F32(vec![x]));
    }
}

#[test]
fn only_lost_colours_are_told_of() {
    let map = ChannelMap::of(&info(3, ChannelKind::RGB), &[], 1).unwrap();
    let image = |v: Vec<u8>| Image::new(2, 1, 3, Pixels::U8(v)).unwrap();
    assert!(!map.shows_colour(&image(vec![4, 4, 4, 9, 9, 9])));
    assert!(map.shows_colour(&image(vec![4, 4, 4, 9, 9, 8])));
    assert_eq!(map.note(false), None);
    let said = map.note(true).unwrap();
    assert_eq!(said, "its colours became grey by luminance (0.2125 red + 0.7154 green + 0.0721 blue)");
}

#[test]
fn other_numbers_are_refused_by_name() {
    let rgb = "image: has 3 channels (0 red, 1 green, 2 blue), the network takes";
    assert_eq!(error(3, ChannelKind::RGB, 2), format!("{rgb} 2 channels; choose with OpenOptions::channels = [0, 1]"));
    assert_eq!(error(3, ChannelKind::RGB, 5), format!("{rgb} 5 channels"));
    assert!(error(3, ChannelKind::RGB, 0).starts_with(rgb));
    // One plane is never spread, but over three.
    for requested in [0, 2, 4, 12, usize::MAX] {
        assert!(error(1, ChannelKind::GREY, requested).starts_with("image: has 1 channel, the network"), "{requested}");
    }
    assert!(note(1, ChannelKind::GREY, 3).unwrap().contains("one channel is given to each"));
    // Dyes are no colours, whatever their number.
    for have in [2, 3, 4, 64] {
        let e = error(have, ChannelKind::SEPARATE, 1);
        assert!(e.contains("OpenOptions::channels = [0]"), "{e}");
    }
    assert!(note(3, ChannelKind::SEPARATE, 3).unwrap().contains("3 separate channels (0, 1, 2)"));
    assert_eq!(note(2, ChannelKind::SEPARATE, 2), None);
    assert_eq!(note(3, ChannelKind::RGB, 3), None);
    // Channels that were chosen are not changed.
    let chosen = ChannelKind { colour: Colour::Chosen, alpha: Alpha::None };
    assert!(error(3, chosen, 1).contains("has 3 channels"));
    assert_eq!(note(3, chosen, 3), None);
}

#[test]
fn a_fourth_sample_is_counted() {
    // RGB and near infrared: all four into four, the colours into three and one.
    assert_eq!(note(4, ChannelKind::RGB, 4), None);
    assert_eq!(
        note(4, ChannelKind::RGB, 3).unwrap(),
        "of its channels (0 red, 1 green, 2 blue, 3) red, green and blue are used; OpenOptions::channels takes others"
    );
    assert!(note(4, ChannelKind::RGB, 1).unwrap().ends_with("(0 red, 1 green, 2 blue, 3) the others are not used"));
    assert!(error(4, ChannelKind::RGB, 2).contains("has 4 channels"));
    let samples = Image::new(1, 1, 4, Pixels::U8(vec![1, 2, 3, 4])).unwrap().with_kind(ChannelKind::RGB);
    assert_eq!(samples.to_channels(3).unwrap().pixels(), &Pixels::U8(vec![1, 2, 3]));
    assert_eq!(samples.to_channels(4).unwrap().pixels(), &Pixels::U8(vec![1, 2, 3, 4]));
    // Opacity is none.
    let rgba = samples.with_kind(ChannelKind::RGB.with_alpha(3));
    assert_eq!(rgba.to_channels(3).unwrap().pixels(), &Pixels::U8(vec![1, 2, 3]));
    assert!(
        rgba.to_channels(4).unwrap_err().to_string().ends_with("unless OpenOptions::channels = [0, 1, 2, 3] says so")
    );
    let grey = Image::new(1, 1, 2, Pixels::U8(vec![5, 9])).unwrap().with_kind(ChannelKind::GREY.with_alpha(1));
    assert_eq!(grey.to_channels(1).unwrap().pixels(), &Pixels::U8(vec![5]));
    assert_eq!(grey.to_channels(3).unwrap().pixels(), &Pixels::U8(vec![5; 3]));
    assert!(grey.to_channels(2).is_err());
}

#[test]
fn tags_say_what_samples_are() {
    let of = |photometric, extra: &[u16], channels| ChannelKind::of_tiff(photometric, extra, channels, 1);
    assert_eq!(of(1, &[], 1), ChannelKind::GREY);
    assert_eq!(of(0, &[], 1), ChannelKind::GREY);
    assert_eq!(of(2, &[], 3), ChannelKind::RGB);
    assert_eq!(of(6, &[], 3), ChannelKind::RGB);
    // A palette as its colours, or a grey ramp.
    assert_eq!((of(3, &[], 3), of(3, &[], 1)), (ChannelKind::RGB, ChannelKind::GREY));
    assert_eq!(of(2, &[0], 4), ChannelKind::RGB);
    // Writers forget the tag.
    assert_eq!(of(2, &[], 4), ChannelKind::RGB);
    assert_eq!(of(2, &[2], 4), ChannelKind::RGB.with_alpha(3));
    assert_eq!(of(2, &[1, 0], 5), ChannelKind::RGB.with_alpha(3));
    assert_eq!(of(2, &[0, 2], 5), ChannelKind::RGB.with_alpha(4));
    assert_eq!(of(1, &[1], 2), ChannelKind::GREY.with_alpha(1));
    assert_eq!(of(1, &[0], 2), ChannelKind::SEPARATE);
    assert_eq!(of(1, &[], 3), ChannelKind::SEPARATE);
    assert_eq!(of(1, &[0, 0], 3), ChannelKind::SEPARATE);
    assert_eq!(of(1, &[0, 0, 2], 4), ChannelKind::SEPARATE.with_alpha(3));
    assert_eq!(of(5, &[], 4), ChannelKind::SEPARATE);
    // Dyes in directories of their own.
    assert_eq!(ChannelKind::of_tiff(1, &[], 3, 3), ChannelKind::SEPARATE);
    assert_eq!(ChannelKind::of_tiff(2, &[], 6, 2), ChannelKind::SEPARATE);
}
