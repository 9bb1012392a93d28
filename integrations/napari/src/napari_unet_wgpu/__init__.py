"""U-Net in napari: segment layers, and train on painted labels."""

from ._sample import sample_discs, sample_stack
from ._segment import SegmentWidget
from ._train import TrainWidget

__version__ = "0.1.0"
__all__ = ["SegmentWidget", "TrainWidget", "__version__", "sample_discs", "sample_stack"]
