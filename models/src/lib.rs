//! The built-in models of `unet-wgpu`, packed. The engine unpacks them: `unet_wgpu::Model::open("nuclei")`.
//!
//! How they were trained, their scores and the packing are described in this package's README.

#![no_std]

/// U-Net, width 16.
pub static NUCLEI_UNET: &[u8] = include_bytes!("../weights/nuclei_unet.planes");
/// U-Net++, width 16.
pub static NUCLEI_UNETPP: &[u8] = include_bytes!("../weights/nuclei_unetpp.planes");
/// U-Net 3+, width 16.
pub static NUCLEI_UNET3P: &[u8] = include_bytes!("../weights/nuclei_unet3p.planes");
/// U-Net, width 8, for stained tissue in colour.
pub static NUCLEI_HE: &[u8] = include_bytes!("../weights/nuclei_he.planes");
