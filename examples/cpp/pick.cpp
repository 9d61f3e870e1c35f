// A protocol of one's own: Plumline chooses the endpoint, the program does the talking.
// `c++ -std=c++17 pick.cpp $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080`
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <plumline.hpp>
#include <stdexcept>

// One line there, one line back.
static std::string greet(const plumline::Endpoint& endpoint, std::string_view name) {
  addrinfo hints{}, *at = nullptr;
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(endpoint.ip().data(), std::to_string(endpoint.port()).c_str(), &hints, &at) != 0)
    throw std::runtime_error{"no address"};
  const int connection = socket(at->ai_family, at->ai_socktype, 0);
  const bool is_there = connect(connection, at->ai_addr, at->ai_addrlen) == 0;
  freeaddrinfo(at);
  const std::string line = std::string{name} + '\n';
  std::string answer;
  if (is_there && send(connection, line.data(), line.size(), MSG_NOSIGNAL) >= 0)
    for (char byte; recv(connection, &byte, 1, 0) == 1 && byte != '\n';) answer += byte;
  close(connection);
  if (answer.empty()) throw std::runtime_error{"nobody answered"};
  return answer;
}

int main(int argc, char** argv) try {
  // Without an address: the variable PLUMLINE_REGISTRY.
  const plumline::Client plum{argc > 1 ? argv[1] : ""};

  // run() reports how it went: an exception counts as a failure of the endpoint, and enough of them take it out.
  std::cout << plum.pick("greeter").run([](const auto& endpoint) { return greet(endpoint, "a plum"); }) << '\n';

  // The same by hand. The first word counts; a pick that is destroyed without one says nothing.
  auto pick = plum.pick("greeter");
  try {
    std::cout << greet(pick.endpoint(), "another plum") << '\n';
    pick.success();
  } catch (const std::exception&) {
    pick.failure();
    throw;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
