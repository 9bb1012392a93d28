//! A segmented image as numpy arrays.

use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::{Array2, Array3};
use numpy::{Element, IntoPyArray};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use unet_wgpu::low_level::infer::{
    Calibration, Coordinates, Ids, Instance, Instances, ResultSink, Streamed, Writer, instances::InstanceSource,
    write_instances,
};
use unet_wgpu::{Error, Result};

use crate::error::{bug, text};
use crate::sink::Collected;
use crate::work::{self, Observer};

/// A segmented image.
pub(crate) struct Segmented {
    pub(crate) collected: Collected,
    pub(crate) run: Streamed,
    /// Micrometres across and down, if the file gives them.
    pub(crate) pixel_size: Option<[f64; 2]>,
    pub(crate) origin: Origin,
}

/// Where the image comes from, as files of instances say.
#[derive(Default)]
pub(crate) struct Origin {
    /// Name of the file; empty for an array.
    pub(crate) name: String,
    pub(crate) page: usize,
    pub(crate) calibration: Calibration,
}

/// A segmented image as arrays.
#[pyclass(frozen, get_all, module = "unet_wgpu._native")]
pub(crate) struct Results {
    /// `(H, W)`, int32; `None` if instances were not requested.
    labels: Option<Py<PyAny>>,
    /// `(H, W)`, uint8, or uint16 for more than 256 classes.
    mask: Py<PyAny>,
    /// `(K, H, W)`, float32, if requested.
    probability: Option<Py<PyAny>>,
    classes: Vec<String>,
    tiles: [usize; 2],
    tile: [usize; 2],
    precision: String,
    fallback: Option<String>,
    notes: Vec<String>,
    left_whole: Vec<String>,
    /// Number of instances.
    count: usize,
    pixel_size: Option<[f64; 2]>,
    /// Factors by which the image was resized for the model, across and down.
    scale: [f64; 2],
    /// The median diameter that a first pass found, pixels.
    diameter: Option<f64>,
    instances: Measured,
}

/// Instances to be measured on request.
#[derive(Clone)]
#[pyclass(frozen, module = "unet_wgpu._native")]
pub(crate) struct Measured {
    instances: Arc<Mutex<Option<Instances>>>,
    channels: usize,
    source: InstanceSource,
}

impl Results {
    pub(crate) fn new(py: Python<'_>, segmented: Segmented) -> PyResult<Self> {
        let Segmented { collected, run, pixel_size, origin } = segmented;
        let Collected { info, ids, probabilities, instances } = collected;
        let size = [info.height, info.width];
        let mask = match ids {
            Ids::U8(ids) => plane(py, size, ids)?,
            Ids::U16(ids) => plane(py, size, ids)?,
        };
        let probability = probabilities.map(|p| {
            let planes = Array3::from_shape_vec((info.planes, info.height, info.width), p);
            planes.map(|p| p.into_pyarray(py).into_any().unbind()).map_err(|e| bug(&e.to_string()))
        });
        let Origin { name: image, page, calibration } = origin;
        let classes = info.classes.clone();
        let source = InstanceSource { image, classes, calibration, coordinates: Coordinates::Pixel, page };
        let (instances, labels) = instances.unzip();
        let left_whole = instances.as_ref().map(|i| i.left_whole().to_vec()).unwrap_or_default();
        Ok(Self {
            labels: labels.map(|labels| plane(py, size, labels)).transpose()?,
            mask,
            probability: probability.transpose()?,
            classes: info.classes,
            tiles: run.tiles,
            tile: run.tile,
            precision: run.precision.to_string(),
            fallback: run.fallback,
            notes: run.notes.iter().map(text).collect(),
            left_whole,
            count: instances.as_ref().map_or(0, Instances::count),
            pixel_size,
            scale: run.scale,
            diameter: run.diameter,
            instances: Measured { instances: Arc::new(Mutex::new(instances)), channels: info.channels, source },
        })
    }
}

/// An array `(H, W)` that takes over the vector.
fn plane<T: Element>(py: Python<'_>, [height, width]: [usize; 2], values: Vec<T>) -> PyResult<Py<PyAny>> {
    let array = Array2::from_shape_vec((height, width), values).map_err(|e| bug(&e.to_string()))?;
    Ok(array.into_pyarray(py).into_any().unbind())
}

/// The columns of a table, one value per instance.
#[derive(Default)]
struct Columns {
    order: Vec<u32>,
    label: Vec<i32>,
    class_id: Vec<i32>,
    area: Vec<i64>,
    centroid: [Vec<f64>; 2],
    bounds: [Vec<i32>; 4],
    perimeter: Vec<f64>,
    eccentricity: Vec<f64>,
    means: Vec<Vec<f64>>,
    perimeter_um: Vec<f64>,
}

