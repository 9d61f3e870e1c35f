#include "common.h"

static size_t known(plumline_client *plum, const char *service) {
  plumline_endpoints *found = NULL;
  OK(plumline_client_clear_cache(plum, &error));
  OK(plumline_client_discover(plum, plumline_str_from(service), NULL, &found, &error));
  const size_t count = plumline_endpoints_count(found);
  plumline_endpoints_free(found);
  return count;
}

/* What another client believes follows what the registry says, a moment later. */
static int is_gone(void *plum) { return known(plum, "orders") == 0; }

static plumline_instance orders(uint16_t port) {
  plumline_instance instance = PLUMLINE_INSTANCE_INIT;
  instance.service = S("orders");
  instance.port = port;
  instance.host = S("127.0.0.1");
  return instance;
}

TEST(registration_is_listed_updated_and_closed) {
  program controller = controller_start();
  plumline_client *plum = client_of(controller.address, NULL), *other = client_of(controller.address, NULL);
  plumline_registration *me = NULL;
  const plumline_field labels[] = {{S("env"), S("test")}, {S("warm"), S("no")}};
  const plumline_str tags[] = {S("a"), S("b")};
  const uint16_t port = server_start();
  plumline_instance instance = orders(port);
  instance.version = S("v1");
  instance.labels = labels;
  instance.label_count = 2;
  instance.tags = tags;
  instance.tag_count = 2;
  instance.weight = 3;
  instance.ttl_ms = 15000;
  OK(plumline_client_register(plum, &instance, &me, &error));
  OK(plumline_registration_wait(me, 5000, &error));
  CHECK(plumline_registration_state(me) == PLUMLINE_REGISTRATION_REGISTERED);
  CHECK_STR(plumline_registration_state_name(me), "registered");
  char address[64];
  snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
  CHECK_STR(plumline_registration_address(me), address);
  CHECK(plumline_registration_address(me).data == plumline_registration_address(me).data); /* lent once */
  CHECK_STR(plumline_registration_service(me), "orders");
  CHECK(check_holds(plumline_registration_instance_id(me).data, "orders-127.0.0.1-"));
  CHECK(plumline_registration_last_error(me) == NULL);

  plumline_instance changes = PLUMLINE_INSTANCE_INIT;
  changes.version = S("v2");
  OK(plumline_registration_update(me, &changes, &error));
  plumline_query v2 = PLUMLINE_QUERY_INIT;
  v2.version = S("v2");
  OK(plumline_client_wait_for(other, S("orders"), &v2, 5000, &error));
  plumline_endpoints *found = NULL;
  OK(plumline_client_discover(other, S("orders"), &v2, &found, &error));
  const plumline_endpoint *endpoint = plumline_endpoints_at(found, 0);
  CHECK_STR(plumline_endpoint_label(endpoint, S("env")), "test"); /* what was not said stays */
  CHECK(plumline_endpoint_weight(endpoint) == 3);
  plumline_endpoints_free(found);
  changes.service = S("other");
  REFUSED("service cannot be changed", plumline_registration_update(me, &changes, &error));

  OK(plumline_registration_close(me, 0, &error));
  OK(plumline_registration_close(me, -1, &error)); /* again */
  CHECK(plumline_registration_state(me) == PLUMLINE_REGISTRATION_CLOSED);
  CHECK(check_until(is_gone, other));
  FAILS(PLUMLINE_CLOSED, "closed", plumline_registration_wait(me, 10, &error));
  plumline_registration_free(me);
  done_with(other);
  done_with(plum);
  program_end(&controller);
}

TEST(free_keeps_registration_and_close_removes_it) {
  program controller = controller_start();
  plumline_client *plum = client_of(controller.address, NULL), *other = client_of(controller.address, NULL);
  plumline_registration *me = NULL;
  plumline_instance instance = orders(server_start());
  OK(plumline_client_register(plum, &instance, &me, &error));
  OK(plumline_registration_wait(me, -1, &error));
  plumline_registration_free(me);
  CHECK(known(other, "orders") == 1);
  done_with(plum);
  CHECK(check_until(is_gone, other));
  done_with(other);
  program_end(&controller);
}

TEST(invalid_instance_is_rejected_others_are_retried) {
  plumline_client *plum = client_of("memory://", NULL), *fixed = client_of("static://10.0.0.1:1", NULL);
  plumline_client *away = client_of("plum://127.0.0.1:1", NULL);
  plumline_registration *me = NULL;
  plumline_instance instance = orders(0);
  REFUSED("port", plumline_client_register(plum, &instance, &me, &error));
  instance = orders(80);
  instance.host = S("0.0.0.0");
  REFUSED("0.0.0.0", plumline_client_register(plum, &instance, &me, &error));
  instance.host = S("127.0.0.1");
  instance.healthy = 7;
  REFUSED("healthy is 7", plumline_client_register(plum, &instance, &me, &error));
  instance.healthy = PLUMLINE_DEFAULT;
  FAILS(PLUMLINE_UNSUPPORTED, "", plumline_client_register(fixed, &instance, &me, &error));
  CHECK(me == NULL);

  instance = orders(server_start());
  OK(plumline_client_register(away, &instance, &me, &error));
  FAILS(PLUMLINE_UNAVAILABLE, "could not connect", plumline_registration_wait(me, 300, &error));
  plumline_error *last = plumline_registration_last_error(me);
  CHECK(plumline_error_kind(last) == PLUMLINE_UNAVAILABLE);
  CHECK_STR(plumline_registration_state_name(me), "unreachable");
  plumline_error_free(last);
  plumline_registration_free(me);
  done_with(away);
  done_with(fixed);
  done_with(plum);
}
