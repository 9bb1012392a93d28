use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::*;
use crate::infer::image::{Image, Pixels};
use crate::io::write_atomically;

fn decode(path: &Path) -> (png::OutputInfo, Option<Vec<u8>>, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut data).unwrap();
    let palette = reader.info().palette.as_ref().map(|p| p.to_vec());
    (info, palette, data)
}

fn names(folder: &Path) -> Vec<String> {
    let mut v: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    v.sort();
    v
}

#[test]
fn colours_are_all_different() {
    let colours: std::collections::HashSet<_> = (0..256).map(palette).collect();
    assert_eq!(colours.len(), 256);
    assert_eq!(palette(0), [0; 3]);
}

#[test]
fn a_mask_must_make_sense() {
    let text = |r: Result<Mask>| r.unwrap_err().to_string();
    assert_eq!(text(Mask::new(2, 2, 2, Ids::U8(vec![0; 3]))), "mask: 3 class ids do not fill 2x2 pixels");
    assert_eq!(text(Mask::new(2, 1, 2, Ids::U8(vec![0, 2]))), "mask: class 2 does not exist, there are 2");
    assert!(Mask::new(0, 0, 2, Ids::U16(vec![])).is_err());
    assert!(Mask::new(usize::MAX, 2, 2, Ids::U8(vec![0])).is_err());
}

#[test]
fn masks_by_number_of_classes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/m.png");
    let write = |classes, ids| {
        write_mask(&path, &Mask::new(3, 1, classes, ids).unwrap()).unwrap();
        decode(&path)
    };
    let (info, _, data) = write(2, Ids::U8(vec![0, 1, 0]));
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    assert_eq!(data, [0, 255, 0]);
    let (info, colours, data) = write(4, Ids::U16(vec![3, 1, 0]));
    assert_eq!((info.color_type, data), (png::ColorType::Indexed, vec![3, 1, 0]));
    assert_eq!(colours.unwrap(), (0..4).flat_map(palette).collect::<Vec<u8>>());
    let (_, colours, data) = write(256, Ids::U8(vec![255, 1, 0]));
    assert_eq!((colours.unwrap().len(), data), (768, vec![255, 1, 0]));
    let (info, _, data) = write(300, Ids::U16(vec![299, 1, 0]));
    assert_eq!((info.bit_depth, data), (png::BitDepth::Sixteen, vec![1, 43, 0, 1, 0, 0]));
    assert_eq!(names(path.parent().unwrap()), ["m.png"]);
}

#[test]
fn masks_as_tiff_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.tif");
    let mask = |classes, ids| write_mask(&path, &Mask::new(3, 1, classes, ids).unwrap()).unwrap();
    mask(2, Ids::U8(vec![0, 1, 0]));
    assert_eq!(Image::open(&path).unwrap().pixels(), &Pixels::U8(vec![0, 255, 0]));
    mask(300, Ids::U16(vec![299, 1, 0]));
    assert_eq!(Image::open(&path).unwrap().pixels(), &Pixels::U16(vec![299, 1, 0]));
    mask(4, Ids::U8(vec![3, 1, 0]));
    assert_eq!(Image::open(&path).unwrap().pixels(), &Pixels::U8(vec![3, 1, 0]));
}

#[test]
fn nothing_partial_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result.bin");
    write_atomically(&path, |f| f.write_all(b"old")).unwrap();
    let failed = write_atomically(&path, |f| {
        f.write_all(&[1; 1 << 20])?;
        Err(std::io::Error::other("disk on fire"))
    });
    assert!(failed.unwrap_err().to_string().ends_with("result.bin: disk on fire"));
    assert_eq!((names(folder.path()), std::fs::read(&path).unwrap()), (vec!["result.bin".into()], b"old".to_vec()));
    assert!(write_atomically(folder.path(), |_| Ok(())).unwrap_err().to_string().contains("a folder of this name"));
    // A file where a folder should be.
    assert!(write_atomically(path.join("x.png"), |_| Ok(())).is_err());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&folder.path().join("plain")));
    }
}

