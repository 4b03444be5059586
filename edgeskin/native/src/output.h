// From resized pixels to the model's tensor: a table of 256 values a channel does all of it.
#pragma once
#include "resize.h"

namespace es {

class Output {
 public:
  // `blue_first` and `channels` (1 or 3) describe the pixels that take() gets; (left, top) is
  // where the target's corner lies in the output.
  Output(const es_recipe &recipe, void *tensor, int channels, bool blue_first, int32_t left,
         int32_t top);

  void pad(Target covered) const;  // everything outside `covered`, given in the output's pixels
  // Columns x .. x + count - 1 of row y, both counted from the target's corner.
  void take(int32_t x, int32_t y, int32_t count, const uint8_t *pixels) const;

 private:
  template <typename T>
  void write(int32_t x, int32_t y, int32_t count, const uint8_t *pixels, int step) const;
  void put(int32_t x, int32_t y, int32_t count, const uint8_t *pixels, int step) const;

  const es_recipe &recipe_;
  void *tensor_;
  int channels_;
  int32_t left_, top_;
  int from_[3];        // which value of a pixel goes to each output channel
  bool plain_ = true;  // the tables change nothing
  union {
    uint8_t bytes[3][256];
    uint16_t halves[3][256];
    float floats[3][256];
  } tables_;
};

}  // namespace es
