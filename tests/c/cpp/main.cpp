// plumline.hpp: every word, thrown and returned.
#include <plumline.hpp>

#include <sstream>
#include <thread>
#include <type_traits>

#include "../support/check.h"
#include "../support/server.h"

using plumline::Kind;
using plumline::Millis;

static std::string address_of_server() { return "static://127.0.0.1:" + std::to_string(server_start()); }

// What is thrown by something that must throw.
template <typename Do>
static plumline::Error thrown(Do what) {
  try {
    what();
  } catch (const plumline::Error& error) {
    return error;
  }
  check_failed(__FILE__, __LINE__, "it throws", "nothing");
  std::abort();
}

static plumline::Endpoint endpoint(std::uint16_t port, const char* version) {
  plumline::EndpointFields fields;
  fields.service = "orders";
  fields.host = "127.0.0.1";
  fields.port = port;
  fields.version = version;
  fields.labels = {{"env", "test"}};
  return plumline::Endpoint{fields};
}

TEST(handles_move_and_values_copy) {
  static_assert(!std::is_copy_constructible_v<plumline::Client> && std::is_nothrow_move_constructible_v<plumline::Client>);
  static_assert(!std::is_copy_constructible_v<plumline::Response> && std::is_move_constructible_v<plumline::Response>);
  static_assert(!std::is_copy_constructible_v<plumline::Pick> && !std::is_copy_constructible_v<plumline::Watch>);
  static_assert(!std::is_copy_constructible_v<plumline::Registration> && std::is_move_assignable_v<plumline::Registration>);
  static_assert(std::is_copy_constructible_v<plumline::Endpoint> && std::is_copy_constructible_v<plumline::Error>);
  const plumline::Endpoint one = endpoint(1, "v1"), same = endpoint(1, "v1"), other = endpoint(2, "v1"), copy = one;
  CHECK(one == same && one == copy && one != other);
  CHECK(copy.address() == "127.0.0.1:1" && copy.service() == "orders" && copy.instance_id() == "orders-127.0.0.1-1");
  CHECK(copy.host() == "127.0.0.1" && copy.ip() == "127.0.0.1" && copy.port() == 1 && copy.protocol() == "http");
  CHECK(copy.version() == "v1" && copy.zone().empty() && copy.node_id().empty() && copy.source().empty());
  CHECK(copy.generation().empty() && copy.weight() == 1 && copy.is_healthy() && copy.last_seen() == 0);
  CHECK(copy.label("env") == "test" && !copy.label("none") && copy.labels().size() == 1);
  CHECK(thrown([] { plumline::EndpointFields nowhere; nowhere.host = "x"; plumline::Endpoint{nowhere}; }).kind() ==
        Kind::invalid_argument);
}

