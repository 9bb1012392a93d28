//! A host application: its device, textures, buffers and encoder.

use unet_wgpu::frame::{FrameOptions, FrameOutput, OutputRequest, PixelFormat, requirements};
use unet_wgpu::low_level::infer::{Ids, Image, SegmentOptions, Segmenter};
use unet_wgpu::testing::gpu_or_skip;
use unet_wgpu::{Backend, Gpu, Model};

pub(crate) struct Host {
    pub gpu: Gpu,
}

pub(crate) fn adapter() -> Option<wgpu::Adapter> {
    // The tests' own rule for machines without a GPU.
    gpu_or_skip()?;
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    Some(pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default())).unwrap())
}

impl Host {
    /// A device with what is recommended for `nuclei`, or with default limits and no feature.
    pub(crate) fn open(recommended: bool) -> Option<Self> {
        let adapter = adapter()?;
        let options = FrameOptions::new(
            [256, 256],
            PixelFormat::of_texture(wgpu::TextureFormat::R8Unorm).unwrap(),
            vec![OutputRequest::texture(FrameOutput::Mask)],
        );
        let needed = requirements(&adapter, &Model::open("nuclei").unwrap(), &options).unwrap();
        let mut descriptor = if recommended { needed.descriptor() } else { wgpu::DeviceDescriptor::default() };
        if recommended {
            // Textures of 16-bit integers are the host's own wish.
            descriptor.required_features |= adapter.features() & wgpu::Features::TEXTURE_FORMAT_16BIT_NORM;
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        Some(Self { gpu: Gpu::from_wgpu(device, queue).unwrap() })
    }

    pub(crate) fn segmenter(&self, model: &Model) -> Segmenter {
        Segmenter::new(Backend::Gpu(self.gpu.clone()), model.clone())
    }

    /// Class ids, and the probabilities of class 1.
    pub(crate) fn segment(&self, segmenter: &mut Segmenter, image: &Image) -> (Vec<u8>, Vec<f32>) {
        let options = SegmentOptions::default().with_probabilities(true);
        let result = segmenter.segment(image, &options, |_| Ok(())).unwrap();
        assert_eq!(result.tiles, [1, 1]);
        let Ids::U8(ids) = result.mask.ids() else { panic!("more than 256 classes") };
        let (planes, pixels) = (result.probabilities.unwrap(), image.width() * image.height());
        let first = if planes.len() == pixels { 0 } else { pixels };
        (ids.clone(), planes[first..first + pixels].to_vec())
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) {
        let commands = encoder.finish();
        self.gpu.scoped("the host's submission", || Ok(self.gpu.queue().submit([commands]))).unwrap();
    }

    /// A texture with these texels.
    pub(crate) fn texture(&self, format: wgpu::TextureFormat, w: usize, h: usize, texels: &[u8]) -> wgpu::Texture {
        let texture = self.new_texture(format, w, h, wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST);
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some((texels.len() / h) as u32),
            rows_per_image: None,
        };
        self.gpu.queue().write_texture(texture.as_image_copy(), texels, layout, texture.size());
        texture
    }

    /// A texture for a result.
    pub(crate) fn target(&self, format: wgpu::TextureFormat, w: usize, h: usize) -> wgpu::Texture {
        self.new_texture(format, w, h, wgpu::TextureUsages::COPY_SRC | wgpu::TextureUsages::COPY_DST)
    }

    fn new_texture(
        &self,
        format: wgpu::TextureFormat,
        w: usize,
        h: usize,
        usage: wgpu::TextureUsages,
    ) -> wgpu::Texture {
        self.gpu.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("host"),
            size: wgpu::Extent3d { width: w as u32, height: h as u32, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage,
            view_formats: &[],
        })
    }

    /// A buffer with these bytes, and room for more.
    pub(crate) fn buffer(&self, content: &[u8], size: usize) -> wgpu::Buffer {
        let buffer = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("host"),
            size: size.max(content.len()).next_multiple_of(4) as u64,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let mut padded = content.to_vec();
        padded.resize(content.len().next_multiple_of(4), 0);
        self.gpu.queue().write_buffer(&buffer, 0, &padded);
        buffer
    }

    /// The texels of a texture, rows without gaps.
    pub(crate) fn read_texture(&self, texture: &wgpu::Texture) -> Vec<u8> {
        let texel = texture.format().block_copy_size(None).unwrap();
        let (row, size) = (texture.width() * texel, texture.size());
        let padded = row.next_multiple_of(256);
        let buffer = self.buffer(&[], (padded * texture.height()) as usize);
        let mut encoder = self.encoder();
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(padded), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(texture.as_image_copy(), to, size);
        self.submit(encoder);
        let all = self.read_buffer(&buffer);
        all.chunks(padded as usize).flat_map(|r| r[..row as usize].to_vec()).collect()
    }

    pub(crate) fn read_buffer(&self, buffer: &wgpu::Buffer) -> Vec<u8> {
        let staging = self.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("download"),
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        let submission = self.gpu.queue().submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
        self.gpu.wait(submission).unwrap();
        staging.get_mapped_range(..).unwrap().to_vec()
    }
}

/// Bright discs of several sizes on a dark, noisy ground.
pub(crate) fn blobs(w: usize, h: usize) -> Vec<u8> {
    let noise = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as usize % 12;
    let value = |i: usize| {
        let (x, y) = ((i % w) as f32, (i / w) as f32);
        let inside = (0..40).any(|k| {
            let (cx, cy) = ((k * 53 % 260) as f32, (k * 97 % 260) as f32);
            (x - cx).hypot(y - cy) < 6.0 + (k % 5) as f32
        });
        (if inside { 150 } else { 12 }) + noise(i)
    };
    (0..w * h).map(|i| value(i) as u8).collect()
}
