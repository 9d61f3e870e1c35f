// What a client is made with: settings, and code of your own.
#ifndef PLUMLINE_CONFIG_HPP
#define PLUMLINE_CONFIG_HPP

#include <functional>
#include <limits>
#include <locale>
#include <sstream>

#include "request.hpp"
#include "response.hpp"

namespace plumline {

/// One attempt's request, as a callback sees it. It lives until the callback returns.
class Outgoing {
 public:
  explicit Outgoing(const plumline_outgoing* request) noexcept : request_{request} {}
  explicit Outgoing(plumline_outgoing* request) noexcept : request_{request}, open_{request} {}

  std::string_view method() const noexcept { return detail::view(plumline_outgoing_method(request_)); }
  std::string_view service() const noexcept { return detail::view(plumline_outgoing_service(request_)); }
  std::string_view path() const noexcept { return detail::view(plumline_outgoing_path(request_)); }
  std::string_view body() const noexcept { return detail::view(plumline_outgoing_body(request_)); }
  /// Which attempt this is, from 1.
  std::uint32_t attempt() const noexcept { return plumline_outgoing_attempt(request_); }
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    return detail::optional_view(plumline_outgoing_header(request_, detail::to_c(name)));
  }
  /// Sets a header, replacing any of that name. Only on_request() may: elsewhere the request has been sent.
  void set_header(std::string_view name, std::string_view value) {
    detail::done([&](auto error) {
      return plumline_outgoing_set_header(open_, detail::to_c(name), detail::to_c(value), error);
    }).value();
  }

 private:
  const plumline_outgoing* request_;
  plumline_outgoing* open_ = nullptr;
};

/// What a balancer chooses among. It lives until the balancer returns.
class Choice {
 public:
  explicit Choice(const plumline_choice* choice) noexcept : choice_{choice} {}

  std::size_t size() const noexcept { return plumline_choice_count(choice_); }
  Endpoint endpoint(std::size_t index) const { return Endpoint{plumline_choice_endpoint(choice_, index)}; }
  /// Calls and picks that have not ended yet.
  std::uint32_t in_flight(std::size_t index) const noexcept { return plumline_choice_in_flight(choice_, index); }
  /// What a use takes, milliseconds (EWMA); none until one has ended.
  std::optional<double> latency_ms(std::size_t index) const noexcept {
    const double latency = plumline_choice_latency_ms(choice_, index);
    return latency < 0 ? std::nullopt : std::optional{latency};
  }
  /// Whether this call has asked it already.
  bool is_tried(std::size_t index) const noexcept { return plumline_choice_is_tried(choice_, index) != 0; }

 private:
  const plumline_choice* choice_;
};

/// What an attempt came to: one of them is there.
struct Attempt {
  const Response* response;
  const Error* failure;
};

/// Thrown by a transport of your own: no connection could be opened. The call goes on around it.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// The connection broke after the request may have been read. The call goes on around it.
struct Reset : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// No answer in time. The call goes on around it.
struct TimedOut : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Before each attempt; may set headers. What it throws ends the call, and is nested in the Error of that.
using OnRequest = std::function<void(Outgoing& request, const Endpoint& endpoint)>;
/// After each attempt.
using OnResponse = std::function<void(const Outgoing& request, const Endpoint& endpoint, const Attempt& attempt)>;
/// Sends instead of a socket, for the tests of your own code.
using Transport = std::function<Response(const Outgoing& request, const Endpoint& endpoint)>;
/// An index below choice.size(), or none.
using Balancer = std::function<std::optional<std::size_t>(const Choice& choice)>;

