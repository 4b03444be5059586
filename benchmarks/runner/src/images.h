// The images of a pack's shard, and how one becomes the model's input.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "request.h"
#include "session.h"

class Images {
 public:
  explicit Images(const Request &request);
  ~Images();
  Images(const Images &) = delete;
  // Reads one image, RGB bytes, into memory of our own; throws where the shard is shorter.
  const es_image &load(size_t index);

 private:
  const std::vector<ImagePlace> &places_;
  int file_;
  std::vector<uint8_t> pixels_;
  es_image image_ = {};
};

// The whole way from an image to the input tensor, by edgeskin's native core.
class Preprocessor {
 public:
  Preprocessor(const Request &request, const Tensor &input);
  void operator()(const es_image &image, const Tensor &input);

 private:
  es_recipe recipe_;
  std::vector<uint8_t> workspace_;
};

// CRC-32 as zlib computes it: what the host holds its own pre-processing against.
uint32_t crc32(const void *data, size_t bytes);
