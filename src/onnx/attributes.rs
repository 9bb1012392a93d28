//! Attributes of a node, by name and type.

use super::Reason;
use super::proto::{AttributeProto, NodeProto, TensorProto};

/// The attributes of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a>(pub &'a [AttributeProto]);

impl<'a> Attributes<'a> {
    /// The attributes of `node`.
    pub(crate) fn of(node: &'a NodeProto) -> Self {
        Self(&node.attribute)
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.iter().find(|a| a.name == name)
    }

    /// Whether an attribute exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// An integer, if present.
    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.find(name).map(|a| a.i.unwrap_or_default())
    }

    /// A boolean, stored as an integer.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name).map_or(default, |v| v != 0)
    }

    /// A float.
    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.find(name).map_or(default, |a| a.f.unwrap_or_default())
    }

    /// A list of integers, if present.
    pub(crate) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.find(name).map(|a| &a.ints[..])
    }

    /// A list of floats, if present.
    pub(crate) fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.find(name).map(|a| &a.floats[..])
    }

    /// A tensor, if present.
    pub(crate) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.find(name).and_then(|a| a.t.as_deref())
    }

    /// A string.
    pub(crate) fn text(&self, name: &str, default: &'static str) -> Result<&'a str, Reason> {
        let Some(a) = self.find(name) else { return Ok(default) };
        std::str::from_utf8(a.s.as_deref().unwrap_or_default()).map_err(|_| format!("`{name}` is not text").into())
    }

    /// Two lengths, for rows and columns.
    pub(crate) fn pair(&self, name: &str, default: usize) -> Result<[usize; 2], Reason> {
        match self.ints(name) {
            None => Ok([default; 2]),
            Some(&[a, b]) => Ok([length(name, a)?, length(name, b)?]),
            Some(list) => Err(format!("`{name}` is {list:?}: only two dimensions are supported").into()),
        }
    }

    /// Four lengths: top, left, bottom, right.
    pub(crate) fn pads(&self) -> Result<[usize; 4], Reason> {
        match self.ints("pads") {
            None => Ok([0; 4]),
            Some(&[t, l, b, r]) => Ok([length("pads", t)?, length("pads", l)?, length("pads", b)?, length("pads", r)?]),
            Some(list) => Err(format!("`pads` is {list:?}: only two dimensions are supported").into()),
        }
    }
}

/// Maximum kernel size, stride, dilation or padding, in pixels: more than any network has.
const MAX_LENGTH: i64 = 1 << 16;

fn length(name: &str, v: i64) -> Result<usize, Reason> {
    if (0..=MAX_LENGTH).contains(&v) { Ok(v as usize) } else { Err(format!("`{name}` of {v}").into()) }
}
