"""Training on images that are labelled in part."""

import numpy as np
import pytest
from test_models import SMALL, discs
from unet_wgpu import Model


def test_pixels_without_ground_truth_do_not_count():
    pairs = [discs(i) for i in range(5)]
    images = [image for image, _ in pairs]
    known = []
    for _, labels in pairs:
        labels = labels.copy()
        labels[:, 40:] = -1
        known.append(labels)

    def losses(truths, **options):
        found = []
        Model.train(images, truths, SMALL, lambda e: found.append(e.get("loss")), **options)
        return [x for x in found if x is not None]

    partial = losses(known, ignore=-1)
    assert len(partial) == 4 and np.isfinite(partial).all()
    full = losses([np.maximum(labels, 0) for labels in known])
    assert partial != full, "unknown pixels are not background"
    with pytest.raises(ValueError, match="-1|negative"):
        losses(known)
    with pytest.raises(ValueError, match="ignore: 'x' is not a whole number"):
        losses(known, ignore="x")
