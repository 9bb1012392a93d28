//! Segmentation of images in memory.

use std::ffi::c_void;

use unet_wgpu::low_level::infer::{Ids, InstanceSettings};
use unet_wgpu::{Error, Result, SegmentOptions, Segmentation, Segmenter};

use crate::device::{UnetDevice, give, given, take_back};
use crate::error::{UnetStatus, guarded};
use crate::image::UnetImage;
use crate::model::UnetModel;
use crate::versioned::{Versioned, read, write};

/// A model on a device, for images of any size. One thread at a time may use one; the latest size stays compiled.
pub struct UnetSegmenter {
    segmenter: Segmenter,
}

/// Options of a segmentation. Zeros mean the defaults; so does a null pointer in its place.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnetOptions {
    /// `sizeof(UnetOptions)`.
    pub size: usize,
    /// Null.
    pub next: *const c_void,
    /// Largest tile edge in pixels; 0: as large as fits.
    pub tile: usize,
    /// Limit of memory in bytes on the device and for images and results; 0: 2 GiB.
    pub memory: u64,
    /// Not 0: the same bits for any tile size, with slower kernels.
    pub exact: i32,
    /// Instances: the foreground is where its probability is above this; 0: as the model's file says.
    pub threshold: f64,
    /// Instances: smaller ones, in pixels, are dropped; 0: as the model's file says.
    pub min_area: u64,
    /// Called with a fraction from 0 to 1 and `user`; what it returns other than 0 cancels the work. May be null.
    pub progress: Option<unsafe extern "C" fn(fraction: f64, user: *mut c_void) -> i32>,
    /// For `progress`.
    pub user: *mut c_void,
}

// SAFETY: `repr(C)` of numbers and pointers; a function pointer is null or the caller's.
unsafe impl Versioned for UnetOptions {
    const NAME: &'static str = "UnetOptions";
    const FIRST: usize = size_of::<Self>();

    fn absent() -> Self {
        Self {
            size: size_of::<Self>(),
            next: std::ptr::null(),
            tile: 0,
            memory: 0,
            exact: 0,
            threshold: 0.0,
            min_area: 0,
            progress: None,
            user: std::ptr::null_mut(),
        }
    }

    fn next(&self) -> *const c_void {
        self.next
    }
}

/// Where results go: null for what is not wanted. Row strides are in bytes; 0 means packed rows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnetOutputs {
    /// `sizeof(UnetOutputs)`.
    pub size: usize,
    /// Null.
    pub next: *const c_void,
    /// The number of every pixel's instance, from 1 in the order of first pixels; 0 for none.
    pub labels: *mut u32,
    /// Bytes from a row of labels to the next.
    pub labels_stride: isize,
    /// The class of every pixel.
    pub mask: *mut u8,
    /// Bytes from a row of the mask to the next.
    pub mask_stride: isize,
    /// Probabilities, 0 to 1: a plane for each class; of a model with a single output, that one plane. Planes are packed one after
    /// the other, `height` rows each.
    pub probability: *mut f32,
    /// Bytes from a row of probabilities to the next.
    pub probability_stride: isize,
}

// SAFETY: `repr(C)` of numbers and pointers.
unsafe impl Versioned for UnetOutputs {
    const NAME: &'static str = "UnetOutputs";
    const FIRST: usize = size_of::<Self>();

    fn absent() -> Self {
        let (labels, mask, probability) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        Self {
            size: size_of::<Self>(),
            next: std::ptr::null(),
            labels,
            labels_stride: 0,
            mask,
            mask_stride: 0,
            probability,
            probability_stride: 0,
        }
    }

    fn next(&self) -> *const c_void {
        self.next
    }
}

/// Facts about a result.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnetSummary {
    /// `sizeof(UnetSummary)`, set by the caller.
    pub size: usize,
    /// Null, set by the caller.
    pub next: *const c_void,
    /// Number of instances; 0 if labels were not wanted.
    pub instances: u32,
    /// Planes of probabilities; 0 if they were not wanted.
    pub planes: u32,
    /// Rows of tiles used.
    pub tile_rows: u32,
    /// Columns of tiles used.
    pub tile_columns: u32,
}

// SAFETY: `repr(C)` of numbers and pointers.
unsafe impl Versioned for UnetSummary {
    const NAME: &'static str = "UnetSummary";
    const FIRST: usize = size_of::<Self>();

    fn absent() -> Self {
        let (instances, planes, tile_rows, tile_columns) = (0, 0, 0, 0);
        Self { size: size_of::<Self>(), next: std::ptr::null(), instances, planes, tile_rows, tile_columns }
    }

