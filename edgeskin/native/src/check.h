// Refusing bad input: every public function starts with checks and returns through `Report`.
#pragma once
#include "../edgeskin.h"
#include "exact.h"

namespace es {

// Writes the status and the line of text into `error` (which may be null); returns the status.
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
es_status
report(es_error *error, es_status status, const char *format, ...);
es_status ok(es_error *error);

// Each returns ES_OK or reports what is wrong.
es_status check_image(const es_image *image, bool with_planes, es_error *error);
es_status check_recipe(const es_recipe *recipe, es_error *error);
es_status check_quantization(int32_t type, double scale, int32_t zero_point, es_error *error);
es_status check_tensor(const es_tensor *tensor, size_t count, es_error *error);
es_status check_mask(const es_mask *mask, const char *name, es_error *error);
es_status check_selection(const es_selection *selection, const es_image &image, es_error *error);
es_status check_workspace(const void *workspace, size_t bytes, size_t needed, es_error *error);

inline bool finite(double x) { return x - x == 0.0; }
inline bool is_yuv(int32_t format) { return format >= ES_NV12; }
inline size_t type_bytes(int32_t type) {
  return type == ES_FLOAT32 ? 4 : type == ES_FLOAT16 ? 2 : 1;
}
inline int channel_count(int32_t channels) { return channels == ES_GREY ? 1 : 3; }

// The upright image's size.
inline int32_t upright_width(const es_image &i) { return i.orientation > 4 ? i.height : i.width; }
inline int32_t upright_height(const es_image &i) { return i.orientation > 4 ? i.width : i.height; }

}  // namespace es

#define ES_TRY(expression)                   \
  do {                                       \
    const es_status es_tried = (expression); \
    if (es_tried != ES_OK) return es_tried;  \
  } while (0)

#define ES_NEED(pointer)                                                                      \
  do {                                                                                        \
    if (!(pointer)) return es::report(error, ES_NULL_POINTER, #pointer " is a null pointer"); \
  } while (0)