TEST(every_method_calls) {
  const plumline::Client plum{address_of_server()};
  const auto reply = plum.get("orders", "/items/7");
  CHECK(reply.status() == 200 && reply.is_success() && reply.service() == "orders" && reply.attempts() == 1);
  CHECK(reply.body().find("GET /items/7 ") == 0 && reply.elapsed().count() > 0);
  CHECK(reply.header("X-TWICE") == "1" && !reply.header("none") && reply.headers().size() == 3);
  CHECK(reply.trace().size() == 1 && reply.trace()[0].status == 200 && reply.trace()[0].endpoint == reply.endpoint());
  CHECK(plum.post("orders", "/", "{}").raise_for_status().body().find("POST / ") == 0);
  CHECK(plum.put("orders", "/", "{}").raise_for_status().body().find("PUT / ") == 0);
  CHECK(plum.patch("orders", "/", "{}").raise_for_status().body().find("PATCH / ") == 0);
  CHECK(plum.del("orders", "/").raise_for_status().body().find("DELETE / ") == 0);
  CHECK(plum.options("orders", "/").raise_for_status().body().find("OPTIONS / ") == 0);
  CHECK(plum.head("orders", "/").raise_for_status().body().empty());
  CHECK(plum.try_post("orders", "/", "{}") && plum.try_put("orders", "/", "{}") && plum.try_patch("orders", "/", "{}"));
  CHECK(plum.try_del("orders", "/") && plum.try_head("orders", "/") && plum.try_options("orders", "/"));

  const auto said = plum.call(plumline::Request{"BREW", "orders", "/pot"}
                                  .param("q", "a b").header("X-A", "1").header("X-A", "2").form("f", "x y")
                                  .timeout(Millis{5000}).attempt_timeout(Millis{4000}).attempts(2).idempotent(false)
                                  .max_body(1 << 20));
  CHECK(check_holds(std::string{said.body()}.c_str(), "BREW /pot?q=a%20b "));
  CHECK(check_holds(std::string{said.body()}.c_str(), "f=x+y"));
  CHECK(plum.call(plumline::Request::post("orders", "/").content("raw")).status() == 200);
  CHECK(thrown([&] { plum.call(plumline::Request::get("orders", "/").timeout(Millis{0})); }).kind() ==
        Kind::invalid_argument);
  CHECK(thrown([&] { plum.call(plumline::Request::get("orders", "/").attempts(0)); }).kind() == Kind::invalid_argument);
  CHECK(thrown([&] { plum.call(plumline::Request::get("orders", "/").version("v9")); }).kind() == Kind::no_endpoint);
  CHECK(thrown([&] { plum.call(plumline::Request::get("orders", "/").label("a", "b")); }).kind() == Kind::no_endpoint);
}

TEST(errors_are_thrown_or_returned) {
  const plumline::Client plum{address_of_server()};
  const auto error = thrown([&] { plum.get("orders", "/status/503").raise_for_status(); });
  CHECK(error.kind() == Kind::status && name(error.kind()) == "Status" && error.is_retryable());
  CHECK(error.service() == "orders" && error.endpoint() && error.attempts() >= 1 && error.trace().back().status == 503);
  CHECK(error.cause() == nullptr);
  const auto tried = plum.try_get("orders", "nope");
  CHECK(!tried && tried.error().kind() == Kind::invalid_argument && !tried.has_value());
  CHECK(thrown([&] { tried.value(); }).kind() == Kind::invalid_argument);
  const auto fine = plum.try_get("orders", "/");
  CHECK(fine && fine->status() == 200 && (*fine).is_success());
  CHECK(!plum.get("orders", "/status/404").try_raise_for_status());
  CHECK(!plumline::Client::try_create("plmu://x") && thrown([] { plumline::Client{"plmu://x"}; }).kind() == Kind::invalid_argument);
}

