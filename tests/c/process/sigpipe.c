/* A peer that goes while we write, over http and https: an error, and no SIGPIPE, which would end this program. */
#define _POSIX_C_SOURCE 200809L
#include "../unit/common.h"

#include <signal.h>

enum { BODY = 8 << 20 };

static void write_to_one_that_goes(const char *address, plumline_config *config) {
  plumline_client *plum = client_of(address, config);
  char *body = calloc(1, BODY);
  plumline_request post = get_of(S("orders"), S("/slam"));
  CHECK(body != NULL);
  post.method = S("POST");
  post.content.data = body;
  post.content.len = BODY;
  post.attempts = 1;
  for (int time = 0; time < 20; ++time) {
    plumline_response *reply = NULL;
    plumline_error *error = NULL;
    CHECK(plumline_client_call(plum, &post, &reply, &error) == PLUMLINE_UNAVAILABLE);
    CHECK(reply == NULL && plumline_error_attempts(error) == 1);
    CHECK(check_holds(plumline_error_message(error), "broke"));
    plumline_error_free(error);
  }
  free(body);
  done_with(plum);
}

static void check_untouched(void) {
  struct sigaction now;
  CHECK(sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL); /* nobody has hidden it */
}

TEST(a_peer_that_goes_while_we_write_raises_no_signal) {
  char address[64];
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  snprintf(address, sizeof address, "static://127.0.0.1:%u", (unsigned)server_start());
  write_to_one_that_goes(address, NULL);
  check_untouched();
}

TEST(nor_does_it_over_tls) {
  program server = slam_tls_start();
  char file[256];
  CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
  snprintf(file, sizeof file, "%s/slam.pem", getenv("PLUMLINE_TMP"));
  plumline_config *config = plumline_config_new();
  OK(plumline_config_set(config, S("tls.ca"), plumline_str_from(file), &error));
  /* A static registry says http; one of our own says https. */
  plumline_client *plum = client_of("memory://sigpipe", config);
  plumline_endpoint_fields fields = PLUMLINE_ENDPOINT_FIELDS_INIT;
  plumline_endpoint *endpoint = NULL;
  fields.service = S("orders");
  fields.host = S("127.0.0.1");
  fields.port = (uint16_t)atoi(strchr(server.address, ':') + 1);
  fields.protocol = S("https");
  OK(plumline_endpoint_new(&fields, &endpoint, &error));
  OK(plumline_client_publish(plum, S("orders"), (const plumline_endpoint *const *)&endpoint, 1, &error));
  plumline_endpoint_free(endpoint);
  char *body = calloc(1, BODY);
  plumline_request post = get_of(S("orders"), S("/"));
  post.method = S("POST");
  post.content.data = body;
  post.content.len = BODY;
  post.attempts = 1;
  for (int time = 0; time < 20; ++time) {
    plumline_response *reply = NULL;
    FAILS(PLUMLINE_UNAVAILABLE, "broke", plumline_client_call(plum, &post, &reply, &error));
  }
  free(body);
  done_with(plum);
  plumline_config_free(config);
  program_end(&server);
  check_untouched();
}
