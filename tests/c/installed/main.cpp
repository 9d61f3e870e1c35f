// A program as a user writes it, in C++17.
#include <iostream>
#include <plumline.hpp>

int main() {
  const plumline::Client plum{"static://10.0.0.7:8080"};
  for (const auto& endpoint : plum.discover("orders"))
    std::cout << plumline_version() << ' ' << endpoint.address() << '\n';
  plum.close();
}
