// Serves HTTP and registers itself, until its standard input ends (Ctrl-D).
// `c++ -std=c++17 register.cpp $(pkg-config --cflags --libs plumline) && ./a.out plum://127.0.0.1:8080`
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <plumline.hpp>
#include <system_error>
#include <thread>

// Answers the requests of one connection until it ends; they have no bodies worth reading.
static void serve(int peer) {
  static constexpr std::string_view body = R"({"id":7,"name":"a plum"})";
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + std::string{body};
  std::string had;
  char bytes[4096];
  for (ssize_t got; (got = recv(peer, bytes, sizeof bytes, 0)) > 0;) {
    had.append(bytes, static_cast<std::size_t>(got));
    for (std::size_t end; (end = had.find("\r\n\r\n")) != std::string::npos;) {
      std::size_t length = 0;
      for (const char* name : {"Content-Length: ", "content-length: "})
        if (const auto at = had.find(name); at < end) length = std::stoul(had.substr(at + 16));
      if (had.size() < end + 4 + length) break;
      had.erase(0, end + 4 + length);
      if (send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
    }
  }
  close(peer);
}

static std::uint16_t serve_in_background() {
  sockaddr_in at{};
  socklen_t length = sizeof at;
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, address, length) != 0 || listen(listener, 64) != 0 || getsockname(listener, address, &length) != 0)
    throw std::system_error{errno, std::generic_category(), "listen"};
  std::thread{[listener] {
    for (int peer; (peer = accept(listener, nullptr, nullptr)) >= 0;) std::thread{serve, peer}.detach();
  }}.detach();
  return ntohs(at.sin_port);
}

int main(int argc, char** argv) try {
  // Without an address: the variable PLUMLINE_REGISTRY.
  const plumline::Client plum{argc > 1 ? argv[1] : ""};

  // `host` is where others reach us; left out, it is this machine's address towards the registry.
  auto me = plum.register_instance(plumline::Instance{"orders", serve_in_background()}
                                       .host("127.0.0.1").version("v1").label("env", "example"));
  me.wait(std::chrono::seconds{10});
  std::cout << "registered " << me.address() << std::endl;

  // What is registered can change at any time, and stays changed after every outage of the registry.
  me.update(plumline::Instance::changes().label("env", "example").label("warm", "yes"));

  while (std::cin.get() != std::char_traits<char>::eof()) continue;
  // Deregisters, then waits for calls that are still on their way. Leaving the scope would do without the wait.
  me.close(std::chrono::milliseconds{200});
  std::cout << "deregistered\n";
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