#[test]
fn the_overlay_shows_image_tint_and_contour() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.png");
    let image = Image::new(5, 5, 1, Pixels::U16((0..25).map(|i| if i == 0 { 0 } else { 1000 }).collect())).unwrap();
    let inside = |i: usize| (1..4).contains(&(i % 5)) && (1..4).contains(&(i / 5));
    let mask = Mask::new(5, 5, 2, Ids::U8((0..25).map(|i| u8::from(inside(i))).collect())).unwrap();
    write_overlay(&path, &image, &mask).unwrap();
    let (info, _, data) = decode(&path);
    assert_eq!((info.width, info.height, info.color_type), (5, 5, png::ColorType::Rgb));
    let at = |x: usize, y: usize| [0, 1, 2].map(|c| data[(y * 5 + x) * 3 + c]);
    assert_eq!((at(0, 0), at(4, 0)), ([0; 3], [255; 3]));
    assert_eq!((at(1, 1), at(3, 2)), (palette(1), palette(1)));
    // 65 % of white and 35 % of the colour.
    assert_eq!(at(2, 2), palette(1).map(|c| ((255 * 65 + u32::from(c) * 35 + 50) / 100) as u8));
    let other = Mask::new(25, 1, 2, Ids::U8(vec![0; 25])).unwrap();
    assert!(write_overlay(&path, &image, &other).unwrap_err().to_string().contains("25x1"));
    for (channels, pixels) in [(2, Pixels::U8(vec![9; 50])), (5, Pixels::F32(vec![f32::NAN; 125]))] {
        write_overlay(&path, &Image::new(5, 5, channels, pixels).unwrap(), &mask).unwrap();
    }
}

#[test]
fn probabilities_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let planes: Vec<f32> = (0..24).map(|i| i as f32 / 7.0).collect();
    let tif = folder.path().join("p.tif");
    write_probabilities(&tif, ProbabilityFormat::of(&tif).unwrap(), 4, 3, &planes).unwrap();
    let mut pages = tiff::decoder::Decoder::new(std::io::BufReader::new(File::open(&tif).unwrap())).unwrap();
    for expected in planes.chunks(12) {
        assert_eq!(pages.dimensions().unwrap(), (4, 3));
        let tiff::decoder::DecodingResult::F32(got) = pages.read_image().unwrap() else { panic!() };
        assert_eq!(got, expected);
        if pages.more_images() {
            pages.next_image().unwrap();
        }
    }
    assert_eq!(Image::open(&tif).unwrap().pixels(), &Pixels::F32(planes[..12].to_vec()));
    let npy = folder.path().join("p.NPY");
    for (n, shape) in [(24, vec![2, 3, 4]), (12, vec![3, 4])] {
        write_probabilities(&npy, ProbabilityFormat::of(&npy).unwrap(), 4, 3, &planes[..n]).unwrap();
        let file = npyz::NpyFile::new(File::open(&npy).unwrap()).unwrap();
        assert_eq!(file.shape(), shape);
        assert_eq!(file.into_vec::<f32>().unwrap(), &planes[..n]);
    }
    assert!(ProbabilityFormat::of("p.png").unwrap_err().to_string().contains(".tif or .npy"));
    for (w, h, n) in [(4, 4, 24), (0, 3, 24), (4, 3, 0), (usize::MAX, 2, 24)] {
        assert!(write_probabilities(&npy, ProbabilityFormat::Npy, w, h, &planes[..n]).is_err());
    }
}

/// Something to look at: set `UNET_OVERLAY` to a folder.
#[test]
fn a_synthetic_overlay() {
    let (w, h) = (240usize, 160usize);
    let blobs = [
        (50.0, 45.0, 22.0, 1u8),
        (88.0, 60.0, 18.0, 1),
        (170.0, 50.0, 28.0, 2),
        (60.0, 118.0, 20.0, 2),
        (150.0, 115.0, 26.0, 3),
    ];
    let mut ids = vec![0u8; w * h];
    let mut grey = vec![0u16; w * h];
    for i in 0..w * h {
        let (x, y) = ((i % w) as f64, (i / w) as f64);
        let mut light = 300.0 + ((i * 7919) % 97) as f64;
        for (cx, cy, r, id) in blobs {
            let d = ((x - cx).powi(2) + (y - cy).powi(2)).sqrt() / r;
            if d < 1.0 {
                ids[i] = id;
            }
            light += 2500.0 * (-2.0 * d * d).exp() * (1.0 + 0.2 * (x * 0.6).sin() * (y * 0.5).cos());
        }
        grey[i] = light as u16;
    }
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("UNET_OVERLAY").map_or(temporary.path().to_path_buf(), Into::into);
    let rgb = grey.iter().flat_map(|&g| [230 - (g / 20) as u8, 190 - (g / 20) as u8, 215 - (g / 30) as u8]).collect();
    let mask = Mask::new(w, h, 4, Ids::U8(ids)).unwrap();
    write_overlay(folder.join("fluorescence_overlay.png"), &Image::new(w, h, 1, Pixels::U16(grey)).unwrap(), &mask)
        .unwrap();
    write_overlay(folder.join("stain_overlay.png"), &Image::new(w, h, 3, Pixels::U8(rgb)).unwrap(), &mask).unwrap();
    write_mask(folder.join("blobs_mask.png"), &mask).unwrap();
    assert!(Image::open(folder.join("stain_overlay.png")).is_ok());
}