TEST(discover_pick_and_stats) {
  const plumline::Client plum{"memory://"};
  plum.publish("orders", {endpoint(1, "v1"), endpoint(2, "v2")});
  std::size_t count = 0;
  for (const auto& found : plum.discover("orders")) count += found.service() == "orders" ? 1 : 0;
  CHECK(count == 2 && plum.discover(plumline::Query{"orders"}.version("v2").protocol("http")).size() == 1);
  CHECK(plum.discover(plumline::Query{"orders"}.label("env", "none")).empty());
  CHECK(plum.services() == std::vector<std::string>{"orders"});

  auto pick = plum.pick(plumline::Query{"orders"}.version("v1"));
  CHECK(pick.endpoint().port() == 1 && !pick.is_stale());
  pick.success();
  CHECK(plum.pick("orders").run([](const plumline::Endpoint& chosen) { return chosen.port(); }) > 0);
  plum.pick("orders").run([](const plumline::Endpoint&) {});
  bool came_out = false;
  try {
    plum.pick("orders").run([](const plumline::Endpoint&) -> int { throw std::runtime_error{"broke"}; });
  } catch (const std::runtime_error&) {
    came_out = true;
  }
  auto failed = plum.pick("orders");
  failed.failure();
  CHECK(came_out && !plum.try_pick("nobody") && plum.try_pick("orders"));
  const auto stats = plum.stats();
  CHECK(stats.number("/services/orders/picks") == 6 && stats.json().front() == '{' && !stats.try_number("/x"));
  const double failures = stats.number("/services/orders/endpoints/127.0.0.1:1/failures") +
                          stats.number("/services/orders/endpoints/127.0.0.1:2/failures");
  CHECK(failures == 2);

  const auto why = plum.explain(plumline::Query{"orders"}.version("v2"));
  std::ostringstream shown;
  shown << why;
  CHECK(why.usable() == 1 && why.endpoints().size() == 2 && shown.str() == why.text() && !why.source().empty());
  CHECK(why.endpoints()[0].reasons == std::vector<std::string>{"filtered (version v1)"} && !why.endpoints()[0].is_usable);
  CHECK(why.query() == "\"orders\" version=v2" && !why.summary().empty());
  CHECK(why.endpoints()[1].weight == 1 && why.endpoints()[1].in_flight == 0 && why.endpoints()[1].success > 0);

  const auto orders = plum.service(plumline::Query{"orders"}.version("v2"));
  CHECK(orders.name() == "orders" && orders.pick().endpoint().port() == 2 && orders.try_pick());
  plum.wait_for("orders", Millis{100});
  CHECK(!plum.try_wait_for("nobody", Millis{20}));
  plum.clear_cache();
}

TEST(bound_service_calls) {
  const plumline::Client plum{address_of_server()};
  const auto orders = plum.service("orders");
  CHECK(orders.get("/a").raise_for_status().body().find("GET /a ") == 0 && orders.try_get("/b"));
  CHECK(orders.post("/", "{}").raise_for_status().body().find("POST / ") == 0 && orders.put("/", "{}").is_success());
  CHECK(orders.patch("/", "{}").is_success() && orders.del("/").raise_for_status().body().find("DELETE / ") == 0);
  CHECK(orders.head("/").is_success() && orders.options("/").is_success() && orders.try_post("/", "{}"));
  CHECK(orders.call(plumline::Request::post("", "/").json("{}")).status() == 200);
  CHECK(!orders.try_call(plumline::Request::get("", "/").version("v2")));
}

TEST(registration_is_raii_unless_detached) {
  program controller = controller_start();
  const plumline::Client plum{controller.address}, other{controller.address};
  const auto known = [&] { return other.clear_cache(), other.discover("orders").size(); };
  // What another client believes follows what the registry says, a moment later.
  const auto is_gone = [](void* client) {
    const auto& plum = *static_cast<const plumline::Client*>(client);
    return plum.clear_cache(), plum.discover("orders").empty() ? 1 : 0;
  };
  const auto goes = [&] { return check_until(is_gone, const_cast<plumline::Client*>(&other)) != 0; };
  {
    auto me = plum.register_instance(
        plumline::Instance{"orders", server_start()}.host("127.0.0.1").version("v1").label("env", "test").tag("t")
            .weight(2).ttl(std::chrono::seconds{15}).protocol("http").zone("eu").instance_id("me").healthy(true));
    me.wait(std::chrono::seconds{5});
    CHECK(me.state() == plumline::State::registered && me.state_name() == "registered" && me.service() == "orders");
    CHECK(me.instance_id() == "me" && !me.last_error() && me.address().find("127.0.0.1:") == 0 && known() == 1);
    me.update(plumline::Instance::changes().version("v2"));
    other.wait_for(plumline::Query{"orders"}.version("v2").label("env", "test"), std::chrono::seconds{5});
    CHECK(!me.try_update(plumline::Instance{"other", 1}));
    auto moved = std::move(me);
    CHECK(known() == 1);
  }
  CHECK(goes());
  const auto port = server_start();
  {
    auto me = plum.register_instance(plumline::Instance{"orders", port}.host("127.0.0.1"));
    me.wait();
    me.detach();
  }
  CHECK(known() == 1);
  plum.close(Millis{0});
  CHECK(goes() && plum.is_closed() && !plum.try_register_instance(plumline::Instance{"orders", port}));
  program_end(&controller);
}

