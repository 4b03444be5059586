/* edgeskin.h: from a camera's pixels to a model's input, and from its output to an answer.
 *
 * The contract
 *
 * - Same bytes everywhere. For the same arguments every build gives the same output bytes: x86-64
 *   with AVX2, ARM with NEON, plain scalar code, any C library. Integers where integers do; else
 *   IEEE doubles in a fixed order, without fused multiply-add, with sin and exp of our own. The
 *   calling thread must be in the default floating-point environment (no flush-to-zero).
 * - All of it stands here. Who implements this header by its text alone gets the same bytes:
 *   tests/native/by_the_header.py does. Not part of the contract are the words of messages, and
 *   which fault is reported where there are several.
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
 * How formulas are meant
 *
 * Numbers are IEEE doubles; each operation rounds once, in the order written (a + b + c is
 * (a + b) + c); a sum begins with 0 and runs from the first term up. float(x) rounds to IEEE
 * binary32, half(x) to binary16, both to nearest, ties to even; trunc(x) towards zero; even(x) to
 * the nearest whole number, ties to even; clip(x) to the nearest of 0..255. >> shifts
 * arithmetically, 2^n is exact, pi the double nearest to it. Pixel (x, y) is column x of row y,
 * (0, 0) at the top left.
 *
 * exp(x): 0 below -745.2, infinity above 709.782712893384. Else n = even(x * 1.442695040888963387),
 * r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10, e = 0, then
 * e = r * (1 + e) / k for k = 14, 13, ... 1, m = trunc(n / 2): (1 + e) * 2^m * 2^(n - m).
 * sin and cos serve filter weights only, which become integers of 22 bits: within one unit in the
 * last place will do (of 150 million Lanczos weights an error of 1e-12 changed none).
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
  int32_t status;    /* es_status, the returned one */
  char message[252]; /* one line, always terminated; "" for ES_OK */
} es_error;

/* The name of a status, "ES_BAD_SIZE"; "ES_UNKNOWN" for anything else. Never NULL. */
ES_API const char *es_status_name(int32_t status);

#define ES_VERSION 4 /* grows when functions or fields are added, or what they do changes */
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
  ES_RGB = 0, /* planes[0]: R G B R G B ... */
  ES_BGR = 1,
  ES_RGBA = 2, /* the fourth byte is skipped, not composited */
  ES_BGRA = 3,
  ES_GREY = 4, /* planes[0]: one byte a pixel, sRGB-coded */
  ES_NV12 = 5, /* planes[0]: Y, planes[1]: U V U V ... at half size both ways */
  ES_NV21 = 6, /* planes[0]: Y, planes[1]: V U V U ... */
  ES_I420 = 7  /* planes[0]: Y, planes[1]: U, planes[2]: V */
} es_format;

/* 4:2:0 formats only (others ignore both). Each chroma sample serves its 2x2 pixels. In integers,
 * with E = 0 (full range) or 16 (video range):
 *   R = clip((cy (Y-E)               + crv (V-128) + 4096) >> 13)
 *   G = clip((cy (Y-E) - cgu (U-128) - cgv (V-128) + 4096) >> 13)
 *   B = clip((cy (Y-E) + cbu (U-128)               + 4096) >> 13)
 *                     cy    crv   cgu   cgv    cbu
 *   BT.601, video   9539  13075  3209  6660  16525
 *   BT.601, full    8192  11485  2819  5850  14516
 *   BT.709, video   9539  14686  1747  4366  17305
 *   BT.709, full    8192  12901  1535  3835  15201 */
typedef enum es_matrix { ES_BT601 = 0, ES_BT709 = 1 } es_matrix;
typedef enum es_range { ES_VIDEO_RANGE = 0, ES_FULL_RANGE = 1 } es_range;

/* An image as it lies in memory. es_image_init() fills in all but the pointers.
 *
 * A stored image of w x h is w x h upright for orientations 1 to 4, h x w for 5 to 8, and pixel
 * (x, y) of the upright image is the stored pixel
 *   1 (x, y)   2 (w-1-x, y)   3 (w-1-x, h-1-y)   4 (x, h-1-y)
 *   5 (y, x)   6 (y, h-1-x)   7 (w-1-y, h-1-x)   8 (w-1-y, x) */
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

