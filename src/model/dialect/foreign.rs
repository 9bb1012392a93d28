//! Networks whose checkpoints are recognised but not supported.

use super::Shapes;

/// Programs, and the name prefixes that identify them.
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

/// Why a checkpoint is not supported, if it belongs to a known network.
pub(super) fn recognise(keys: &Shapes) -> Option<String> {
    let (name, _) = FOREIGN.iter().find(|(_, prefixes)| prefixes.iter().all(|p| keys.any(p)))?;
    Some(format!(
        "a checkpoint of {name}, whose architecture is defined only in its code; export it with `torch.onnx.export` and open the ONNX file"
    ))
}
