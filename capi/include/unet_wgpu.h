/* C interface of unet-wgpu. Written by cbindgen from capi/src: see capi/README.md. */

#ifndef UNET_WGPU_H
#define UNET_WGPU_H

#include <stddef.h>
#include <stdint.h>

/*
 What became of a call.
 */
typedef enum {
  /*
   It succeeded.
   */
  UNET_OK = 0,
  /*
   An argument is wrong.
   */
  UNET_INVALID = 1,
  /*
   A file cannot be read, or its content is not what it should be.
   */
  UNET_FILE = 2,
  /*
   There is no such device, or it refused something.
   */
  UNET_DEVICE = 3,
  /*
   The device is gone and could not be opened again; the next call tries anew.
   */
  UNET_DEVICE_LOST = 4,
  /*
   More memory is needed than there is, or than the options allow.
   */
  UNET_LIMIT = 5,
  /*
   The progress function cancelled the work.
   */
  UNET_CANCELLED = 6,
  /*
   A defect of the library.
   */
  UNET_INTERNAL = 7,
} UnetStatus;

/*
 The type of samples, in native byte order.
 */
typedef enum {
  /*
   `uint8_t`.
   */
  UNET_U8 = 0,
  /*
   `uint16_t`.
   */
  UNET_U16 = 1,
  /*
   `float`; NaN and infinities are an error.
   */
  UNET_F32 = 2,
} UnetSampleType;

/*
 A device to compute on. Several segmenters and threads may share one.
 */
typedef struct UnetDevice UnetDevice;

/*
 A network with its weights. Several segmenters and threads may share one.
 */
typedef struct UnetModel UnetModel;

/*
 A model on a device, for images of any size. One thread at a time may use one; the latest size stays compiled.
 */
typedef struct UnetSegmenter UnetSegmenter;

/*
 An image in the caller's memory: sample (y, x, c) is at `data + y * row_stride + x * pixel_stride + c * channel_stride`. Strides
 are in bytes and may be negative; where all three are 0, channels are interleaved and rows are packed.
 */
typedef struct {
  /*
   `sizeof(UnetImage)`.
   */
  size_t size;
  /*
   Null.
   */
  const void *next;
  /*
   The first sample.
   */
  const void *data;
  /*
   Columns.
   */
  size_t width;
  /*
   Rows.
   */
  size_t height;
  /*
   Channels.
   */
  size_t channels;
  /*
   A `UnetSampleType`.
   */
  int32_t sample_type;
  /*
   Bytes from a row to the next.
   */
  ptrdiff_t row_stride;
  /*
   Bytes from a pixel to the next in its row.
   */
  ptrdiff_t pixel_stride;
  /*
   Bytes from a channel to the next of a pixel.
   */
  ptrdiff_t channel_stride;
} UnetImage;

/*
 Options of a segmentation. Zeros mean the defaults; so does a null pointer in its place.
 */
typedef struct {
  /*
   `sizeof(UnetOptions)`.
   */
  size_t size;
  /*
   Null.
   */
  const void *next;
  /*
   Largest tile edge in pixels; 0: as large as fits.
   */
  size_t tile;
  /*
   Limit of memory in bytes on the device and for images and results; 0: 2 GiB.
   */
  uint64_t memory;
  /*
   Not 0: the same bits for any tile size, with slower kernels.
   */
  int32_t exact;
  /*
   Instances: the foreground is where its probability is above this; 0: as the model's file says.
   */
  double threshold;
  /*
   Instances: smaller ones, in pixels, are dropped; 0: as the model's file says.
   */
  uint64_t min_area;
  /*
   Called with a fraction from 0 to 1 and `user`; what it returns other than 0 cancels the work. May be null.
   */
  int32_t (*progress)(double fraction, void *user);
  /*
   For `progress`.
   */
  void *user;
} UnetOptions;

/*
 Where results go: null for what is not wanted. Row strides are in bytes; 0 means packed rows.
 */
typedef struct {
  /*
   `sizeof(UnetOutputs)`.
   */
  size_t size;
  /*
   Null.
   */
  const void *next;
  /*
   The number of every pixel's instance, from 1 in the order of first pixels; 0 for none.
   */
  uint32_t *labels;
  /*
   Bytes from a row of labels to the next.
   */
  ptrdiff_t labels_stride;
  /*
   The class of every pixel.
   */
  uint8_t *mask;
  /*
   Bytes from a row of the mask to the next.
   */
  ptrdiff_t mask_stride;
  /*
   Probabilities, 0 to 1: a plane for each class; of a model with a single output, that one plane. Planes are packed one after
   the other, `height` rows each.
   */
  float *probability;
  /*
   Bytes from a row of probabilities to the next.
   */
  ptrdiff_t probability_stride;
} UnetOutputs;

