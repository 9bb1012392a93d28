//! What a host hands over: the pixels of an image, and what it wants to have where.

use crate::error::{Error, Result};
use crate::infer::{ChannelKind, Sample};

/// The type of a host's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SampleFormat {
    /// 8-bit unsigned integers, or normalised 8-bit values, which are read as integers 0 to 255.
    U8,
    /// 16-bit unsigned integers, or normalised 16-bit values, which are read as integers 0 to 65535.
    U16,
    /// 16-bit floats.
    F16,
    /// 32-bit floats.
    F32,
}

impl SampleFormat {
    /// Bytes per sample.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::F16 => 2,
            Self::F32 => 4,
        }
    }

    /// The type in an image of the host's memory.
    pub(super) const fn sample(self) -> Sample {
        match self {
            Self::U8 => Sample::U8,
            Self::U16 => Sample::U16,
            Self::F16 | Self::F32 => Sample::F32,
        }
    }

    pub(super) const fn integers(self) -> bool {
        matches!(self, Self::U8 | Self::U16)
    }

    /// The constant of the kernels that read samples.
    pub(super) const fn constant(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::U16 => "U16",
            Self::F16 => "HALF",
            Self::F32 => "FLOAT",
        }
    }
}

/// The samples of a host's pixels, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// Their type.
    pub sample: SampleFormat,
    /// Samples per pixel.
    pub channels: usize,
    /// What they mean; alpha is ignored.
    pub kind: ChannelKind,
    /// Whether blue comes first and red third.
    pub bgr: bool,
}

impl PixelFormat {
    /// Pixels in a buffer: one channel is grey, three are red, green and blue, others are separate.
    pub fn new(sample: SampleFormat, channels: usize) -> Self {
        Self { sample, channels, kind: ChannelKind::of_count(channels), bgr: false }
    }

    /// The pixels of a texture; an error for formats that frames cannot take. Textures of `-srgb` formats are read as they
    /// are stored, as a file is.
    pub fn of_texture(format: wgpu::TextureFormat) -> Result<Self> {
        use wgpu::TextureFormat as F;
        let (sample, channels) = match format {
            F::R8Unorm | F::R8Uint => (SampleFormat::U8, 1),
            F::R16Unorm | F::R16Uint => (SampleFormat::U16, 1),
            F::R16Float => (SampleFormat::F16, 1),
            F::R32Float => (SampleFormat::F32, 1),
            F::Rgba8Unorm | F::Rgba8UnormSrgb | F::Rgba8Uint | F::Bgra8Unorm | F::Bgra8UnormSrgb => {
                (SampleFormat::U8, 4)
            }
            F::Rgba16Unorm | F::Rgba16Uint => (SampleFormat::U16, 4),
            F::Rgba16Float => (SampleFormat::F16, 4),
            F::Rgba32Float => (SampleFormat::F32, 4),
            other => {
                let reason = "is none of r8, r16, r32float, rgba8, bgra8, rgba16 and rgba32float";
                return Err(Error::invalid(format!("texture format {other:?}"), reason));
            }
        };
        let kind = if channels == 4 { ChannelKind::RGB.with_alpha(3) } else { ChannelKind::GREY };
        let bgr = matches!(format, F::Bgra8Unorm | F::Bgra8UnormSrgb);
        Ok(Self { sample, channels, kind, bgr })
    }

    /// Bytes per pixel.
    pub(super) const fn bytes(&self) -> usize {
        self.sample.bytes() * self.channels
    }
}

/// A rectangle of the host's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Roi {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Roi {
    /// A rectangle at the image's first pixel.
    pub const fn of_size(width: u32, height: u32) -> Self {
        Self { x: 0, y: 0, width, height }
    }
}

/// Distances between samples in a buffer, in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Strides {
    /// From a row to the next.
    pub row: usize,
    /// From a pixel to the next.
    pub pixel: usize,
    /// From a channel to the next.
    pub channel: usize,
}

impl Strides {
    /// Interleaved samples, rows without gaps.
    pub const fn interleaved(width: usize, channels: usize) -> Self {
        Self { row: width * channels, pixel: channels, channel: 1 }
    }

    /// A plane per channel, without gaps.
    pub const fn planar(width: usize, height: usize) -> Self {
        Self { row: width, pixel: 1, channel: width * height }
    }
}

/// An image in a buffer of the host, with usage `COPY_SRC`.
#[derive(Clone, Copy, Debug)]
pub struct BufferInput<'a> {
    /// The buffer.
    pub buffer: &'a wgpu::Buffer,
    /// Byte of the first sample, a multiple of 4.
    pub offset: u64,
    /// Where the other samples are.
    pub strides: Strides,
}

/// An image of the host.
#[derive(Clone, Copy, Debug)]
pub enum FrameInput<'a> {
    /// A 2-D texture with usage `COPY_SRC`; its first mip level is read.
    Texture(&'a wgpu::Texture),
    /// A buffer.
    Buffer(BufferInput<'a>),
}

/// How a plane of probabilities is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlaneFormat {
    /// 8 bits, 255 for 1: `r8unorm`.
    Unorm8,
    /// 16-bit floats: `r16float`.
    F16,
    /// 32-bit floats: `r32float`.
    F32,
}

