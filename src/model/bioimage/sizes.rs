//! Valid input sizes of a package's network: the description's sizes that its layers accept too.

use super::{Described, Size};
use crate::error::{Error, Result};
use crate::model::{Architecture, SizeRule};

/// Names of rows and columns in messages.
const AXES: [&str; 2] = ["y", "x"];
/// Maximum common step of sizes, in pixels.
const MAX_STEP: usize = 1 << 16;

/// Valid input sizes of a network, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Rule for the axes of variable size.
    pub rule: SizeRule,
    /// Rows and columns of fixed size.
    pub fixed: [Option<usize>; 2],
}

/// The sizes of `input` that `network` accepts, as rows and columns of the image. A transposed network takes columns
/// first.
pub(super) fn input_sizes(network: &dyn Architecture, input: &Described) -> Result<Sizes> {
    let mut rule = network.size_rule();
    let mut fixed = network.fixed_size();
    if input.transposed() {
        fixed.reverse();
    }
    // A network of fixed size has no rule.
    let mut free = (fixed == [None; 2]).then_some((rule.minimum, rule.step));
    for ((size, fixed), axis) in input.size.iter().zip(&mut fixed).zip(AXES) {
        let wrong = |reason: String| Error::invalid(format!("axis `{axis}` of inputs"), reason);
        match (size, *fixed) {
            (Size::Free, _) => {}
            (Size::Fixed(n), Some(own)) if *n != own => {
                return Err(wrong(format!("has {n} pixels, the network takes {own}")));
            }
            (Size::Fixed(n), _) => *fixed = Some(*n),
            (Size::Steps { min, step }, Some(own)) => {
                if own < *min || !(own - min).is_multiple_of(*step) {
                    return Err(wrong(format!("has {min} + k * {step} pixels, the network takes {own}")));
                }
            }
            (Size::Steps { min, step }, None) => {
                let (minimum, distance) = free.unwrap_or((rule.minimum, rule.step));
                let both = common((minimum, distance), (*min, *step)).ok_or_else(|| {
                    let own = format!("{minimum} + k * {distance}");
                    wrong(format!("has {min} + k * {step} pixels, the network takes {own}: no size is valid for both"))
                })?;
                free = Some(both);
            }
            (Size::Like { tensor, axis: other, .. }, _) => {
                return Err(wrong(format!("depends on axis `{other}` of `{tensor}`, which is not supported")));
            }
        }
    }
    if let [Some(h), Some(w)] = fixed {
        rule.minimum = h.max(w);
    } else if let Some((minimum, step)) = free {
        (rule.minimum, rule.step) = (minimum, step);
    }
    Ok(Sizes { rule, fixed })
}

/// Checks that the output's sizes are those that the network produces from its input.
pub(super) fn check_output(sizes: &Sizes, input: &Described, output: &Described) -> Result<()> {
    let lost = 2 * sizes.rule.margin;
    for (i, ((size, fixed), axis)) in output.size.iter().zip(sizes.fixed).zip(AXES).enumerate() {
        let wrong = |reason: String| Err(Error::invalid(format!("axis `{axis}` of outputs"), reason));
        match size {
            Size::Free => {}
            Size::Fixed(n) => {
                if let Some(produced) = fixed.map(|m| m.saturating_sub(lost)).filter(|m| m != n) {
                    return wrong(format!("has {n} pixels, the network produces {produced}"));
                }
            }
            Size::Steps { .. } => return wrong("has sizes independent of the input, which is not supported".into()),
            Size::Like { tensor, axis: other, .. } if *tensor != input.id || AXES.get(i) != Some(&&other[..]) => {
                return wrong(format!("has the size of axis `{other}` of `{tensor}`, which is not supported"));
            }
            Size::Like { scale, .. } if *scale != 1.0 => {
                return wrong(format!("has {scale} pixels per input pixel; only 1 is supported"));
            }
            Size::Like { offset, .. } if *offset != -(lost as f64) => {
                return wrong(format!("has {offset} pixels more than the input, the network's output has {lost} less"));
            }
            Size::Like { .. } => {}
        }
    }
    Ok(())
}

