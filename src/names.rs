//! Values with names, as options, configuration files and messages write them. Each name is defined once.

use crate::error::{Error, Result};

/// A value with its name and description.
#[derive(Clone, Copy, Debug)]
pub struct Name<T> {
    /// The value.
    pub value: T,
    /// Its name in files and options.
    pub name: &'static str,
    /// One line for help texts.
    pub about: &'static str,
}

impl<T> Name<T> {
    /// A value with its name and description.
    pub const fn new(value: T, name: &'static str, about: &'static str) -> Self {
        Self { value, name, about }
    }
}

/// A type whose values all have names. The macro `named!` gives it `FromStr`, `Display` and serde's traits.
pub trait Named: Copy + PartialEq + 'static {
    /// What a value is, for errors.
    const WHAT: &'static str;
    /// All values in the order of help texts.
    const NAMES: &'static [Name<Self>];

    /// Its name.
    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|n| n.value == self).map_or("", |n| n.name)
    }

    /// The value of that name; the error lists all names.
    fn from_name(text: &str) -> Result<Self> {
        let found = Self::NAMES.iter().find(|n| n.name == text).map(|n| n.value);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|n| n.name).collect();
            Error::invalid(Self::WHAT, format!("`{text}` is not one of {}", names.join(", ")))
        })
    }
}

/// Implements `FromStr`, `Display`, `Serialize` and `Deserialize` by the names of a [`Named`] type.
macro_rules! named {
    ($type:ty) => {
        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                $crate::names::Named::from_name(text)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str($crate::names::Named::name(*self))
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str($crate::names::Named::name(*self))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                $crate::names::Named::from_name(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Side {
        Left,
        Right,
    }

    impl Named for Side {
        const WHAT: &'static str = "side";
        const NAMES: &'static [Name<Self>] =
            &[Name::new(Self::Left, "left", "Where the heart is"), Name::new(Self::Right, "right", "The other")];
    }

    named!(Side);

    #[test]
    fn round_trip() {
        for n in Side::NAMES {
            assert_eq!((n.value.to_string().parse::<Side>().unwrap(), n.value.name()), (n.value, n.name));
            let json = serde_json::to_string(&n.value).unwrap();
            assert_eq!(serde_json::from_str::<Side>(&json).unwrap(), n.value);
        }
        let e = "up".parse::<Side>().unwrap_err().to_string();
        assert_eq!(e, "side: `up` is not one of left, right");
        assert!(serde_json::from_str::<Side>("\"up\"").unwrap_err().to_string().starts_with(&e));
    }
}
