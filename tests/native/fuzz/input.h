// Turns a fuzzer's bytes into arguments, and holds the library to its contract.
//
// Every buffer is allocated on its own and exactly as long as the library is told, so that the
// address sanitizer sees each byte read or written outside. Past its end an Input gives zeros.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "../../../edgeskin/native/edgeskin.h"

#define MUST(condition)                                                            \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (0)

// Exactly as many bytes as asked for; for none, a pointer that may not be read.
struct Buffer {
  explicit Buffer(size_t count) : bytes(count), data(std::malloc(count), std::free) {
    MUST(data);
    std::memset(data.get(), 0xa5, count);
  }
  template <typename T>
  T *as() const {
    return static_cast<T *>(data.get());
  }

  size_t bytes;
  std::unique_ptr<void, void (*)(void *)> data;
};

class Input {
 public:
  Input(const uint8_t *data, size_t size) : at_(data), left_(size) {}

  template <typename T>
  T raw() {
    T value{};
    const size_t count = left_ < sizeof value ? left_ : sizeof value;
    if (count) std::memcpy(&value, at_, count);
    at_ += count;
    left_ -= count;
    return value;
  }

  // Mostly low..high, now and then any number at all.
  int32_t number(int32_t low, int32_t high) {
    const uint8_t kind = raw<uint8_t>();
    if (kind >= 252) return raw<int32_t>();
    if (kind >= 248) return kind & 1 ? high + 1 : low - 1;
    return low + static_cast<int32_t>(raw<uint16_t>() % static_cast<uint32_t>(high - low + 1));
  }

  // Mostly -range..range, now and then any double: infinite, NaN, subnormal.
  double real(double range) {
    const uint8_t kind = raw<uint8_t>();
    if (kind >= 250) return raw<double>();
    return range * raw<int16_t>() / 32767.0;
  }

  // The next `count` bytes, repeated when there are fewer.
  Buffer buffer(size_t count) {
    Buffer found(count);
    auto *out = found.as<uint8_t>();
    for (size_t i = 0; i < count; ++i) out[i] = left_ ? at_[i % left_] : static_cast<uint8_t>(i);
    const size_t taken = count < left_ ? count : left_;
    at_ += taken;
    left_ -= taken;
    return found;
  }

  // Enough, or now and then a little less.
  size_t enough(size_t needed) {
    const uint8_t kind = raw<uint8_t>();
    return kind >= 250 && needed >= 256u - kind ? needed - (256u - kind) : needed;
  }

  size_t left() const { return left_; }

 private:
  const uint8_t *at_;
  size_t left_;
};

// What holds for every call: a known status, the same in `error`, one terminated line.
inline bool fine(es_status status, const es_error &error) {
  MUST(status >= ES_OK && status <= ES_NOT_HERE);
  MUST(error.status == status);
  const void *end = std::memchr(error.message, 0, sizeof error.message);
  MUST(end != nullptr);
  MUST((status == ES_OK) == (error.message[0] == 0));
  MUST(std::strcmp(es_status_name(status), "ES_UNKNOWN") != 0);
  return status == ES_OK;
}

inline es_tensor tensor(Input &input, const Buffer &data, int32_t type) {
  const double scale = input.real(1.0);
  return {data.data.get(), data.bytes, type, scale, input.number(-128, 255)};
}

inline size_t element_bytes(int32_t type) {
  return type == ES_FLOAT32 ? 4 : type == ES_FLOAT16 ? 2 : 1;
}

// Values 0, 1 and 2; mostly all there.
struct Mask {
  Mask(Input &in, int32_t width, int32_t height) : data(0) {
    const bool usual = width > 0 && width < 999 && height > 0 && height < 999;
    const size_t stride = (usual ? static_cast<size_t>(width) : 8) + in.raw<uint8_t>() % 3;
    data = in.buffer(in.enough(usual ? stride * static_cast<size_t>(height) : 64));
    for (size_t i = 0; i < data.bytes; ++i) data.as<uint8_t>()[i] %= 3;
    mask = {data.as<uint8_t>(), stride, data.bytes, width, height};
  }
  Buffer data;
  es_mask mask;
};
