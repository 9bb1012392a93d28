//! Kernel parameters as structs with named fields. A test compares each with its shader's declaration.

use bytemuck::Pod;
use std::ops::Deref;

/// A type in a shader's parameters, as naga sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
    /// `vecN<T>`
    Vector(&'static ParamType, usize),
    /// `array<T, N>`
    Array(&'static ParamType, usize),
    /// A struct with its members.
    Struct(&'static [Member]),
}

/// A member of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, which the shader shares.
    pub name: &'static str,
    /// Its type.
    pub ty: ParamType,
    /// Byte offset in the struct.
    pub offset: usize,
}

/// A type allowed in a shader's parameters.
pub trait ShaderType: Pod {
    /// Its type in the shader.
    const TYPE: ParamType;
}

macro_rules! scalar {
    ($($type:ident: $name:ident),*) => {$(
        impl ShaderType for $type {
            const TYPE: ParamType = ParamType::$name;
        }

        impl ShaderType for [$type; 2] {
            const TYPE: ParamType = ParamType::Vector(&ParamType::$name, 2);
        }

        impl ShaderType for [$type; 4] {
            const TYPE: ParamType = ParamType::Vector(&ParamType::$name, 4);
        }

        // Uniform buffers allow arrays of vec4 only.
        impl ShaderType for [[$type; 4]; 2] {
            const TYPE: ParamType = ParamType::Array(&<[$type; 4]>::TYPE, 2);
        }
    )*};
}
scalar!(u32: U32, i32: I32, f32: F32);

/// A struct that mirrors all of a shader's `Params`. Declared by `shader_struct!`.
pub trait KernelParams: ShaderType {
    /// Its fields in order.
    const MEMBERS: &'static [Member];
}

/// Declares structs that mirror a shader's, field by field.
macro_rules! shader_struct {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty),+ $(,)?
        }
    )+) => {$(
        $(#[$attribute])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        $visibility struct $name {
            $($(#[$field_attribute])* $visibility $field: $type),+
        }

        impl $crate::kernel::ShaderType for $name {
            const TYPE: $crate::kernel::ParamType =
                $crate::kernel::ParamType::Struct(<$name as $crate::kernel::KernelParams>::MEMBERS);
        }

        impl $crate::kernel::KernelParams for $name {
            const MEMBERS: &'static [$crate::kernel::Member] = &[$($crate::kernel::Member {
                name: stringify!($field),
                ty: <$type as $crate::kernel::ShaderType>::TYPE,
                offset: std::mem::offset_of!($name, $field),
            }),+];
        }
    )+};
}
pub(crate) use shader_struct;

/// The parameter words of a dispatch, with their layout.
#[derive(Clone, Debug)]
pub struct Params {
    pub(super) words: Vec<u32>,
    members: &'static [Member],
}

/// Compares the words only; their layout follows from the shader.
impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Params {}

impl Params {
    pub(super) fn of_words(words: Vec<u32>) -> Self {
        Self { words, members: &[] }
    }

    /// The fields that the words hold, without the first workgroup of a part; empty for deserialised parameters.
    pub fn members(&self) -> &'static [Member] {
        self.members
    }
}

impl Deref for Params {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.words
    }
}

impl<P: KernelParams> From<P> for Params {
    fn from(params: P) -> Self {
        Self { words: bytemuck::cast_slice(std::slice::from_ref(&params)).to_vec(), members: P::MEMBERS }
    }
}

shader_struct! {
    /// `View` of `shaders/lib/tensor.wgsl`: where a blocked tensor lies in its binding, in vec4s.
    pub struct View {
        /// Pixel (0, 0) of channel block 0 of image 0.
        origin: u32,
        /// Row stride.
        row: u32,
        /// Channel block stride.
        plane: u32,
        /// Image stride.
        batch: u32,
    }

    /// `Size` of `shaders/lib/tensor.wgsl`: a tensor's dimensions without the batch.
    pub struct Size {
        /// Columns.
        w: u32,
        /// Rows.
        h: u32,
        /// Channel blocks.
        blocks: u32,
        /// Channels.
        c: u32,
    }
}
