//! Optional features of devices, and what each of them gives.

use super::{Gpu, driver};

/// An optional feature that the library uses where a device has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// wgpu's flag.
    pub flag: wgpu::Features,
    /// Its name in wgpu.
    pub name: &'static str,
    /// What it gives.
    pub gives: &'static str,
    /// Whether networks run several times as fast with it.
    pub fast: bool,
}

/// The features that a device is opened with where the adapter has them.
pub const FEATURES: &[Feature] = &[
    Feature {
        flag: wgpu::Features::SUBGROUP,
        name: "SUBGROUP",
        gives: "convolutions pass operands between invocations in registers; networks run up to 3 times as fast",
        fast: true,
    },
    Feature {
        flag: driver::READ_WRITE_TEXTURES,
        name: "TEXTURE_ADAPTER_SPECIFIC_FORMAT_FEATURES",
        gives: "tensors in storage textures, where the driver reads them faster than buffers",
        fast: false,
    },
    Feature {
        flag: wgpu::Features::SHADER_F16,
        name: "SHADER_F16",
        gives: "activations and weights in f16: half the memory",
        fast: false,
    },
    Feature {
        flag: wgpu::Features::TIMESTAMP_QUERY,
        name: "TIMESTAMP_QUERY",
        gives: "the time of each dispatch by the device's own clock, for profiles and budgets",
        fast: false,
    },
    Feature {
        flag: wgpu::Features::PIPELINE_CACHE,
        name: "PIPELINE_CACHE",
        gives: "compiled kernels are kept between runs of a program",
        fast: false,
    },
];

/// Those of [`FEATURES`] that an adapter has and the library can use on it.
pub(crate) fn usable(adapter: &wgpu::Adapter) -> impl Iterator<Item = &'static Feature> {
    let (has, info) = (adapter.features(), adapter.get_info());
    let texels = adapter.get_texture_format_features(wgpu::TextureFormat::Rgba32Float);
    let read_write = texels.flags.contains(wgpu::TextureFormatFeatureFlags::STORAGE_READ_WRITE);
    FEATURES.iter().filter(move |f| {
        has.contains(f.flag)
            && (f.flag != driver::READ_WRITE_TEXTURES || read_write)
            // Kernels with subgroups are written for one size.
            && (f.flag != wgpu::Features::SUBGROUP || info.subgroup_min_size == info.subgroup_max_size)
    })
}

/// The flags of several features.
pub(crate) fn flags<'a>(features: impl Iterator<Item = &'a Feature>) -> wgpu::Features {
    features.fold(wgpu::Features::empty(), |all, f| all | f.flag)
}

impl Gpu {
    /// Those of [`FEATURES`] that the device was opened without. Its adapter may lack them too; before the device exists
    /// [`crate::low_level::frame::requirements`] tells.
    pub fn missing_features(&self) -> impl Iterator<Item = &'static Feature> {
        let has = self.device().features();
        FEATURES.iter().filter(move |f| !has.contains(f.flag))
    }

    /// Those of [`FEATURES`] that the device was opened with.
    pub fn present_features(&self) -> impl Iterator<Item = &'static Feature> {
        let has = self.device().features();
        FEATURES.iter().filter(move |f| has.contains(f.flag))
    }

    /// Warns, through `log`, of missing features with which networks run several times as fast.
    pub(super) fn warn_of_missing(&self) {
        for Feature { name, gives, .. } in self.missing_features().filter(|f| f.fast) {
            log::warn!("{}: the device was opened without {name}: {gives}", self.describe());
        }
    }
}
