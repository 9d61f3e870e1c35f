/* What most tests begin with. */
#ifndef COMMON_H
#define COMMON_H

#include "../support/check.h"
#include "../support/server.h"

#define S PLUMLINE_STR

/* A server's address as a registry. */
static inline plumline_client *client_of(const char *address, const plumline_config *config) {
  plumline_client *client = NULL;
  OK(plumline_client_new(plumline_str_from(address), config, &client, &error));
  CHECK(client != NULL);
  return client;
}

/* A client of one HTTP server, which this makes. */
static inline plumline_client *client_of_server(const plumline_config *config) {
  char address[64];
  snprintf(address, sizeof address, "static://127.0.0.1:%u", (unsigned)server_start());
  return client_of(address, config);
}

static inline void done_with(plumline_client *client) {
  OK(plumline_client_close(client, 0, &error));
  plumline_client_free(client);
}

static inline plumline_request get_of(plumline_str service, plumline_str path) {
  plumline_request get = PLUMLINE_REQUEST_INIT;
  get.service = service;
  get.path = path;
  return get;
}

#endif