TEST(watch_iterates_until_closed) {
  const plumline::Client plum{"memory://"};
  auto watch = plum.watch("orders");
  std::vector<std::string> kinds;
  for (const auto& change : watch) {
    kinds.emplace_back(name(change.kind));
    if (kinds.size() == 1) plum.publish("orders", {endpoint(1, "v1")});
    if (kinds.size() == 2) {
      CHECK(change.added.size() == 1 && change.endpoints == change.added && change.service == "orders");
      watch.close();
    }
  }
  CHECK((kinds == std::vector<std::string>{"snapshot", "changed"}));
  auto all = plum.watch_all();
  CHECK(all.next(Millis{1000})->service == "orders" && !all.next(Millis{10}));
  CHECK(!watch.try_next() && thrown([&] { watch.next(); }).kind() == Kind::closed);
  const auto copy = plumline::Change{};
  CHECK(copy == plumline::Change{});
}

TEST(callback_exception_is_nested_in_error) {
  plumline::Config config;
  int attempts = 0;
  config.on_request([](plumline::Outgoing& request, const plumline::Endpoint&) {
    request.set_header("X-Trace", "abc");
    if (request.path() == "/own") throw plumline::Error{Kind::permission_denied, "not you"};
    if (request.path() == "/int") throw 7;
    if (request.path() == "/boom") throw std::out_of_range{"boom"};
  });
  config.on_response([&](const plumline::Outgoing&, const plumline::Endpoint&, const plumline::Attempt& attempt) {
    attempts += attempt.response != nullptr ? attempt.response->status() == 200 : attempt.failure->kind() == Kind::timeout;
  });
  config.transport([](const plumline::Outgoing& request, const plumline::Endpoint& at) -> plumline::Response {
    if (request.path() == "/late") throw plumline::TimedOut{"late"};
    if (request.path() == "/refused") throw plumline::Refused{"closed"};
    if (request.path() == "/reset") throw plumline::Reset{"broke"};
    if (request.path() == "/bug") throw std::logic_error{"a bug"};
    return {200, at.host(), {{"X-Trace", std::string{request.header("x-trace").value_or("none")}}}};
  });
  const plumline::Client plum{"static://a:1", config};
  const auto reply = plum.get("orders", "/");
  CHECK(reply.body() == "a" && reply.header("x-trace") == "abc" && attempts == 1);
  CHECK(plum.service("orders").get("/").status() == 200 && attempts == 2);
  const auto boom = thrown([&] { plum.get("orders", "/boom"); });
  CHECK(boom.kind() == Kind::cancelled && std::string{boom.what()} == "boom");
  bool is_nested = false;
  try {
    plum.get("orders", "/bug");
  } catch (const plumline::Error& error) {
    try {
      std::rethrow_if_nested(error);
    } catch (const std::logic_error& bug) {
      is_nested = std::string{bug.what()} == "a bug";
    }
  }
  CHECK(is_nested);
  CHECK(plum.try_get("orders", "/own").error().kind() == Kind::permission_denied);
  const auto number = plum.try_get("orders", "/int");
  bool is_seven = false;
  try {
    std::rethrow_exception(number.error().cause());
  } catch (int thrown) {
    is_seven = thrown == 7;
  }
  CHECK(is_seven && plum.get("orders", "/").status() == 200);  // the client lives on
  CHECK(plum.try_get("orders", "/refused").error().kind() == Kind::unavailable);
  CHECK(plum.try_get("orders", "/reset").error().kind() == Kind::unavailable);
  CHECK(plum.try_get("orders", "/late").error().kind() == Kind::timeout);
}

