// Pieces of a caller's workspace.
#pragma once
#include <cstddef>
#include <cstdint>

#include "exact.h"

namespace es {

// Hands out aligned pieces; over a null base it only adds up their sizes.
class Carver {
 public:
  static constexpr size_t kAlign = 64;

  explicit Carver(void *workspace)
      : base_(workspace
                  ? reinterpret_cast<uint8_t *>(
                        (reinterpret_cast<uintptr_t>(workspace) + kAlign - 1) / kAlign * kAlign)
                  : nullptr) {}

  template <typename T>
  T *take(size_t count) {
    T *piece = base_ ? reinterpret_cast<T *>(base_ + used_) : nullptr;
    used_ += (count * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    return piece;
  }
  size_t used() const { return used_ + kAlign - 1; }  // with what aligning may take

 private:
  uint8_t *base_;
  size_t used_ = 0;
};

}  // namespace es