    fn next(&self) -> *const c_void {
        self.next
    }
}

/// Makes a segmenter. `*segmenter` is null where it fails.
///
/// # Safety
/// `device` and `model` are open; `segmenter` points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_segmenter_open(
    device: *const UnetDevice,
    model: *const UnetModel,
    segmenter: *mut *mut UnetSegmenter,
) -> UnetStatus {
    // SAFETY: by this function's contract.
    guarded(|| unsafe {
        let (device, model) = (given("device", device)?, given("model", model)?);
        give("segmenter", segmenter, || {
            let segmenter = Segmenter::new(device.opened.backend()?, model.model.clone());
            Ok(UnetSegmenter { segmenter: segmenter.with_recovery(device.opened.reopening()) })
        })
    })
}

/// Frees a segmenter; null is ignored.
///
/// # Safety
/// `segmenter` is null or open, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_segmenter_close(segmenter: *mut UnetSegmenter) {
    // SAFETY: by this function's contract.
    unsafe { take_back(segmenter) }
}

/// Segments an image and writes what `outputs` asks for. Where it fails, outputs are unchanged. `options` and `summary` may be null.
///
/// # Safety
/// The segmenter is open and used by no other thread; the image's samples may be read, and the outputs written, for the image's
/// width and height.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unet_segment(
    segmenter: *mut UnetSegmenter,
    image: *const UnetImage,
    options: *const UnetOptions,
    outputs: *const UnetOutputs,
    summary: *mut UnetSummary,
) -> UnetStatus {
    guarded(|| {
        // SAFETY: open, and of this thread alone.
        let segmenter = unsafe { segmenter.as_mut() }.ok_or_else(|| Error::invalid("segmenter", "is null"))?;
        // SAFETY: structs that begin with their size, of samples that may be read.
        let (image, options, outputs) = unsafe {
            let options = if options.is_null() { UnetOptions::absent() } else { read(options)? };
            if !summary.is_null() {
                read(summary)?;
            }
            (read(image)?.copied()?, options, read(outputs)?)
        };
        let done =
            segmenter.segmenter.segment(&image, &options.settle(&outputs)?, |fraction| options.report(fraction))?;
        let size = [image.width(), image.height()];
        // SAFETY: outputs may be written for the image's size.
        let facts = unsafe { outputs.write(&done, size)? };
        if !summary.is_null() {
            // SAFETY: not null, and its size was read above.
            unsafe { write(summary, facts) };
        }
        Ok(())
    })
}

impl UnetOptions {
    fn settle(&self, outputs: &UnetOutputs) -> Result<SegmentOptions> {
        let mut instances = InstanceSettings::default();
        instances.threshold = (self.threshold != 0.0).then_some(self.threshold);
        instances.min_area = (self.min_area != 0).then_some(self.min_area);
        let mut options = SegmentOptions::default()
            .with_tile((self.tile != 0).then_some(self.tile))
            .with_exact(self.exact != 0)
            .with_probabilities(!outputs.probability.is_null())
            .with_instances((!outputs.labels.is_null()).then_some(instances));
        if self.memory != 0 {
            options = options.with_memory(self.memory);
        }
        Ok(options)
    }

    fn report(&self, fraction: f64) -> Result<()> {
        match self.progress {
            // SAFETY: the caller's function with the caller's pointer, during the caller's call.
            Some(report) if unsafe { report(fraction, self.user) } != 0 => Err(Error::Cancelled),
            _ => Ok(()),
        }
    }
}

impl UnetOutputs {
    /// # Safety
    /// What is not null may be written for an image of this width and height.
    unsafe fn write(&self, done: &Segmentation, [width, height]: [usize; 2]) -> Result<UnetSummary> {
        let pixels = width * height;
        let ids: Option<&[u8]> = match done.mask.ids() {
            Ids::U8(ids) => Some(ids),
            _ if self.mask.is_null() => None,
            _ => return Err(Error::invalid("mask", "the model has more than 256 classes")),
        };
        let instances = done.instances.as_ref().filter(|_| !self.labels.is_null());
        let planes = done.probabilities.as_deref().filter(|_| !self.probability.is_null()).unwrap_or_default();
        // SAFETY: by this function's contract.
        unsafe {
            if let (false, Some(ids)) = (self.mask.is_null(), ids) {
                rows(self.mask, self.mask_stride, width, ids);
            }
            if let Some(found) = instances {
                rows(self.labels, self.labels_stride, width, found.labels.labels());
            }
            rows(self.probability, self.probability_stride, width, planes);
        }
        Ok(UnetSummary {
            size: size_of::<UnetSummary>(),
            next: std::ptr::null(),
            instances: instances.map_or(0, |i| i.classes.len().saturating_sub(1) as u32),
            planes: (planes.len() / pixels.max(1)) as u32,
            tile_rows: done.tiles[0] as u32,
            tile_columns: done.tiles[1] as u32,
        })
    }
}

