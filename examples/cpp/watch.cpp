// Tells who offers a service, and every change of that, until it is ended (Ctrl-C).
// `c++ -std=c++17 watch.cpp $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080`
#include <iostream>
#include <plumline.hpp>

int main(int argc, char** argv) try {
  // Without an address: the variable PLUMLINE_REGISTRY.
  const plumline::Client plum{argc > 1 ? argv[1] : ""};

  // The first change is what is there now. A slow reader gets changes merged, and misses none.
  auto watch = plum.watch("orders");
  for (const auto& change : watch) {
    std::cout << name(change.kind) << ": +" << change.added.size() << " -" << change.removed.size();
    for (const auto& endpoint : change.endpoints) std::cout << ' ' << endpoint.address();
    std::cout << std::endl;
  }
} catch (const plumline::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
