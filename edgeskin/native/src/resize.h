// Pillow's resize as a stream: rows of the result come out one by one, strip by strip, so that
// memory depends on neither the image's nor the result's size.
#pragma once
#include "source.h"

namespace es {

// The part of the resized image that is wanted.
struct Target {
  int32_t left, top, width, height;  // in pixels of the resized image
};

class Output;

class Resizer {
 public:
  Resizer(const Input &input, const es_placement &placement, int32_t filter, Target target);

  size_t workspace_bytes() const;
  void run(void *workspace, const Output &output) const;

 private:
  struct Layout;  // where things lie in the workspace
  enum class Order {
    kNearest,      // no filter: pixels are picked
    kAcrossFirst,  // each source row to a ring of narrow rows, then down
    kDownFirst,    // down over source rows (in place, or in a ring), then across
    kDownSpread    // the same when a ring would be too large: each source row is added to sums
  };

  Order order() const;
  void strip(int32_t x, int32_t columns, void *workspace, const Output &output) const;
  void nearest(const Layout &at, int32_t x, int32_t columns, const Output &output) const;
  void across_first(const Layout &at, const Taps &taps, Source &source, int32_t x,
                    const Output &output) const;
  void down_first(const Layout &at, const Taps &taps, Source &source, int32_t x, int32_t span,
                  const Output &output) const;
  void down_spread(const Layout &at, const Taps &taps, Source &source, int32_t x, int32_t span,
                   const Output &output) const;
  Taps taps_of(const Layout &at, int32_t x, int32_t columns) const;
  int step() const { return Source::step(input_); }
  int channels() const { return Source::channels(input_); }

  Input input_;
  int32_t filter_;
  Target target_;
  Axis across_, down_;
  int32_t source_width_, source_height_;
  bool vertical_first_;
  Order order_;
  int32_t strip_;  // columns of the result that are made at once
};

}  // namespace es