/// Copies rows to the caller's memory.
///
/// # Safety
/// Every row of `values` may be written at `to`, `stride` bytes apart, or packed if that is 0.
unsafe fn rows<T: Copy>(to: *mut T, stride: isize, width: usize, values: &[T]) {
    let stride = if stride == 0 { (width * size_of::<T>()) as isize } else { stride };
    for (y, row) in values.chunks_exact(width.max(1)).enumerate() {
        // SAFETY: by this function's contract; the caller's rows need not be aligned.
        unsafe {
            let at = to.byte_offset(y as isize * stride).cast::<u8>();
            std::ptr::copy_nonoverlapping(row.as_ptr().cast::<u8>(), at, size_of_val(row));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::ptr::{null, null_mut};

    use unet_wgpu::testing::lose_at_submission;

    use super::*;
    use crate::device::{unet_device_close, unet_device_open};
    use crate::image::UnetSampleType;
    use crate::model::{unet_model_close, unet_model_open};

    const SIZE: [usize; 2] = [83, 61];

    /// The mask of discs on a dark background.
    unsafe fn run(segmenter: *mut UnetSegmenter) -> (UnetStatus, Vec<u8>) {
        let [width, height] = SIZE;
        let inside = |i: usize, [x, y, r]: [i64; 3]| {
            (i as i64 % width as i64 - x).pow(2) + (i as i64 / width as i64 - y).pow(2) < r * r
        };
        let bright = |i: usize| [[20, 20, 9], [50, 22, 11], [37, 45, 8]].into_iter().any(|disc| inside(i, disc));
        let samples: Vec<u8> =
            (0..width * height).map(|i| if bright(i) { 190 } else { 15 + (i * 7 % 5) as u8 }).collect();
        let image = UnetImage {
            size: size_of::<UnetImage>(),
            next: null(),
            data: samples.as_ptr().cast(),
            width,
            height,
            channels: 1,
            sample_type: UnetSampleType::UNET_U8 as i32,
            row_stride: 0,
            pixel_stride: 0,
            channel_stride: 0,
        };
        let mut mask = vec![9; width * height];
        let outputs = UnetOutputs { mask: mask.as_mut_ptr(), ..UnetOutputs::absent() };
        // SAFETY: the image and its outputs live as long as the call.
        let status = unsafe { unet_segment(segmenter, &image, null(), &outputs, null_mut()) };
        (status, mask)
    }

    /// Two segmenters of one device, which is lost before a call and in it: both go on, on one new device.
    #[test]
    fn a_lost_device_is_opened_again() {
        let name = CString::new("nuclei").unwrap();
        let (mut device, mut model) = (null_mut(), null_mut());
        let mut segmenters = [null_mut(), null_mut()];
        // SAFETY: pointers to what lives as long as the calls.
        unsafe {
            match unet_device_open(null(), &mut device) {
                UnetStatus::UNET_OK => {}
                status if std::env::var_os("UNET_REQUIRE_GPU").is_some() => panic!("{status:?}"),
                _ => return,
            }
            assert_eq!(unet_model_open(name.as_ptr(), &mut model), UnetStatus::UNET_OK);
            for segmenter in &mut segmenters {
                assert_eq!(unet_segmenter_open(device, model, segmenter), UnetStatus::UNET_OK);
            }
            unet_model_close(model);
        }
        let current = || {
            // SAFETY: open until the end.
            let backend = unsafe { &*device }.opened.backend().unwrap();
            backend.gpu().unwrap().clone()
        };
        let [one, other] = segmenters;
        // SAFETY: open, and of this thread alone.
        unsafe {
            let expected = run(one);
            assert!(expected.0 == UnetStatus::UNET_OK && expected.1.contains(&1), "{:?}", expected.0);
            let first = current();
            first.device().destroy();
            assert!(run(one) == expected && run(other) == expected, "lost before a call");
            assert!(first.is_lost() && !current().is_lost());
            let second = current();
            lose_at_submission(&second, 1);
            assert!(run(other) == expected && second.is_lost(), "lost in a call");
            assert!(run(one) == expected);
            segmenters.into_iter().for_each(|s| unet_segmenter_close(s));
            unet_device_close(device);
        }
    }
}
