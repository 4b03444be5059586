/* edgeskin.h: from a camera's pixels to a model's input, and from its output to an answer.
 *
 * The contract
 *
 * - Same bytes everywhere. For the same arguments every build gives the same output bytes: x86-64
 *   with AVX2, ARM with NEON, plain scalar code, any C library. Integers where integers do; else
 *   IEEE doubles in a fixed order, without fused multiply-add, with sin and exp of our own. The
 *   calling thread must be in the default floating-point environment (no flush-to-zero).
 * - Pillow's pixels. Resizing gives, bit for bit, what Pillow 13 on x86-64 gives for
 *   Image.resize(size, filter, box) on 8-bit RGB and grey images: models are trained on those.
 * - No hidden memory. No function allocates. What needs scratch takes a workspace from the caller;
 *   its size is asked for first and stays under 2 MB for any input. Its content is free to be
 *   reused between calls; it need not be aligned or cleared.
 * - Thread-safe. There is no state but the choice of kernels (es_use_kernels). Threads may call
 *   anything at once with workspaces and outputs of their own.
 * - No exceptions, no abort, no output on failure. Each function returns an es_status; with an
 *   es_error it also writes one line that says what disagreed, with both values. `error` may be
 *   NULL. When a status other than ES_OK is returned, the outputs' content is undefined.
 * - The caller owns every pointer. Inputs are only read. Outputs must not overlap inputs or the
 *   workspace. Buffer sizes are passed in bytes and checked before anything is touched.
 * - Enums travel in int32_t fields; an unknown value is ES_BAD_ENUM. Values never change meaning.
 *
 * C11 and C++17. No dependencies.
 */
#ifndef EDGESKIN_H
#define EDGESKIN_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define ES_API
#else
#define ES_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------------------------- */

typedef enum es_status {
  ES_OK = 0,
  ES_NULL_POINTER = 1,        /* a pointer that must not be NULL is */
  ES_BAD_SIZE = 2,            /* zero, negative, above ES_MAX_SIDE, or odd where 4:2:0 needs even */
  ES_BAD_STRIDE = 3,          /* shorter than a row */
  ES_BAD_CROP = 4,            /* empty, not finite or outside the image */
  ES_BAD_ENUM = 5,            /* a value that this version does not know */
  ES_BAD_VALUE = 6,           /* a number out of its range: std, scale, zero point, share, ... */
  ES_BUFFER_TOO_SMALL = 7,    /* an input plane, output or table is shorter than it must be */
  ES_WORKSPACE_TOO_SMALL = 8, /* ask the function's _workspace twin */
  ES_NOT_A_NUMBER = 9,        /* a NaN among a model's outputs */
  ES_BAD_SPEC = 10,           /* spec.json that does not parse or validate */
  ES_NOT_HERE = 11            /* kernels that this CPU does not have */
} es_status;

typedef struct es_error {
  int32_t status; /* es_status, the returned one */
  char message[252]; /* one line, always terminated; "" for ES_OK */
} es_error;

/* The name of a status, "ES_BAD_SIZE"; "ES_UNKNOWN" for anything else. Never NULL. */
ES_API const char *es_status_name(int32_t status);

#define ES_VERSION 1 /* grows when functions or fields are added */
ES_API int32_t es_version(void);

typedef enum es_kernels {
  ES_KERNELS_BEST = 0, /* the fastest that this CPU has; the default */
  ES_KERNELS_SCALAR = 1,
  ES_KERNELS_AVX2 = 2,
  ES_KERNELS_NEON = 3
} es_kernels;

/* Chooses the code path of the whole process: for tests and measurements, bytes are the same. */
ES_API es_status es_use_kernels(int32_t kernels, es_error *error);
/* The path in use: "scalar", "avx2" or "neon". */
ES_API const char *es_kernels_name(void);

/* ---- Images in ---------------------------------------------------------------------------- */

#define ES_MAX_SIDE 32768 /* pixels, of an input image; an output may have ES_MAX_OUTPUT a side */
#define ES_MAX_OUTPUT 8192