/// Order of the colours of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColourOrder {
    /// `rgba8unorm`, `rgba8unorm-srgb`.
    Rgba,
    /// `bgra8unorm`, `bgra8unorm-srgb`.
    Bgra,
}

/// What a frame computes. The same for every architecture; only what is requested is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameOutput {
    /// `mask`: class ids in 8 bits (`r8uint`), 0 for the background.
    Mask,
    /// `probability`: the probability of a class.
    Probability {
        /// The class.
        class: usize,
        /// How it is stored.
        format: PlaneFormat,
    },
    /// `logits`: the network's raw output, `[K, rows, columns]` in 32-bit floats, in a buffer.
    Logits,
    /// `overlay`: the image with the mask drawn over it, 8 bits per colour, opaque.
    Overlay(ColourOrder),
}

impl FrameOutput {
    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mask => "mask",
            Self::Probability { .. } => "probability",
            Self::Logits => "logits",
            Self::Overlay(_) => "overlay",
        }
    }

    /// Bytes per element.
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Mask | Self::Probability { format: PlaneFormat::Unorm8, .. } => 1,
            Self::Probability { format: PlaneFormat::F16, .. } => 2,
            _ => 4,
        }
    }

    /// The constant of `frame_plane`.
    pub(super) const fn constant(&self) -> &'static str {
        match self {
            Self::Mask => "IDS",
            Self::Probability { format: PlaneFormat::Unorm8, .. } => "UNORM",
            Self::Probability { format: PlaneFormat::F16, .. } => "HALF",
            _ => "WORDS",
        }
    }

    /// Whether a texture of this format can hold it.
    pub(super) fn fits(&self, format: wgpu::TextureFormat) -> bool {
        use wgpu::TextureFormat as F;
        match self {
            Self::Mask => format == F::R8Uint,
            Self::Probability { format: PlaneFormat::Unorm8, .. } => format == F::R8Unorm,
            Self::Probability { format: PlaneFormat::F16, .. } => format == F::R16Float,
            Self::Probability { format: PlaneFormat::F32, .. } => format == F::R32Float,
            Self::Overlay(ColourOrder::Rgba) => matches!(format, F::Rgba8Unorm | F::Rgba8UnormSrgb),
            Self::Overlay(ColourOrder::Bgra) => matches!(format, F::Bgra8Unorm | F::Bgra8UnormSrgb),
            Self::Logits => false,
        }
    }
}

/// Where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputPlace {
    /// Into a texture.
    Texture,
    /// Into a buffer, rows padded to multiples of 4 bytes.
    Buffer,
}

/// A result to compute, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutputRequest {
    /// The result.
    pub output: FrameOutput,
    /// Its place.
    pub place: OutputPlace,
}

impl OutputRequest {
    /// Into a texture.
    pub const fn texture(output: FrameOutput) -> Self {
        Self { output, place: OutputPlace::Texture }
    }

    /// Into a buffer.
    pub const fn buffer(output: FrameOutput) -> Self {
        Self { output, place: OutputPlace::Buffer }
    }

    /// Bytes from a row of `width` pixels to the next in the host's buffer; in ours, which textures are copied from, at least
    /// 256 apart.
    pub fn row_bytes(&self, width: usize) -> usize {
        let align = match self.place {
            OutputPlace::Texture => wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize,
            OutputPlace::Buffer => 4,
        };
        (width * self.output.bytes()).next_multiple_of(align)
    }
}

/// What a frame is prepared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameOptions {
    /// Rows and columns of the largest image.
    pub size: [usize; 2],
    /// Smaller sizes that get a network of their own, with memory of its own, so that they too equal the segmenter at every pixel.
    pub exact: Vec<[usize; 2]>,
    /// The host's pixels.
    pub input: PixelFormat,
    /// What is computed; nothing else is.
    pub outputs: Vec<OutputRequest>,
    /// The most bytes of device memory that the frame may take, with the weights that are not on the device yet; more is an
    /// [`Error::Limit`](crate::Error::Limit) before anything is allocated.
    pub memory: Option<u64>,
}

impl FrameOptions {
    /// Images of up to `size` rows and columns, without a limit of memory.
    pub fn new(size: [usize; 2], input: PixelFormat, outputs: Vec<OutputRequest>) -> Self {
        Self { size, exact: Vec::new(), input, outputs, memory: None }
    }
}

/// Where the host wants a result.
#[derive(Clone, Copy, Debug)]
pub enum OutputTarget<'a> {
    /// In a 2-D texture with usage `COPY_DST`, from this column and row.
    Texture {
        /// The texture.
        texture: &'a wgpu::Texture,
        /// First column.
        x: u32,
        /// First row.
        y: u32,
    },
    /// In a buffer with usage `COPY_DST`.
    Buffer {
        /// The buffer.
        buffer: &'a wgpu::Buffer,
        /// First byte, a multiple of 4.
        offset: u64,
    },
}

impl<'a> OutputTarget<'a> {
    /// A texture from its first pixel.
    pub const fn texture(texture: &'a wgpu::Texture) -> Self {
        Self::Texture { texture, x: 0, y: 0 }
    }

    /// A buffer from its first byte.
    pub const fn buffer(buffer: &'a wgpu::Buffer) -> Self {
        Self::Buffer { buffer, offset: 0 }
    }
}