impl Columns {
    fn add(&mut self, instance: &Instance, pixel: Option<[f64; 2]>) {
        self.order.push(instance.number());
        self.label.push(instance.number() as i32);
        self.class_id.push(instance.class() as i32);
        self.area.push(instance.area() as i64);
        self.centroid.iter_mut().zip(instance.centroid()).for_each(|(to, v)| to.push(v));
        self.bounds.iter_mut().zip(instance.bounds()).for_each(|(to, v)| to.push(v as i32));
        self.perimeter.push(instance.perimeter());
        self.eccentricity.push(instance.eccentricity());
        self.means.iter_mut().zip(instance.means()).for_each(|(to, v)| to.push(v));
        if let Some(pixel) = pixel {
            self.perimeter_um.push(instance.perimeter_of(pixel));
        }
    }

    fn dict<'py>(mut self, py: Python<'py>, pixel: Option<[f64; 2]>) -> PyResult<Bound<'py, PyDict>> {
        // Instances are complete in the order of their last rows; tables are in the order of numbers.
        let mut order: Vec<usize> = (0..self.order.len()).collect();
        order.sort_unstable_by_key(|&i| self.order[i]);
        let out = PyDict::new(py);
        fn put<T: Element + Copy>(out: &Bound<'_, PyDict>, name: &str, order: &[usize], values: &[T]) -> PyResult<()> {
            let sorted: Vec<T> = order.iter().map(|&i| values[i]).collect();
            out.set_item(name, sorted.into_pyarray(out.py()))
        }
        put(&out, "label", &order, &self.label)?;
        put(&out, "class_id", &order, &self.class_id)?;
        put(&out, "area", &order, &self.area)?;
        for (name, values) in ["centroid_x", "centroid_y"].iter().zip(&self.centroid) {
            put(&out, name, &order, values)?;
        }
        for (name, values) in ["x", "y", "width", "height"].iter().zip(&self.bounds) {
            put(&out, name, &order, values)?;
        }
        put(&out, "perimeter", &order, &self.perimeter)?;
        put(&out, "eccentricity", &order, &self.eccentricity)?;
        for (channel, values) in self.means.drain(..).enumerate() {
            put(&out, &format!("mean_{channel}"), &order, &values)?;
        }
        if let Some([sx, sy]) = pixel {
            let scaled = |values: &[f64], by: f64| values.iter().map(|v| v * by).collect::<Vec<_>>();
            let lengths = |values: &[i32], by: f64| values.iter().map(|&v| f64::from(v) * by).collect::<Vec<_>>();
            let area: Vec<f64> = self.area.iter().map(|&a| a as f64 * sx * sy).collect();
            put(&out, "area_um2", &order, &area)?;
            put(&out, "centroid_x_um", &order, &scaled(&self.centroid[0], sx))?;
            put(&out, "centroid_y_um", &order, &scaled(&self.centroid[1], sy))?;
            put(&out, "width_um", &order, &lengths(&self.bounds[2], sx))?;
            put(&out, "height_um", &order, &lengths(&self.bounds[3], sy))?;
            put(&out, "perimeter_um", &order, &self.perimeter_um)?;
        }
        Ok(out)
    }
}

#[pymethods]
impl Measured {
    /// Writes the instances as the program does with `--save KIND`. False if instances were not requested.
    fn save(&self, py: Python<'_>, path: String, kind: String) -> PyResult<bool> {
        let (instances, source) = (self.instances.clone(), self.source.clone());
        work::run(py, Observer::None, move |_| {
            let mut instances = instances.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(instances) = &mut *instances else { return Ok(false) };
            let unknown = || Error::invalid(format!("kind `{kind}`"), "is no kind of file of instances");
            let writer = <dyn Writer>::named(&kind).filter(|w| w.finds_instances()).ok_or_else(unknown)?;
            let ResultSink::Instances(writer) = writer.sink(path.as_str().into(), &source.calibration)? else {
                return Err(unknown());
            };
            write_instances(path.as_str(), writer, instances, &source)?;
            Result::Ok(true)
        })
    }

    /// Measures the instances: a dict of arrays of one value per instance. `None` if instances were not requested.
    #[pyo3(signature = (pixel_size))]
    fn table<'py>(&self, py: Python<'py>, pixel_size: Option<[f64; 2]>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let (instances, channels) = (self.instances.clone(), self.channels);
        let columns = work::run(py, Observer::None, move |progress| {
            let mut instances = instances.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(instances) = &mut *instances else { return Ok(None) };
            let mut columns = Columns { means: vec![Vec::new(); channels], ..Columns::default() };
            instances.instances(|instance| {
                progress.report(0.0)?;
                columns.add(&instance, pixel_size);
                Ok(())
            })?;
            Ok(Some(columns))
        })?;
        columns.map(|columns| columns.dict(py, pixel_size)).transpose()
    }
}