/* One byte a pixel: a class index, as es_segment writes it. */
typedef struct es_mask {
  const uint8_t *pixels; /* first byte of the top row */
  size_t stride, bytes;  /* from row to row, at least width; readable from pixels */
  int32_t width, height; /* 1..ES_MAX_SIDE */
} es_mask;

/* ---- Pre-processing ------------------------------------------------------------------------ */

/* From an image to a model's input: colour (es_matrix, and channels of es_recipe), orientation
 * (es_image), geometry (es_fit), resize (es_filter), values (es_recipe).
 *
 * Geometry. The crop box (differences of its floats are b_w x b_h) is resized to r_w x r_h, and
 * pixel (x, y) of the output, o_w x o_h, is pixel (x + left, y + top) of that; where there is none,
 * pad_value.
 *   squash          r_w = o_w, r_h = o_h, left = top = 0
 *   shortest edge   s = resize_to / min(b_w, b_h)
 *   letterbox       s = min(o_w / b_w, o_h / b_h)
 *   these two       r_w = trunc(b_w * s + 0.5), at least 1; left = trunc((r_w - o_w) / 2);
 *                   r_h and top are found alike
 * In a letterbox left and top are 0 or negative; an odd border is wider at the right and bottom.
 * A box whose longer side over its shorter one, times resize_to, exceeds 1e9 is ES_BAD_CROP. */
typedef enum es_fit {
  ES_SQUASH = 0,        /* scale to width x height, aspect ratio lost */
  ES_SHORTEST_EDGE = 1, /* shorter edge to resize_to, then width x height from the centre */
  ES_LETTERBOX = 2      /* scale to fit inside, centred, the rest is pad_value */
} es_fit;

/* Pillow's filters; all but nearest widen with the scale, so a reduction is antialiased.
 *
 * An axis of n pixels, of which begin..end (floats of the crop box) become r. Pixel i of those:
 *   scale  = float(end - begin) / r
 *   wide   = max(1, scale)
 *   centre = begin + (i + 0.5) * scale
 *   first  = max(0, trunc(centre - support * wide + 0.5))
 *   last   = min(n, trunc(centre + support * wide + 0.5))
 *   w[k]   = weight((k - centre + 0.5) * (1 / wide)), first <= k < last
 *   v[k]   = w[k] / total * 2^22, total the sum of w (w[k] * 2^22 where that is 0)
 *   c[k]   = trunc(v[k] + 0.5), or trunc(v[k] - 0.5) where v[k] < 0
 *   pixel  = clip((2^21 + sum of c[k] * pixel k) >> 22), in 32 bits that wrap, each channel alone
 * So pixels around the box are seen, and none are made up outside the image. The pass across gives
 * 8-bit pixels to the pass down; the pass down comes first where r_h < h and
 * h - r_h > 2 * (w - r_w), w x h being the whole upright image.
 *
 *             support   weight(x), with a = |x|; 0 where nothing stands
 *   box       0.5       1 where -0.5 < x <= 0.5
 *   bilinear  1         1 - a where a < 1
 *   hamming   1         1 where a = 0; sin(p) / p * (float(0.54) + float(0.46) * cos(p)) where
 *                       a < 1, p = a * pi
 *   bicubic   2         (1.5 * a - 2.5) * a * a + 1 where a < 1;
 *                       (((a - 5) * a + 8) * a - 4) * -0.5 where 1 <= a < 2
 *   lanczos   3         sinc(a) * sinc(a / 3) where -3 <= x < 3; sinc(0) = 1, else
 *                       sinc(t) = sin(p) / p, p = t * pi
 *
 * Nearest: pixel i is pixel min(n - 1, trunc(p)), where p = begin + scale * 0.5 for i = 0 and grows
 * by scale from one pixel to the next. */
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

/* What a model eats. A pixel value v in 0..255, that of pad_value too, becomes
 * real = (v / 255 - mean) / std, then, by type:
 *   float32, float16   float(real), half(real)
 *   uint8, int8        even(real / scale) + zero_point, clamped to the type
 * Of W x H pixels of C channels, channel c of pixel (x, y) is value (y * W + x) * C + c in ES_NHWC
 * and (c * H + y) * W + x in ES_NCHW.
 * es_recipe_init() sets mean 0, std 1, scale 1/255, zero_point 0: uint8 pixels as they are. */