typedef enum es_format {
  ES_RGB = 0,  /* planes[0]: R G B R G B ... */
  ES_BGR = 1,
  ES_RGBA = 2, /* the fourth byte is skipped, not composited */
  ES_BGRA = 3,
  ES_GREY = 4, /* planes[0]: one byte a pixel, sRGB-coded */
  ES_NV12 = 5, /* planes[0]: Y, planes[1]: U V U V ... at half size both ways */
  ES_NV21 = 6, /* planes[0]: Y, planes[1]: V U V U ... */
  ES_I420 = 7  /* planes[0]: Y, planes[1]: U, planes[2]: V */
} es_format;

/* 4:2:0 formats only (others ignore both). Each chroma sample serves its 2x2 pixels, and, with
 * E = 0 (full range) or 16 (video range), o = 128 and integers c rounded from the standard's
 * constants times 8192 (times 255/219 for Y and 255/224 for U, V in video range):
 *   R = clip((cy (Y-E)              + crv (V-o) + 4096) >> 13)
 *   G = clip((cy (Y-E) - cgu (U-o)  - cgv (V-o) + 4096) >> 13)
 *   B = clip((cy (Y-E) + cbu (U-o)              + 4096) >> 13)          */
typedef enum es_matrix { ES_BT601 = 0, ES_BT709 = 1 } es_matrix;
typedef enum es_range { ES_VIDEO_RANGE = 0, ES_FULL_RANGE = 1 } es_range;

/* An image as it lies in memory. es_image_init() fills in all but the pointers. */
typedef struct es_image {
  int32_t format;           /* es_format */
  int32_t width, height;    /* pixels as stored, 1..ES_MAX_SIDE; even for 4:2:0 */
  int32_t orientation;      /* EXIF orientation 1..8: how to turn it upright; 1 is upright */
  int32_t matrix, range;    /* es_matrix, es_range */
  const uint8_t *planes[3]; /* first byte of the top row of each plane */
  size_t strides[3];        /* bytes from row to row, at least a row's */
  size_t bytes[3];          /* readable from planes[i]: at least (rows-1)*stride + a row's bytes */
} es_image;

/* Upright, BT.601, video range, tight strides, exact byte counts; planes NULL, to be set. */
ES_API es_status es_image_init(int32_t format, int32_t width, int32_t height, es_image *image,
                               es_error *error);

/* ---- Pre-processing ------------------------------------------------------------------------ */

typedef enum es_fit {
  ES_SQUASH = 0,        /* scale to width x height, aspect ratio lost */
  ES_SHORTEST_EDGE = 1, /* scale the shorter edge to resize_to, cut width x height from the centre */
  ES_LETTERBOX = 2      /* scale to fit inside, centred, the rest is pad_value */
} es_fit;

/* Pillow's filters; all but nearest widen with the scale, so a reduction is antialiased. */
typedef enum es_filter {
  ES_NEAREST = 0,
  ES_BOX = 1,
  ES_BILINEAR = 2,
  ES_HAMMING = 3,
  ES_BICUBIC = 4,
  ES_LANCZOS = 5
} es_filter;

typedef enum es_type { ES_UINT8 = 0, ES_INT8 = 1, ES_FLOAT32 = 2, ES_FLOAT16 = 3 } es_type;
typedef enum es_layout { ES_NHWC = 0, ES_NCHW = 1 } es_layout;

/* What a model eats. A pixel value v in 0..255 becomes real = (v / 255 - mean) / std, computed in
 * double, then, by type:
 *   float32, float16   real, rounded to nearest, ties to even
 *   uint8, int8        round_half_even(real / scale) + zero_point, clamped to the type
 * es_recipe_init() sets mean 0, std 1, scale 1/255, zero_point 0: uint8 pixels as they are. */
typedef struct es_recipe {
  int32_t width, height; /* of the output, 1..ES_MAX_OUTPUT */
  int32_t fit;           /* es_fit */
  int32_t resize_to;     /* ES_SHORTEST_EDGE: at least max(width, height); else ignored */
  int32_t filter;        /* es_filter */
  int32_t pad_value;     /* ES_LETTERBOX: pixel value 0..255 of the border, in every channel */
  float crop[4];         /* left, top, right, bottom in pixels of the upright image, as Pillow's
                            box: fractions allowed, the filter sees pixels around it. The fit
                            applies to its size. All 0: the whole image */
  int32_t channels;      /* ES_RGB, ES_BGR or ES_GREY: order and number in the output. Colour to
                            grey is Pillow's convert("L"), before the resize */
  int32_t type;          /* es_type */
  int32_t layout;        /* es_layout */
  double mean[3], std[3]; /* in the output's channel order; ES_GREY uses the first */
  double scale;          /* uint8 and int8: > 0; else ignored */
  int32_t zero_point;    /* uint8: 0..255, int8: -128..127; else ignored */
} es_recipe;

