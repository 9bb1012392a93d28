//! The host's side of a frame: which bytes are copied in, and where the results are copied to.

use super::format::{BufferInput, FrameInput, OutputPlace, OutputRequest, OutputTarget, PixelFormat, Roi, Strides};
use super::layout::Layout;
use super::steps::Placement;
use crate::error::{Error, Result};

/// A frame that is being recorded. Handles of the host are kept until it is finished.
#[derive(Debug)]
pub(super) struct Job {
    input: Input,
    outputs: Vec<Output>,
    pub roi: Roi,
    pub place: Placement,
    /// Dispatches recorded.
    pub done: usize,
}

#[derive(Debug)]
enum Input {
    Texture(wgpu::Texture),
    Buffer(wgpu::Buffer, Copies),
}

#[derive(Debug)]
enum Output {
    Texture { texture: wgpu::Texture, x: u32, y: u32 },
    Buffer { buffer: wgpu::Buffer, offset: u64 },
}

/// Copies between buffers: `blocks` blocks of `rows` pieces of `bytes` bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copies {
    start: u64,
    bytes: u64,
    rows: u64,
    blocks: u64,
    /// From a row to the next: of the host, here.
    row: [u64; 2],
    /// From a block to the next: of the host, here.
    block: [u64; 2],
}

impl Copies {
    /// Source, target and length of each.
    fn each(&self) -> impl Iterator<Item = [u64; 3]> {
        let Self { start, bytes, rows, blocks, row, block } = *self;
        (0..blocks).flat_map(move |b| {
            (0..rows).map(move |r| [start + b * block[0] + r * row[0], b * block[1] + r * row[1], bytes])
        })
    }
}

impl Job {
    /// Checks everything that wgpu would refuse, so that nothing is recorded in vain. Reuses the memory of `last`.
    pub(super) fn new(
        layout: &Layout,
        input: FrameInput,
        outputs: &[OutputTarget],
        roi: Roi,
        last: Option<Self>,
    ) -> Result<Self> {
        let [rows, columns] = layout.size;
        if roi.width == 0 || roi.height == 0 || roi.width as usize > columns || roi.height as usize > rows {
            let reason = format!("{}x{} pixels, prepared are 1x1 to {columns}x{rows}", roi.width, roi.height);
            return Err(Error::invalid("roi", reason));
        }
        if outputs.len() != layout.outputs.len() {
            let reason = format!("{} are given, {} were prepared", outputs.len(), layout.outputs.len());
            return Err(Error::invalid("outputs", reason));
        }
        for (request, target) in layout.outputs.iter().zip(outputs) {
            check_target(layout, request, target, roi)?;
        }
        let (place, input) = match input {
            FrameInput::Texture(texture) => {
                check_texture("input", texture, wgpu::TextureUsages::COPY_SRC, [roi.x, roi.y], roi)?;
                let format = PixelFormat::of_texture(texture.format())?;
                if format != layout.input {
                    let reason = format!("{:?}, prepared is {:?}", texture.format(), layout.input);
                    return Err(Error::invalid("input texture", reason));
                }
                (texture_placement(layout, roi), Input::Texture(texture.clone()))
            }
            FrameInput::Buffer(of) => {
                let (place, copies) = buffer_placement(layout, &of, roi)?;
                (place, Input::Buffer(of.buffer.clone(), copies))
            }
        };
        let mut kept = last.map_or_else(Vec::new, |job| job.outputs);
        kept.clear();
        kept.extend(outputs.iter().map(|o| match *o {
            OutputTarget::Texture { texture, x, y } => Output::Texture { texture: texture.clone(), x, y },
            OutputTarget::Buffer { buffer, offset } => Output::Buffer { buffer: buffer.clone(), offset },
        }));
        Ok(Self { input, outputs: kept, roi, place, done: 0 })
    }

