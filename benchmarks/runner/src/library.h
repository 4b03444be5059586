// A shared library opened at run time; what is wrong with it becomes one clear line.
#pragma once
#include <dlfcn.h>

#include <stdexcept>
#include <string>

class Library {
 public:
  explicit Library(const std::string &path) : path_(path) {
    // A bare name would be looked for in the system's folders.
    const std::string place = path.find('/') == std::string::npos ? "./" + path : path;
    handle_ = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) throw std::runtime_error("cannot load " + path + ": " + dlerror());
  }

  // The function `name`; null where the library has none and it is not `needed`.
  template <typename Function>
  void find(Function *&function, const char *name, bool needed = true) const {
    void *const found = dlsym(handle_, name);
    if (!found && needed)
      throw std::runtime_error("undefined symbol " + std::string(name) + " in " + path_ +
                               ": it is another library, or too old");
    function = reinterpret_cast<Function *>(found);
  }

 private:
  std::string path_;
  void *handle_;  // never closed: runtimes leave threads and exit handlers behind
};
