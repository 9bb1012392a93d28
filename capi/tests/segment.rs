//! Results through the C interface are those of the library, for every sample type and any strides.

use std::ffi::{CString, c_void};
use std::ptr::null;

use unet_wgpu::low_level::infer::{Ids, InstanceSettings};
use unet_wgpu::{Backend, Image, Model, Pixels, SegmentOptions, Segmenter};
use unet_wgpu_c::*;

/// Columns and rows, both odd.
const SIZE: [usize; 2] = [83, 61];

/// Discs on a dark background.
fn sample(x: usize, y: usize) -> u16 {
    let inside = |cx: i64, cy: i64, r: i64| (x as i64 - cx).pow(2) + (y as i64 - cy).pow(2) < r * r;
    let bright = inside(20, 20, 9) || inside(50, 22, 11) || inside(37, 45, 8) || inside(70, 44, 10);
    if bright { 190 } else { 15 + ((x * 7 + y * 13) % 5) as u16 }
}

fn image(data: *const c_void, sample_type: UnetSampleType, [row, pixel]: [isize; 2]) -> UnetImage {
    UnetImage {
        size: size_of::<UnetImage>(),
        next: null(),
        data,
        width: SIZE[0],
        height: SIZE[1],
        channels: 1,
        sample_type: sample_type as i32,
        row_stride: row,
        pixel_stride: pixel,
        channel_stride: 0,
    }
}

#[test]
fn results_are_those_of_the_library() {
    let [w, h] = SIZE;
    let backend = match Backend::open("auto") {
        Ok(backend) => backend,
        Err(e) if std::env::var_os("UNET_REQUIRE_GPU").is_some() => panic!("{e}"),
        Err(_) => return,
    };
    let mut segmenter = Segmenter::new(backend, Model::open("nuclei").unwrap());
    let at = |i: usize| sample(i % w, i / w);
    let bytes: Vec<u8> = (0..w * h).map(|i| at(i) as u8).collect();
    let shorts: Vec<u16> = (0..w * h).map(at).collect();
    let floats: Vec<f32> = (0..w * h).map(|i| f32::from(at(i))).collect();
    // Every second sample of rows from the last to the first, in memory that is longer.
    let mut spread = vec![0u8; 2 * w * h];
    (0..w * h).for_each(|i| spread[2 * ((h - 1 - i / w) * w + i % w)] = at(i) as u8);
    let last = &raw const spread[2 * (h - 1) * w];
    let cases = [
        (Pixels::U8(bytes.clone()), image(bytes.as_ptr().cast(), UnetSampleType::UNET_U8, [0, 0])),
        (Pixels::U16(shorts.clone()), image(shorts.as_ptr().cast(), UnetSampleType::UNET_U16, [0, 0])),
        (Pixels::F32(floats.clone()), image(floats.as_ptr().cast(), UnetSampleType::UNET_F32, [0, 0])),
        (Pixels::U8(bytes.clone()), image(last.cast(), UnetSampleType::UNET_U8, [-2 * w as isize, 2])),
    ];
    let name = CString::new("nuclei").unwrap();
    let (mut device, mut model, mut handle) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: pointers to what lives as long as the calls.
    unsafe {
        assert_eq!(unet_device_open(null(), &mut device), UnetStatus::UNET_OK);
        assert_eq!(unet_model_open(name.as_ptr(), &mut model), UnetStatus::UNET_OK);
        assert_eq!(unet_segmenter_open(device, model, &mut handle), UnetStatus::UNET_OK);
        // What was opened keeps what it needs.
        unet_model_close(model);
        unet_device_close(device);
    }
    for (pixels, image) in cases {
        let options =
            SegmentOptions::default().with_probabilities(true).with_instances(Some(InstanceSettings::default()));
        let expected = segmenter.segment(&Image::new(w, h, 1, pixels).unwrap(), &options, |_| Ok(())).unwrap();
        let planes = expected.probabilities.as_ref().unwrap().len() / (w * h);
        // Rows of labels are longer than the image.
        let wide = w + 5;
        let (mut labels, mut mask) = (vec![u32::MAX; wide * h], vec![9u8; w * h]);
        let mut probability = vec![0f32; planes * w * h];
        let outputs = UnetOutputs {
            size: size_of::<UnetOutputs>(),
            next: null(),
            labels: labels.as_mut_ptr(),
            labels_stride: 4 * wide as isize,
            mask: mask.as_mut_ptr(),
            mask_stride: 0,
            probability: probability.as_mut_ptr(),
            probability_stride: 0,
        };
        let mut summary = UnetSummary {
            size: size_of::<UnetSummary>(),
            next: null(),
            instances: 0,
            planes: 0,
            tile_rows: 0,
            tile_columns: 0,
        };
        // SAFETY: as above.
        let status = unsafe { unet_segment(handle, &image, null(), &outputs, &mut summary) };
        assert_eq!(status, UnetStatus::UNET_OK);
        let found = expected.instances.unwrap();
        assert_eq!((summary.instances as usize, summary.planes as usize), (found.classes.len() - 1, planes));
        assert!(summary.instances > 0, "the discs are found");
        for y in 0..h {
            assert_eq!(labels[y * wide..y * wide + w], found.labels.labels()[y * w..(y + 1) * w]);
            assert!(
                labels[y * wide + w..(y + 1) * wide].iter().all(|&v| v == u32::MAX),
                "between rows nothing is written"
            );
        }
        let Ids::U8(ids) = expected.mask.ids() else { panic!("few classes") };
        assert_eq!(&mask, ids);
        assert_eq!(probability, expected.probabilities.unwrap());
    }
    // SAFETY: open, and not used again.
    unsafe { unet_segmenter_close(handle) };
}
