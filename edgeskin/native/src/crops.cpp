// The crop rule: squares that hold enough skin and enough lesion, best first.
#include "carver.h"
#include "check.h"

namespace {

struct Columns {  // of the current band of `side` rows: pixels in each column, then running sums
  int32_t *skin, *lesion;
  int64_t *skin_before, *lesion_before;
};

Columns carve(es::Carver &carver, int32_t width) {
  const size_t n = static_cast<size_t>(width);
  return {carver.take<int32_t>(n), carver.take<int32_t>(n), carver.take<int64_t>(n + 1),
          carver.take<int64_t>(n + 1)};
}

struct Masks {
  const es_mask &skin, &lesion;
  const es_crop_rule &rule;
};

// Adds (or takes away) one row of both masks.
void count_row(const Masks &m, int32_t y, int32_t sign, Columns &columns) {
  const uint8_t *skin = m.skin.pixels + static_cast<size_t>(y) * m.skin.stride;
  const uint8_t *lesion = m.lesion.pixels + static_cast<size_t>(y) * m.lesion.stride;
  for (int32_t x = 0; x < m.skin.width; ++x) {
    const bool ill = lesion[x] == m.rule.lesion_value;
    if (ill) columns.lesion[x] += sign;
    if (ill || skin[x] == m.rule.skin_value) columns.skin[x] += sign;
  }
}

void sum_up(int32_t width, Columns &columns) {
  columns.skin_before[0] = columns.lesion_before[0] = 0;
  for (int32_t x = 0; x < width; ++x) {
    columns.skin_before[x + 1] = columns.skin_before[x] + columns.skin[x];
    columns.lesion_before[x + 1] = columns.lesion_before[x] + columns.lesion[x];
  }
}

// The next place on the grid; the last one is flush with the edge, -1 after it.
int32_t next(int32_t at, int32_t step, int32_t last) {
  if (at == last) return -1;
  return at + step < last ? at + step : last;
}

bool better(const es_box &a, const es_box &b) {
  if (a.area != b.area) return a.area > b.area;
  return a.top != b.top ? a.top < b.top : a.left < b.left;
}

double shared(const es_box &a, const es_box &b) {  // as a part of a square
  const int32_t dx = a.left < b.left ? b.left - a.left : a.left - b.left;
  const int32_t dy = a.top < b.top ? b.top - a.top : a.top - b.top;
  if (dx >= a.width || dy >= a.height) return 0.0;
  return static_cast<double>(a.width - dx) * (a.height - dy) /
         (static_cast<double>(a.width) * a.height);
}

// Calls found(box) for every square that obeys the rule and comes after `floor` in rank.
template <typename Found>
void each_square(const Masks &m, Columns &columns, const Found &found) {
  const int32_t width = m.skin.width, side = m.rule.side;
  const double area = static_cast<double>(side) * side;
  for (int32_t x = 0; x < width; ++x) columns.skin[x] = columns.lesion[x] = 0;
  int32_t begin = 0, end = 0;  // rows that are counted
  for (int32_t top = 0; top >= 0; top = next(top, m.rule.step, m.skin.height - side)) {
    for (; end < top + side; ++end) count_row(m, end, 1, columns);
    for (; begin < top; ++begin) count_row(m, begin, -1, columns);
    sum_up(width, columns);
    for (int32_t left = 0; left >= 0; left = next(left, m.rule.step, width - side)) {
      const int64_t skin = columns.skin_before[left + side] - columns.skin_before[left];
      const int64_t lesion = columns.lesion_before[left + side] - columns.lesion_before[left];
      if (static_cast<double>(skin) > m.rule.min_skin * area &&
          static_cast<double>(lesion) > m.rule.min_lesion * area)
        found(
            es_box{left, top, side, side, lesion, left + (side - 1) / 2.0, top + (side - 1) / 2.0});
    }
  }
}

es_status check_rule(const es_crop_rule *rule, const es_mask &mask, es_error *error) {
  ES_NEED(rule);
  const int32_t shorter = mask.width < mask.height ? mask.width : mask.height;
  if (rule->side < 1 || rule->side > shorter || rule->step < 1)
    return es::report(error, ES_BAD_SIZE, "side is %d and step %d in a mask of %d x %d", rule->side,
                      rule->step, mask.width, mask.height);
  const int32_t values[] = {rule->skin_value, rule->lesion_value};
  for (const int32_t value : values)
    if (value < 0 || value > 255)
      return es::report(error, ES_BAD_VALUE, "a mask value is %d, must be 0 to 255", value);
  const double shares[] = {rule->min_skin, rule->min_lesion, rule->max_overlap};
  for (const double share : shares)
    if (!(share >= 0 && share <= 1))
      return es::report(error, ES_BAD_VALUE, "a share of the rule is %g, must be 0 to 1", share);
  return ES_OK;
}

}  // namespace

extern "C" {

es_status es_find_crops_workspace(int32_t width, size_t *bytes, es_error *error) {
  if (width < 1 || width > ES_MAX_SIDE)
    return es::report(error, ES_BAD_SIZE, "width is %d, must be 1 to %d", width, ES_MAX_SIDE);
  ES_NEED(bytes);
  es::Carver carver(nullptr);
  carve(carver, width);
  *bytes = carver.used();
  return es::ok(error);
}

es_status es_find_crops(const es_mask *skin, const es_mask *lesion, const es_crop_rule *rule,
                        es_box *boxes, int32_t capacity, int32_t *count, void *workspace,
                        size_t workspace_bytes, es_error *error) {
  ES_TRY(es::check_mask(skin, "skin", error));
  ES_TRY(es::check_mask(lesion, "lesion", error));
  if (skin->width != lesion->width || skin->height != lesion->height)
    return es::report(error, ES_BAD_SIZE, "skin is %d x %d, lesion %d x %d", skin->width,
                      skin->height, lesion->width, lesion->height);
  ES_TRY(check_rule(rule, *skin, error));
  if (capacity < 0)
    return es::report(error, ES_BAD_SIZE, "capacity is %d, must not be negative", capacity);
  if (capacity > 0) ES_NEED(boxes);
  ES_NEED(count);
  size_t needed = 0;
  ES_TRY(es_find_crops_workspace(skin->width, &needed, error));
  ES_TRY(es::check_workspace(workspace, workspace_bytes, needed, error));

  // One pass for each box: the best square that is left. No list of candidates to keep.
  const Masks masks = {*skin, *lesion, *rule};
  int32_t kept = 0;
  for (bool more = true; more && kept < capacity;) {
    es::Carver carver(workspace);
    Columns columns = carve(carver, skin->width);
    es_box best = {};
    more = false;
    each_square(masks, columns, [&](const es_box &box) {
      if (more && !better(box, best)) return;
      for (int32_t i = 0; i < kept; ++i)
        if (shared(box, boxes[i]) > rule->max_overlap ||
            (box.left == boxes[i].left && box.top == boxes[i].top))
          return;
      best = box;
      more = true;
    });
    if (more) boxes[kept++] = best;
  }
  *count = kept;
  return es::ok(error);
}

}  // extern "C"
