//! Adapter classes by name, and what a device of each typically is.

use super::{AdapterClass, Caps};
use crate::error::{Error, Result};
use std::str::FromStr;

impl AdapterClass {
    /// All classes.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::Intel, Self::Amd, Self::Nvidia, Self::Apple, Self::Other];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Intel => "intel",
            Self::Amd => "amd",
            Self::Nvidia => "nvidia",
            Self::Apple => "apple",
            Self::Other => "other",
        }
    }
}

impl FromStr for AdapterClass {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|c| c.name() == s).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("adapter class `{s}`"), format!("unknown; there are: {known}"))
        })
    }
}

impl Caps {
    /// A device of a class, for looking at kernels without one: WebGPU's default limits, and subgroups where their size
    /// is fixed, as on lavapipe.
    pub fn typical(class: AdapterClass) -> Self {
        Self { class, subgroup: (class == AdapterClass::Cpu).then_some(8), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names() {
        for class in AdapterClass::ALL {
            assert_eq!(class.name().parse::<AdapterClass>().unwrap(), class);
            assert_eq!(Caps::typical(class).class, class);
        }
        assert!("voodoo".parse::<AdapterClass>().unwrap_err().to_string().contains("nvidia"));
    }
}
