// SPDX-License-Identifier: Apache-2.0
// A host program that knows nothing of the library: trust_loader [COUNT] loads what THALWEG_TRUST_PLUGIN names, lets it
// train, and unloads it, so many times. Status 0 if all went well.
#include <dlfcn.h>

#include <cstdlib>
#include <iostream>

int main(int count, char** words) {
  const char* plugin = std::getenv("THALWEG_TRUST_PLUGIN");
  if (plugin == nullptr) return 2;
  for (int i = count > 1 ? std::atoi(words[1]) : 20; i > 0; --i) {
    void* loaded = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    if (loaded == nullptr) {
      std::cerr << dlerror() << std::endl;
      return 3;
    }
    const auto train = reinterpret_cast<int (*)()>(dlsym(loaded, "train_a_step"));
    if (train == nullptr || train() != 0) return 4;
    if (dlclose(loaded) != 0) return 5;
  }
  return 0;
}
