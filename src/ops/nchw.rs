//! Conversion between plain NCHW and the device layout, at the inputs and outputs of a graph.

use super::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Params, Size, View, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// Plain NCHW to the device layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportNchw;

/// The device layout to plain NCHW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportNchw;

fn convert(name: &str, inputs: &[TensorDesc], from: Layout, to: Layout) -> Result<Vec<TensorDesc>> {
    expect_inputs(name, inputs, 1)?;
    if inputs[0].layout != from {
        return Err(Error::op(name, format!("input {} is {:?}, not {from:?}", inputs[0].shape, inputs[0].layout)));
    }
    Ok(vec![TensorDesc { shape: inputs[0].shape, layout: to }])
}

fn lower(cx: &mut Lowering, shader: &'static str, params: impl Into<Params>) -> Result<()> {
    let s = cx.input(0);
    let (key, grid) = cx.per_area(KernelKey::new(shader), s);
    cx.dispatch(key, params, [Operand::Input(0), Operand::Output(0)], grid)
}

impl Op for ImportNchw {
    fn name(&self) -> &'static str {
        "import_nchw"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        convert(self.name(), inputs, Layout::Linear, Layout::Blocked)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        Ok(vec![inputs[0].clone()])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let view = cx.output_view(0);
        lower(cx, "import_nchw", ImportNchwParams { y: view, size: cx.input(0).into() })
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", ExportNchw, &[dy])?)])
    }
}

impl Op for ExportNchw {
    fn name(&self) -> &'static str {
        "export_nchw"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        convert(self.name(), inputs, Layout::Blocked, Layout::Linear)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        Ok(vec![inputs[0].clone()])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let view = cx.input_view(0);
        lower(cx, "export_nchw", ExportNchwParams { x: view, size: cx.input(0).into() })
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        Ok(vec![Some(builder.node("grad", ImportNchw, &[dy])?)])
    }
}

shader_struct! {
    /// Parameters of `import_nchw`.
    struct ImportNchwParams {
        y: View,
        size: Size,
    }

    /// Parameters of `export_nchw`.
    struct ExportNchwParams {
        x: View,
        size: Size,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    // Every case of every op passes through both; these are the shapes that matter to the conversion itself.
    let shapes = [Shape::new(2, 5, 3, 18), Shape::new(1, 1, 1, 1), Shape::new(3, 8, 5, 4)];
    let import = |s: Shape| OpCase {
        name: format!("import_nchw/{s}"),
        op: std::sync::Arc::new(ImportNchw),
        inputs: vec![(TensorDesc::linear(s), InputKind::Data)],
    };
    let export = |s: Shape| OpCase::new(format!("export_nchw/{s}"), ExportNchw, &[s]);
    shapes.into_iter().flat_map(|s| [import(s), export(s)]).collect()
}
