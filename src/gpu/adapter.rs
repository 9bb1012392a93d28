//! Finding, choosing and opening adapters.

use super::{driver, features};
use crate::error::{Error, Result};
use crate::kernel::{AdapterClass, Caps, Target};
use std::str::FromStr;

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best one: discrete before integrated before virtual before software.
    #[default]
    Auto,
    /// By its index in [`adapters`].
    Index(usize),
    /// By its PCI address (`0000:01:00.0`), which tells two cards of one kind apart, or by part of its name, in upper or lower
    /// case.
    Name(String),
}

impl DeviceChoice {
    /// The adapter that it means; `None` if there is none such.
    pub fn select<'a>(&self, adapters: &'a [AdapterSummary]) -> Option<&'a AdapterSummary> {
        match self {
            Self::Auto => adapters.iter().find(|a| a.chosen),
            Self::Index(i) => adapters.get(*i),
            Self::Name(name) => {
                let at = find(adapters.iter().map(|a| [&*a.info.device_pci_bus_id, &*a.info.name]), name)?;
                adapters.get(at)
            }
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match (s, s.parse()) {
            ("" | "auto", _) => Self::Auto,
            (_, Ok(index)) => Self::Index(index),
            (name, Err(_)) => Self::Name(name.to_string()),
        })
    }
}

/// An adapter of this machine.
#[derive(Clone, Debug)]
pub struct AdapterSummary {
    /// Its index, for [`DeviceChoice::Index`].
    pub index: usize,
    /// Name, vendor, driver, backend.
    pub info: wgpu::AdapterInfo,
    /// Its limits.
    pub limits: wgpu::Limits,
    /// Its features.
    pub features: wgpu::Features,
    /// Whether [`DeviceChoice::Auto`] takes it.
    pub chosen: bool,
}

fn instance() -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor {
        // OpenGL has no usable compute path for us; the same GPU would be listed twice.
        backends: wgpu::Backends::PRIMARY,
        // Validation layers are a developer's tool and may not be installed.
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle_from_env()
    })
}

async fn list() -> Vec<wgpu::Adapter> {
    let mut all = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    all.retain(|a| a.get_info().backend != wgpu::Backend::Noop);
    all
}

fn rank(info: &wgpu::AdapterInfo) -> u32 {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// All adapters of this machine, in the order of their indices.
#[cfg(not(target_arch = "wasm32"))]
pub fn adapters() -> Vec<AdapterSummary> {
    super::block_on(adapters_async())
}

/// [`adapters`] as a future.
pub async fn adapters_async() -> Vec<AdapterSummary> {
    let all = list().await;
    let best = (0..all.len()).min_by_key(|&i| rank(&all[i].get_info()));
    let summary = |(index, a): (usize, &wgpu::Adapter)| AdapterSummary {
        index,
        info: a.get_info(),
        limits: a.limits(),
        features: a.features(),
        chosen: Some(index) == best,
    };
    all.iter().enumerate().map(summary).collect()
}

/// The side of the cooperative matrices (square, f16 times f16 into f32) that the adapter has and naga can express.
fn matrix(adapter: &wgpu::Adapter) -> Option<u32> {
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    if !adapter.features().contains(needed) {
        return None;
    }
    let (half, float) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    let listed = adapter.cooperative_matrix_properties();
    [16, 8].into_iter().find(|&side| {
        listed.iter().any(|p| [p.m_size, p.n_size, p.k_size] == [side; 3] && (p.ab_type, p.cr_type) == (half, float))
    })
}

/// The first adapter with that PCI address, or else with that text in its name.
fn find<'a>(adapters: impl Iterator<Item = [&'a str; 2]> + Clone, text: &str) -> Option<usize> {
    let in_name = |[_, name]: [&str; 2]| name.to_lowercase().contains(&text.to_lowercase());
    adapters
        .clone()
        .position(|[address, _]| address.eq_ignore_ascii_case(text))
        .or_else(|| adapters.clone().position(in_name))
}

