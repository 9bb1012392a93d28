//! Networks whose checkpoints are recognised, and which this program does not build from a checkpoint.

use super::Shapes;

/// Who it is, and names that give it away.
const FOREIGN: &[(&str, &[&str])] = &[
    ("segmentation_models.pytorch", &["encoder.", "decoder.blocks."]),
    ("nnU-Net", &["encoder.stages.", "decoder."]),
    ("nnU-Net", &["conv_blocks_context."]),
    ("MONAI's BasicUNetPlusPlus", &["upcat_0_1."]),
    ("MONAI's BasicUNet", &["upcat_1.", "down_1."]),
    ("MONAI's UNet", &["0.conv.unit0."]),
    ("torch_em (UNet2d)", &["encoder.blocks.", "decoder.samplers."]),
    ("U^2-Net or IS-Net", &["stage1.rebnconvin."]),
    ("ZJUGiveLab/UNet-Version (UNet_2Plus)", &["conv00.", "up_concat01."]),
    ("ZJUGiveLab/UNet-Version (UNet)", &["center.", "up_concat1."]),
    ("torchvision", &["backbone.", "classifier."]),
];

/// Why a checkpoint cannot be read, if it is of a network that is known.
pub fn recognise(keys: &Shapes) -> Option<String> {
    let (name, _) = FOREIGN.iter().find(|(_, prefixes)| prefixes.iter().all(|p| keys.any(p)))?;
    Some(format!(
        "a checkpoint of {name}, whose architecture is in its code only; write it as ONNX with `torch.onnx.export` and open that"
    ))
}
