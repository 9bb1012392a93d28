use super::*;
use crate::infer::output::TiffTag;
use crate::infer::{Mask, OpenOptions, is_own_result, page_axes, page_count, read_image, write_atomically};
use crate::infer::{PixelSize, PixelSizeSource, calibration_of, write_mask, write_probabilities};
use crate::infer::{ProbabilityFormat, mask::Ids};
use tiff::decoder::{Decoder, DecodingResult};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// A mask of 5x4 pixels with one pixel of class 1.
fn mask(at: usize) -> Mask {
    let ids = (0..20).map(|i| u8::from(i == at)).collect();
    Mask::new(5, 4, 2, Ids::U8(ids)).unwrap()
}

/// A part of a stack: integers of `bytes` bytes.
fn integers(stack: &Stack, page: usize, bytes: u16, values: &[u32], width: u32) -> Result<()> {
    let sample = SampleKind::Uint(bytes);
    let layout = StripLayout { width, height: values.len() as u32 / width, pages: 1, sample };
    write_atomically(stack.page(page), |out| {
        let mut strips = StripTiff::new(out, layout)?;
        let stored: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()[..usize::from(bytes)].to_vec()).collect();
        strips.rows(0, &stored)?;
        strips.finish().map(drop)
    })
}

#[test]
fn pages_come_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_mask.tif");
    let stack = Stack::new(path.clone(), [3, 2]);
    let pixel = PixelSize::new(0.5, 0.25, PixelSizeSource::Ome).map(|p| PixelSize { z: Some(2.0), ..p });
    stack.calibrate(Calibration { pixel, ..Calibration::default() });
    for page in [4, 1, 0, 2, 5, 3] {
        assert!(!path.exists() && !stack.is_complete());
        write_mask(stack.page(page), &mask(page)).unwrap();
    }
    assert!(stack.is_complete());
    assert_eq!(names(dir.path()), ["a_mask.tif"]);
    assert!(is_own_result(&path).unwrap());
    assert_eq!((page_count(&path).unwrap(), page_axes(&path).unwrap()), (6, [3, 2]));
    for page in 0..6 {
        let (image, _) = read_image(&path, &OpenOptions { page, ..OpenOptions::default() }).unwrap();
        let expected: Vec<u8> = (0..20).map(|i| if i == page { 255 } else { 0 }).collect();
        assert!(matches!(image.pixels(), crate::infer::Pixels::U8(v) if *v == expected), "page {page}");
    }
    let pixel = calibration_of(&path, &OpenOptions::default(), None).unwrap().pixel.unwrap();
    assert_eq!((pixel.x, pixel.y, pixel.z), (0.5, 0.25, Some(2.0)));
}

#[test]
fn planes_of_a_page_are_channels() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_prob.tif");
    let stack = Stack::new(path.clone(), [1, 3]);
    let value = |page: usize, plane: usize, i: usize| (100 * page + 10 * plane + i) as f32;
    for page in 0..3 {
        let planes: Vec<f32> = (0..2).flat_map(|plane| (0..6).map(move |i| value(page, plane, i))).collect();
        write_probabilities(stack.page(page), ProbabilityFormat::Tiff, 3, 2, &planes).unwrap();
    }
    assert_eq!((page_count(&path).unwrap(), page_axes(&path).unwrap()), (3, [1, 3]));
    let (image, _) = read_image(&path, &OpenOptions { page: 2, ..OpenOptions::default() }).unwrap();
    let expected: Vec<f32> = (0..6).flat_map(|i| (0..2).map(move |plane| value(2, plane, i))).collect();
    assert!(matches!(image.pixels(), crate::infer::Pixels::F32(v) if *v == expected));
}

