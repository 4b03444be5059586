#include "resize.h"

#include <cstring>

#include "carver.h"
#include "output.h"

namespace es {

namespace {

constexpr size_t kBudget = 1900000;  // bytes of workspace; edgeskin.h promises under 2 MB

int32_t padded(int32_t count) { return (count + kTapGroup - 1) / kTapGroup * kTapGroup; }

size_t row_pitch(int32_t columns, int channels) {  // few columns, many rows: no bytes to waste
  return (static_cast<size_t>(columns) * channels + 3) / 4 * 4;
}

int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

// Splits exact coefficients into upper bits and bounds of what the rest can add.
//
// c = upper * 2^shift + rest, and a pixel is
//
//   (kHalf + sum c_i x_i) >> kPrecision,   sum c_i x_i = 2^shift * sum upper_i x_i + sum rest_i x_i
//
// As 0 <= x_i <= 255, the last sum lies between 255 times the negative rests and 255 times the
// positive ones: `below` and `above`, kHalf added to both. Where the upper bits' sum plus `below`
// and the same plus `above` shift to one pixel, the exact sum between them gives that pixel too.
//
// The shift is the least with which the largest |c|, rounded, fits into int16. A negative c of
// that size rounds to -32767 or above, as rounding half up never goes further from zero there.
void bound(Taps &taps, int16_t *upper, int32_t *below, int32_t *above) {
  int32_t largest = 0;
  for (int32_t x = 0; x < taps.count; ++x)
    for (int32_t i = 0; i < taps.windows[x].count; ++i) {
      const int32_t c = taps.exact[static_cast<size_t>(x) * taps.exact_stride + i];
      largest = c > largest ? c : -c > largest ? -c : largest;
    }
  taps.shift = 0;
  while (((largest + (1 << taps.shift) / 2) >> taps.shift) > 32767) ++taps.shift;
  const int32_t half = (1 << taps.shift) / 2;
  for (int32_t x = 0; x < taps.count; ++x) {
    int16_t *to = upper + static_cast<size_t>(x) * taps.upper_stride;
    std::memset(to, 0, static_cast<size_t>(taps.upper_stride) * sizeof *to);
    below[x] = above[x] = kHalf;
    for (int32_t i = 0; i < taps.windows[x].count; ++i) {
      const int32_t c = taps.exact[static_cast<size_t>(x) * taps.exact_stride + i];
      to[i] = static_cast<int16_t>((c + half) >> taps.shift);
      const int32_t rest = c - to[i] * (1 << taps.shift);
      (rest < 0 ? below : above)[x] += 255 * rest;
    }
  }
}

}  // namespace

struct Resizer::Layout {
  int32_t span;  // pixels of a source row
  int32_t ring;  // rows of the ring, or of sums
  size_t pitch;  // bytes of a row of the ring
  int32_t *exact, *below, *above, *down, *picked;
  int16_t *upper;
  Window *windows;
  uint8_t *ring_rows, *result, *scratch, *wide;
  uint32_t *sums;
  const uint8_t **pointers;
  size_t bytes;

  Layout(const Resizer &r, Order order, int32_t columns, void *base);

