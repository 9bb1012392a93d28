//! Constants of whole numbers as floats.

use super::{Quantised, steps};
use crate::model::onnx::Reason;
use crate::model::onnx::fold::axis;
use crate::model::onnx::proto::NodeProto;
use crate::model::onnx::tensor::{Elements, Tensor, strides};

impl Quantised<'_> {
    /// A file may use the same whole numbers again and again.
    fn charge(&mut self, elements: usize) -> Result<(), Reason> {
        let left = self.left.checked_sub(elements);
        self.left = left.ok_or("the same whole numbers are made floats of again and again: refused")?;
        Ok(())
    }

    /// `(x - zero) * scale`, with a scale and zero for all, for each element along `along`, or for each block of them.
    pub(super) fn floats(
        &mut self,
        x: &Tensor,
        steps: &[String; 2],
        along: i64,
        block: Option<usize>,
    ) -> Result<Tensor, Reason> {
        self.charge(x.len())?;
        let scale =
            self.tensors.get(&steps[0]).ok_or_else(|| Reason::from(format!("`{}` is not a constant", steps[0])))?;
        let zero = match steps[1].is_empty() {
            true => None,
            false => {
                let zero = self.tensors.get(&steps[1]);
                Some(zero.ok_or_else(|| Reason::from(format!("`{}` is not a constant", steps[1])))?)
            }
        };
        let at: Box<dyn Fn(usize) -> usize> = if let Some(block) = block {
            let along = axis(along, x.dims.len())?;
            let (from, of) = (strides(&x.dims), strides(&scale.dims));
            if scale.dims.len() != x.dims.len() || scale.dims[along].saturating_mul(block) < x.dims[along] {
                return Err(
                    format!("scales of dimensions {:?} for {:?} in blocks of {block}", scale.dims, x.dims).into()
                );
            }
            let dims = x.dims.clone();
            Box::new(move |i| {
                (0..dims.len())
                    .map(|k| {
                        let c = i / from[k] % dims[k];
                        (if k == along { c / block } else { c }) * of[k]
                    })
                    .sum()
            })
        } else {
            let max = scale.len().max(zero.map_or(1, Tensor::len));
            if max == 1 {
                Box::new(|_| 0)
            } else {
                let along = axis(along, x.dims.len())?;
                let (stride, n) = (strides(&x.dims)[along], x.dims[along]);
                if n != max {
                    return Err(format!("{max} scales for {n} elements along axis {along}").into());
                }
                Box::new(move |i| i / stride % n)
            }
        };
        let pick = |t: &Tensor, i: usize| if t.len() == 1 { t.at(0) } else { t.at(at(i)) };
        let value = |i: usize| (x.at(i) - zero.map_or(0.0, |z| pick(z, i))) * pick(scale, i);
        let values: Vec<f32> = (0..x.len()).map(|i| value(i) as f32).collect();
        Tensor::floats(x.dims.clone(), values)
    }

    /// A weight as floats: a new constant, or what it was before it was quantised.
    pub(super) fn weight(&mut self, name: &str, steps: &[String; 2], along: i64) -> Result<String, Reason> {
        if let Some(t) = self.tensors.get(name).cloned() {
            let floats = self.floats(&t, steps, along, None)?;
            let made = self.name(name);
            self.tensors.insert(made.clone(), floats);
            return Ok(made);
        }
        self.value_of(name, steps)
    }

    /// The second matrix of a product: its scales are of columns.
    pub(super) fn matrix(&mut self, node: &NodeProto, i: usize) -> Result<String, Reason> {
        let name = super::needed(node, i)?.to_string();
        self.weight(&name, &steps(node, i + 1)?, -1)
    }

    /// A bias of 32 bits: its scale is the product of those of input and weight.
    pub(super) fn bias(&mut self, name: &str, x: &str, w: &str, alpha: f64) -> Result<String, Reason> {
        self.charge(self.tensors.get(name).map_or(0, Tensor::len))?;
        let x = self.one(x)?;
        let missing = |name: &str| Reason::from(format!("`{name}` is not a constant"));
        let scale = self.tensors.get(w).ok_or_else(|| missing(w))?;
        let t = self.tensors.get(name).ok_or_else(|| missing(name))?;
        if let Elements::Float(_) = t.elements {
            return Ok(name.into());
        }
        let of = |i: usize| if scale.len() == 1 { scale.at(0) } else { scale.at(i % scale.len().max(1)) };
        let values: Vec<f32> = (0..t.len()).map(|i| (t.at(i) * x * of(i) * alpha) as f32).collect();
        let floats = Tensor::floats(t.dims.clone(), values)?;
        let made = self.name(name);
        self.tensors.insert(made.clone(), floats);
        Ok(made)
    }
}
