#include "common.h"

TEST(misspelt_key_names_the_right_one) {
  plumline_config *config = plumline_config_new();
  OK(plumline_config_set(config, S("retry.attempts"), S("5"), &error));
  REFUSED("unknown key \"retry.attemps\"; did you mean \"retry.attempts\"?",
          plumline_config_set(config, S("retry.attemps"), S("5"), &error));
  REFUSED("unknown key", plumline_config_set(config, S(""), S("5"), &error));
  plumline_config_free(config);
}

TEST(invalid_value_is_rejected_by_client_new) {
  plumline_client *client = NULL;
  plumline_config *config = plumline_config_new();
  OK(plumline_config_set(config, S("retry.attempts"), S("many"), &error));
  REFUSED("retry.attempts is \"many\"", plumline_client_new(S("memory://"), config, &client, &error));
  CHECK(client == NULL);
  plumline_config_free(config);
}

TEST(json_is_checked_at_once) {
  plumline_config *config = NULL;
  OK(plumline_config_from_json(S("{\"timeout\": \"2s\", \"services\": {\"a\": {\"retry\": {\"attempts\": 2}}}}"), &config,
                               &error));
  plumline_config_free(config);
  REFUSED("unknown key \"timeuot\"", plumline_config_from_json(S("{\"timeuot\": 1}"), &config, &error));
  CHECK(config == NULL);
  REFUSED("not valid JSON", plumline_config_from_json(S("{"), &config, &error));
  REFUSED("must be an object", plumline_config_from_json(S("[]"), &config, &error));
}

TEST(address_comes_from_argument_config_or_environment) {
  plumline_config *config = plumline_config_new();
  plumline_client *client = NULL;
  OK(plumline_config_set(config, S("registry"), S("static://10.0.0.1:1 static://10.0.0.2:1"), &error));
  OK(plumline_config_set(config, S("registry.timeout"), S("300ms"), &error));
  OK(plumline_config_set(config, S("registry.mode"), S("merge"), &error));
  client = client_of("", config);
  plumline_endpoints *endpoints = NULL;
  OK(plumline_client_discover(client, S("s"), NULL, &endpoints, &error));
  CHECK(plumline_endpoints_count(endpoints) == 2);
  plumline_endpoints_free(endpoints);
  done_with(client);

  client = client_of("static://10.0.0.3:1", config);
  OK(plumline_client_discover(client, S("s"), NULL, &endpoints, &error));
  CHECK(plumline_endpoints_count(endpoints) == 1);
  plumline_endpoints_free(endpoints);
  done_with(client);
  plumline_config_free(config);

  REFUSED("PLUMLINE_REGISTRY", plumline_client_new(S(""), NULL, &client, &error));
  REFUSED("plmu", plumline_client_new(S("plmu://a:1"), NULL, &client, &error));
}

TEST(configure_changes_a_live_client) {
  plumline_client *client = client_of("static://10.0.0.1:1", NULL);
  plumline_config *changes = plumline_config_new();
  OK(plumline_config_set(changes, S("services.orders.timeout"), S("300ms"), &error));
  OK(plumline_client_configure(client, changes, &error));
  OK(plumline_config_set(changes, S("registry"), S("memory://"), &error));
  REFUSED("registry", plumline_client_configure(client, changes, &error));
  plumline_config_free(changes);
  changes = plumline_config_new();
  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  OK(plumline_config_set_callbacks(changes, &callbacks, &error));
  REFUSED("callbacks", plumline_client_configure(client, changes, &error));
  plumline_config_free(changes);
  done_with(client);
}

TEST(config_clone_is_independent) {
  plumline_config *config = plumline_config_new(), *clone = NULL;
  plumline_client *client = NULL;
  OK(plumline_config_set(config, S("registry"), S("static://10.0.0.1:1"), &error));
  clone = plumline_config_clone(config);
  OK(plumline_config_set(config, S("retry.attempts"), S("many"), &error));
  REFUSED("retry.attempts is \"many\"", plumline_client_new(S(""), config, &client, &error));
  plumline_config_free(config);
  done_with(client_of("", clone));

  plumline_callbacks callbacks = PLUMLINE_CALLBACKS_INIT;
  OK(plumline_config_set_callbacks(clone, &callbacks, &error));
  client = client_of("", clone);
  config = plumline_config_clone(clone);
  plumline_config_free(clone);
  REFUSED("callbacks", plumline_client_configure(client, config, &error));
  plumline_config_free(config);
  done_with(client);
  CHECK(plumline_config_clone(NULL) == NULL);
}