/* The recipe above: squash, bilinear, RGB, uint8, NHWC, whole image. */
ES_API es_status es_recipe_init(int32_t width, int32_t height, es_recipe *recipe, es_error *error);

/* The recipe of a model: reads the "input" of a spec.json (or that object alone), so that apps
 * need no JSON reader of their own. Gives ES_FLOAT32, ES_NCHW and the spec's colour order, mean
 * and std; set type, layout, scale and zero_point as the artifact's input tensor says.
 * `text` is UTF-8, `bytes` long, not necessarily terminated. */
ES_API es_status es_recipe_from_spec(const char *text, size_t bytes, es_recipe *recipe,
                                     es_error *error);

/* Bytes that es_preprocess writes: width * height * channels * element size. */
ES_API es_status es_output_bytes(const es_recipe *recipe, size_t *bytes, es_error *error);

/* Bytes of workspace that es_preprocess needs for this image's size and this recipe. Plane
 * pointers may still be NULL. Never above 2 MB (2000000). */
ES_API es_status es_preprocess_workspace(const es_image *image, const es_recipe *recipe,
                                         size_t *bytes, es_error *error);

/* The whole way in one call: colour, orientation, crop, resize, pad, normalize, quantize.
 * `output` needs the alignment of its element type. */
ES_API es_status es_preprocess(const es_image *image, const es_recipe *recipe, void *output,
                               size_t output_bytes, void *workspace, size_t workspace_bytes,
                               es_error *error);

/* Where the output's pixels came from: what it takes to go back to the image. */
typedef struct es_placement {
  int32_t image_width, image_height; /* as stored */
  int32_t orientation;
  float crop[4];                       /* the box of the upright image that was resized ... */
  int32_t resized_width, resized_height; /* ... to this size; output pixel (x, y) shows its */
  int32_t left, top;                   /* pixel (x + left, y + top); outside it there is padding */
  int32_t width, height;               /* of the output */
} es_placement;

/* Plane pointers may be NULL here. */
ES_API es_status es_place(const es_image *image, const es_recipe *recipe, es_placement *placement,
                          es_error *error);

/* ---- Post-processing: numbers -------------------------------------------------------------- */

/* A model's output. Integers stand for scale * (q - zero_point); floats for themselves. */
typedef struct es_tensor {
  const void *data; /* aligned for its type */
  size_t bytes;     /* readable from data */
  int32_t type;     /* es_type */
  double scale;     /* uint8 and int8: > 0; else ignored */
  int32_t zero_point;
} es_tensor;

typedef enum es_activation {
  ES_NO_ACTIVATION = 0, /* the values are probabilities, or to be taken as they are */
  ES_SOFTMAX = 1,
  ES_SIGMOID = 2
} es_activation;

/* count values to float32: (float)(scale * (q - zero_point)), the product in double. */
ES_API es_status es_dequantize(const es_tensor *tensor, size_t count, float *values,
                               size_t values_bytes, es_error *error);

typedef struct es_class {
  int32_t index;
  float score;
} es_class;

/* Classification: `classes` values to scores, and the best `top_count` of them (0..classes) in
 * falling order, the lower index first among equals; top[0] is the argmax. `scores` (classes
 * floats) must be given; `top` may be NULL when top_count is 0. A NaN is ES_NOT_A_NUMBER;
 * infinite logits are allowed except that a softmax needs a finite maximum. */
ES_API es_status es_classify(const es_tensor *logits, int32_t classes, int32_t activation,
                             float *scores, size_t scores_bytes, es_class *top, int32_t top_count,
                             es_error *error);

/* A quantity as a distribution over first, first + step, ... */
typedef struct es_quantity {
  double expectation;
  double mode;      /* the value of largest mass, the lowest among equals */
  double low, high; /* the central interval that holds at least `share` of the mass */
  int32_t grade;    /* es_grade with the most mass, -1 without a range table */
} es_quantity;

