//! Inputs and outputs of a description: axes in any order, sizes and halos. Format 0.4 has letters and lists of
//! numbers, 0.5 an object per axis; both are read into the same structs.

use super::archive::escaped;
use super::{Axis, Described, Size};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape};
use serde_json::Value;

/// Maximum size, step or halo that is accepted.
const MAX: u64 = 1 << 20;
/// Maximum number of axes of a tensor.
const MAX_AXES: usize = 8;

/// Whether a tensor of a description has rows and columns.
pub(super) fn is_image(tensor: &Value) -> bool {
    let letters = letters(tensor).unwrap_or_default();
    letters.iter().any(|l| l == "y") && letters.iter().any(|l| l == "x")
}

/// Axes as `b`, `c`, `y` and `x` in either format; other axes by their names.
fn letters(tensor: &Value) -> Option<Vec<String>> {
    match tensor.get("axes")? {
        Value::String(letters) => Some(letters.chars().map(String::from).collect()),
        Value::Array(axes) => axes
            .iter()
            .map(|a| {
                let text = |key: &str| a.get(key).and_then(Value::as_str);
                Some(match (text("type")?, text("id")) {
                    ("batch", _) => "b",
                    ("channel", _) => "c",
                    ("space", id) => id.unwrap_or("x"),
                    (_, Some(id)) => id,
                    (kind, None) => kind,
                })
            })
            .map(|l| l.map(String::from))
            .collect(),
        _ => None,
    }
}

impl Described {
    /// Reads a tensor; `what` is `inputs` or `outputs`.
    pub fn read(what: &str, tensor: &Value) -> Result<Self> {
        let wrong = |reason: String| Error::invalid(format!("axes of {what}"), reason);
        let letters = letters(tensor).filter(|l| !l.is_empty() && l.len() <= MAX_AXES);
        let letters = letters.ok_or_else(|| wrong("are neither letters nor a list of axes with types".into()))?;
        let named = || escaped(&letters.join(if letters.iter().all(|l| l.len() == 1) { "" } else { ", " }));
        let output = what == "outputs";
        let (mut axes, mut sizes, mut halo) = (Vec::new(), [Size::Free, Size::Free], [0; 2]);
        let (mut channels, mut channel_names, mut channel_axis) = (None, Vec::new(), "channel".to_string());
        let mut channels_like = None;
        for (i, letter) in letters.iter().enumerate() {
            let of = Part { what, tensor, i };
            let axis = match letter.as_str() {
                "b" => Axis::Batch,
                "c" => Axis::Channel,
                "y" => Axis::Y,
                "x" => Axis::X,
                _ if output && of.size(letter)? == Size::Fixed(1) => Axis::One,
                "z" => return Err(wrong(format!("are `{}`: volumes are not supported", named()))),
                "t" | "time" => return Err(wrong(format!("are `{}`: time series are not supported", named()))),
                _ => return Err(wrong(format!("are `{}`; only batch, channel, y and x are supported", named()))),
            };
            if axis != Axis::One && axes.contains(&axis) {
                return Err(wrong(format!("are `{}`: one occurs twice", named())));
            }
            axes.push(axis);
            match axis {
                Axis::Y | Axis::X => {
                    let at = usize::from(axis == Axis::X);
                    if let (Some(s), Some(h)) = (sizes.get_mut(at), halo.get_mut(at)) {
                        (*s, *h) = (of.size(letter)?, of.halo()?);
                    }
                }
                Axis::Channel => {
                    let names = of.entry().and_then(|a| a.get("channel_names")).and_then(Value::as_array);
                    let names = names.into_iter().flatten().filter_map(Value::as_str);
                    channel_names = names.map(escaped).collect();
                    if let Some(id) = of.entry().and_then(|a| a.get("id")).and_then(Value::as_str) {
                        channel_axis = escaped(id);
                    }
                    channels = match of.size(letter)? {
                        Size::Fixed(n) => Some(n),
                        Size::Like { scale, offset, .. } => {
                            channels_like = Some([scale, offset]);
                            None
                        }
                        _ => Some(channel_names.len()).filter(|&n| n > 0),
                    };
                }
                Axis::Batch | Axis::One => {}
            }
        }
        if !axes.contains(&Axis::Y) || !axes.contains(&Axis::X) {
            return Err(wrong(format!("are `{}`; only batch, channel, y and x are supported", named())));
        }
        let id = tensor.get("id").or(tensor.get("name")).and_then(Value::as_str);
        let id = id.map_or_else(|| what.trim_end_matches('s').to_string(), escaped);
        Ok(Self { id, axes, size: sizes, halo, channels, channels_like, channel_names, channel_axis })
    }