#[test]
fn samples_are_as_wide_as_the_widest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_labels.tif");
    let stack = Stack::new(path.clone(), [4, 1]);
    let pages = [(2, [1, 2, 3, 65_535]), (2, [0, 0, 7, 8]), (4, [1, 65_536, 1 << 30, 4]), (2, [5, 6, 7, 8])];
    for (page, (bytes, values)) in pages.iter().enumerate() {
        integers(&stack, page, *bytes, values, 2).unwrap();
    }
    assert_eq!(names(dir.path()), ["a_labels.tif"]);
    let mut decoder = Decoder::new(File::open(&path).unwrap()).unwrap();
    for (page, (_, values)) in pages.iter().enumerate() {
        let DecodingResult::U32(found) = decoder.read_image().unwrap() else { panic!("not 32 bits") };
        assert_eq!(found, values, "page {page}");
        if decoder.more_images() {
            decoder.next_image().unwrap();
        }
    }
}

/// Without wide pages, 16 bits stay; a large page has several strips.
#[test]
fn strips_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_labels.tif");
    let stack = Stack::new(path.clone(), [2, 1]);
    let pages = [0u32, 1].map(|page| (0..400_000u32).map(|i| (i * 7 + page) % 65_521).collect::<Vec<_>>());
    pages.iter().enumerate().for_each(|(page, values)| integers(&stack, page, 2, values, 1000).unwrap());
    let mut decoder = Decoder::new(File::open(&path).unwrap()).unwrap();
    assert!(decoder.strip_count().unwrap() > 1);
    for values in &pages {
        let DecodingResult::U16(found) = decoder.read_image().unwrap() else { panic!("not 16 bits") };
        assert!(found.iter().zip(values).all(|(&a, &b)| u32::from(a) == b) && found.len() == values.len());
        if decoder.more_images() {
            decoder.next_image().unwrap();
        }
    }
}

#[test]
fn a_stack_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_mask.tif");
    std::fs::write(&path, "older").unwrap();
    let stack = Stack::new(path.clone(), [3, 1]);
    write_mask(stack.page(0), &mask(0)).unwrap();
    write_mask(stack.page(2), &mask(2)).unwrap();
    assert!(names(dir.path()).len() > 1);
    stack.abandon();
    write_mask(stack.page(1), &mask(1)).unwrap();
    assert!(!stack.is_complete());
    // Pages of other sizes and kinds.
    for (width, bytes, reason) in [(3, 2, "page 1 has 3x2 pixels, those before it 2x3"), (2, 1, "other samples")] {
        let stack = Stack::new(path.clone(), [2, 1]);
        integers(&stack, 0, 2, &[1; 6], 2).unwrap();
        let e = integers(&stack, 1, bytes, &[1; 6], width).unwrap_err().to_string();
        assert!(e.contains("a_mask.tif") && e.contains(reason), "{e}");
        assert!(!stack.is_complete());
    }
    assert_eq!((names(dir.path()), std::fs::read(&path).unwrap()), (vec!["a_mask.tif".to_string()], b"older".to_vec()));
}

#[test]
fn axes_are_described() {
    let of = |axes: [usize; 3], pixel: Option<PixelSize>| {
        let calibration = Calibration { pixel, ..Calibration::default() };
        let tags: Vec<TiffTag> = stack_tags(&calibration, axes);
        let text = tags.iter().find(|t| t.tag == 270).unwrap().bytes.clone();
        (String::from_utf8(text).unwrap().trim_end_matches('\0').to_string(), tags.iter().any(|t| t.tag == 282))
    };
    assert_eq!(of([1, 3, 1], None), ("ImageJ=1.54f\nimages=3\nslices=3\nloop=false\n".into(), false));
    let (text, resolution) = of([2, 1, 4], PixelSize::new(0.5, 0.5, PixelSizeSource::Tiff));
    let expected = "images=8\nchannels=2\nframes=4\nhyperstack=true\nmode=grayscale\nloop=false\nunit=um\n";
    assert_eq!((text.as_str(), resolution), (&*format!("ImageJ=1.54f\n{expected}"), true));
}
