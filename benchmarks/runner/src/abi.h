// Whether a library's structs are those that the runner declares for itself: by the library's
// version where it tells one, and by what it writes.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

struct Version {
  int major, minor;
  std::string text() const { return std::to_string(major) + '.' + std::to_string(minor); }
  bool operator<(const Version &other) const {
    return major != other.major ? major < other.major : minor < other.minor;
  }
};

// Throws unless `told` ("2.21.0-dev0") is `first`, `last` or between them.
inline void check_version(const std::string &library, const std::string &told, Version first,
                          Version last, const std::string &known) {
  Version version = {};
  if (std::sscanf(told.c_str(), "%d.%d", &version.major, &version.minor) == 2 &&
      !(version < first) && !(last < version))
    return;
  throw std::runtime_error(library + ' ' + told + " is unknown to this runner, which knows " +
                           known + ": pass such a library with --library");
}

// `count` structs that a library writes by its own declaration of them. All bytes are marked
// before, and there is room behind, so that a struct of another size is noticed.
template <typename Struct>
class Written {
 public:
  explicit Written(size_t count = 1) : count_(count), structs_(2 * count + 1) {
    static_assert(std::is_trivially_copyable_v<Struct>);
    std::memset(structs_.data(), kMark, structs_.size() * sizeof(Struct));
  }
  Struct *data() { return structs_.data(); }

  // The structs, once it is sure that they end where ours do, with `last`.
  template <typename Field>
  const Struct *read(Field Struct::*last, const std::string &name) const {
    const bool larger = !marked(&structs_[count_], sizeof(Struct));
    const bool smaller = count_ > 0 && marked(&(structs_[count_ - 1].*last), sizeof(Field));
    if (larger || smaller)
      throw std::runtime_error(name + " is " + (larger ? "larger" : "smaller") +
                               " in this library than in the version that the runner knows: pass "
                               "such a library with --library");
    return structs_.data();
  }

 private:
  static constexpr unsigned char kMark = 0xA5;

  static bool marked(const void *from, size_t bytes) {
    const auto *const at = static_cast<const unsigned char *>(from);
    return std::all_of(at, at + bytes, [](unsigned char byte) { return byte == kMark; });
  }

  size_t count_;
  std::vector<Struct> structs_;
};