typedef struct es_recipe {
  int32_t width, height;  /* of the output, 1..ES_MAX_OUTPUT */
  int32_t fit;            /* es_fit */
  int32_t resize_to;      /* ES_SHORTEST_EDGE: at least max(width, height); else ignored */
  int32_t filter;         /* es_filter */
  int32_t pad_value;      /* ES_LETTERBOX: pixel value 0..255 of the border, in every channel */
  float crop[4];          /* left, top, right, bottom in pixels of the upright image, as Pillow's
                             box: fractions allowed, the filter sees pixels around it. The fit
                             applies to its size. All 0: the whole image */
  int32_t channels;       /* ES_RGB, ES_BGR or ES_GREY: order and number in the output. Before the
                             resize colour becomes grey as by Pillow's convert("L"),
                             (19595 R + 38470 G + 7471 B + 32768) >> 16; grey is R = G = B */
  int32_t type;           /* es_type */
  int32_t layout;         /* es_layout */
  double mean[3], std[3]; /* in the output's channel order; ES_GREY uses the first */
  double scale;           /* uint8 and int8: > 0; else ignored */
  int32_t zero_point;     /* uint8: 0..255, int8: -128..127; else ignored */
} es_recipe;

/* The recipe above: squash, bilinear, RGB, uint8, NHWC, whole image. */
ES_API es_status es_recipe_init(int32_t width, int32_t height, es_recipe *recipe, es_error *error);

/* The recipe of a model: reads the "input" of a spec.json (or that object alone), so that apps
 * need no JSON reader of their own. Gives ES_FLOAT32, ES_NCHW and the spec's colour order, mean
 * and std; set type, layout, scale and zero_point as the artifact's input tensor says.
 * `text` is UTF-8, `bytes` long, not necessarily terminated.
 *
 * The whole text is held against these rules; what breaks one is ES_BAD_SPEC. edgeskin's Python
 * reads the same texts and refuses the same ones (good and bad ones: tests/native/specs.json).
 * - It is JSON (RFC 8259) in UTF-8 without a byte order mark. Arrays and objects lie at most 64
 *   deep in each other; a number has at most 63 characters and is finite as a double, the nearest
 *   one; an escaped half of a surrogate pair is refused.
 * - A string, a field's name too, is what its escapes say. A number without a fraction is whole,
 *   however it is written: 224, 224.0, 2.24e2. Otherwise no type stands for another.
 * - Each field is a known one, given once; in brackets those that may be left out, with what they
 *   are then. null is allowed where it is named. What arch_args holds is not looked at.
 * - A text with a field `input` is a spec, one without is an input:
 *
 *   spec            name: A-Z a-z 0-9 _ . -, first a letter or digit; task, license, intended_use:
 *                   texts; input; heads: 1 to 64; [version: 1]; [arch, training_data, limits:
 *                   texts, ""]; [arch_args: an object, {}]
 *   input           height, width: whole, 1 to 8192; mean, std: three numbers from -4 to 4, those
 *                   of std above 0 (they are of v / 255; larger ones mean v itself);
 *                   [color_order: RGB; BGR]; [resize: shortest_edge; squash, letterbox];
 *                   [resize_to: null; with shortest_edge whole, max(height, width) to 8192];
 *                   [filter: bilinear; nearest, box, bicubic, lanczos]; [antialias: true];
 *                   [pad_value: 0; whole, to 255]
 *   a head          name: a-z 0-9 _, first a letter; kind: one of the next six, with its fields
 *   classification  labels: 2 or more, of sigmoid 1 or more; [activation: softmax; sigmoid]
 *   distribution    first: a number; size: whole, 2 to 65536; unit: a text; [step: 1; above 0];
 *                   [ranges: null; an object of labels: 2 or more, upper: numbers that increase,
 *                   one less than labels, [source: a text, ""]]
 *   regression      unit: a text; [scale: 1; a number]; [offset: 0; a number]
 *   segmentation    labels: 1 or more; [activation: softmax; sigmoid]
 *   embedding       size: whole, 1 to 65536; [normalize: none; l2]
 *   tensor          shape: 0 to 4 whole numbers, 1 to 1048576; [unit: a text, ""]; [axes: none;
 *                   texts, no two the same, as many as shape]
 *
 *   Labels are texts, no two the same. Nor are two outputs of one name: a head gives its name, a
 *   distribution NAME_distribution as well. */
