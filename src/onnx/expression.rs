//! A node on parameters, which a network's file may have in place of the parameters themselves.

use super::attributes::Attributes;
use super::proto::NodeProto;
use super::tensor::Tensor;
use super::{Reason, fold};
use crate::error::{Error, Result};
use crate::tensor::HostTensor;
use prost::Message;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One output of a node whose inputs are parameters and constants. Plain data, evaluated when weights are loaded.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    #[serde(with = "encoded")]
    node: Arc<NodeProto>,
    opset: i64,
    /// Number of outputs of the node.
    outputs: usize,
    /// The output that this is.
    output: usize,
    #[serde(with = "crate::tensor::shared")]
    inputs: Arc<Vec<Input>>,
}

/// An input of an [`Expression`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Input {
    /// The next parameter.
    Parameter,
    /// A constant.
    Constant(Tensor),
    /// An optional input that the node does not use.
    Absent,
}

impl Expression {
    /// The first `count` outputs of a node, labelled `label`.
    pub(crate) fn all(label: &str, call: &fold::Call<'_>, count: usize, inputs: Vec<Input>) -> Vec<Self> {
        let node = NodeProto {
            name: label.into(),
            op_type: call.op.into(),
            attribute: call.attributes.0.to_vec(),
            ..NodeProto::default()
        };
        let (node, inputs) = (Arc::new(node), Arc::new(inputs));
        let (opset, outputs) = (call.opset, call.outputs);
        (0..count).map(|output| Self { node: node.clone(), opset, outputs, output, inputs: inputs.clone() }).collect()
    }

    /// The result from the parameters in the order of the inputs.
    pub fn evaluate(&self, parameters: &[&HostTensor]) -> Result<HostTensor> {
        let fail = |reason: Reason| Error::op(&self.node.name, reason.0);
        let mut next = parameters.iter();
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for input in &*self.inputs {
            inputs.push(match input {
                Input::Parameter => {
                    let parameter = next.next().ok_or_else(|| fail("a parameter is missing".into()))?;
                    Some(Tensor::of_host(parameter))
                }
                // It may come from a file.
                Input::Constant(t) => Some(t.clone().checked().map_err(fail)?),
                Input::Absent => None,
            });
        }
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
        let (op, attributes) = (&*self.node.op_type, Attributes::of(&self.node));
        let call = fold::Call { op, attributes, opset: self.opset, outputs: self.outputs };
        let results = fold::apply(&call, &inputs).map_err(fail)?.unwrap_or_default();
        results.get(self.output).ok_or_else(|| fail("has no such output".into()))?.host().map_err(fail)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output {} of {} ({})", self.output, self.node.name, self.node.op_type)
    }
}

/// A node as the hexadecimal digits of its message.
mod encoded {
    use super::{Arc, Message, NodeProto};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(node: &Arc<NodeProto>, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = node.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<NodeProto>, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| D::Error::custom("a node that is not hexadecimal"))?;
        NodeProto::decode(&bytes[..]).map(Arc::new).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_read_back_computes_the_same() {
        let call = fold::Call { op: "Mul", attributes: Attributes(&[]), opset: 13, outputs: 1 };
        let factor = Tensor::floats(vec![1], vec![f32::from_bits(0x3f80_0001)]).unwrap();
        let all = Expression::all("scaled", &call, 1, vec![Input::Parameter, Input::Constant(factor)]);
        let parameter = HostTensor::new([2], vec![3.0, f32::NEG_INFINITY]).unwrap();
        let expected = all[0].evaluate(&[&parameter]).unwrap();
        assert_eq!(expected.data(), [3.0 * f32::from_bits(0x3f80_0001), f32::NEG_INFINITY]);
        let text = serde_json::to_string(&all[0]).unwrap();
        let back: Expression = serde_json::from_str(&text).unwrap();
        assert_eq!(back, all[0]);
        assert_eq!(back.evaluate(&[&parameter]).unwrap(), expected);
        assert!(back.evaluate(&[]).unwrap_err().to_string().contains("a parameter is missing"));
        let other = Expression::all("scaled", &fold::Call { op: "Div", ..call }, 1, vec![Input::Parameter; 2]);
        assert_ne!(back, other[0]);
        let bad = text.replace("\"dims\":[1]", "\"dims\":[7]");
        let bad: Expression = serde_json::from_str(&bad).unwrap();
        assert!(bad.evaluate(&[&parameter]).is_err(), "elements that do not fill their dimensions");
        assert!(serde_json::from_str::<Expression>(&text.replacen("\"node\":\"", "\"node\":\"xy", 1)).is_err());
    }
}
