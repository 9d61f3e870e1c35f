// Config: numbers as text, and one configuration for several clients.
#include <plumline.hpp>

#include <atomic>
#include <clocale>
#include <cstdlib>
#include <limits>
#include <thread>

#include "../support/check.h"

// run.sh makes a locale that writes 0,5 and has no name that a system must know.
static void with_a_decimal_comma(void (*test)()) {
  const char* comma = std::getenv("PLUMLINE_COMMA_LOCALE");
  CHECK(comma != nullptr && std::setlocale(LC_NUMERIC, comma) != nullptr);
  CHECK(std::string{std::localeconv()->decimal_point} == ",");
  test();
  std::setlocale(LC_NUMERIC, "C");
}

static const char* refused(const plumline::Config& config) {
  static std::string words;
  const auto client = plumline::Client::try_create("memory://", config);
  words = client ? "" : client.error().what();
  return words.c_str();
}

TEST(numbers_are_locale_independent) {
  with_a_decimal_comma([] {
    plumline::Config config;
    config.set("attempt_timeout", 0.25).set("retry.budget", 0.2F).set("retry.attempts", std::int8_t{2});
    CHECK(*refused(config) == '\0');
    config.set("retry.attempts", 1234567);
    CHECK(check_holds(refused(config), "1234567"));
  });
}

TEST(numbers_round_trip_exactly) {
  const auto told = [](double seconds) {
    plumline::Config config;
    config.set("retry.attempts", seconds);  // a whole number belongs there: the refusal tells what came
    return std::string{refused(config)};
  };
  CHECK(check_holds(told(0.1).c_str(), "is 0.1;"));
  CHECK(check_holds(told(0.1 + 0.2).c_str(), "is 0.30000000000000004;"));
  CHECK(check_holds(told(1e-7).c_str(), "is 1e-7;"));
  CHECK(check_holds(told(std::numeric_limits<double>::infinity()).c_str(), "inf"));
}

static plumline::Config answering(const std::string& text) {
  plumline::Config config;
  config.transport([text](const plumline::Outgoing&, const plumline::Endpoint&) { return plumline::Response{200, text}; });
  return config;
}

TEST(callbacks_belong_to_one_client) {
  plumline::Config config = answering("old");
  auto old = std::make_unique<plumline::Client>("static://127.0.0.1:1", config);
  CHECK(old->get("orders", "/").status() == 200);
  old.reset();
  config.transport(nullptr).set("retry.attempts", 1);
  const plumline::Client plum{"static://127.0.0.1:1", config};
  CHECK(plum.try_get("orders", "/").error().kind() == plumline::Kind::unavailable);  // nobody listens there
  plum.configure(plumline::Config{}.set("timeout", plumline::Millis{900}));
}

TEST(threads_create_clients_from_one_config) {
  const plumline::Config config = answering("a text that is too long to lie in the string itself");
  std::atomic<int> answered{0};
  const auto make_and_forget = [&] {
    for (int time = 0; time < 50; ++time) {
      const plumline::Client plum{"static://127.0.0.1:1", config};
      const auto reply = plum.get("orders", "/");
      answered += reply.body().size() == 51;
    }
  };
  std::thread one{make_and_forget}, other{make_and_forget};
  one.join();
  other.join();
  CHECK(answered == 100);
}