    /// Derives the number of channels of an output from the input's, if specified relative to it.
    pub fn knowing(self, input: &Self) -> Self {
        let like = self.channels_like.zip(input.channels).map(|([scale, offset], n)| n as f64 * scale + offset);
        let like = like.filter(|n| (1.0..=MAX as f64).contains(n)).map(|n| n as usize);
        Self { channels: self.channels.or(like), ..self }
    }

    fn place(&self, axis: Axis) -> Option<usize> {
        self.axes.iter().position(|&a| a == axis)
    }

    /// Whether columns come before rows.
    pub fn transposed(&self) -> bool {
        self.place(Axis::X) < self.place(Axis::Y)
    }

    /// Whether channels come after rows and columns.
    pub fn channels_last(&self) -> bool {
        self.place(Axis::Channel) > self.place(Axis::Y).max(self.place(Axis::X))
    }

    /// The axes as letters.
    pub fn letters(&self) -> String {
        let letter = |a: &Axis| match a {
            Axis::Batch => 'b',
            Axis::Channel => 'c',
            Axis::Y => 'y',
            Axis::X => 'x',
            Axis::One => '1',
        };
        self.axes.iter().map(letter).collect()
    }

    /// Rearranges a tensor with these axes to NCHW.
    pub fn arranged(&self, x: &HostTensor) -> Result<HostTensor> {
        let dims = x.dims();
        let of = |axis| self.place(axis).and_then(|i| dims.get(i)).copied().unwrap_or(1);
        let shape = Shape::new(of(Axis::Batch), of(Axis::Channel), of(Axis::Y), of(Axis::X));
        if dims.len() != self.axes.len() || shape.len() != x.data().len() {
            let reason = format!("a tensor of shape {dims:?} does not have the axes `{}`", self.letters());
            return Err(Error::invalid(&self.id, reason));
        }
        let stride = |axis| match self.place(axis) {
            Some(i) => dims.iter().skip(i + 1).product::<usize>(),
            None => 0,
        };
        let [n, c, y, x_] = [Axis::Batch, Axis::Channel, Axis::Y, Axis::X].map(stride);
        let at = |i: usize| x.data().get(i).copied().unwrap_or_default();
        Ok(HostTensor::from_fn(shape, |ni, ci, yi, xi| at(ni * n + ci * c + yi * y + xi * x_)))
    }
}

/// One axis of a tensor of either format.
struct Part<'a> {
    what: &'a str,
    tensor: &'a Value,
    i: usize,
}