/* `size` values with an activation (ES_SOFTMAX or ES_NO_ACTIVATION; the latter is divided by its
 * sum) to a quantity. upper[0..upper_count-1], increasing: inclusive upper bounds of the first
 * grades, the last grade is open; upper_count 0: no grades. `mass` (size floats) must be given. */
ES_API es_status es_measure(const es_tensor *logits, int32_t size, int32_t activation, double first,
                            double step, double share, const double *upper, int32_t upper_count,
                            float *mass, size_t mass_bytes, es_quantity *quantity,
                            es_error *error);

/* The grade of a value: index of the first bound that it does not exceed, else upper_count. */
ES_API es_status es_grade(double value, const double *upper, int32_t upper_count, int32_t *grade,
                          es_error *error);

/* ---- Post-processing: masks ---------------------------------------------------------------- */

#define ES_OUTSIDE 255 /* mask value of pixels that the model did not see (cut away by a crop) */

/* Segmentation: logits of `classes` (1..255) channels, `width` x `height`, in `layout`, to a class
 * index a pixel of the image as stored (the placement undone: padding, crop, resize, rotation).
 * Logits cover the model's input evenly and are interpolated bilinearly (half-pixel centres, edges
 * repeated), in double, before the decision: the largest logit, the lowest index among equals; with
 * one class, 1 where its logit is >= 0, else 0. `counts` (max(classes, 2) entries) gets the pixels of
 * each value; the area fraction of class i is counts[i] over their sum. */
typedef struct es_segmentation {
  es_tensor logits;
  int32_t classes, width, height;
  int32_t layout; /* es_layout */
} es_segmentation;

ES_API es_status es_segment_workspace(const es_segmentation *segmentation,
                                      const es_placement *placement, size_t *bytes,
                                      es_error *error);
/* mask: image_height rows of image_width bytes, mask_stride apart. */
ES_API es_status es_segment(const es_segmentation *segmentation, const es_placement *placement,
                            uint8_t *mask, size_t mask_stride, size_t mask_bytes, int64_t *counts,
                            int32_t counts_size, void *workspace, size_t workspace_bytes,
                            es_error *error);

/* A rectangle of a mask: pixels left <= x < left + width, top <= y < top + height. */
typedef struct es_box {
  int32_t left, top, width, height;
  int64_t area;  /* pixels of the component; of lesion for es_find_crops */
  double x, y;   /* centroid of those pixels; of the box for es_find_crops */
} es_box;

typedef struct es_mask {
  const uint8_t *pixels;
  size_t stride, bytes;
  int32_t width, height; /* 1..ES_MAX_SIDE */
} es_mask;

/* Connected components of the pixels equal to `value`, 4- or 8-connected, of at least min_area
 * pixels: the largest `capacity` of them in `boxes`, by falling area, then by top, then by left.
 * `count` gets how many there are in all (it may exceed capacity). */
ES_API es_status es_components_workspace(int32_t width, size_t *bytes, es_error *error);
ES_API es_status es_components(const es_mask *mask, int32_t value, int32_t connectivity,
                               int64_t min_area, es_box *boxes, int32_t capacity, int32_t *count,
                               void *workspace, size_t workspace_bytes, es_error *error);

/* Crops worth classifying: squares of `side` pixels on a grid of `step` pixels (and flush with the
 * right and bottom edge) where more than min_skin of the pixels are skin_value in `skin` and more
 * than min_lesion are lesion_value in `lesion`. Both masks have the same size, and may be the same.
 * Lesion counts as skin. Best first: by lesion area, then top, then left; a square that shares more
 * than max_overlap (0..1) of its area with a better one is left out. The published rule is
 * min_skin 0.8, min_lesion 0.1. `count` gets how many are in `boxes`, at most `capacity`. */
typedef struct es_crop_rule {
  int32_t side, step;
  int32_t skin_value, lesion_value;
  double min_skin, min_lesion, max_overlap;
} es_crop_rule;

ES_API es_status es_find_crops_workspace(int32_t width, size_t *bytes, es_error *error);
ES_API es_status es_find_crops(const es_mask *skin, const es_mask *lesion,
                               const es_crop_rule *rule, es_box *boxes, int32_t capacity,
                               int32_t *count, void *workspace, size_t workspace_bytes,
                               es_error *error);

#ifdef __cplusplus
}
#endif
#endif
