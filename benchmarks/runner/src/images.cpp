#include "images.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace {

void check(es_status status, const es_error &error) {
  if (status != ES_OK) throw std::runtime_error(error.message);
}

size_t bytes_of(const ImagePlace &place) {
  es_image image;
  es_error error;
  check(es_image_init(ES_RGB, place.width, place.height, &image, &error), error);
  return image.bytes[0];
}

}  // namespace

Images::Images(const Request &request)
    : places_(request.places), file_(open(request.images.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (file_ < 0) throw std::runtime_error("cannot read " + request.images);
  struct stat found = {};
  fstat(file_, &found);
  const uint64_t end = static_cast<uint64_t>(found.st_size);
  for (size_t i = 0; i < places_.size(); ++i)  // before memory is asked for by their sizes
    if (places_[i].offset > end || bytes_of(places_[i]) > end - places_[i].offset)
      throw std::runtime_error("image " + std::to_string(i) + " reaches beyond the " +
                               std::to_string(end) + " bytes of " + request.images);
}

Images::~Images() { close(file_); }

const es_image &Images::load(size_t index) {
  const ImagePlace &place = places_[index];
  es_error error;
  check(es_image_init(ES_RGB, place.width, place.height, &image_, &error), error);
  pixels_.resize(image_.bytes[0]);
  for (size_t done = 0; done < pixels_.size();) {
    const ssize_t got = pread(file_, pixels_.data() + done, pixels_.size() - done,
                              static_cast<off_t>(place.offset + done));
    if (got <= 0)
      throw std::runtime_error("image " + std::to_string(index) + " ends " +
                               std::to_string(pixels_.size() - done) + " bytes early");
    done += static_cast<size_t>(got);
  }
  image_.planes[0] = pixels_.data();
  return image_;
}

Preprocessor::Preprocessor(const Request &request, const Tensor &input) : recipe_(request.recipe) {
  recipe_.type = es_type_of(input.type);
  if (input.shape.size() != 4 || recipe_.type < 0)
    throw std::runtime_error("the input is " + input.type + " of " +
                             std::to_string(input.shape.size()) + " axes, not an image");
  recipe_.layout = input.shape[3] == 3 && input.shape[1] != 3 ? ES_NHWC : ES_NCHW;
  if (request.app_io) {  // pixels as they are
    recipe_.channels = ES_RGB;
    for (int i = 0; i < 3; ++i) recipe_.mean[i] = 0, recipe_.std[i] = 1;
    recipe_.scale = 1.0 / 255.0;
    recipe_.zero_point = 0;
  } else if (recipe_.type == ES_UINT8 || recipe_.type == ES_INT8) {
    recipe_.scale = input.scale;
    recipe_.zero_point = input.zero_point;
  }
  size_t bytes = 0;
  es_error error;
  check(es_output_bytes(&recipe_, &bytes, &error), error);
  if (bytes != input.bytes)
    throw std::runtime_error("the spec makes " + std::to_string(bytes) +
                             " bytes of input, the model takes " + std::to_string(input.bytes));
}

void Preprocessor::operator()(const es_image &image, const Tensor &input) {
  es_error error;
  size_t needed = 0;
  check(es_preprocess_workspace(&image, &recipe_, &needed, &error), error);
  if (workspace_.size() < needed) workspace_.resize(needed);
  check(es_preprocess(&image, &recipe_, input.data, input.bytes, workspace_.data(),
                      workspace_.size(), &error),
        error);
}

uint32_t crc32(const void *data, size_t bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t x = i;
      for (int bit = 0; bit < 8; ++bit) x = x & 1 ? 0xEDB88320u ^ (x >> 1) : x >> 1;
      made[i] = x;
    }
    return made;
  }();
  uint32_t crc = ~0u;
  const auto *at = static_cast<const uint8_t *>(data);
  for (size_t i = 0; i < bytes; ++i) crc = table[(crc ^ at[i]) & 255] ^ (crc >> 8);
  return ~crc;
}