impl Part<'_> {
    /// Its object, in format 0.5.
    fn entry(&self) -> Option<&Value> {
        self.tensor.get("axes")?.as_array()?.get(self.i)
    }

    fn wrong(&self, letter: &str, v: &Value) -> Error {
        let (axis, v) = (escaped(letter), escaped(&v.to_string()));
        Error::invalid(format!("axis `{axis}` of {}", self.what), format!("{v} is not a size"))
    }

    fn halo(&self) -> Result<usize> {
        let v = match self.entry() {
            Some(entry) => entry.get("halo"),
            None => self.tensor.get("halo").and_then(|h| h.get(self.i)),
        };
        let Some(v) = v.filter(|v| !v.is_null()) else { return Ok(0) };
        let halo = v.as_u64().filter(|&v| v <= MAX).ok_or_else(|| self.wrong("halo", v))?;
        Ok(halo as usize)
    }

    fn size(&self, letter: &str) -> Result<Size> {
        match self.entry() {
            Some(entry) => self.size_05(letter, entry),
            None => self.size_04(letter),
        }
    }

    fn whole(&self, letter: &str, v: &Value) -> Result<usize> {
        let whole = v.as_u64().or_else(|| v.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64));
        whole.filter(|&n| n <= MAX).map(|n| n as usize).ok_or_else(|| self.wrong(letter, v))
    }

    fn steps(&self, letter: &str, v: &Value, min: &Value, step: &Value) -> Result<Size> {
        let (min, step) = (self.whole(letter, min)?, self.whole(letter, step)?);
        match (min, step) {
            (0, _) => Err(self.wrong(letter, v)),
            (min, 0) => Ok(Size::Fixed(min)),
            (min, step) => Ok(Size::Steps { min, step }),
        }
    }

    fn size_05(&self, letter: &str, entry: &Value) -> Result<Size> {
        let Some(size) = entry.get("size").filter(|v| !v.is_null()) else { return Ok(Size::Free) };
        let get = |key: &str| size.get(key).filter(|v| !v.is_null());
        match (get("min"), get("step"), get("tensor_id"), get("axis_id")) {
            (Some(min), Some(step), None, None) => self.steps(letter, size, min, step),
            (None, None, Some(tensor), Some(axis)) => {
                let text = |v: &Value| v.as_str().map(escaped).ok_or_else(|| self.wrong(letter, size));
                let number = |v: Option<&Value>, default: f64| match v.filter(|v| !v.is_null()) {
                    None => Ok(default),
                    Some(v) => v.as_f64().filter(|v| v.is_finite()).ok_or_else(|| self.wrong(letter, v)),
                };
                // `scale` is the pixel size, so it is the reciprocal of the number of pixels.
                let scale = 1.0 / number(entry.get("scale"), 1.0)?;
                let offset = number(get("offset"), 0.0)?;
                Ok(Size::Like { tensor: text(tensor)?, axis: text(axis)?, scale, offset })
            }
            (None, None, None, None) if !size.is_object() => match self.whole(letter, size)? {
                0 => Err(self.wrong(letter, size)),
                n => Ok(Size::Fixed(n)),
            },
            _ => Err(self.wrong(letter, size)),
        }
    }

    fn size_04(&self, letter: &str) -> Result<Size> {
        let Some(shape) = self.tensor.get("shape").filter(|v| !v.is_null()) else { return Ok(Size::Free) };
        let at = |key: &str| shape.get(key).and_then(|list| list.get(self.i));
        if let Some(v) = shape.as_array() {
            let v = v.get(self.i).ok_or_else(|| self.wrong(letter, shape))?;
            return self.steps(letter, v, v, &Value::from(0));
        }
        if let (Some(min), Some(step)) = (at("min"), at("step")) {
            return self.steps(letter, shape, min, step);
        }
        let tensor = shape.get("reference_tensor").or(shape.get("reference_input")).and_then(Value::as_str);
        let (Some(tensor), Some(offset)) = (tensor, at("offset").and_then(Value::as_f64)) else {
            return Err(self.wrong(letter, shape));
        };
        // `scale` is null or 0 for an axis that the other tensor does not have.
        let scale = at("scale").and_then(Value::as_f64).unwrap_or(0.0);
        // The description has the offset of one side.
        let offset = 2.0 * offset;
        if scale == 0.0 {
            return self.steps(letter, shape, &Value::from(offset), &Value::from(0));
        }
        Ok(Size::Like { tensor: escaped(tensor), axis: letter.into(), scale, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn like(tensor: &str, axis: &str, scale: f64, offset: f64) -> Size {
        Size::Like { tensor: tensor.into(), axis: axis.into(), scale, offset }
    }

    #[test]
    fn both_formats_are_read_alike() {
        let four = json!({ "name": "raw", "axes": "bcyx", "shape": { "min": [1, 2, 64, 32], "step": [0, 0, 16, 8] } });
        // A space axis without an id is x.
        let five = json!({ "id": "raw", "axes": [
            { "type": "batch" },
            { "type": "channel", "channel_names": ["a", "b"] },
            { "type": "space", "id": "y", "size": { "min": 64, "step": 16 } },
            { "type": "space", "size": { "min": 32, "step": 8 } },
        ] });
        let four = Described::read("inputs", &four).unwrap();
        let five = Described::read("inputs", &five).unwrap();
        assert_eq!(five, Described { channel_names: vec!["a".into(), "b".into()], ..four.clone() });
        let size = [Size::Steps { min: 64, step: 16 }, Size::Steps { min: 32, step: 8 }];
        assert_eq!((four.letters(), four.size, four.channels), ("bcyx".into(), size, Some(2)));

        let four = json!({ "name": "y", "axes": "bxyc", "halo": [0, 8, 16, 0],
            "shape": { "reference_tensor": "raw", "scale": [1.0, 1.0, 1.0, 0.0], "offset": [0.0, -4.0, -2.0, 1.5] } });
        let five = json!({ "id": "y", "axes": [
            { "type": "batch" },
            { "type": "space", "id": "x", "halo": 8, "size": { "tensor_id": "raw", "axis_id": "x", "offset": -8 } },
            { "type": "space", "id": "y", "halo": 16, "size": { "tensor_id": "raw", "axis_id": "y", "offset": -4 } },
            { "type": "channel", "channel_names": ["a", "b", "c"] },
        ] });
        let four = Described::read("outputs", &four).unwrap();
        let five = Described::read("outputs", &five).unwrap();
        assert_eq!(five, Described { channel_names: ["a", "b", "c"].map(String::from).into(), ..four.clone() });
        assert_eq!(four.size, [like("raw", "y", 1.0, -4.0), like("raw", "x", 1.0, -8.0)]);
        assert_eq!((four.halo, four.channels, four.transposed(), four.channels_last()), ([16, 8], Some(3), true, true));
    }

    #[test]
    fn outputs_may_have_axes_of_size_one() {
        let axes = |what: &str, axes: Value| Described::read(what, &json!({ "axes": axes }));
        let five = json!([
            { "type": "batch" }, { "type": "channel", "channel_names": ["a"] },
            { "type": "space", "id": "z", "size": 1 },
            { "type": "space", "id": "y", "size": { "tensor_id": "r", "axis_id": "y" }, "scale": 2.0 },
            { "type": "space", "id": "x", "size": 7 },
        ]);
        let y = axes("outputs", five.clone()).unwrap();
        assert_eq!((y.letters(), &y.size), ("bc1yx".into(), &[like("r", "y", 0.5, 0.0), Size::Fixed(7)]));
        let x = HostTensor::new([1, 1, 1, 2, 3], (0..6).map(|v| v as f32).collect()).unwrap();
        assert_eq!(y.arranged(&x).unwrap().dims(), [1, 1, 2, 3]);
        for (what, list, part) in [
            ("inputs", five, "volumes are not supported"),
            ("inputs", json!("btcyx"), "are `btcyx`: time series"),
            ("inputs", json!("bc"), "are `bc`; only batch, channel, y and x"),
            ("inputs", json!("bcyxx"), "one occurs twice"),
            ("inputs", json!("bciyx"), "are `bciyx`; only batch, channel"),
            ("inputs", json!([{ "type": "space", "id": "height" }]), "are `height`; only batch"),
            ("inputs", json!(4), "neither letters nor a list"),
            ("inputs", json!([{ "id": "y" }]), "neither letters nor a list"),
            ("inputs", json!([{ "type": "space", "id": "y", "size": 0 }]), "axis `y` of inputs: 0 is not a size"),
            ("inputs", json!([{ "type": "space", "id": "y", "size": { "min": 4 } }]), "is not a size"),
            ("inputs", json!([{ "type": "space", "size": { "min": 1, "max": 9 } }]), "is not a size"),
            ("inputs", json!([{ "type": "space", "size": 1e30 }]), "is not a size"),
            ("outputs", json!([{ "type": "space", "size": 4, "halo": -3 }]), "-3 is not a size"),
        ] {
            let e = axes(what, list).unwrap_err().to_string();
            assert!(e.contains(part), "{part}: {e}");
        }
    }

    #[test]
    fn tensors_are_arranged_to_nchw() {
        let x = HostTensor::new([1, 3, 2, 2], (0..12).map(|v| v as f32).collect()).unwrap();
        let read = |axes: &str| Described::read("inputs", &json!({ "axes": axes })).unwrap();
        assert_eq!(read("bcyx").arranged(&x).unwrap(), x);
        let bxyc = read("bxyc").arranged(&x).unwrap();
        assert_eq!(bxyc.dims(), [1, 2, 2, 3]);
        assert_eq!(bxyc.data(), [0.0, 4.0, 8.0, 2.0, 6.0, 10.0, 1.0, 5.0, 9.0, 3.0, 7.0, 11.0]);
        assert!(read("cyx").arranged(&x).unwrap_err().to_string().contains("does not have the axes `cyx`"));
        let yx = HostTensor::new([2, 3], vec![0.0; 6]).unwrap();
        assert_eq!(read("yx").arranged(&yx).unwrap().dims(), [1, 1, 2, 3]);
    }
}
