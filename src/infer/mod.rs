//! Segmentation of pictures.