 private:
  void take_across(Carver &carver, const Axis &axis, size_t columns);
};

void Resizer::Layout::take_across(Carver &carver, const Axis &axis, size_t columns) {
  const int32_t taps = axis.max_count();
  exact = carver.take<int32_t>(columns * static_cast<size_t>(taps));
  upper = carver.take<int16_t>(columns * static_cast<size_t>(padded(taps)));
  windows = carver.take<Window>(columns);
  below = carver.take<int32_t>(columns);
  above = carver.take<int32_t>(columns);
}

Resizer::Layout::Layout(const Resizer &r, Order order, int32_t columns, void *base) {
  Carver carver(base);
  // Windows of neighbours lie scale() pixels apart: from the middle of the first one to the
  // middle of the last it is (columns - 1) * scale(), half a window juts out on either side, and
  // both ends are rounded by less than a pixel each.
  const double reach = (columns - 1) * r.across_.scale() + r.across_.max_count() + 2;
  span = reach < r.source_width_ ? static_cast<int32_t>(reach) : r.source_width_;
  scratch = carver.take<uint8_t>(Source::scratch_bytes(r.input_, span));
  result = carver.take<uint8_t>(row_pitch(columns, r.channels()));
  if (order == Order::kNearest) {
    picked = carver.take<int32_t>(static_cast<size_t>(columns));
    bytes = carver.used();
    return;
  }
  take_across(carver, r.across_, static_cast<size_t>(columns));
  const size_t rows = static_cast<size_t>(r.down_.max_count());
  const size_t wide_pitch = row_pitch(span, r.step()) + kOverread;
  if (order == Order::kDownSpread) {
    // Of the output rows that a source row adds to, each needs sums of its own.
    ring = r.down_.most_overlapping();
    sums = carver.take<uint32_t>(static_cast<size_t>(ring) * span * r.step());
  } else {
    down = carver.take<int32_t>(rows);
    pointers = carver.take<const uint8_t *>(rows);
    // A batch is read while at least one row of the window is missing, so it ends at most
    // kBatch - 1 rows behind the window, all of which must still be there.
    ring = r.down_.max_count() + kBatch - 1;
    pitch = order == Order::kDownFirst ? wide_pitch : row_pitch(columns, r.channels());
    const bool lies = order == Order::kDownFirst && Source::in_place(r.input_);
    ring_rows = carver.take<uint8_t>(lies ? 0 : static_cast<size_t>(ring) * pitch);
  }
  wide = carver.take<uint8_t>(order == Order::kAcrossFirst ? 0 : wide_pitch);
  bytes = carver.used();
}

Resizer::Resizer(const Input &input, const es_placement &p, int32_t filter, Target target)
    : input_(input),
      filter_(filter),
      target_(target),
      across_(filter, p.crop[0], p.crop[2], upright_width(input.image), p.resized_width),
      down_(filter, p.crop[1], p.crop[3], upright_height(input.image), p.resized_height),
      source_width_(upright_width(input.image)),
      source_height_(upright_height(input.image)),
      // Pillow 13 begins with the pass down where the height shrinks by over twice the pixels
      // that the width does; by the sizes of the whole image, whatever the box.
      vertical_first_(p.resized_height < source_height_ &&
                      int64_t{source_height_} - p.resized_height >
                          2 * (int64_t{source_width_} - p.resized_width)),
      order_(order()),
      strip_(target.width) {
  while (strip_ > 1 && Layout(*this, order_, strip_, nullptr).bytes > kBudget)
    strip_ = (strip_ + 1) / 2;
}

Resizer::Order Resizer::order() const {
  if (filter_ == ES_NEAREST) return Order::kNearest;
  if (!vertical_first_) return Order::kAcrossFirst;
  const int32_t few = least(target_.width, 16);
  const bool fits = Layout(*this, Order::kDownFirst, few, nullptr).bytes <= kBudget;
  return fits ? Order::kDownFirst : Order::kDownSpread;
}

size_t Resizer::workspace_bytes() const { return Layout(*this, order_, strip_, nullptr).bytes; }

void Resizer::run(void *workspace, const Output &output) const {
  for (int32_t x = 0; x < target_.width; x += strip_)
    strip(x, least(strip_, target_.width - x), workspace, output);
}

void Resizer::strip(int32_t x, int32_t columns, void *workspace, const Output &output) const {
  const Layout at(*this, order_, columns, workspace);
  if (order_ == Order::kNearest) return nearest(at, x, columns, output);
  const Taps taps = taps_of(at, x, columns);
  const int32_t first = at.windows[0].first;
  int32_t span = 0;
  for (int32_t i = 0; i < columns; ++i) {
    at.windows[i].first -= first;
    const int32_t end = at.windows[i].first + at.windows[i].count;
    span = end > span ? end : span;
  }
  Source source(input_, first, span, at.scratch);
  switch (order_) {
    case Order::kDownFirst: return down_first(at, taps, source, x, span, output);
    case Order::kDownSpread: return down_spread(at, taps, source, x, span, output);
    default: return across_first(at, taps, source, x, output);
  }
}

Taps Resizer::taps_of(const Layout &at, int32_t x0, int32_t columns) const {
  Taps taps = {columns,
               across_.max_count(),
               padded(across_.max_count()),
               0,
               0,
               at.windows,
               at.exact,
               at.upper,
               at.below,
               at.above};
  for (int32_t x = 0; x < columns; ++x) {
    const int32_t out = target_.left + x0 + x;
    at.windows[x] = across_.window(out);
    if (at.windows[x].count > taps.longest) taps.longest = at.windows[x].count;
    across_.coefficients(out, at.windows[x], at.exact + static_cast<size_t>(x) * taps.exact_stride);
  }
  bound(taps, at.upper, at.below, at.above);
  return taps;
}

void Resizer::nearest(const Layout &at, int32_t x0, int32_t columns, const Output &output) const {
  double position = across_.nearest_start(target_.left + x0);
  for (int32_t x = 0; x < columns; ++x, position += across_.scale())
    at.picked[x] = least(static_cast<int32_t>(position), source_width_ - 1);
  const int32_t first = at.picked[0], span = at.picked[columns - 1] - first + 1;
  Source source(input_, first, span, at.scratch);
  const int from = step(), to = channels();
  position = down_.nearest_start(target_.top);
  for (int32_t y = 0; y < target_.height; ++y, position += down_.scale()) {
    const uint8_t *in = source.row(least(static_cast<int32_t>(position), source_height_ - 1));
    for (int32_t x = 0; x < columns; ++x)
      for (int c = 0; c < to; ++c)
        at.result[x * to + c] = in[static_cast<size_t>(at.picked[x] - first) * from + c];
    output.take(x0, y, columns, at.result);
  }
}

void Resizer::across_first(const Layout &at, const Taps &taps, Source &source, int32_t x,
                           const Output &output) const {
  const Kernels &run = kernels();
  const auto ring_row = [&at](int32_t y) { return at.ring_rows + (y % at.ring) * at.pitch; };
  const Window last = down_.window(target_.top + target_.height - 1);
  int32_t made = 0;  // rows before this one are in the ring, or no longer needed
  for (int32_t y = 0; y < target_.height; ++y) {
    const Window window = down_.window(target_.top + y);
    const int32_t end = window.first + window.count;
    down_.coefficients(target_.top + y, window, at.down);
    if (made < window.first) made = window.first;
    while (made < end) {
      const int32_t rows = least(source.together(made), last.first + last.count - made);
      const uint8_t *in[kBatch];
      uint8_t *out[kBatch];
      size_t readable = SIZE_MAX;
      for (int32_t i = 0; i < rows; ++i) {
        in[i] = source.row(made + i);
        out[i] = ring_row(made + i);
        readable = source.readable(made + i) < readable ? source.readable(made + i) : readable;
      }
      // Near the very end of the image, whole vectors would be read from past it.
      int32_t safe = taps.count;
      const auto end_of = [&at](int32_t x) {
        return static_cast<size_t>(at.windows[x].first + at.windows[x].count);
      };
      while (safe > 0 && end_of(safe - 1) * step() + kOverread > readable) --safe;
      run.horizontal(taps, 0, safe, step(), in, out, rows);
      kScalar.horizontal(taps, safe, taps.count, step(), in, out, rows);
      made += rows;
    }
    for (int32_t i = 0; i < window.count; ++i) at.pointers[i] = ring_row(window.first + i);
    run.vertical(at.pointers, at.down, window.count, at.result, taps.count * channels());
    output.take(x, y, taps.count, at.result);
  }
}

void Resizer::down_first(const Layout &at, const Taps &taps, Source &source, int32_t x,
                         int32_t span, const Output &output) const {
  const Kernels &run = kernels();
  const bool lies = Source::in_place(input_);
  const size_t bytes = static_cast<size_t>(span) * step();
  int32_t made = 0;
  for (int32_t y = 0; y < target_.height; ++y) {
    const Window window = down_.window(target_.top + y);
    const int32_t end = window.first + window.count;
    down_.coefficients(target_.top + y, window, at.down);
    if (made < window.first) made = window.first;
    for (; !lies && made < end; ++made)
      std::memcpy(at.ring_rows + (made % at.ring) * at.pitch, source.row(made), bytes);
    for (int32_t i = 0; i < window.count; ++i) {
      const int32_t row = window.first + i;
      at.pointers[i] = lies ? source.row(row) : at.ring_rows + (row % at.ring) * at.pitch;
    }
    run.vertical(at.pointers, at.down, window.count, at.wide, static_cast<int32_t>(bytes));
    run.horizontal(taps, 0, taps.count, step(), &at.wide, &at.result, 1);
    output.take(x, y, taps.count, at.result);
  }
}

void Resizer::down_spread(const Layout &at, const Taps &taps, Source &source, int32_t x,
                          int32_t span, const Output &output) const {
  // Each source row is read once and added to every output row whose window holds it. Windows
  // begin and end in the order of the output rows, so the open ones are always done..begun - 1:
  // no more than `ring`, and a row's place is its number modulo `ring`. Integers are added, so
  // their order does not matter: the bytes are those of `down_first`.
  struct Open {  // an output row that is being summed
    Window window;
    double total;
  } open[8];  // most_overlapping() is 7 at most, for Lanczos
  const Kernels &run = kernels();
  const size_t bytes = static_cast<size_t>(span) * step();
  const auto sums_of = [&at, bytes](int32_t y) { return at.sums + (y % at.ring) * bytes; };
  int32_t begun = 0, done = 0;
  for (int32_t row = down_.window(target_.top).first; done < target_.height; ++row) {
    const uint8_t *in = source.row(row);
    for (; begun < target_.height; ++begun) {
      const Window window = down_.window(target_.top + begun);
      if (window.first > row) break;
      open[begun % at.ring] = {window, down_.total(target_.top + begun, window)};
      for (size_t i = 0; i < bytes; ++i) sums_of(begun)[i] = kHalf;
    }
    for (int32_t y = done; y < begun; ++y) {
      const Open &o = open[y % at.ring];
      const uint32_t c = static_cast<uint32_t>(
          down_.coefficient(target_.top + y, o.window, o.total, row - o.window.first));
      uint32_t *sums = sums_of(y);
      for (size_t i = 0; i < bytes; ++i) sums[i] += c * in[i];
      if (row + 1 < o.window.first + o.window.count) continue;
      for (size_t i = 0; i < bytes; ++i)
        at.wide[i] = clip(static_cast<int32_t>(sums[i]) >> kPrecision);
      run.horizontal(taps, 0, taps.count, step(), &at.wide, &at.result, 1);
      output.take(x, y, taps.count, at.result);
      ++done;
    }
  }
}

}  // namespace es
