// What a call brought back.
#ifndef PLUMLINE_RESPONSE_HPP
#define PLUMLINE_RESPONSE_HPP

#include "error.hpp"

namespace plumline {

/// An HTTP answer of any status, and how it was come by.
class Response {
 public:
  /// An answer made by hand: for a transport of your own, and for the tests of your own code.
  Response(int status, std::string_view content, const Fields& headers = {}) : Response{make(status, content, headers)} {}

  explicit Response(detail::Handle<plumline_response> handle) noexcept : handle_{std::move(handle)} {}

  int status() const noexcept { return plumline_response_status(get()); }
  /// Whether the status is 2xx.
  bool is_success() const noexcept { return plumline_response_is_success(get()) != 0; }

  /// The body, decompressed, without a copy. What is asked of a temporary, here as everywhere, is a string of its own.
  std::string_view body() const& noexcept { return detail::view(plumline_response_body(get())); }
  std::string body() && { return std::string{detail::view(plumline_response_body(get()))}; }

  /// The first header of that name, whatever its case.
  std::optional<std::string_view> header(std::string_view name) const& noexcept {
    return detail::optional_view(plumline_response_header(get(), detail::to_c(name)));
  }
  std::optional<std::string> header(std::string_view name) && {
    const auto found = detail::optional_view(plumline_response_header(get(), detail::to_c(name)));
    return found ? std::optional<std::string>{*found} : std::nullopt;
  }

  /// Every header, in the order in which they came.
  std::vector<std::pair<std::string_view, std::string_view>> headers() const& {
    std::vector<std::pair<std::string_view, std::string_view>> headers;
    for (std::size_t index = 0; index < plumline_response_header_count(get()); ++index) {
      const plumline_field field = plumline_response_header_at(get(), index);
      headers.emplace_back(detail::view(field.name), detail::view(field.value));
    }
    return headers;
  }
  std::vector<std::pair<std::string, std::string>> headers() && {
    const auto views = static_cast<const Response&>(*this).headers();
    return {views.begin(), views.end()};
  }

  /// Itself, unless the status is 4xx or 5xx: then it throws an Error of kind `status`.
  const Response& raise_for_status() const& {
    try_raise_for_status().value();
    return *this;
  }
  Response raise_for_status() && {
    try_raise_for_status().value();
    return std::move(*this);
  }
  result<void> try_raise_for_status() const {
    return detail::done([&](auto error) { return plumline_response_raise_for_status(get(), error); });
  }

  std::string_view service() const& noexcept { return detail::view(plumline_response_service(get())); }
  std::string service() && { return std::string{detail::view(plumline_response_service(get()))}; }
  /// The endpoint that answered.
  Endpoint endpoint() const { return Endpoint{plumline_response_endpoint(get())}; }
  std::uint32_t attempts() const noexcept { return plumline_response_attempts(get()); }
  /// How long the whole call took.
  std::chrono::duration<double, std::milli> elapsed() const noexcept {
    return std::chrono::duration<double, std::milli>{plumline_response_elapsed_ms(get())};
  }
  /// What each attempt came to, in order; the last one is this answer.
  std::vector<TraceStep> trace() const {
    std::vector<TraceStep> trace;
    for (std::size_t index = 0; index < plumline_response_trace_count(get()); ++index)
      trace.emplace_back(plumline_response_trace_at(get(), index));
    return trace;
  }

  /// What plumline.h calls it; it stays this object's.
  const plumline_response* get() const noexcept { return handle_.get(); }

  /// Gives it away, to a function of plumline.h that takes it over.
  plumline_response* release() && noexcept { return handle_.release(); }

 private:
  static detail::Handle<plumline_response> make(int status, std::string_view content, const Fields& headers) {
    const auto fields = detail::fields_of(headers);
    plumline_response_fields raw = PLUMLINE_RESPONSE_FIELDS_INIT;
    raw.status = static_cast<std::uint32_t>(status);
    raw.headers = fields.data();
    raw.header_count = fields.size();
    raw.content = detail::to_c(content);
    return detail::made(plumline_response_free, [&](auto response, auto error) {
             return plumline_response_new(&raw, nullptr, response, error);
           }).value();
  }

  detail::Handle<plumline_response> handle_;
};

}  // namespace plumline

#endif
