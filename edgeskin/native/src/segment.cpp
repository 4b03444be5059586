// Segmentation logits to a mask of the stored image: crop, resize, padding and rotation undone.
#include "carver.h"
#include "check.h"
#include "tensor.h"

namespace {

constexpr int32_t kMostClasses = 255;

// Where a line of pixels falls between two lines of logits; first is -1 where nothing was seen.
struct Place {
  double fraction;
  int32_t first;
};

// One axis of the upright image against the same axis of the logits.
struct Way {
  double from, length;  // of the crop
  int32_t resized, offset, output, logits;

  Place at(int32_t pixel) const {
    const double resized_at = (pixel + 0.5 - from) * (resized / length);
    const double output_at = resized_at - offset;
    if (resized_at < 0 || resized_at >= resized || output_at < 0 || output_at >= output)
      return {0.0, -1};
    double line = output_at * (static_cast<double>(logits) / output) - 0.5;
    line = line < 0 ? 0 : line > logits - 1 ? logits - 1 : line;
    const int32_t first = static_cast<int32_t>(line);
    return {line - first, first};
  }
};

// One column (or row) of logits, blended from two, for every class.
struct Blend {
  double values[kMostClasses];
  int32_t line = -1;
};

class Segmenter {
 public:
  Segmenter(const es_segmentation &s, const es_placement &p, Place *places)
      : s_(s),
        p_(p),
        places_(places),
        turned_(p.orientation > 4),
        flip_x_(p.orientation == 2 || p.orientation == 3 || p.orientation >= 7),
        flip_y_(p.orientation == 3 || p.orientation == 4 || p.orientation == 6 ||
                p.orientation == 7) {
    const Way x = {p.crop[0],       double{p.crop[2]} - double{p.crop[0]},
                   p.resized_width, p.left,
                   p.width,         s.width};
    const Way y = {p.crop[1],        double{p.crop[3]} - double{p.crop[1]},
                   p.resized_height, p.top,
                   p.height,         s.height};
    along_ = turned_ ? y : x;
    across_ = turned_ ? x : y;
    for (int32_t i = 0; i < p.image_width; ++i)
      places_[i] = along_.at(flip_x_ ? p.image_width - 1 - i : i);
  }

  void row(int32_t y, uint8_t *mask, int64_t *counts) {
    const Place place = across_.at(flip_y_ ? p_.image_height - 1 - y : y);
    blends_[0].line = blends_[1].line = -1;
    for (int32_t x = 0; x < p_.image_width; ++x) {
      const Place at = places_[x];
      if (place.first < 0 || at.first < 0) {
        mask[x] = ES_OUTSIDE;
        continue;
      }
      const int32_t next = at.first + 1 < along_.logits ? at.first + 1 : at.first;
      const double *a = blend(at.first, place), *b = blend(next, place);
      mask[x] = static_cast<uint8_t>(decide(a, b, at.fraction));
      ++counts[mask[x]];
    }
  }

 private:
  double logit(int32_t along, int32_t across, int32_t c) const {
    const size_t x = static_cast<size_t>(turned_ ? across : along);
    const size_t y = static_cast<size_t>(turned_ ? along : across);
    const size_t width = static_cast<size_t>(s_.width), height = static_cast<size_t>(s_.height);
    const size_t classes = static_cast<size_t>(s_.classes), k = static_cast<size_t>(c);
    const size_t i = s_.layout == ES_NCHW ? (k * height + y) * width + x
                                          : (y * width + x) * classes + k;
    return es::value_of(s_.logits, i);
  }

  // Neighbouring lines lie in different places, so the two that are needed stay.
  const double *blend(int32_t line, Place place) {
    Blend &found = blends_[line & 1];
    if (found.line == line) return found.values;
    const int32_t next = place.first + 1 < across_.logits ? place.first + 1 : place.first;
    for (int32_t c = 0; c < s_.classes; ++c) {
      const double a = logit(line, place.first, c), b = logit(line, next, c);
      found.values[c] = a + place.fraction * (b - a);
    }
    found.line = line;
    return found.values;
  }

  int32_t decide(const double *a, const double *b, double fraction) const {
    double most = a[0] + fraction * (b[0] - a[0]);
    if (s_.classes == 1) return most >= 0 ? 1 : 0;
    int32_t best = 0;
    for (int32_t c = 1; c < s_.classes; ++c) {
      const double value = a[c] + fraction * (b[c] - a[c]);
      if (value > most) {
        most = value;
        best = c;
      }
    }
    return best;
  }

