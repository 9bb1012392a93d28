//! Views through changes of shape: tracks the axes of the tensor, so that no element moves until needed.

use super::{Call, Translator};
use crate::graph::ValueId;
use crate::model::onnx::Reason;
use crate::model::onnx::fold::broadcast;
use crate::model::onnx::value::{Data, canonical};
use crate::tensor::Shape;

impl Data {
    /// Reshapes the view without moving elements, by merging axes that are adjacent in memory and splitting axes.
    /// `None` if elements would have to move. `shape` is the tensor's own.
    pub fn viewed_as(&self, dims: &[usize], shape: Shape) -> Option<Self> {
        let strides = self.strides();
        let old: Vec<(usize, usize)> = self.dims().into_iter().zip(strides).filter(|a| a.0 != 1).collect();
        let mut stride = vec![0; dims.len()];
        let new: Vec<usize> = (0..dims.len()).filter(|&i| dims[i] != 1).collect();
        let (mut from, mut to) = (0, 0);
        while from < old.len() && to < new.len() {
            // The shortest runs of axes on both sides with equal numbers of elements.
            let (first, begin) = (from, to);
            let (mut a, mut b) = (old[from].0, dims[new[to]]);
            (from, to) = (from + 1, to + 1);
            while a != b {
                if a < b {
                    a = a.checked_mul(old.get(from)?.0)?;
                    from += 1;
                } else {
                    b = b.checked_mul(dims[*new.get(to)?])?;
                    to += 1;
                }
            }
            if old[first..from].windows(2).any(|p| p[0].1 != p[1].0 * p[1].1) {
                return None;
            }
            let mut step = old[from - 1].1;
            for &i in new[begin..to].iter().rev() {
                stride[i] = step;
                step *= dims[i];
            }
        }
        if from < old.len() || to < new.len() {
            return None;
        }
        let mut far = new;
        far.sort_by_key(|&i| std::cmp::Reverse(stride[i]));
        Some(Self { integral: self.integral, ..Self::of_axes(self, dims, &far, shape) })
    }

    /// The view whose axes longer than 1 have the memory order `far`. Its base is the tensor's own shape if that has
    /// the same such axes, since operators can then distinguish rows from channels.
    fn of_axes(&self, dims: &[usize], far: &[usize], shape: Shape) -> Self {
        let own = shape.dims();
        let long: Vec<usize> = (0..4).filter(|&k| own[k] != 1).collect();
        let same = far.iter().map(|&i| dims[i]).eq(long.iter().map(|&k| own[k]));
        let (base, places, mut units) = if same && dims.len() == 4 {
            (own.to_vec(), long, (0..4).filter(|&k| own[k] == 1).collect::<Vec<_>>())
        } else {
            let lengths = far.iter().map(|&i| dims[i]);
            let base = lengths.chain(std::iter::repeat_n(1, dims.len() - far.len())).collect();
            (base, (0..far.len()).collect(), (far.len()..dims.len()).collect())
        };
        units.reverse();
        let order = (0..dims.len())
            .map(|i| match far.iter().position(|&f| f == i) {
                Some(at) => places[at],
                None => units.pop().unwrap_or_default(),
            })
            .collect();
        Self { id: self.id, base, order, integral: self.integral }
    }

    /// The stride of each axis, in elements.
    fn strides(&self) -> Vec<usize> {
        let mut of_base = vec![1; self.base.len()];
        for i in (1..self.base.len()).rev() {
            of_base[i - 1] = of_base[i] * self.base[i];
        }
        self.order.iter().map(|&i| of_base[i]).collect()
    }

    /// Whether the axis order in the file differs from the tensor's, axes of one element included.
    pub fn reordered(&self) -> bool {
        !self.order.is_sorted()
    }

    /// Whether the axes are a permutation of the tensor's four.
    pub fn is_of(&self, shape: Shape) -> bool {
        self.base == shape.dims()
    }

