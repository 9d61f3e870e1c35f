// Calls a service by its name.
// `c++ -std=c++17 call.cpp $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080`
#include <iostream>
#include <plumline.hpp>

int main(int argc, char** argv) try {
  // Without an address: the variable PLUMLINE_REGISTRY.
  const plumline::Client plum{argc > 1 ? argv[1] : ""};

  // An answer of any status is a response; raise_for_status() turns 4xx and 5xx into an exception.
  const auto response = plum.get("orders", "/items/7");
  std::cout << "got " << response.raise_for_status().body() << " from " << response.endpoint().address() << " in "
            << response.attempts() << " attempt(s)\n";

  // A POST is sent once, unless you say that the service may see it twice.
  const auto posted = plum.call(plumline::Request::post("orders", "/items")
                                    .json(R"({"name":"a plum"})")
                                    .header("X-Team", "fruit")
                                    .idempotent(true)
                                    .timeout(std::chrono::milliseconds{800}));
  std::cout << "posted: " << posted.status() << '\n';

  // What is asked for often is worth a handle: the name is looked up once.
  const auto orders = plum.service("orders");
  std::cout << "three more:";
  for (int item = 0; item < 3; ++item) std::cout << ' ' << orders.get("/items/" + std::to_string(item)).status();
  std::cout << '\n';

  // Where nobody can be asked, the error says why. Every word has a twin that returns it instead of throwing.
  if (const auto nowhere = plum.try_get("ordrs", "/items/7"); !nowhere)
    std::cout << "as expected: " << nowhere.error().what() << '\n';
  plum.close();
} catch (const plumline::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
