// Reading a model's output, whatever its type.
#pragma once
#include "../edgeskin.h"
#include "real.h"

namespace es {

inline double value_of(const es_tensor &tensor, size_t i) {
  switch (tensor.type) {
    case ES_UINT8:
      return tensor.scale * (static_cast<const uint8_t *>(tensor.data)[i] - tensor.zero_point);
    case ES_INT8:
      return tensor.scale * (static_cast<const int8_t *>(tensor.data)[i] - tensor.zero_point);
    case ES_FLOAT16:
      return static_cast<double>(from_half(static_cast<const uint16_t *>(tensor.data)[i]));
    default: return static_cast<double>(static_cast<const float *>(tensor.data)[i]);
  }
}

}  // namespace es
