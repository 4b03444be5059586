#include "source.h"

#include <cstring>

namespace es {

namespace {

constexpr size_t kBlockBytes = 200000;  // what a block of turned rows may take, if it has over 4
constexpr int32_t kMostTurned = 32;

bool coloured(const es_image &image) { return image.format != ES_GREY; }

bool blue_first(const es_image &image) { return image.format == ES_BGR || image.format == ES_BGRA; }

int stored_step(int32_t format) { return format <= ES_BGR ? 3 : format <= ES_BGRA ? 4 : 1; }

size_t pitch_of(int32_t count, int channels) {
  return (static_cast<size_t>(count) * channels + kOverread + 63) / 64 * 64;
}

int32_t block_rows(const es_image &image, int32_t count, int channels) {
  if (image.orientation <= 4) return kBatch;
  const size_t fit = kBlockBytes / pitch_of(count, channels);
  return fit < kBatch ? kBatch : fit > kMostTurned ? kMostTurned : static_cast<int32_t>(fit);
}

// The integers of edgeskin.h; c / 8192 is the standard's constant, scaled for video range.
Chroma chroma_of(const es_image &image) {
  static constexpr Chroma kChroma[2][2] = {
      {{9539, 13075, 3209, 6660, 16525, 16}, {8192, 11485, 2819, 5850, 14516, 0}},
      {{9539, 14686, 1747, 4366, 17305, 16}, {8192, 12901, 1535, 3835, 15201, 0}}};
  return kChroma[image.matrix][image.range];
}

// Pillow's convert("L"): ITU-R 601-2 luma in 1/65536.
uint8_t grey_of(const uint8_t *p, bool reversed) {
  const uint32_t red = p[reversed ? 2 : 0], blue = p[reversed ? 0 : 2];
  return static_cast<uint8_t>((red * 19595 + p[1] * 38470u + blue * 7471 + 0x8000) >> 16);
}

// Pixels to places `stride` bytes apart. Of colour four bytes are moved at once: the fourth is the
// next pixel's, written after it, or padding.
void spread(const uint8_t *from, int32_t count, int channels, bool backwards, uint8_t *to,
            size_t stride) {
  const ptrdiff_t step = backwards ? -channels : channels;
  if (backwards) from += (count - 1) * channels;
  if (channels == 1)
    for (int32_t i = 0; i < count; ++i, from += step, to += stride) *to = *from;
  else
    for (int32_t i = 0; i < count; ++i, from += step, to += stride) std::memcpy(to, from, 4);
}

// Where the run of equal bytes ends that begins at `from`: masks are made of long ones.
int32_t end_of_run(const uint8_t *values, int32_t from, int32_t count) {
  const uint64_t eight = values[from] * 0x0101010101010101u;
  int32_t x = from + 1;
  for (uint64_t next; x + 8 <= count; x += 8) {
    std::memcpy(&next, values + x, 8);
    if (next != eight) break;
  }
  while (x < count && values[x] == values[from]) ++x;
  return x;
}

}  // namespace

bool Source::in_place(const Input &input) {
  const int32_t o = input.image.orientation;
  return (o == 1 || o == 4) && !is_yuv(input.image.format) &&
         !(input.to_grey && coloured(input.image)) && !input.selection;
}

int Source::channels(const Input &input) { return input.to_grey || !coloured(input.image) ? 1 : 3; }

int Source::step(const Input &input) {
  return in_place(input) ? stored_step(input.image.format) : channels(input);
}

size_t Source::scratch_bytes(const Input &input, int32_t count) {
  if (in_place(input)) return 0;
  const int n = channels(input);
  const size_t rows = static_cast<size_t>(block_rows(input.image, count, n));
  // One more row: a segment of a stored row, in colour, before it is turned or made grey.
  return rows * pitch_of(count, n) + pitch_of(count > kMostTurned ? count : kMostTurned, 3);
}

Source::Source(const Input &input, int32_t first, int32_t count, uint8_t *scratch)
    : image_(input.image),
      selection_(input.selection),
      to_grey_(input.to_grey && coloured(image_)),
      in_place_(in_place(input)),
      flip_x_(false),
      flip_y_(false),
      turned_(image_.orientation > 4),
      first_(first),
      count_(count),
      channels_(channels(input)),
      scratch_(scratch),
      pitch_(pitch_of(count, channels_)),
      block_rows_(block_rows(image_, count, channels_)) {
  const int32_t o = image_.orientation;  // in stored coordinates: which axis runs backwards
  flip_x_ = o == 2 || o == 3 || o == 7 || o == 8;
  flip_y_ = o == 3 || o == 4 || o == 6 || o == 7;
  if (!selection_) return;
  const uint8_t *rgb = selection_->fill;
  if (channels_ == 1)
    fill_[0] = grey_of(rgb, false);
  else
    for (int c = 0; c < 3; ++c) fill_[c] = rgb[blue_first(image_) ? 2 - c : c];
}

const uint8_t *Source::row(int32_t y) {
  if (in_place_) {
    return image_.planes[0] + static_cast<size_t>(stored_y(y)) * image_.strides[0] +
           static_cast<size_t>(first_) * stored_step(image_.format);
  }
  if (y < block_begin_ || y >= block_end_) turned_ ? fill_turned(y) : fill(y);
  return scratch_ + static_cast<size_t>(y % block_rows_) * pitch_;
}

size_t Source::readable(int32_t y) const {
  if (!in_place_) return pitch_;
  return image_.bytes[0] - static_cast<size_t>(stored_y(y)) * image_.strides[0] -
         static_cast<size_t>(first_) * stored_step(image_.format);
}

int32_t Source::together(int32_t y) const {
  const int32_t left = turned_ ? block_rows_ - y % block_rows_ : kBatch;
  return left < kBatch ? left : kBatch;
}

// Row y alone: its place in the ring of kBatch rows.
void Source::fill(int32_t y) {
  uint8_t *row = scratch_ + static_cast<size_t>(y % block_rows_) * pitch_;
  block_begin_ = y;
  block_end_ = y + 1;
  if (!flip_x_) return stored_row(stored_y(y), first_, count_, row);
  uint8_t *segment = scratch_ + static_cast<size_t>(block_rows_) * pitch_;
  stored_row(stored_y(y), image_.width - first_ - count_, count_, segment);
  spread(segment, count_, channels_, true, row, static_cast<size_t>(channels_));
}

// A block of upright rows is a band of stored columns.
void Source::fill_turned(int32_t y) {
  const int32_t begin = y / block_rows_ * block_rows_;
  const int32_t end = begin + block_rows_ < image_.width ? begin + block_rows_ : image_.width;
  const int32_t n = end - begin, from = flip_x_ ? image_.width - end : begin;
  uint8_t *segment = scratch_ + static_cast<size_t>(block_rows_) * pitch_;
  for (int32_t x = 0; x < count_; ++x) {
    const int32_t upright = first_ + x;
    stored_row(stored_y(upright), from, n, segment);
    spread(segment, n, channels_, flip_x_, scratch_ + static_cast<size_t>(x) * channels_, pitch_);
  }
  block_begin_ = begin;
  block_end_ = end;
}

void Source::stored_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const {
  is_yuv(image_.format) ? yuv_row(y, first, count, out) : converted_row(y, first, count, out);
  if (selection_) cover(y, first, count, out);
}

// The selection's fill over pixels that are not kept.
void Source::cover(int32_t y, int32_t first, int32_t count, uint8_t *out) const {
  const es_mask &mask = selection_->mask;
  const uint8_t *values = mask.pixels + static_cast<size_t>(y) * mask.stride + first;
  for (int32_t x = 0, end; x < count; x = end) {
    end = end_of_run(values, x, count);
    if (selection_->keep[values[x]]) continue;
    if (channels_ == 1)
      std::memset(out + x, fill_[0], static_cast<size_t>(end - x));
    else
      for (int32_t i = x; i < end; ++i) std::memcpy(out + 3 * static_cast<size_t>(i), fill_, 3);
  }
}

void Source::converted_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const {
  const int step = stored_step(image_.format);
  const uint8_t *in = image_.planes[0] + static_cast<size_t>(y) * image_.strides[0] +
                      static_cast<size_t>(first) * step;
  if (to_grey_)
    for (int32_t x = 0; x < count; ++x) out[x] = grey_of(in + x * step, blue_first(image_));
  else if (step != 4)
    std::memcpy(out, in, static_cast<size_t>(count) * step);
  else
    for (int32_t x = 0; x < count; ++x) std::memcpy(out + 3 * x, in + 4 * x, 3);
}

void Source::yuv_row(int32_t y, int32_t first, int32_t count, uint8_t *out) const {
  const es_image &i = image_;
  const uint8_t *luma = i.planes[0] + static_cast<size_t>(y) * i.strides[0];
  const uint8_t *u = i.planes[1] + static_cast<size_t>(y / 2) * i.strides[1];
  const uint8_t *v = u + 1;
  int step = 2;
  if (i.format == ES_NV21) {
    v = u;
    u = v + 1;
  } else if (i.format == ES_I420) {
    v = i.planes[2] + static_cast<size_t>(y / 2) * i.strides[2];
    step = 1;
  }
  const Chroma chroma = chroma_of(i);
  const Kernels &k = kernels();
  uint8_t piece[64 * 3];
  // Grey goes through RGB, a piece at a time; an odd first pixel takes a piece of its own.
  for (int32_t x = 0; x < count;) {
    const int32_t at = first + x;
    int32_t n = at % 2 ? 1 : count - x;
    if (to_grey_ && n > 64) n = 64;
    uint8_t *rgb = to_grey_ ? piece : out + 3 * static_cast<size_t>(x);
    k.yuv_row(chroma, luma + at, u + at / 2 * step, v + at / 2 * step, step, n, rgb);
    if (to_grey_)
      for (int32_t j = 0; j < n; ++j) out[x + j] = grey_of(piece + 3 * j, false);
    x += n;
  }
}

}  // namespace es
