// Settings: for everything, for one service, for one call, and while the program runs.
// `c++ -std=c++17 configuration.cpp $(pkg-config --cflags --libs plumline) && ./a.out` (needs no registry)
#include <iostream>
#include <plumline.hpp>

int main() try {
  // Beneath these lie the environment (PLUMLINE_TIMEOUT=5s) and the file that PLUMLINE_CONFIG names.
  plumline::Config config;
  config.set("timeout", std::chrono::seconds{5}).set("headers.X-Team", "fruit");
  config.set("services.orders.timeout", "800ms").set("services.orders.balancer", "round_robin");
  config.set("services.orders.retry.attempts", 2);

  // A key that is misspelt is refused, with the one that was probably meant.
  if (const auto misspelt = config.try_set("retry.attemps", "2"); !misspelt)
    std::cout << misspelt.error().what() << '\n';

  // No server stands behind these addresses: a stub answers in its place.
  config.transport([](const plumline::Outgoing& request, const plumline::Endpoint&) {
    return plumline::Response{200, request.header("X-Team").value()};
  });
  const plumline::Client plum{"static://10.0.0.7:8080,10.0.0.8:8080", config};
  const auto patient = plumline::Request::get("orders", "/team").timeout(std::chrono::seconds{30}).attempts(5);
  std::cout << plum.call(patient).raise_for_status().body() << '\n';

  plum.configure(plumline::Config{}.set("headers.X-Team", "vegetables"));
  std::cout << plum.get("orders", "/team").raise_for_status().body() << '\n';
  std::cout << plum.explain("orders");
} catch (const plumline::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
