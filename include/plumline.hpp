// Plumline for C++17, header-only: plumline.h with owners, exceptions and ranges. Link the same library.
//
//   plumline::Client plum{"plum://127.0.0.1:8080"};
//   auto me = plum.register_instance(plumline::Instance{"orders", 8080}.version("v2"));
//   std::cout << plum.get("orders", "/items/7").raise_for_status().body() << '\n';
//
// Every word that can fail comes twice: get() throws a plumline::Error, try_get() returns a plumline::result.
// Objects are owners and move; what they lend (string views, references) lives as long as they do.
#ifndef PLUMLINE_HPP
#define PLUMLINE_HPP

#include "plumline/client.hpp"    // IWYU pragma: export
#include "plumline/config.hpp"    // IWYU pragma: export
#include "plumline/error.hpp"     // IWYU pragma: export
#include "plumline/handles.hpp"   // IWYU pragma: export
#include "plumline/request.hpp"   // IWYU pragma: export
#include "plumline/response.hpp"  // IWYU pragma: export
#include "plumline/values.hpp"    // IWYU pragma: export

#endif
