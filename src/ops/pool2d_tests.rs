//! Comparison with `MaxPool` and `AveragePool` of onnxruntime 1.32.0 (opset 19) on a 6x7 image whose pixel `i` is
//! `17 i mod 23`.

use super::*;

type Known = (PoolKind, [usize; 2], [usize; 2], [usize; 4], [usize; 2], bool, [usize; 2], &'static [f32]);

/// Kind, kernel, stride, padding, dilation, ceil mode; size and elements of the output.
#[rustfmt::skip]
const KNOWN: &[Known] = &[
    (PoolKind::Max, [3, 3], [2, 2], [1, 1, 1, 1], [1, 1], false, [3, 4], &[21.0, 21.0, 22.0, 20.0, 21.0, 21.0, 20.0, 22.0, 20.0, 21.0, 21.0, 22.0]),
    (PoolKind::Max, [3, 3], [2, 2], [0, 0, 0, 0], [1, 1], true, [3, 3], &[21.0, 22.0, 22.0, 19.0, 21.0, 22.0, 20.0, 21.0, 19.0]),
    (PoolKind::Max, [2, 3], [1, 2], [0, 1, 1, 2], [1, 1], false, [6, 4], &[21.0, 21.0, 22.0, 20.0, 21.0, 21.0, 20.0, 20.0, 12.0, 19.0, 17.0, 22.0, 16.0, 21.0, 21.0, 22.0, 20.0, 21.0, 21.0, 13.0, 20.0, 14.0, 19.0, 13.0]),
    (PoolKind::Max, [2, 2], [2, 1], [0, 0, 0, 0], [2, 3], false, [2, 4], &[13.0, 22.0, 19.0, 18.0, 21.0, 15.0, 19.0, 21.0]),
    (PoolKind::Max, [3, 2], [3, 2], [1, 0, 0, 1], [1, 1], true, [3, 4], &[21.0, 15.0, 22.0, 14.0, 16.0, 21.0, 15.0, 22.0, 20.0, 8.0, 19.0, 7.0]),
    (PoolKind::Average { count_include_pad: false }, [3, 3], [2, 2], [1, 1, 1, 1], [1, 1], false, [3, 4], &[10.5, 13.0, 12.5, 15.0, 8.833333, 11.33333, 9.555555, 13.33333, 13.0, 9.111111, 12.44444, 9.833333]),
    (PoolKind::Average { count_include_pad: true }, [3, 3], [2, 2], [1, 1, 1, 1], [1, 1], false, [3, 4], &[4.666667, 8.666667, 8.333333, 6.666667, 5.888889, 11.33333, 9.555555, 8.888889, 8.666667, 9.111111, 12.44444, 6.555555]),
    (PoolKind::Average { count_include_pad: false }, [3, 3], [2, 2], [0, 0, 0, 0], [1, 1], true, [3, 3], &[10.77778, 11.55556, 12.33333, 8.555555, 11.88889, 10.11111, 12.0, 11.5, 11.0]),
    (PoolKind::Average { count_include_pad: true }, [3, 3], [2, 2], [1, 1, 1, 1], [1, 1], true, [4, 4], &[4.666667, 8.666667, 8.333333, 6.666667, 5.888889, 11.33333, 9.555555, 8.888889, 8.666667, 9.111111, 12.44444, 6.555555, 5.666667, 4.0, 5.666667, 3.333333]),
    (PoolKind::Average { count_include_pad: false }, [2, 3], [1, 2], [0, 1, 1, 2], [1, 1], false, [6, 4], &[10.5, 13.0, 12.5, 15.0, 8.75, 13.16667, 8.833333, 13.25, 7.0, 9.5, 9.0, 11.5, 11.0, 9.666667, 13.0, 9.75, 15.0, 9.833333, 13.16667, 8.0, 17.0, 8.0, 11.33333, 10.0]),
    (PoolKind::Average { count_include_pad: true }, [2, 3], [1, 2], [0, 1, 1, 2], [1, 1], false, [6, 4], &[7.0, 13.0, 12.5, 10.0, 5.833333, 13.16667, 8.833333, 8.833333, 4.666667, 9.5, 9.0, 7.666667, 7.333333, 9.666667, 13.0, 6.5, 10.0, 9.833333, 13.16667, 5.333333, 5.666667, 4.0, 5.666667, 3.333333]),
    (PoolKind::Average { count_include_pad: false }, [4, 4], [3, 3], [1, 1, 1, 1], [1, 1], true, [3, 3], &[10.77778, 11.75, 13.16667, 9.916667, 10.25, 9.75, 14.0, 10.5, 10.0]),
];

#[test]
fn results_match_onnxruntime() {
    let x = HostTensor::new([1, 1, 6, 7], (0..42).map(|i| (i * 17 % 23) as f32).collect()).unwrap();
    for &(kind, kernel, stride, padding, dilation, ceil_mode, [h, w], expected) in KNOWN {
        let op = Pool2d { kind, kernel, stride, padding, dilation, ceil_mode };
        let y = op.reference(&[&x]).unwrap().remove(0);
        assert_eq!(y.dims(), [1, 1, h, w], "{op:?}");
        let close = y.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "{op:?}: {:?}, onnxruntime {expected:?}", y.data());
    }
}

#[test]
fn invalid_windows_are_refused() {
    let x = [TensorDesc::blocked(Shape::new(1, 1, 4, 4))];
    let op = Pool2d::new(PoolKind::Max, 2);
    for bad in [
        Pool2d { kernel: [0, 2], ..op.clone() },
        Pool2d { stride: [0, 1], ..op.clone() },
        Pool2d { padding: [2, 0, 0, 0], ..op.clone() },
        Pool2d { kernel: [5, 5], ..op.clone() },
        Pool2d { dilation: [usize::MAX; 2], ..op.clone() },
    ] {
        assert!(bad.infer(&x).unwrap_err().to_string().contains("1x1x4x4"), "{bad:?}");
    }
}