/// Intersection of two sequences `minimum + k * step`, as its minimum and step.
fn common(a: (usize, usize), b: (usize, usize)) -> Option<(usize, usize)> {
    let (mut x, mut y) = (a.1.max(1), b.1.max(1));
    let product = x.checked_mul(y)?;
    while y > 0 {
        (x, y) = (y, x % y);
    }
    let step = product / x;
    if step > MAX_STEP {
        return None;
    }
    let is = |n: usize, of: (usize, usize)| n >= of.0 && (n - of.0).is_multiple_of(of.1.max(1));
    let first = (0..step / a.1.max(1) + b.0.div_ceil(a.1.max(1))).map(|k| a.0 + k * a.1);
    first.into_iter().find(|&n| is(n, a) && is(n, b)).map(|n| (n, step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Padding, UNet};
    use serde_json::json;

    #[test]
    fn intersection_of_sequences() {
        assert_eq!(common((16, 16), (64, 16)), Some((64, 16)));
        assert_eq!(common((4, 4), (6, 6)), Some((12, 12)));
        assert_eq!(common((188, 16), (1, 1)), Some((188, 16)));
        assert_eq!(common((16, 16), (256, 32)), Some((256, 32)));
        assert_eq!(common((16, 16), (100, 64)), None);
        assert_eq!(common((16, 16), (1 << 19, 1 << 15)), Some((1 << 19, 1 << 15)));
        assert_eq!(common((65_521, 65_521), (65_519, 65_519)), None);
    }

    #[test]
    fn sizes_of_network_and_description() {
        let network = UNet { width: 2, depth: 3, padding: Padding::Same, ..UNet::default() };
        let valid = UNet { width: 2, depth: 2, padding: Padding::Valid, ..UNet::default() };
        let own = network.size_rule();
        let input = |shape: serde_json::Value| {
            Described::read("inputs", &json!({ "name": "raw", "axes": "bcyx", "shape": shape })).unwrap()
        };
        let get = |shape| input_sizes(&network, &input(shape)).unwrap();
        let steps = get(json!({ "min": [1, 1, 32, 48], "step": [0, 0, 16, 8] }));
        assert_eq!((steps.rule, steps.fixed), (SizeRule { minimum: 48, step: 16, ..own }, [None; 2]));
        let fixed = get(json!([1, 1, 64, 96]));
        assert_eq!((fixed.rule.minimum, fixed.rule.step, fixed.fixed), (96, own.step, [Some(64), Some(96)]));
        let one = get(json!({ "min": [1, 1, 64, 16], "step": [0, 0, 0, 16] }));
        assert_eq!((one.rule.minimum, one.fixed), (16, [Some(64), None]));
        let e = input_sizes(&network, &input(json!({ "min": [1, 1, 20, 20], "step": [0, 0, 32, 32] }))).unwrap_err();
        assert!(e.to_string().contains("axis `y` of inputs: has 20 + k * 32 pixels, the network takes"), "{e}");

        let output = |shape: serde_json::Value| {
            Described::read("outputs", &json!({ "name": "mask", "axes": "bcyx", "shape": shape })).unwrap()
        };
        let like = |scale: f64, offset: f64| json!({ "reference_tensor": "raw", "scale": [1, 1, scale, 1], "offset": [0, 0, offset, 0] });
        let free = input(json!({ "min": [1, 1, 8, 8], "step": [0, 0, 8, 8] }));
        let check = |sizes: &Sizes, shape| check_output(sizes, &free, &output(shape)).map_err(|e| e.to_string());
        assert_eq!(check(&steps, like(1.0, 0.0)), Ok(()));
        assert!(
            check(&steps, like(0.5, 0.0)).unwrap_err().contains("axis `y` of outputs: has 0.5 pixels per input pixel")
        );
        assert!(check(&steps, like(1.0, -8.0)).unwrap_err().contains("-16 pixels more than the input, the network"));
        assert_eq!(check(&fixed, json!([1, 1, 64, 96])), Ok(()));
        assert!(check(&fixed, json!([1, 1, 64, 48])).unwrap_err().contains("axis `x` of outputs: has 48 pixels"));
        let margin = valid.size_rule().margin as f64;
        let lost = Sizes { rule: valid.size_rule(), fixed: [None; 2] };
        assert!(check(&lost, like(1.0, -margin)).unwrap_err().contains("axis `x`"), "columns do not shrink");
        let both = json!({ "reference_tensor": "raw", "scale": [1, 1, 1, 1], "offset": [0, 0, -margin, -margin] });
        assert_eq!(check(&lost, both), Ok(()));
    }
}
