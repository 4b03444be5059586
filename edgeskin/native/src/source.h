// Rows of the upright image, in working pixels, whatever the stored format and orientation.
#pragma once
#include "check.h"
#include "kernels.h"

namespace es {

// What is read: an image, as grey or as it is, through a selection or (null) all of it.
struct Input {
  const es_image &image;
  bool to_grey;
  const es_selection *selection;
};

// Working pixels keep the stored order of channels (RGB for 4:2:0); a row of the stored image is
// handed out where it lies if its pixels need no work, else copied to scratch in blocks.
class Source {
 public:
  // Upright columns first .. first + count - 1. `scratch` has scratch_bytes(...) bytes.
  Source(const Input &input, int32_t first, int32_t count, uint8_t *scratch);

  static size_t scratch_bytes(const Input &input, int32_t count);
  static bool in_place(const Input &input);
  // Bytes from pixel to pixel (1, 3 or 4), and values in a pixel (1 or 3).
  static int step(const Input &input);
  static int channels(const Input &input);

  // The first wanted pixel of upright row y. Fast when y grows.
  const uint8_t *row(int32_t y);
  // Bytes that may be read from the start of that row: what lies behind it belongs to the image.
  size_t readable(int32_t y) const;
  // How many rows from y on (1..kBatch) may be asked for in turn and stay valid together.
  int32_t together(int32_t y) const;

 private:
  int32_t stored_y(int32_t y) const { return flip_y_ ? image_.height - 1 - y : y; }
  void fill(int32_t y);
  void fill_turned(int32_t y);
  void stored_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const;
  void converted_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const;
  void yuv_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const;
  void cover(int32_t y, int32_t first, int32_t count, uint8_t *out) const;

  const es_image &image_;
  const es_selection *selection_;
  bool to_grey_, in_place_, flip_x_, flip_y_, turned_;
  int32_t first_, count_;
  int channels_;
  uint8_t fill_[3] = {};  // of the selection, as a working pixel
  uint8_t *scratch_;
  size_t pitch_;
  int32_t block_rows_, block_begin_ = 0, block_end_ = 0;
};

}  // namespace es