ES_API es_status es_recipe_from_spec(const char *text, size_t bytes, es_recipe *recipe,
                                     es_error *error);

/* Bytes that es_preprocess writes: width * height * channels * element size. */
ES_API es_status es_output_bytes(const es_recipe *recipe, size_t *bytes, es_error *error);

/* Bytes of workspace that es_preprocess and es_preprocess_masked need for this image's size and
 * this recipe. Plane pointers may still be NULL. Never above 2 MB (2000000). */
ES_API es_status es_preprocess_workspace(const es_image *image, const es_recipe *recipe,
                                         size_t *bytes, es_error *error);

/* The whole way in one call: colour, orientation, crop, resize, pad, normalize, quantize.
 * `output` needs the alignment of its element type. */
ES_API es_status es_preprocess(const es_image *image, const es_recipe *recipe, void *output,
                               size_t output_bytes, void *workspace, size_t workspace_bytes,
                               es_error *error);

/* The pixels that a model is to see, by the mask of another: the second of two stages. The mask
 * has the image's width and height, as stored (what es_segment gives), or it is ES_BAD_SIZE; stored
 * pixel (x, y), of value v there, stays if keep[v] is not 0. ES_OUTSIDE is a value like any other.
 * A table that keeps no value is ES_BAD_VALUE. */
typedef struct es_selection {
  es_mask mask;
  uint8_t keep[256];
  uint8_t fill[3]; /* red, green, blue of all other pixels */
} es_selection;

/* es_preprocess of the image whose other pixels are `fill`: after colour conversion, before
 * orientation and resize, so around an edge of the mask the filter mixes both. In an image of
 * ES_GREY, and where the output is grey, `fill` is its grey (see channels of es_recipe). There is
 * no copy of the image. Without a selection (NULL) it is es_preprocess. */
ES_API es_status es_preprocess_masked(const es_image *image, const es_recipe *recipe,
                                      const es_selection *selection, void *output,
                                      size_t output_bytes, void *workspace, size_t workspace_bytes,
                                      es_error *error);