/*
 Facts about a result.
 */
typedef struct {
  /*
   `sizeof(UnetSummary)`, set by the caller.
   */
  size_t size;
  /*
   Null, set by the caller.
   */
  const void *next;
  /*
   Number of instances; 0 if labels were not wanted.
   */
  uint32_t instances;
  /*
   Planes of probabilities; 0 if they were not wanted.
   */
  uint32_t planes;
  /*
   Rows of tiles used.
   */
  uint32_t tile_rows;
  /*
   Columns of tiles used.
   */
  uint32_t tile_columns;
} UnetSummary;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Opens a device: "auto" (or null) for the fastest GPU, a number or part of a name as `unet devices` lists them, or "cpu" for the
 slow reference. `*device` is null where it fails. If the device is lost (its driver resets it, it is unplugged), it is opened again
 by the same choice, and what uses it goes on.

 # Safety
 `choice` is null or ends in a zero; `device` points to a pointer.
 */
UnetStatus unet_device_open(const char *choice,
                            UnetDevice **device);

/*
 The device's name for users, valid until it is closed; null for null.

 # Safety
 `device` is null or an open device.
 */
const char *unet_device_name(const UnetDevice *device);

/*
 Closes a device; null is ignored. What was opened with it stays usable.

 # Safety
 `device` is null or an open device, and is not used afterwards.
 */
void unet_device_close(UnetDevice *device);

/*
 The words for the last call of this thread that failed, in UTF-8: one line, empty if none has failed. They are valid until this
 thread's next call that fails.
 */
const char *unet_last_error(void);

/*
 The version of the library, such as "0.1.0".
 */
const char *unet_version(void);

/*
 Opens a built-in model by its name ("nuclei"), or a file: a native checkpoint, PyTorch, ONNX, a bioimage.io package.
 `*model` is null where it fails.

 # Safety
 `name_or_path` ends in a zero; `model` points to a pointer.
 */
UnetStatus unet_model_open(const char *name_or_path,
                           UnetModel **model);

/*
 Opens a model from the bytes of its file, which are copied; `name` is for messages. `*model` is null where it fails.

 # Safety
 `name` ends in a zero, `data` points to `length` bytes, `model` to a pointer.
 */
UnetStatus unet_model_open_bytes(const char *name,
                                 const void *data,
                                 size_t length,
                                 UnetModel **model);

/*
 Channels of the images that the network takes; 0 for null. Grey images of a network for colour are repeated, and colour
 becomes grey by its luminance.

 # Safety
 `model` is null or an open model.
 */
size_t unet_model_channels(const UnetModel *model);

/*
 Number of classes, the background among them; 0 for null.

 # Safety
 `model` is null or an open model.
 */
size_t unet_model_class_count(const UnetModel *model);

/*
 The name of a class in UTF-8, valid until the model is closed; null if there is none.

 # Safety
 `model` is null or an open model.
 */
const char *unet_model_class_name(const UnetModel *model, size_t class_);

/*
 Closes a model; null is ignored. Segmenters made with it stay usable.

 # Safety
 `model` is null or an open model, and is not used afterwards.
 */
void unet_model_close(UnetModel *model);

/*
 Makes a segmenter. `*segmenter` is null where it fails.

 # Safety
 `device` and `model` are open; `segmenter` points to a pointer.
 */
UnetStatus unet_segmenter_open(const UnetDevice *device,
                               const UnetModel *model,
                               UnetSegmenter **segmenter);

/*
 Frees a segmenter; null is ignored.

 # Safety
 `segmenter` is null or open, and is not used afterwards.
 */
void unet_segmenter_close(UnetSegmenter *segmenter);

/*
 Segments an image and writes what `outputs` asks for. Where it fails, outputs are unchanged. `options` and `summary` may be null.

 # Safety
 The segmenter is open and used by no other thread; the image's samples may be read, and the outputs written, for the image's
 width and height.
 */
UnetStatus unet_segment(UnetSegmenter *segmenter,
                        const UnetImage *image,
                        const UnetOptions *options,
                        const UnetOutputs *outputs,
                        UnetSummary *summary);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* UNET_WGPU_H */
