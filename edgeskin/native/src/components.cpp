// Connected components, in one pass over the rows: memory grows with the width alone.
#include "carver.h"
#include "check.h"

namespace {

// A stretch of wanted pixels in one row, and the component it belongs to.
struct Run {
  int32_t begin, end, component;
};

// Components that may still grow; parent links join those that turn out to be one.
struct Component {
  int32_t parent;  // itself for a root, -1 for an unused place: its `left` is the next one
  int32_t left, top, right, bottom, seen;  // `seen`: last row that touched it
  int64_t area;
  double x, y;  // sums of whole numbers below 2^53: exact
};

struct Rows {
  Run *above, *now;
  Component *components;
};

size_t most_runs(int32_t width) { return static_cast<size_t>(width) / 2 + 1; }

Rows carve(es::Carver &carver, int32_t width) {
  const size_t runs = most_runs(width);
  return {carver.take<Run>(runs), carver.take<Run>(runs), carver.take<Component>(2 * runs)};
}

bool before(const es_box &a, const es_box &b) {
  if (a.area != b.area) return a.area > b.area;
  return a.top != b.top ? a.top < b.top : a.left < b.left;
}

// Keeps the best `capacity` boxes in order.
class Table {
 public:
  Table(es_box *boxes, int32_t capacity) : boxes_(boxes), capacity_(capacity) {}
  void add(const es_box &box) {
    ++count;
    if (kept_ == capacity_ && (capacity_ == 0 || !before(box, boxes_[capacity_ - 1]))) return;
    int32_t at = kept_ < capacity_ ? kept_++ : capacity_ - 1;
    for (; at > 0 && before(box, boxes_[at - 1]); --at) boxes_[at] = boxes_[at - 1];
    boxes_[at] = box;
  }
  int32_t count = 0;

 private:
  es_box *boxes_;
  int32_t capacity_, kept_ = 0;
};

class Tracer {
 public:
  Tracer(const Rows &rows, int32_t width, int32_t reach, int64_t min_area, Table &table)
      : rows_(rows), reach_(reach), min_area_(min_area), table_(table) {
    for (auto i = static_cast<int32_t>(2 * most_runs(width)); i-- > 0;) release(i);
  }

  void row(const uint8_t *pixels, int32_t width, int32_t y, uint8_t value) {
    int32_t count = 0, j = 0;
    for (int32_t x = 0; x < width;) {
      if (pixels[x] != value) {
        ++x;
        continue;
      }
      Run run = {x, x, -1};
      while (run.end < width && pixels[run.end] == value) ++run.end;
      x = run.end;
      while (j < above_ && rows_.above[j].end + reach_ <= run.begin) ++j;
      for (int32_t k = j; k < above_ && rows_.above[k].begin < run.end + reach_; ++k)
        run.component = join(run.component, root(rows_.above[k].component));
      if (run.component < 0) run.component = begin(run, y);
      extend(rows_.components[run.component], run, y);
      rows_.now[count++] = run;
    }
    for (int32_t i = 0; i < count; ++i) rows_.now[i].component = root(rows_.now[i].component);
    for (int32_t i = 0; i < above_; ++i) close(rows_.above[i].component, y);
    Run *const kept = rows_.above;
    rows_.above = rows_.now;
    rows_.now = kept;
    above_ = count;
  }

 private:
  int32_t root(int32_t i) const {
    while (rows_.components[i].parent != i) i = rows_.components[i].parent;
    return i;
  }

  int32_t begin(const Run &run, int32_t y) {
    const int32_t place = free_;
    free_ = rows_.components[place].left;
    rows_.components[place] = {place, run.begin, y, run.end, y + 1, y, 0, 0.0, 0.0};
    return place;
  }

  static void extend(Component &c, const Run &run, int32_t y) {
    const int64_t n = run.end - run.begin;
    c.left = run.begin < c.left ? run.begin : c.left;
    c.right = run.end > c.right ? run.end : c.right;
    c.bottom = y + 1;
    c.seen = y;
    c.area += n;
    c.x += static_cast<double>(n * (int64_t{run.begin} + run.end - 1) / 2);
    c.y += static_cast<double>(n * y);
  }

  int32_t join(int32_t a, int32_t b) {
    if (a < 0 || a == b) return b;
    Component &to = rows_.components[a], &from = rows_.components[b];
    to.left = from.left < to.left ? from.left : to.left;
    to.top = from.top < to.top ? from.top : to.top;
    to.right = from.right > to.right ? from.right : to.right;
    to.bottom = from.bottom > to.bottom ? from.bottom : to.bottom;
    to.seen = from.seen > to.seen ? from.seen : to.seen;
    to.area += from.area;
    to.x += from.x;
    to.y += from.y;
    from.parent = a;
    return a;
  }

  // Gives back a place of the row above: joined ones at once, finished ones to the table.
  void close(int32_t place, int32_t y) {
    Component &c = rows_.components[place];
    if (c.parent < 0 || (c.parent == place && c.seen == y)) return;
    if (c.parent == place && c.area >= min_area_) {
      const double area = static_cast<double>(c.area);
      table_.add(
          {c.left, c.top, c.right - c.left, c.bottom - c.top, c.area, c.x / area, c.y / area});
    }
    release(place);
  }

  void release(int32_t place) {
    rows_.components[place].parent = -1;
    rows_.components[place].left = free_;
    free_ = place;
  }

  Rows rows_;
  int32_t reach_;
  int64_t min_area_;
  Table &table_;
  int32_t above_ = 0, free_ = -1;
};

}  // namespace

extern "C" {

es_status es_components_workspace(int32_t width, size_t *bytes, es_error *error) {
  if (width < 1 || width > ES_MAX_SIDE)
    return es::report(error, ES_BAD_SIZE, "width is %d, must be 1 to %d", width, ES_MAX_SIDE);
  ES_NEED(bytes);
  es::Carver carver(nullptr);
  carve(carver, width);
  *bytes = carver.used();
  return es::ok(error);
}

es_status es_components(const es_mask *mask, int32_t value, int32_t connectivity, int64_t min_area,
                        es_box *boxes, int32_t capacity, int32_t *count, void *workspace,
                        size_t workspace_bytes, es_error *error) {
  ES_TRY(es::check_mask(mask, "mask", error));
  if (value < 0 || value > 255)
    return es::report(error, ES_BAD_VALUE, "value is %d, must be 0 to 255", value);
  if (connectivity != 4 && connectivity != 8)
    return es::report(error, ES_BAD_ENUM, "connectivity is %d, known are 4 and 8", connectivity);
  if (capacity < 0)
    return es::report(error, ES_BAD_SIZE, "capacity is %d, must not be negative", capacity);
  if (capacity > 0) ES_NEED(boxes);
  ES_NEED(count);
  size_t needed = 0;
  ES_TRY(es_components_workspace(mask->width, &needed, error));
  ES_TRY(es::check_workspace(workspace, workspace_bytes, needed, error));

  es::Carver carver(workspace);
  Table table(boxes, capacity);
  Tracer tracer(carve(carver, mask->width), mask->width, connectivity == 8 ? 1 : 0, min_area,
                table);
  for (int32_t y = 0; y < mask->height; ++y)
    tracer.row(mask->pixels + static_cast<size_t>(y) * mask->stride, mask->width, y,
               static_cast<uint8_t>(value));
  tracer.row(nullptr, 0, mask->height, 0);  // an empty row closes what is left
  *count = table.count;
  return es::ok(error);
}

}  // extern "C"