namespace detail {

/// Code of the user's own. Whoever may call it shares it.
struct Code {
  OnRequest on_request;
  OnResponse on_response;
  Transport transport;
  Balancer balancer;
  std::map<std::string, Balancer> balancers;
};

/// Keeps what a callback throws, and tells C of it: no exception may pass through there.
inline plumline_kind keep_thrown(plumline_error** error) noexcept {
  if (thrown() == nullptr) thrown() = std::current_exception();
  try {
    throw;
  } catch (const Error& thrown) {
    *error = plumline_error_new(static_cast<plumline_kind>(thrown.kind()), to_c(thrown.what()));
  } catch (const std::exception& thrown) {
    *error = plumline_error_new(PLUMLINE_CANCELLED, to_c(thrown.what()));
  } catch (...) {
    *error = plumline_error_new(PLUMLINE_CANCELLED, PLUMLINE_STR("a callback threw something that is no std::exception"));
  }
  return plumline_error_kind(*error);
}

extern "C" {

inline plumline_kind plumline_cpp_on_request(void* code, plumline_outgoing* request, const plumline_endpoint* endpoint,
                                             plumline_error** error) {
  try {
    Outgoing outgoing{request};
    static_cast<const Code*>(code)->on_request(outgoing, Endpoint{endpoint});
    return PLUMLINE_OK;
  } catch (...) {
    return keep_thrown(error);
  }
}

inline plumline_kind plumline_cpp_on_response(void* code, const plumline_outgoing* request,
                                              const plumline_endpoint* endpoint, const plumline_response* response,
                                              const plumline_error* failure, plumline_error** error) {
  try {
    const auto& hook = static_cast<const Code*>(code)->on_response;
    if (response != nullptr) {
      const Response came{borrowed(response)};
      hook(Outgoing{request}, Endpoint{endpoint}, {&came, nullptr});
    } else {
      const Error failed{static_cast<Kind>(plumline_error_kind(failure)), plumline_error_message(failure)};
      hook(Outgoing{request}, Endpoint{endpoint}, {nullptr, &failed});
    }
    return PLUMLINE_OK;
  } catch (...) {
    return keep_thrown(error);
  }
}

inline std::int32_t plumline_cpp_send(void* code, const plumline_outgoing* request, const plumline_endpoint* endpoint,
                                      plumline_response** response, plumline_error** error) {
  const auto told = [&](std::int32_t sent, const std::exception& why) {
    *error = plumline_error_new(PLUMLINE_UNAVAILABLE, to_c(why.what()));
    return sent;
  };
  try {
    *response = static_cast<const Code*>(code)->transport(Outgoing{request}, Endpoint{endpoint}).release();
    return PLUMLINE_SENT_ANSWERED;
  } catch (const Refused& why) {
    return told(PLUMLINE_SENT_REFUSED, why);
  } catch (const Reset& why) {
    return told(PLUMLINE_SENT_RESET, why);
  } catch (const TimedOut& why) {
    return told(PLUMLINE_SENT_TIMEOUT, why);
  } catch (...) {
    keep_thrown(error);
    return PLUMLINE_SENT_FAILED;
  }
}

inline plumline_kind plumline_cpp_choose_any(void* code, const plumline_choice* choice, std::size_t* index,
                                             plumline_error** error) {
  try {
    *index = static_cast<const Code*>(code)->balancer(Choice{choice}).value_or(PLUMLINE_CHOOSE_NONE);
    return PLUMLINE_OK;
  } catch (...) {
    return keep_thrown(error);
  }
}

inline plumline_kind plumline_cpp_choose(void* balancer, const plumline_choice* choice, std::size_t* index,
                                         plumline_error** error) {
  try {
    *index = (*static_cast<const Balancer*>(balancer))(Choice{choice}).value_or(PLUMLINE_CHOOSE_NONE);
    return PLUMLINE_OK;
  } catch (...) {
    return keep_thrown(error);
  }
}

}  // extern "C"

/// A number as JSON has it, whatever the locale, with as few digits as say it.
template <typename Number>
std::string digits_of(Number number) {
  const auto rounded = [&](int digits) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(digits);
    text << +number;  // a char is a number as well
    return text.str();
  };
  const auto text = rounded(std::numeric_limits<Number>::digits10);
  if constexpr (std::is_floating_point_v<Number>) {
    std::istringstream reader{text};
    reader.imbue(std::locale::classic());
    Number read{};
    if (!(reader >> read) || read != number) return rounded(std::numeric_limits<Number>::max_digits10);
  }
  return text;
}

}  // namespace detail