/* Where the output's pixels came from: what it takes to go back to the image. See es_fit. */
typedef struct es_placement {
  int32_t image_width, image_height; /* as stored */
  int32_t orientation;
  float crop[4];                         /* the box of the upright image that was resized ... */
  int32_t resized_width, resized_height; /* ... to this size; output pixel (x, y) shows its */
  int32_t left, top;     /* pixel (x + left, y + top); outside it there is padding */
  int32_t width, height; /* of the output */
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

/* count values to float32: (float)(scale * (q - zero_point)), the product in double. All there is
 * to do for an embedding (of l2, divide by the Euclidean norm) and for a plain tensor. */
ES_API es_status es_dequantize(const es_tensor *tensor, size_t count, float *values,
                               size_t values_bytes, es_error *error);

typedef struct es_class {
  int32_t index;
  float score;
} es_class;

/* Classification: `classes` values to scores, and the best `top_count` of them (0..classes) in
 * falling order, the lower index first among equals; top[0] is the argmax. With x the logits, as
 * doubles (scale * (q - zero_point) of integers):
 *   softmax         float(exp(x[i] - largest) / sum of exp(x[j] - largest))
 *   sigmoid         float(1 / (1 + exp(-x[i])))
 *   no activation   float(x[i])
 * Labels that do not exclude each other take sigmoid; those at or above 0.5 are there.
 * `scores` (classes floats) must be given; `top` may be NULL when top_count is 0. A NaN is
 * ES_NOT_A_NUMBER; infinite logits are allowed except that a softmax needs a finite maximum. */
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

/* `size` values to a quantity: m = their scores as es_classify gives them (ES_SOFTMAX, or
 * ES_NO_ACTIVATION: then finite and not negative), value i = first + step * i, total = sum of m[i],
 * which must be above 0.
 *   expectation  sum of m[i] * value i, over total
 *   mode         the value of the largest m, the first of them
 *   low, high    the value of the first i at which (sum of m[0..i]) / total >= t, the last value if
 *                there is none; t = (1 - share) / 2 for low, 1 - that for high
 *   grade        that whose values hold the largest sum of m, the lowest of them
 *   mass         m; float(m[i] / total) with ES_NO_ACTIVATION
 * upper[0..upper_count-1], increasing: inclusive upper bounds of the first grades, the last grade
 * is open; upper_count 0: no grades. `mass` (size floats) must be given. */
ES_API es_status es_measure(const es_tensor *logits, int32_t size, int32_t activation, double first,
                            double step, double share, const double *upper, int32_t upper_count,
                            float *mass, size_t mass_bytes, es_quantity *quantity, es_error *error);

/* The grade of a value: index of the first bound that it does not exceed, else upper_count. */
ES_API es_status es_grade(double value, const double *upper, int32_t upper_count, int32_t *grade,
                          es_error *error);

/* ---- Post-processing: masks ---------------------------------------------------------------- */

#define ES_OUTSIDE 255 /* mask value of pixels that the model did not see (cut away by a crop) */

/* Segmentation: logits of `classes` (1..255) channels, `width` x `height`, in `layout`, to a class
 * index a pixel of the image as stored (the placement undone: padding, crop, resize, rotation).
 * Logits cover the model's input evenly and are interpolated bilinearly (half-pixel centres, edges
 * repeated) before the decision: the largest logit, the lowest index among equals; with one class,
 * 1 where its logit is >= 0, else 0. For column or row i of the upright image, where the crop box
 * begin..end was resized to r pixels, of which the output shows o from `offset` (left or top) on,
 * and logits are n:
 *   u = (i + 0.5 - begin) * (r / (end - begin)), and t = u - offset; ES_OUTSIDE unless 0 <= u < r
 *   and 0 <= t < o
 *   f = t * (n / o) - 0.5, kept within 0..n - 1
 *   line = trunc(f), next = min(line + 1, n - 1), part = f - line
 * Lines a and b (line and next) become a + part * (b - a): first along the upright axis that runs
 * from stored row to row, then along the other. `counts` (max(classes, 2) entries) gets the pixels
 * of each value; the area fraction of class i is counts[i] over their sum. */
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
  int64_t area; /* pixels of the component; of lesion for es_find_crops */
  double x, y;  /* centroid of those pixels; of the box for es_find_crops */
} es_box;

/* Connected components of the pixels equal to `value`, 4- or 8-connected, of at least min_area
 * pixels: the largest `capacity` of them in `boxes`, by falling area, then by top, by left, by the
 * last row, by the leftmost pixel in that. The centroid is the sum of x over area, of y over area.
 * `count` gets how many there are in all (it may exceed capacity). */
ES_API es_status es_components_workspace(int32_t width, size_t *bytes, es_error *error);
ES_API es_status es_components(const es_mask *mask, int32_t value, int32_t connectivity,
                               int64_t min_area, es_box *boxes, int32_t capacity, int32_t *count,
                               void *workspace, size_t workspace_bytes, es_error *error);

/* Crops worth classifying: squares of `side` pixels on a grid of `step` pixels (and flush with the
 * right and bottom edge) where more than min_skin * (side * side) of the pixels are skin_value in
 * `skin` and more than min_lesion * (side * side) are lesion_value in `lesion`. Both masks have the
 * same size, and may be the same. Lesion counts as skin. Best first: by lesion area, then top, then
 * left; a square that shares more than max_overlap (0..1) of its area with a better one in `boxes`
 * is left out. The published rule is min_skin 0.8, min_lesion 0.1. `count` gets how many are in
 * `boxes`, at most `capacity`. */
typedef struct es_crop_rule {
  int32_t side, step;
  int32_t skin_value, lesion_value;
  double min_skin, min_lesion, max_overlap;
} es_crop_rule;

ES_API es_status es_find_crops_workspace(int32_t width, size_t *bytes, es_error *error);
ES_API es_status es_find_crops(const es_mask *skin, const es_mask *lesion, const es_crop_rule *rule,
                               es_box *boxes, int32_t capacity, int32_t *count, void *workspace,
                               size_t workspace_bytes, es_error *error);

#ifdef __cplusplus
}
#endif
#endif
