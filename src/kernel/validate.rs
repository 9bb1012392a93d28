//! Parsing and reflection of composed WGSL, with naga.

use super::{KernelKey, compose};
use crate::error::{Error, Result};

/// What a shader declares at a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingKind {
    /// `var<uniform>`.
    Uniform,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
    /// `texture_storage_2d<rgba32float, ..>`.
    Texture {
        /// Whether the kernel reads it.
        loads: bool,
        /// Whether the kernel writes it.
        stores: bool,
    },
}

/// A parsed kernel and what it binds.
#[derive(Clone, Debug)]
pub struct Reflected {
    /// The parsed module, entry point `main`.
    pub module: naga::Module,
    /// Bindings 0, 1, 2, .. of group 0.
    pub bindings: Vec<BindingKind>,
    /// Workgroup size.
    pub workgroup_size: [u32; 3],
}

/// Composes and parses a kernel. A failure is a bug in our shaders; the error holds naga's message.
pub fn parse(key: &KernelKey) -> Result<Reflected> {
    let source = compose(key)?;
    let fail = |reason: String| Error::op(format!("kernel {key}"), reason);
    let module = naga::front::wgsl::parse_str(&source).map_err(|e| fail(e.emit_to_string(&source)))?;
    let entry = module
        .entry_points
        .iter()
        .find(|e| e.name == "main" && e.stage == naga::ShaderStage::Compute)
        .ok_or_else(|| fail("no compute entry point `main`".into()))?;
    let workgroup_size = entry.workgroup_size;
    let mut found: Vec<(u32, BindingKind)> = Vec::new();
    for (_, var) in module.global_variables.iter() {
        let Some(binding) = &var.binding else { continue };
        let kind = match var.space {
            naga::AddressSpace::Uniform => BindingKind::Uniform,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => {
                BindingKind::ReadWrite
            }
            naga::AddressSpace::Storage { .. } => BindingKind::Read,
            naga::AddressSpace::Handle => texture(&module.types[var.ty].inner)
                .ok_or_else(|| fail(format!("binding {} is not a storage texture", binding.binding)))?,
            other => return Err(fail(format!("binding {} is in {other:?}", binding.binding))),
        };
        if binding.group != 0 {
            return Err(fail(format!("binding {} is in group {}", binding.binding, binding.group)));
        }
        found.push((binding.binding, kind));
    }
    found.sort_by_key(|f| f.0);
    if found.iter().enumerate().any(|(i, f)| f.0 as usize != i) {
        return Err(fail(format!("bindings are not 0, 1, 2, ..: {found:?}")));
    }
    Ok(Reflected { bindings: found.into_iter().map(|f| f.1).collect(), workgroup_size, module })
}

fn texture(ty: &naga::TypeInner) -> Option<BindingKind> {
    let naga::TypeInner::Image { class: naga::ImageClass::Storage { access, .. }, .. } = ty else { return None };
    let has = |a| access.contains(a);
    Some(BindingKind::Texture { loads: has(naga::StorageAccess::LOAD), stores: has(naga::StorageAccess::STORE) })
}