    /// Records the copies of the host's pixels.
    pub(super) fn copy_in(&self, encoder: &mut wgpu::CommandEncoder, layout: &Layout, pixels: &wgpu::Buffer) {
        match &self.input {
            Input::Texture(texture) => {
                let bytes = self.place.row * layout.input.sample.bytes() as u32;
                let from = at(texture, [self.roi.x, self.roi.y]);
                encoder.copy_texture_to_buffer(from, rows_of(pixels, bytes), extent(self.roi));
            }
            Input::Buffer(buffer, copies) => {
                for [from, to, bytes] in copies.each() {
                    encoder.copy_buffer_to_buffer(buffer, from, pixels, to, bytes);
                }
            }
        }
    }

    /// Records the copies of the results.
    pub(super) fn copy_out(&self, encoder: &mut wgpu::CommandEncoder, layout: &Layout, results: &[wgpu::Buffer]) {
        for ((request, output), result) in layout.outputs.iter().zip(&self.outputs).zip(results) {
            let row = request.row_bytes(self.roi.width as usize);
            match output {
                Output::Texture { texture, x, y } => {
                    encoder.copy_buffer_to_texture(
                        rows_of(result, row as u32),
                        at(texture, [*x, *y]),
                        extent(self.roi),
                    );
                }
                Output::Buffer { buffer, offset } => {
                    let bytes = layout.result_bytes_of(request, self.roi);
                    encoder.copy_buffer_to_buffer(result, 0, buffer, *offset, bytes);
                }
            }
        }
    }
}

fn extent(roi: Roi) -> wgpu::Extent3d {
    wgpu::Extent3d { width: roi.width, height: roi.height, depth_or_array_layers: 1 }
}

fn at(texture: &wgpu::Texture, [x, y]: [u32; 2]) -> wgpu::TexelCopyTextureInfo<'_> {
    let origin = wgpu::Origin3d { x, y, z: 0 };
    wgpu::TexelCopyTextureInfo { texture, mip_level: 0, origin, aspect: wgpu::TextureAspect::All }
}

fn rows_of(buffer: &wgpu::Buffer, bytes: u32) -> wgpu::TexelCopyBufferInfo<'_> {
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(bytes), rows_per_image: None };
    wgpu::TexelCopyBufferInfo { buffer, layout }
}

fn check_texture(
    what: &str,
    texture: &wgpu::Texture,
    usage: wgpu::TextureUsages,
    [x, y]: [u32; 2],
    roi: Roi,
) -> Result<()> {
    let fail = |reason: String| Err(Error::invalid(format!("{what} texture"), reason));
    if texture.dimension() != wgpu::TextureDimension::D2 || texture.sample_count() != 1 {
        return fail(format!(
            "is {:?} with {} samples; 2-D with one is needed",
            texture.dimension(),
            texture.sample_count()
        ));
    }
    if !texture.usage().contains(usage) {
        return fail(format!("has no usage {usage:?}"));
    }
    let inside = |from: u32, len: u32, of: u32| from.checked_add(len).is_some_and(|end| end <= of);
    if !inside(x, roi.width, texture.width()) || !inside(y, roi.height, texture.height()) {
        let size = format!("{}x{}", texture.width(), texture.height());
        return fail(format!("of {size} does not hold {}x{} pixels at ({x}, {y})", roi.width, roi.height));
    }
    Ok(())
}

fn check_target(layout: &Layout, request: &OutputRequest, target: &OutputTarget, roi: Roi) -> Result<()> {
    let name = request.output.name();
    match (request.place, target) {
        (OutputPlace::Texture, OutputTarget::Texture { texture, x, y }) => {
            if !request.output.fits(texture.format()) {
                let reason = format!("{:?} does not hold {:?}", texture.format(), request.output);
                return Err(Error::invalid(format!("{name} texture"), reason));
            }
            check_texture(name, texture, wgpu::TextureUsages::COPY_DST, [*x, *y], roi)
        }
        (OutputPlace::Buffer, OutputTarget::Buffer { buffer, offset }) => {
            let bytes = layout.result_bytes_of(request, roi);
            check_buffer(&format!("{name} buffer"), buffer, wgpu::BufferUsages::COPY_DST, *offset, bytes)
        }
        (place, _) => Err(Error::invalid(name, format!("was prepared for a {place:?}"))),
    }
}

