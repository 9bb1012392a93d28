//! Images in the caller's memory.

use std::ffi::c_void;

use unet_wgpu::{Error, Image, Pixels, Result};

use crate::versioned::Versioned;

/// The type of samples, in native byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of C")]
pub enum UnetSampleType {
    /// `uint8_t`.
    UNET_U8 = 0,
    /// `uint16_t`.
    UNET_U16 = 1,
    /// `float`; NaN and infinities are an error.
    UNET_F32 = 2,
}

/// An image in the caller's memory: sample (y, x, c) is at `data + y * row_stride + x * pixel_stride + c * channel_stride`. Strides
/// are in bytes and may be negative; where all three are 0, channels are interleaved and rows are packed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnetImage {
    /// `sizeof(UnetImage)`.
    pub size: usize,
    /// Null.
    pub next: *const c_void,
    /// The first sample.
    pub data: *const c_void,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Channels.
    pub channels: usize,
    /// A `UnetSampleType`.
    pub sample_type: i32,
    /// Bytes from a row to the next.
    pub row_stride: isize,
    /// Bytes from a pixel to the next in its row.
    pub pixel_stride: isize,
    /// Bytes from a channel to the next of a pixel.
    pub channel_stride: isize,
}

// SAFETY: `repr(C)` of numbers and pointers.
unsafe impl Versioned for UnetImage {
    const NAME: &'static str = "UnetImage";
    const FIRST: usize = size_of::<Self>();

    fn absent() -> Self {
        let null = std::ptr::null();
        let (width, height, channels) = (0, 0, 0);
        Self {
            size: 0,
            next: null,
            data: null,
            width,
            height,
            channels,
            sample_type: 0,
            row_stride: 0,
            pixel_stride: 0,
            channel_stride: 0,
        }
    }

    fn next(&self) -> *const c_void {
        self.next
    }
}

impl UnetImage {
    /// A copy of the pixels.
    ///
    /// # Safety
    /// Every sample that the fields describe may be read.
    pub(crate) unsafe fn copied(&self) -> Result<Image> {
        let count = self.width.checked_mul(self.height).and_then(|n| n.checked_mul(self.channels));
        let Some(count) = count.filter(|&n| n > 0 && n <= isize::MAX as usize / 4) else {
            let reason =
                format!("has no or too many samples: {}x{}, {} channels", self.width, self.height, self.channels);
            return Err(Error::invalid("UnetImage", reason));
        };
        if self.data.is_null() {
            return Err(Error::invalid("UnetImage", "its `data` is null"));
        }
        // SAFETY: by this function's contract.
        let pixels = unsafe {
            match self.sample_type {
                t if t == UnetSampleType::UNET_U8 as i32 => Pixels::U8(self.samples(count)),
                t if t == UnetSampleType::UNET_U16 as i32 => Pixels::U16(self.samples(count)),
                t if t == UnetSampleType::UNET_F32 as i32 => Pixels::F32(self.samples(count)),
                other => {
                    return Err(Error::invalid(
                        "UnetImage",
                        format!("its `sample_type` {other} is none of UnetSampleType"),
                    ));
                }
            }
        };
        if let Pixels::F32(samples) = &pixels
            && let Some(at) = samples.iter().position(|v| !v.is_finite())
        {
            let (pixel, channel) = (at / self.channels, at % self.channels);
            let (y, x) = (pixel / self.width, pixel % self.width);
            let reason = format!("sample {} at row {y}, column {x}, channel {channel} is not finite", samples[at]);
            return Err(Error::invalid("UnetImage", reason));
        }
        Image::new(self.width, self.height, self.channels, pixels)
    }

    /// # Safety
    /// As [`Self::copied`].
    unsafe fn samples<T: Copy>(&self, count: usize) -> Vec<T> {
        let bytes = size_of::<T>() as isize;
        let (row, pixel, channel) = match [self.row_stride, self.pixel_stride, self.channel_stride] {
            [0, 0, 0] => {
                let pixel = bytes * self.channels as isize;
                (pixel * self.width as isize, pixel, bytes)
            }
            [row, pixel, channel] => (row, pixel, channel),
        };
        let mut samples = Vec::with_capacity(count);
        for y in 0..self.height as isize {
            for x in 0..self.width as isize {
                for c in 0..self.channels as isize {
                    // SAFETY: a sample that the fields describe.
                    let at = unsafe { self.data.byte_offset(y * row + x * pixel + c * channel) };
                    // SAFETY: as above; callers' memory need not be aligned.
                    samples.push(unsafe { at.cast::<T>().read_unaligned() });
                }
            }
        }
        samples
    }
}