  const es_segmentation &s_;
  const es_placement &p_;
  Place *places_;
  bool turned_, flip_x_, flip_y_;
  Way along_ = {}, across_ = {};  // along a stored row, and from row to row
  Blend blends_[2];
};

bool side(int32_t value, int32_t most) { return value >= 1 && value <= most; }

es_status check_placement(const es_placement *placement, es_error *error) {
  ES_NEED(placement);
  const es_placement &p = *placement;
  if (!side(p.image_width, ES_MAX_SIDE) || !side(p.image_height, ES_MAX_SIDE) ||
      !side(p.width, ES_MAX_OUTPUT) || !side(p.height, ES_MAX_OUTPUT) ||
      !side(p.resized_width, INT32_MAX) || !side(p.resized_height, INT32_MAX))
    return es::report(error, ES_BAD_SIZE, "the placement of %d x %d as %d x %d to %d x %d",
                      p.image_width, p.image_height, p.resized_width, p.resized_height, p.width,
                      p.height);
  if (p.orientation < 1 || p.orientation > 8)
    return es::report(error, ES_BAD_ENUM, "orientation is %d, EXIF knows 1 to 8", p.orientation);
  const bool fits = p.crop[0] >= 0 && p.crop[1] >= 0 && p.crop[0] < p.crop[2] &&
                    p.crop[1] < p.crop[3] && p.crop[2] <= ES_MAX_SIDE && p.crop[3] <= ES_MAX_SIDE;
  if (!fits)
    return es::report(error, ES_BAD_CROP,
                      "the placement's crop (%g, %g, %g, %g) is empty or outside",
                      static_cast<double>(p.crop[0]), static_cast<double>(p.crop[1]),
                      static_cast<double>(p.crop[2]), static_cast<double>(p.crop[3]));
  return ES_OK;
}

es_status check_segmentation(const es_segmentation *s, es_error *error) {
  ES_NEED(s);
  if (!side(s->width, ES_MAX_OUTPUT) || !side(s->height, ES_MAX_OUTPUT) ||
      !side(s->classes, kMostClasses))
    return es::report(error, ES_BAD_SIZE, "logits of %d classes, %d x %d; 1 to %d classes, 1 to %d",
                      s->classes, s->width, s->height, kMostClasses, ES_MAX_OUTPUT);
  if (s->layout != ES_NHWC && s->layout != ES_NCHW)
    return es::report(error, ES_BAD_ENUM, "layout is %d, known are 0 and 1", s->layout);
  return ES_OK;
}

size_t logit_count(const es_segmentation &s) {  // below 2^34
  return static_cast<size_t>(static_cast<uint64_t>(s.classes) * static_cast<uint64_t>(s.width) *
                             static_cast<uint64_t>(s.height));
}

es_status check_finite(const es_segmentation &s, es_error *error) {
  if (s.logits.type <= ES_INT8) return ES_OK;
  for (size_t i = 0; i < logit_count(s); ++i)
    if (!es::finite(es::value_of(s.logits, i)))
      return es::report(error, ES_NOT_A_NUMBER, "logit %zu is not a finite number", i);
  return ES_OK;
}

}  // namespace

extern "C" {

es_status es_segment_workspace(const es_segmentation *segmentation, const es_placement *placement,
                               size_t *bytes, es_error *error) {
  ES_TRY(check_segmentation(segmentation, error));
  ES_TRY(check_placement(placement, error));
  ES_NEED(bytes);
  es::Carver carver(nullptr);
  carver.take<Place>(static_cast<size_t>(placement->image_width));
  *bytes = carver.used();
  return es::ok(error);
}

es_status es_segment(const es_segmentation *segmentation, const es_placement *placement,
                     uint8_t *mask, size_t mask_stride, size_t mask_bytes, int64_t *counts,
                     int32_t counts_size, void *workspace, size_t workspace_bytes,
                     es_error *error) {
  size_t needed = 0;
  ES_TRY(es_segment_workspace(segmentation, placement, &needed, error));
  ES_TRY(es::check_tensor(&segmentation->logits, logit_count(*segmentation), error));
  const es_mask out = {mask, mask_stride, mask_bytes, placement->image_width,
                       placement->image_height};
  ES_TRY(es::check_mask(&out, "mask", error));
  ES_NEED(counts);
  const int32_t values = segmentation->classes > 2 ? segmentation->classes : 2;
  if (counts_size < values)
    return es::report(error, ES_BUFFER_TOO_SMALL, "counts has %d entries, %d are needed",
                      counts_size, values);
  ES_TRY(es::check_workspace(workspace, workspace_bytes, needed, error));
  ES_TRY(check_finite(*segmentation, error));

  for (int32_t i = 0; i < counts_size; ++i) counts[i] = 0;
  es::Carver carver(workspace);
  Segmenter segmenter(*segmentation, *placement,
                      carver.take<Place>(static_cast<size_t>(placement->image_width)));
  for (int32_t y = 0; y < placement->image_height; ++y)
    segmenter.row(y, mask + static_cast<size_t>(y) * mask_stride, counts);
  return es::ok(error);
}

}  // extern "C"