fn check_buffer(what: &str, buffer: &wgpu::Buffer, usage: wgpu::BufferUsages, offset: u64, bytes: u64) -> Result<()> {
    let reason = if !buffer.usage().contains(usage) {
        format!("has no usage {usage:?}")
    } else if !offset.is_multiple_of(4) {
        format!("offset {offset} is not a multiple of 4")
    } else if offset.checked_add(bytes).is_none_or(|end| end > buffer.size()) {
        format!("has {} bytes; {bytes} from {offset} are needed", buffer.size())
    } else {
        return Ok(());
    };
    Err(Error::invalid(what, reason))
}

/// Where the samples of a texture are copied to.
pub(super) fn texture_placement(layout: &Layout, roi: Roi) -> Placement {
    let (width, sample) = (roi.width as usize, layout.input.sample.bytes());
    let row = (width * layout.input.bytes()).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize) / sample;
    let size = [roi.height as usize, width];
    let (row, pixel) = (row as u32, layout.input.channels as u32);
    Placement { size, network: layout.network(size), first: 0, row, pixel, channel: 1 }
}

/// Where the samples of a buffer are copied to, and how.
fn buffer_placement(layout: &Layout, input: &BufferInput, roi: Roi) -> Result<(Placement, Copies)> {
    let (place, copies, end) = plan_copies(layout, input.strides, input.offset, roi)?;
    check_buffer("input buffer", input.buffer, wgpu::BufferUsages::COPY_SRC, input.offset, end - input.offset)?;
    Ok((place, copies))
}

/// The same, without the buffer; and the end of the bytes that are copied.
pub(super) fn plan_copies(
    layout: &Layout,
    strides: Strides,
    offset: u64,
    roi: Roi,
) -> Result<(Placement, Copies, u64)> {
    let bytes = layout.input.sample.bytes() as u64;
    let [row, pixel, channel] = [strides.row, strides.pixel, strides.channel].map(|n| n as u64);
    let (w, h, channels) = (u64::from(roi.width), u64::from(roi.height), layout.input.channels as u64);
    let fail = |reason: String| Err(Error::invalid("input buffer", reason));
    if pixel == 0 || [row, pixel, channel].iter().any(|&n| n > u64::from(u32::MAX)) || (channels > 1 && channel == 0) {
        return fail(format!("{strides:?} are no distances between samples"));
    }
    // Planes are copied one by one; channels inside a row together.
    let planar = channels > 1 && channel >= row;
    let (blocks, together) = if planar { (channels, 1) } else { (1, channels) };
    let span = (pixel * (w - 1) + channel * (together - 1) + 1) * bytes;
    let first = offset + (u64::from(roi.y) * row + u64::from(roi.x) * pixel) * bytes;
    let (skip, start) = (first % 4, first - first % 4);
    let room = layout.pixel_bytes() / blocks / 4 * 4;
    let host_row = row * bytes;
    let whole = (skip + host_row * (h - 1) + span).next_multiple_of(4);
    let single = (skip + span).next_multiple_of(4);
    let (rows, length, own_row) = if whole <= room {
        (1, whole, host_row)
    } else if single * h > room {
        return fail(format!("{strides:?} spread {w}x{h} pixels over more bytes than were prepared"));
    } else if h > 1 && !host_row.is_multiple_of(4) {
        return fail(format!("rows are {host_row} bytes apart; a part of wider rows needs a multiple of 4"));
    } else {
        (h, single, single)
    };
    let host_block = if planar { channel * bytes } else { 0 };
    if !host_block.is_multiple_of(4) {
        return fail(format!("planes are {host_block} bytes apart, not a multiple of 4"));
    }
    let copies = Copies { start, bytes: length, rows, blocks, row: [host_row, own_row], block: [host_block, room] };
    let size = [roi.height as usize, roi.width as usize];
    let place = Placement {
        size,
        network: layout.network(size),
        first: (skip / bytes) as u32,
        row: (own_row / bytes) as u32,
        pixel: pixel as u32,
        channel: if planar { room / bytes } else { channel } as u32,
    };
    let end = start + (blocks - 1) * host_block + (rows - 1) * host_row + length;
    Ok((place, copies, end))
}