/// Opens a device. Returns it with its queue and the side of the cooperative matrices it may use.
pub(super) async fn open(choice: &DeviceChoice) -> Result<(wgpu::Device, wgpu::Queue, Option<u32>)> {
    let all = list().await;
    if all.is_empty() {
        return Err(Error::NoAdapter);
    }
    let infos: Vec<_> = all.iter().map(wgpu::Adapter::get_info).collect();
    let index = match choice {
        DeviceChoice::Auto => (0..all.len()).min_by_key(|&i| rank(&infos[i])),
        DeviceChoice::Index(i) => (*i < all.len()).then_some(*i),
        DeviceChoice::Name(name) => find(infos.iter().map(|i| [&*i.device_pci_bus_id, &*i.name]), name),
    };
    let Some(index) = index else {
        let requested = match choice {
            DeviceChoice::Auto => "auto".to_string(),
            DeviceChoice::Index(i) => i.to_string(),
            DeviceChoice::Name(n) => n.clone(),
        };
        let available = infos.iter().enumerate().map(|(i, info)| format!("{i}: {}", info.name)).collect();
        return Err(Error::UnknownAdapter { requested, available });
    };
    let adapter = &all[index];
    // Also those that the library cannot use on this adapter: a device says what it has.
    let all = features::FEATURES.iter().filter(|f| f.flag != driver::READ_WRITE_TEXTURES);
    let mut requested = features::flags(all.chain(features::usable(adapter)));
    let matrix = matrix(adapter);
    let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
    if matrix.is_some() {
        requested |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        // SAFETY: the feature may have bugs in wgpu; kernels with it run only after a check against the reference.
        experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
    }
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("unet-wgpu"),
        required_features: adapter.features() & requested,
        required_limits: adapter.limits(),
        experimental_features,
        ..Default::default()
    };
    let (device, queue) = adapter
        .request_device(&descriptor)
        .await
        .map_err(|e| Error::Gpu { what: format!("opening {}", infos[index].name), reason: e.to_string() })?;
    Ok((device, queue, matrix))
}

/// The capabilities of a device, with the default options for it.
pub(super) fn target(device: &wgpu::Device, info: &wgpu::AdapterInfo) -> Target {
    let storage_textures = driver::has_storage_textures(device);
    let aliased_memory = storage_textures && driver::has_aliased_memory(device, info);
    let caps = caps(device.features(), &device.limits(), info);
    let alignment = if aliased_memory { driver::ALIGNMENT } else { 16 };
    let storage_alignment = caps.storage_alignment.max(alignment);
    Caps { storage_alignment, storage_textures, aliased_memory, ..caps }.into()
}

/// What follows from features and limits alone, before a device exists.
pub(crate) fn caps(features: wgpu::Features, limits: &wgpu::Limits, info: &wgpu::AdapterInfo) -> Caps {
    let fixed_subgroup =
        features.contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size == info.subgroup_max_size;
    Caps {
        class: class(info),
        subgroup: fixed_subgroup.then_some(info.subgroup_min_size),
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        storage_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(16),
        uniform_alignment: u64::from(limits.min_uniform_buffer_offset_alignment).max(16),
        f16: features.contains(wgpu::Features::SHADER_F16),
        matrix: None,
        storage_textures: false,
        aliased_memory: false,
    }
}

fn class(info: &wgpu::AdapterInfo) -> AdapterClass {
    // PCI vendor ids; Apple's is Metal's made-up one.
    match (info.device_type, info.vendor) {
        (wgpu::DeviceType::Cpu, _) => AdapterClass::Cpu,
        (_, 0x8086) => AdapterClass::Intel,
        (_, 0x1002) => AdapterClass::Amd,
        (_, 0x10de) => AdapterClass::Nvidia,
        (_, 0x106b) => AdapterClass::Apple,
        _ if info.backend == wgpu::Backend::Metal => AdapterClass::Apple,
        _ => AdapterClass::Other,
    }
}

pub(super) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = match (info.driver.as_str(), info.driver_info.as_str()) {
        ("", "") => String::new(),
        (d, "") => format!(", {d}"),
        ("", i) => format!(", {i}"),
        (d, i) => format!(", {d} {i}"),
    };
    let software = if info.device_type == wgpu::DeviceType::Cpu { ", software rendering" } else { "" };
    format!("{} ({:?}{driver}{software})", info.name, info.backend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_parse() {
        let parse = |s: &str| s.parse::<DeviceChoice>().unwrap();
        assert_eq!(parse("auto"), DeviceChoice::Auto);
        assert_eq!(parse("1"), DeviceChoice::Index(1));
        assert_eq!(parse("RTX"), DeviceChoice::Name("RTX".into()));
        assert_eq!(parse("0000:81:00.0"), DeviceChoice::Name("0000:81:00.0".into()));
    }

    #[test]
    fn an_address_tells_equal_cards_apart() {
        let cards = [["0000:01:00.0", "NVIDIA RTX A6000"], ["0000:81:00.0", "NVIDIA RTX A6000"], ["", "Software"]];
        let of = |text| find(cards.into_iter(), text);
        assert_eq!(of("rtx"), Some(0));
        assert_eq!(of("0000:81:00.0"), Some(1));
        assert_eq!(of("SOFT"), Some(2));
        assert_eq!(of("radeon"), None);
    }
}