TEST(callback_may_call_and_close) {
  plumline::Config config;
  std::unique_ptr<plumline::Client> plum;
  config.transport([](const plumline::Outgoing&, const plumline::Endpoint&) { return plumline::Response{200, "ok"}; });
  config.on_request([&](plumline::Outgoing& request, const plumline::Endpoint&) {
    if (request.path() == "/outer") {
      const auto inner = plum->try_get("orders", "/inner");
      CHECK(!inner && std::string{inner.error().what()} == "inner");
    }
    if (request.path() == "/inner") throw std::runtime_error{"inner"};
    if (request.path() == "/close") plum->close(Millis{0});
  });
  plum = std::make_unique<plumline::Client>("static://a:1", config);
  CHECK(plum->get("orders", "/outer").status() == 200);  // what was raised inside is the inner call's
  (void)plum->try_get("orders", "/close");
  CHECK(plum->is_closed() && plum->try_get("orders", "/").error().kind() == Kind::closed);
}

TEST(getter_of_temporary_returns_owned_string) {
  plumline::Config config;
  config.transport([](const plumline::Outgoing&, const plumline::Endpoint&) {
    return plumline::Response{200, std::string(100, 'x'), {{"X-A", std::string(100, 'a')}}};
  });
  const plumline::Client plum{"static://10.0.0.1:1", config};
  const auto body = plum.get("orders", "/").raise_for_status().body();
  const auto header = plum.get("orders", "/").header("x-a");
  const auto headers = plum.get("orders", "/").headers();
  const auto address = plum.pick("orders").endpoint().address();
  const auto stats = plum.stats().json();
  const auto text = plum.explain("orders").text();
  CHECK(body == std::string(100, 'x') && header == std::string(100, 'a') && headers.at(0).second == *header);
  CHECK(address == "10.0.0.1:1" && stats.find("orders") != stats.npos && text.find("usable") != text.npos);
  const auto kept = plum.get("orders", "/");
  static_assert(std::is_same_v<decltype(kept.body()), std::string_view>, "without a copy where it can be");
}

TEST(custom_balancer) {
  plumline::Config config;
  config.balancer([](const plumline::Choice& choice) -> std::optional<std::size_t> { return choice.size() - 1; });
  config.balancer("billing", [](const plumline::Choice& choice) -> std::optional<std::size_t> {
    CHECK(choice.in_flight(0) == 0 && !choice.latency_ms(0) && !choice.is_tried(0) && choice.endpoint(1).port() == 1);
    return 0;
  });
  config.balancer("odd", [](const plumline::Choice&) -> std::optional<std::size_t> { throw std::runtime_error{"odd"}; });
  const plumline::Client plum{"static://10.0.0.1:1,10.0.0.2:1", config};
  const auto last = plum.pick("orders"), first = plum.pick("billing");
  CHECK(last.endpoint() != first.endpoint());
  CHECK(std::string{thrown([&] { plum.pick("odd"); }).what()} == "odd");
}

TEST(settings_are_typed_and_validated) {
  plumline::Config config;
  config.set("retry.attempts", 2).set("timeout", Millis{800}).set("outlier.stall", false).set("zone", "eu");
  CHECK(!config.try_set("retry.attemps", "2") && thrown([&] { config.set("x", 1); }).kind() == Kind::invalid_argument);
  const plumline::Client plum{"static://10.0.0.1:1", config};
  plum.configure(plumline::Config::from_json(R"({"timeout": "2s"})"));
  CHECK(!plum.try_configure(plumline::Config::from_json(R"({"registry": "memory://"})")));
  CHECK(!plumline::Config::try_from_json("{"));
  plumline::Config with_code;
  with_code.on_request([](plumline::Outgoing&, const plumline::Endpoint&) {});
  CHECK(!plum.try_configure(with_code));
  int records = 0;
  plum.drain_logs([&](int, std::string_view) { ++records; });
  plum.close();
  plum.close();
}
