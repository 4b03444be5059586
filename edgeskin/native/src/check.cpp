#include "check.h"

#include <cstdarg>
#include <cstdio>

namespace es {

es_status report(es_error *error, es_status status, const char *format, ...) {
  if (!error) return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return status;
}

es_status ok(es_error *error) {
  if (error) {
    error->status = ES_OK;
    error->message[0] = 0;
  }
  return ES_OK;
}

namespace {

struct Plane {
  size_t row_bytes, rows;
};

int plane_count(int32_t format) { return format == ES_I420 ? 3 : is_yuv(format) ? 2 : 1; }

Plane plane_of(const es_image &image, int index) {
  const size_t width = static_cast<size_t>(image.width), height = static_cast<size_t>(image.height);
  if (index > 0) return {image.format == ES_I420 ? width / 2 : width, height / 2};
  const size_t step = image.format <= ES_BGR ? 3 : image.format <= ES_BGRA ? 4 : 1;
  return {width * step, height};
}

es_status check_enum(int32_t value, int32_t last, const char *name, es_error *error) {
  if (value >= 0 && value <= last) return ES_OK;
  return report(error, ES_BAD_ENUM, "%s is %d, known are 0 to %d", name, value, last);
}

es_status check_shape(const es_image &image, es_error *error) {
  ES_TRY(check_enum(image.format, ES_I420, "format", error));
  if (image.width < 1 || image.height < 1 || image.width > ES_MAX_SIDE ||
      image.height > ES_MAX_SIDE)
    return report(error, ES_BAD_SIZE, "the image is %d x %d, each side must be 1 to %d",
                  image.width, image.height, ES_MAX_SIDE);
  if (is_yuv(image.format) && (image.width % 2 || image.height % 2))
    return report(error, ES_BAD_SIZE, "the image is %d x %d, a 4:2:0 format needs even sides",
                  image.width, image.height);
  return ES_OK;
}

}  // namespace

es_status check_image(const es_image *image, bool with_planes, es_error *error) {
  ES_NEED(image);
  ES_TRY(check_shape(*image, error));
  if (image->orientation < 1 || image->orientation > 8)
    return report(error, ES_BAD_ENUM, "orientation is %d, EXIF knows 1 to 8", image->orientation);
  if (is_yuv(image->format)) {
    ES_TRY(check_enum(image->matrix, ES_BT709, "matrix", error));
    ES_TRY(check_enum(image->range, ES_FULL_RANGE, "range", error));
  }
  for (int i = 0; i < plane_count(image->format); ++i) {
    const Plane plane = plane_of(*image, i);
    if (with_planes && !image->planes[i])
      return report(error, ES_NULL_POINTER, "planes[%d] is a null pointer", i);
    if (image->strides[i] < plane.row_bytes)
      return report(error, ES_BAD_STRIDE, "strides[%d] is %zu bytes, a row has %zu", i,
                    image->strides[i], plane.row_bytes);
    // Divided, not multiplied, so that no stride can overflow.
    const bool fits = image->bytes[i] >= plane.row_bytes &&
                      (plane.rows == 1 ||
                       (image->bytes[i] - plane.row_bytes) / (plane.rows - 1) >= image->strides[i]);
    if (!fits)
      return report(error, ES_BUFFER_TOO_SMALL,
                    "planes[%d] has %zu bytes, %zu rows of %zu bytes, %zu apart, need more", i,
                    image->bytes[i], plane.rows, plane.row_bytes, image->strides[i]);
  }
  return ES_OK;
}

es_status check_quantization(int32_t type, double scale, int32_t zero_point, es_error *error) {
  if (type > ES_INT8) return ES_OK;
  if (!finite(scale) || scale <= 0)
    return report(error, ES_BAD_VALUE, "scale is %g, must be positive", scale);
  const int32_t low = type == ES_INT8 ? -128 : 0;
  if (zero_point < low || zero_point > low + 255)
    return report(error, ES_BAD_VALUE, "zero_point is %d, %s holds %d to %d", zero_point,
                  type == ES_INT8 ? "int8" : "uint8", low, low + 255);
  return ES_OK;
}

es_status check_recipe(const es_recipe *recipe, es_error *error) {
  ES_NEED(recipe);
  const es_recipe &r = *recipe;
  if (r.width < 1 || r.height < 1 || r.width > ES_MAX_OUTPUT || r.height > ES_MAX_OUTPUT)
    return report(error, ES_BAD_SIZE, "the output is %d x %d, each side must be 1 to %d", r.width,
                  r.height, ES_MAX_OUTPUT);
  ES_TRY(check_enum(r.fit, ES_LETTERBOX, "fit", error));
  ES_TRY(check_enum(r.filter, ES_LANCZOS, "filter", error));
  ES_TRY(check_enum(r.type, ES_FLOAT16, "type", error));
  ES_TRY(check_enum(r.layout, ES_NCHW, "layout", error));
  if (r.channels != ES_RGB && r.channels != ES_BGR && r.channels != ES_GREY)
    return report(error, ES_BAD_ENUM, "channels is %d, known are RGB (0), BGR (1) and grey (4)",
                  r.channels);
  const int32_t longer = r.width > r.height ? r.width : r.height;
  if (r.fit == ES_SHORTEST_EDGE && (r.resize_to < longer || r.resize_to > ES_MAX_OUTPUT))
    return report(error, ES_BAD_VALUE, "resize_to is %d, must be %d (the output) to %d",
                  r.resize_to, longer, ES_MAX_OUTPUT);
  if (r.fit == ES_LETTERBOX && (r.pad_value < 0 || r.pad_value > 255))
    return report(error, ES_BAD_VALUE, "pad_value is %d, must be 0 to 255", r.pad_value);
  for (int c = 0; c < channel_count(r.channels); ++c)
    if (!finite(r.mean[c]) || !finite(r.std[c]) || r.std[c] <= 0)
      return report(error, ES_BAD_VALUE,
                    "mean[%d] is %g and std[%d] is %g, must be finite and positive", c, r.mean[c],
                    c, r.std[c]);
  return check_quantization(r.type, r.scale, r.zero_point, error);
}

es_status check_tensor(const es_tensor *tensor, size_t count, es_error *error) {
  ES_NEED(tensor);
  ES_TRY(check_enum(tensor->type, ES_FLOAT16, "type", error));
  ES_TRY(check_quantization(tensor->type, tensor->scale, tensor->zero_point, error));
  if (!tensor->data) return report(error, ES_NULL_POINTER, "the tensor's data is a null pointer");
  if (tensor->bytes / type_bytes(tensor->type) < count)
    return report(error, ES_BUFFER_TOO_SMALL, "the tensor has %zu bytes, %zu values need %zu",
                  tensor->bytes, count, count * type_bytes(tensor->type));
  return ES_OK;
}

es_status check_mask(const es_mask *mask, const char *name, es_error *error) {
  if (!mask || !mask->pixels) return report(error, ES_NULL_POINTER, "%s is a null pointer", name);
  if (mask->width < 1 || mask->height < 1 || mask->width > ES_MAX_SIDE ||
      mask->height > ES_MAX_SIDE)
    return report(error, ES_BAD_SIZE, "%s is %d x %d, each side must be 1 to %d", name, mask->width,
                  mask->height, ES_MAX_SIDE);
  const size_t width = static_cast<size_t>(mask->width), height = static_cast<size_t>(mask->height);
  if (mask->stride < width)
    return report(error, ES_BAD_STRIDE, "%s has a stride of %zu bytes, a row has %zu", name,
                  mask->stride, width);
  if (mask->bytes < width || (height > 1 && (mask->bytes - width) / (height - 1) < mask->stride))
    return report(error, ES_BUFFER_TOO_SMALL, "%s has %zu bytes, %zu rows %zu apart need more",
                  name, mask->bytes, height, mask->stride);
  return ES_OK;
}

es_status check_selection(const es_selection *selection, const es_image &image, es_error *error) {
  if (!selection) return ES_OK;
  const es_mask &mask = selection->mask;
  ES_TRY(check_mask(&mask, "mask", error));
  if (mask.width != image.width || mask.height != image.height)
    return report(error, ES_BAD_SIZE, "the mask is %d x %d, the image as stored %d x %d",
                  mask.width, mask.height, image.width, image.height);
  for (const uint8_t kept : selection->keep)
    if (kept) return ES_OK;
  return report(error, ES_BAD_VALUE, "keep has no value, so no pixel would stay");
}

es_status check_workspace(const void *workspace, size_t bytes, size_t needed, es_error *error) {
  ES_NEED(workspace);
  if (bytes < needed)
    return report(error, ES_WORKSPACE_TOO_SMALL, "the workspace has %zu bytes, %zu are needed",
                  bytes, needed);
  return ES_OK;
}

}  // namespace es