    /// The axis that is the channels of a tensor of that shape, if any.
    pub fn channels_of(&self, shape: Shape) -> Option<usize> {
        let before = |k: usize| self.base[..k].iter().product::<usize>();
        let is = |&i: &usize| self.base[self.order[i]] == shape.c && before(self.order[i]) == shape.n;
        let all: Vec<usize> = (0..self.order.len()).filter(is).collect();
        match all[..] {
            [one] => Some(one),
            // Axes of one element are ambiguous, except in a permutation of all four axes.
            _ if self.is_of(shape) => self.order.iter().position(|&k| k == 1),
            _ => None,
        }
    }
}

/// For a constant of dimensions `dims` that is broadcast to a view with the axis order `order`: the constant's
/// dimensions in the tensor's axis order, and the permutation.
pub(super) fn beside(dims: &[usize], order: &[usize]) -> Result<(Vec<usize>, Vec<usize>), Reason> {
    let missing = order.len().checked_sub(dims.len()).ok_or("a constant has more dimensions than the tensor")?;
    let padded = [vec![1; missing], dims.to_vec()].concat();
    let perm: Vec<usize> = (0..order.len()).map(|k| order.iter().position(|&o| o == k).unwrap_or_default()).collect();
    Ok((perm.iter().map(|&i| padded[i]).collect(), perm))
}

/// Whether two views permute their tensors alike, so that the tensors can be combined directly.
pub(super) fn alike(a: (&Data, Shape), b: (&Data, Shape)) -> bool {
    a.0.order == b.0.order && a.0.is_of(a.1) && b.0.is_of(b.1) && broadcast(&a.0.base, &b.0.base).is_ok()
}