/// What a client is made with. Beneath it lie the environment and the file that PLUMLINE_CONFIG names.
class Config {
 public:
  Config() : handle_{plumline_config_new(), plumline_config_free} {}

  /// A configuration from JSON, such as `{"timeout": "2s"}`; throws where it is wrong.
  static Config from_json(std::string_view json) { return try_from_json(json).value(); }
  static result<Config> try_from_json(std::string_view json) {
    auto made = detail::made(plumline_config_free, [&](auto config, auto error) {
      return plumline_config_from_json(detail::to_c(json), config, error);
    });
    if (!made) return made.error();
    return Config{std::move(*made)};
  }

  /// Sets one value by its dotted key, such as `retry.attempts` or `services.orders.timeout`; throws for one that is
  /// not there. A duration as text needs a unit, or is in seconds.
  Config& set(std::string_view key, std::string_view value) { return try_set(key, value).value(), *this; }
  Config& set(std::string_view key, const char* value) { return set(key, std::string_view{value}); }
  Config& set(std::string_view key, bool value) { return set(key, value ? "true" : "false"); }
  Config& set(std::string_view key, Millis value) { return set(key, std::to_string(value.count()) + "ms"); }
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
  Config& set(std::string_view key, Number value) {
    return set(key, std::string_view{detail::digits_of(value)});
  }
  result<void> try_set(std::string_view key, std::string_view value) {
    return detail::done([&](auto error) {
      return plumline_config_set(handle_.get(), detail::to_c(key), detail::to_c(value), error);
    });
  }

  /// Code of your own, on the thread that calls. It may use the client, and close it, but not destroy it.
  Config& on_request(OnRequest hook) { return code_->on_request = std::move(hook), *this; }
  Config& on_response(OnResponse hook) { return code_->on_response = std::move(hook), *this; }
  Config& transport(Transport transport) { return code_->transport = std::move(transport), *this; }
  Config& balancer(Balancer balancer) { return code_->balancer = std::move(balancer), *this; }
  /// A balancer for one service.
  Config& balancer(std::string_view service, Balancer balancer) {
    return code_->balancers.insert_or_assign(std::string{service}, std::move(balancer)), *this;
  }

 private:
  friend class Client;

  explicit Config(detail::Handle<plumline_config> handle) : handle_{std::move(handle)} {}

  /// What one client is made with: settings that lead to a copy of the code, and that copy, for the client to keep.
  /// Every client has its own of both: one configuration may make several, in several threads.
  struct Given {
    detail::Handle<plumline_config> settings;
    std::shared_ptr<const detail::Code> code;
  };

  result<Given> give() const {
    detail::Handle<plumline_config> settings{plumline_config_clone(handle_.get()), plumline_config_free};
    auto code = std::make_shared<detail::Code>(*code_);
    if (!code->on_request && !code->on_response && !code->transport && !code->balancer && code->balancers.empty())
      return Given{std::move(settings), nullptr};
    std::vector<plumline_service_balancer> balancers;
    for (auto& [service, balancer] : code->balancers)
      balancers.push_back({detail::to_c(service), detail::plumline_cpp_choose, &balancer});
    plumline_callbacks raw = PLUMLINE_CALLBACKS_INIT;
    raw.user_data = code.get();
    if (code->on_request) raw.on_request = detail::plumline_cpp_on_request;
    if (code->on_response) raw.on_response = detail::plumline_cpp_on_response;
    if (code->transport) raw.send = detail::plumline_cpp_send;
    if (code->balancer) raw.choose = detail::plumline_cpp_choose_any;
    raw.balancers = balancers.data();
    raw.balancer_count = balancers.size();
    auto given = detail::done(
        [&](auto error) { return plumline_config_set_callbacks(settings.get(), &raw, error); });
    if (!given) return given.error();
    return Given{std::move(settings), std::move(code)};
  }

  detail::Handle<plumline_config> handle_;
  std::unique_ptr<detail::Code> code_ = std::make_unique<detail::Code>();
};

}  // namespace plumline

#endif