extern "C" {

const char *es_status_name(int32_t status) {
  static const char *const names[] = {
      "ES_OK",           "ES_NULL_POINTER",     "ES_BAD_SIZE",
      "ES_BAD_STRIDE",   "ES_BAD_CROP",         "ES_BAD_ENUM",
      "ES_BAD_VALUE",    "ES_BUFFER_TOO_SMALL", "ES_WORKSPACE_TOO_SMALL",
      "ES_NOT_A_NUMBER", "ES_BAD_SPEC",         "ES_NOT_HERE"};
  return status >= 0 && status <= ES_NOT_HERE ? names[status] : "ES_UNKNOWN";
}

int32_t es_version(void) { return ES_VERSION; }

es_status es_image_init(int32_t format, int32_t width, int32_t height, es_image *image,
                        es_error *error) {
  ES_NEED(image);
  es_image blank = {format, width, height, 1, ES_BT601, ES_VIDEO_RANGE, {}, {}, {}};
  ES_TRY(es::check_shape(blank, error));
  for (int i = 0; i < es::plane_count(format); ++i) {
    const es::Plane plane = es::plane_of(blank, i);
    blank.strides[i] = plane.row_bytes;
    blank.bytes[i] = plane.row_bytes * plane.rows;
  }
  *image = blank;
  return es::ok(error);
}

es_status es_recipe_init(int32_t width, int32_t height, es_recipe *recipe, es_error *error) {
  ES_NEED(recipe);
  es_recipe plain = {};
  plain.width = width;
  plain.height = height;
  plain.filter = ES_BILINEAR;
  for (double &std : plain.std) std = 1.0;
  plain.scale = 1.0 / 255.0;
  ES_TRY(es::check_recipe(&plain, error));
  *recipe = plain;
  return es::ok(error);
}

es_status es_output_bytes(const es_recipe *recipe, size_t *bytes, es_error *error) {
  ES_TRY(es::check_recipe(recipe, error));
  ES_NEED(bytes);
  *bytes = static_cast<size_t>(recipe->width) * static_cast<size_t>(recipe->height) *
           static_cast<size_t>(es::channel_count(recipe->channels)) * es::type_bytes(recipe->type);
  return es::ok(error);
}

}  // extern "C"