/// A tensor with the value's `axis` as its channels, and the value as a view of it.
pub(super) fn channels_at(
    t: &mut Translator<'_>,
    call: &Call<'_>,
    d: &Data,
    axis: usize,
) -> Result<(ValueId, Data), Reason> {
    let dims = d.dims();
    if d.channels_of(t.graph.shape(d.id)) == Some(axis) {
        return Ok((d.id, d.clone()));
    }
    if let Some(s) = canonical(&dims).filter(|_| axis == 1 && dims.len() > 1) {
        let x = t.shaped(call, d, s)?;
        return Ok((x, Data::plain(x, dims)));
    }
    if dims.len() > 3 {
        // The two innermost other axes stay rows and columns.
        let mut perm: Vec<usize> = (0..dims.len()).filter(|&i| i != axis).collect();
        perm.sort_by_key(|&i| d.order[i]);
        let at = perm.len() - 2;
        perm.insert(at, axis);
        let base: Vec<usize> = perm.iter().map(|&i| dims[i]).collect();
        let view = Data { order: perm.iter().map(|&i| d.order[i]).collect(), ..d.clone() };
        let shape = Shape::new(base[..at].iter().product(), base[at], base[at + 1], base[at + 2]);
        let x = t.shaped(call, &view, shape)?;
        let mut order = vec![0; perm.len()];
        perm.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
        return Ok((x, Data { id: x, base, order, integral: false }));
    }
    let (before, after) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
    let x = t.shaped(call, d, Shape::new(before, dims[axis], 1, after))?;
    Ok((x, Data::plain(x, dims)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::tensor::TensorDesc;

    fn data(shape: Shape, order: &[usize]) -> Data {
        let mut graph = Graph::new();
        let id = graph.input("x", TensorDesc::linear(shape));
        Data { id, base: shape.dims().to_vec(), order: order.to_vec(), integral: false }
    }

    /// Indices into the tensor of a view's elements, in the view's order.
    fn elements(d: &Data) -> Vec<usize> {
        let (dims, strides) = (d.dims(), d.strides());
        let n: usize = dims.iter().product();
        (0..n)
            .map(|at| {
                let mut rest = at;
                dims.iter().zip(&strides).rev().fold(0, |sum, (&n, &s)| {
                    let i = rest % n;
                    rest /= n;
                    sum + i * s
                })
            })
            .collect()
    }

    #[test]
    fn reshaped_views_have_the_same_elements() {
        type Case<'a> = (Shape, &'a [usize], &'a [usize], Option<&'a [usize]>);
        let cases: [Case; 12] = [
            // NHWC without batch and with merged or split axes.
            (Shape::new(1, 3, 4, 5), &[0, 2, 3, 1], &[4, 5, 3], None),
            (Shape::new(2, 3, 4, 5), &[0, 2, 3, 1], &[2, 20, 3], None),
            (Shape::new(2, 3, 4, 5), &[0, 2, 3, 1], &[2, 2, 2, 5, 3], None),
            (Shape::new(1, 3, 4, 5), &[0, 2, 3, 1], &[20, 3], None),
            (Shape::new(1, 3, 4, 5), &[0, 1, 2, 3], &[1, 3, 4, 5, 1], None),
            // One channel, whose axis can be anywhere.
            (Shape::new(2, 1, 4, 5), &[0, 1, 2, 3], &[2, 4, 5, 1], Some(&[0, 2, 3, 1])),
            (Shape::new(2, 1, 4, 5), &[0, 2, 3, 1], &[2, 1, 4, 5], Some(&[0, 1, 2, 3])),
            (Shape::new(1, 1, 4, 5), &[0, 1, 2, 3], &[1, 4, 5, 1], Some(&[0, 2, 3, 1])),
            (Shape::new(1, 3, 1, 1), &[0, 2, 3, 1], &[1, 3, 1, 1], Some(&[0, 1, 2, 3])),
            (Shape::new(1, 3, 1, 1), &[0, 1, 2, 3], &[1, 1, 1, 3], Some(&[0, 2, 3, 1])),
            (Shape::new(2, 6, 2, 2), &[0, 1, 2, 3], &[2, 2, 3, 2, 2], None),
            (Shape::new(3, 1, 1, 1), &[0, 1, 2, 3], &[3], None),
        ];
        for (shape, order, dims, expected) in cases {
            let d = data(shape, order);
            let v = d.viewed_as(dims, shape).unwrap_or_else(|| panic!("{shape} {order:?} as {dims:?}"));
            assert_eq!(v.dims(), dims);
            assert_eq!(elements(&v), elements(&d), "{shape} {order:?} as {dims:?}");
            let mut axes = v.order.clone();
            axes.sort_unstable();
            assert!(axes.into_iter().eq(0..v.base.len()), "{v:?}");
            if let Some(expected) = expected {
                assert_eq!((&v.order[..], v.is_of(shape)), (expected, true));
            }
        }
        // Cases in which elements would have to move.
        let d = data(Shape::new(1, 3, 4, 5), &[0, 2, 3, 1]);
        assert_eq!(d.viewed_as(&[1, 3, 4, 5], Shape::new(1, 3, 4, 5)), None);
        assert_eq!(d.viewed_as(&[60], Shape::new(1, 3, 4, 5)), None);
        let batch = data(Shape::new(2, 3, 4, 5), &[0, 2, 3, 1]);
        assert_eq!(batch.viewed_as(&[40, 3], Shape::new(2, 3, 4, 5)), None);
    }

    #[test]
    fn channels_are_found_in_a_view() {
        let shape = Shape::new(1, 3, 4, 5);
        let d = data(shape, &[0, 2, 3, 1]);
        assert_eq!(d.channels_of(shape), Some(3));
        assert_eq!(d.viewed_as(&[20, 3], shape).unwrap().channels_of(shape), Some(1));
        assert_eq!(d.viewed_as(&[4, 5, 3], shape).unwrap().channels_of(shape), Some(2));
        let one = Shape::new(1, 1, 4, 5);
        assert_eq!(data(one, &[0, 2, 3, 1]).channels_of(one), Some(3));
        assert_eq!(
            data(Shape::new(2, 6, 2, 2), &[0, 1, 2, 3])
                .viewed_as(&[2, 2, 3, 2, 2], Shape::new(2, 6, 2, 2))
                .unwrap()
                .channels_of(Shape::new(2, 6, 2, 2)),
            None
        );
    }

    #[test]
    fn constants_follow_a_view() {
        assert_eq!(beside(&[3], &[0, 2, 3, 1]).unwrap(), (vec![1, 3, 1, 1], vec![0, 3, 1, 2]));
        assert_eq!(beside(&[4, 5, 3], &[0, 2, 3, 1]).unwrap(), (vec![1, 3, 4, 5], vec![0, 3, 1, 2]));
        assert!(beside(&[1, 1, 1, 1, 3], &[0, 2, 3, 1]).is_err());
    }
}
